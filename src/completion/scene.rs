//! What the later steps of the pipeline need to know of the cursor's surroundings, looked at once.

use tree_sitter::Tree;

use crate::context::{Place, SyntaxCache, is_prose};
use crate::documents::Snapshot;
use crate::languages::{self, Language};

/// Text that the filters compare with reaches this many bytes to each side.
const NEAR: usize = 2000;

/// The surroundings of a cursor.
pub struct Scene<'a> {
    pub snapshot: &'a Snapshot,
    pub language: &'static Language,
    pub tree: Option<Tree>,
    /// The cursor, in bytes.
    pub offset: usize,
    /// The cursor's line before it.
    pub before: String,
    /// The cursor's line after it, without the line ending.
    pub after: String,
    /// Nearby text before the cursor's line.
    pub above: String,
    /// Nearby text after the cursor's line.
    pub below: String,
    /// Code, comment or string.
    pub place: Place,
}

impl<'a> Scene<'a> {
    /// Look around the cursor.
    pub fn look(snapshot: &'a Snapshot, offset: usize, syntax: &mut SyntaxCache) -> Self {
        let language = languages::of(&snapshot.language_id, snapshot.path.as_deref());
        let tree = syntax.tree(snapshot, language);
        let (before, after) = snapshot.line_around(offset);
        let line_start = offset - before.len();
        let line = snapshot.text.byte_to_line(offset);
        let next_line = snapshot.text.line_to_byte(line + 1);
        let above = snapshot.slice(snapshot.clamp(line_start.saturating_sub(NEAR)), line_start);
        let below = snapshot.slice(next_line, snapshot.clamp(next_line + NEAR));
        let place = is_prose(tree.as_ref(), offset);
        Self { snapshot, language, tree, offset, before, after, above, below, place }
    }

    /// The first line below the cursor's that is not blank.
    pub fn next_line(&self) -> Option<&str> {
        self.below.lines().find(|line| !line.trim().is_empty())
    }

    /// The last line above the cursor's that is not blank.
    pub fn line_above(&self) -> Option<&str> {
        self.above.lines().rev().find(|line| !line.trim().is_empty())
    }
}

#[cfg(test)]
pub mod fixture {
    //! Scenes out of texts with a `$0` where the cursor stands.

    use crate::context::SyntaxCache;
    use crate::documents::Snapshot;

    use super::Scene;

    /// Call `check` with the scene of this text.
    pub fn with_scene<T>(id: &str, text: &str, check: impl FnOnce(&Scene) -> T) -> T {
        let offset = text.find("$0").expect("the cursor $0");
        let snapshot = Snapshot::detached(None, id, &text.replacen("$0", "", 1));
        check(&Scene::look(&snapshot, offset, &mut SyntaxCache::default()))
    }
}
