//! The `foretype` program.

fn main() {}
