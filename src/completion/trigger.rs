//! Whether to ask the model at all, and for a line or a block. Decided before a token is written.

use crate::completion::scene::Scene;
use crate::completion::{Extent, Trigger, Wish};
use crate::config::{Multiline, Settings};
use crate::context::{Place, block_to_write};

/// Line or block, or the name of the rule that says not to ask.
pub fn decide(scene: &Scene, wish: &Wish, settings: &Settings) -> Result<Extent, &'static str> {
    if wish.trigger == Trigger::Automatic && wish.extent == Extent::Auto {
        refuse(scene)?;
    }
    let end_of_line = scene.after.trim().is_empty();
    Ok(match (wish.extent, settings.multiline) {
        (Extent::Line, _) | (Extent::Auto, Multiline::Never) => Extent::Line,
        (Extent::Block, _) => Extent::Block,
        (Extent::Auto, _) if !end_of_line || scene.place != Place::Code => Extent::Line,
        (Extent::Auto, Multiline::Always) => Extent::Block,
        (Extent::Auto, Multiline::Auto) => match block_to_write(scene.snapshot, scene.language, scene.offset)
        {
            true => Extent::Block,
            false => Extent::Line,
        },
    })
}

/// The rules for suggestions that nobody asked for.
fn refuse(scene: &Scene) -> Result<(), &'static str> {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    if scene.after.starts_with(is_word) {
        return Err("inside-word");
    }
    if !only_closes(&scene.after) {
        return Err("mid-line");
    }
    let blank = |text: &str| text.trim().is_empty();
    if blank(&scene.before) && blank(&scene.above) && blank(&scene.below) {
        return Err("empty-file");
    }
    Ok(())
}

/// Whether the rest of a line only closes what stands before it: `^\s*[)>}\]"'`]*\s*[:{;,]?\s*$`.
pub fn only_closes(rest: &str) -> bool {
    let rest = rest.trim_start().trim_start_matches([')', '>', '}', ']', '"', '\'', '`']).trim();
    matches!(rest, "" | ":" | "{" | ";" | ",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::scene::fixture::with_scene;

    fn check(id: &str, text: &str, multiline: Multiline, expected: Result<Extent, &str>) {
        let settings = Settings { multiline, ..Settings::default() };
        let decided = with_scene(id, text, |scene| decide(scene, &Wish::default(), &settings));
        assert_eq!(decided, expected, "{text}");
    }

    #[test]
    fn what_nobody_asked_for_stays_out_of_the_way() {
        check("rust", "let a = foo$0bar;", Multiline::Auto, Err("inside-word"));
        check("rust", "let a = $0 + 1;", Multiline::Auto, Err("mid-line"));
        check("rust", "$0\n\n", Multiline::Auto, Err("empty-file"));
        check("rust", "let a = foo($0);", Multiline::Auto, Ok(Extent::Line));
        check("python", "foo(bar[\"$0\"]):", Multiline::Auto, Ok(Extent::Line));
    }

    #[test]
    fn a_body_is_a_block_and_the_setting_decides_over_it() {
        let body = "fn a() {\n    $0\n}";
        check("rust", body, Multiline::Auto, Ok(Extent::Block));
        check("rust", body, Multiline::Never, Ok(Extent::Line));
        check("rust", "let a = $0", Multiline::Auto, Ok(Extent::Line));
        check("rust", "let a = $0", Multiline::Always, Ok(Extent::Block));
        check("rust", "let a = foo($0);", Multiline::Always, Ok(Extent::Line));
        check("rust", "// a comment {\n// $0", Multiline::Always, Ok(Extent::Line));
    }

    #[test]
    fn an_explicit_wish_is_always_tried() {
        let wish = Wish { trigger: Trigger::Explicit, ..Wish::default() };
        let decide =
            |text| with_scene("rust", text, |scene| super::decide(scene, &wish, &Settings::default()));
        assert_eq!(decide("let a = foo$0bar;"), Ok(Extent::Line));
    }
}
