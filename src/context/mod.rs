//! What is known about the code around a cursor: its syntax tree, the scopes it stands in, what must survive a cut.

mod cut;
mod scope;
mod syntax;

pub use cut::{Window, window};
pub use scope::{Function, Place, block_to_write, function_at, indentation, is_prose};
pub use syntax::SyntaxCache;
