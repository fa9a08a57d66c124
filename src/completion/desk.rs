//! What the pipeline keeps at hand from one request to the next. Nothing of it is needed for a right answer.

use crate::completion::anchor::Anchors;
use crate::completion::progress::Progress;
use crate::context::SyntaxCache;

/// Lives on the thread that completes.
#[derive(Default)]
pub struct Desk {
    pub syntax: SyntaxCache,
    /// What the running decode has written, for those who want to know whether it is of use to them.
    pub progress: Progress,
    pub(super) anchors: Anchors,
    /// The size of context chosen last, in tokens.
    pub(super) context: Option<usize>,
}

impl Desk {
    /// A desk whose decodes tell of their progress here.
    pub fn telling(progress: Progress) -> Self {
        Self { progress, ..Self::default() }
    }
}
