//! The scene as tokens: fill-in-the-middle where the model has markers, else the text before the cursor alone.

use crate::completion::Wish;
use crate::completion::scene::Scene;
use crate::config::Settings;
use crate::context::{Window, window};
use crate::engine::Engine;
use crate::model::manifest::{Fim, FimOrder};

/// Sizes of context in tokens; one of them is taken, so that a wavering speed does not move the cut.
const SIZES: &[usize] = &[128, 256, 512, 1024, 1536, 2048, 4096, 8192];
/// Bytes of code that a token stands for, at least. More tokens than the budget are cut off exactly.
const BYTES_PER_TOKEN: usize = 3;
/// One part in this many of a fill-in-the-middle prompt is suffix.
const SUFFIX_SHARE: usize = 4;

/// A prompt, and the white space before the cursor that was left out of it.
pub struct Prompt {
    pub tokens: Vec<u32>,
    pub held_back: HeldBack,
}

/// White space that stands before the cursor but not in the prompt: the model's next token usually brings it along.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldBack {
    space: String,
    /// It is the whole line so far: its indentation.
    indentation: bool,
}

/// Build the prompt within the budget of tokens that the machine's speed allows.
pub fn build(scene: &Scene, engine: &Engine, settings: &Settings, wish: &Wish, max_tokens: usize) -> Prompt {
    let budget = context_tokens(engine, settings, wish, max_tokens);
    let markers = engine.manifest().fim.as_ref().and_then(|fim| Markers::of(fim, engine));
    let suffix_tokens = if markers.is_some() { budget / SUFFIX_SHARE } else { 0 };
    let prefix_tokens = budget - suffix_tokens;

    let mut window = window(
        scene.snapshot,
        scene.tree.as_ref(),
        scene.language,
        scene.offset,
        prefix_tokens * BYTES_PER_TOKEN,
        suffix_tokens * BYTES_PER_TOKEN,
    );
    let held_back = match &markers {
        Some(markers) if markers.mid_token => HeldBack::default(),
        _ => hold_back(&mut window.prefix, scene),
    };
    let tokens = match markers {
        Some(markers) => markers.around(&window, scene, engine, prefix_tokens, suffix_tokens),
        None => newest(prefix(&window, engine), prefix_tokens),
    };
    // A model must read something before it writes.
    let tokens = if tokens.is_empty() { engine.tokenize("\n") } else { tokens };
    Prompt { tokens, held_back }
}

/// How many tokens of context can be read inside the time budget when nothing is cached.
fn context_tokens(engine: &Engine, settings: &Settings, wish: &Wish, max_tokens: usize) -> usize {
    let room = engine.capacity().saturating_sub(max_tokens + 16).max(64);
    let affordable = match wish.unhurried {
        true => 1024,
        false => (engine.rates().prefill * settings.budget.as_secs_f64()) as usize,
    };
    let size = SIZES.iter().rev().find(|size| **size <= affordable).unwrap_or(&SIZES[0]);
    (*size).min(room)
}

/// Take white space before the cursor off the prefix.
fn hold_back(prefix: &mut String, scene: &Scene) -> HeldBack {
    let kept = prefix.trim_end_matches([' ', '\t']).len();
    let space = prefix.split_off(kept);
    HeldBack { space, indentation: scene.before.trim().is_empty() }
}

/// Take the white space that was held back off the model's text. `None` where the model wants to leave the
/// indentation that the cursor has: its text belongs elsewhere.
pub fn give_back(held_back: &HeldBack, text: &str) -> Option<String> {
    let HeldBack { space, indentation } = held_back;
    if space.is_empty() {
        return Some(text.to_owned());
    }
    if let Some(rest) = text.strip_prefix(space.as_str()) {
        return Some(rest.to_owned());
    }
    if !indentation {
        return Some(text.trim_start_matches([' ', '\t']).to_owned());
    }
    // A blank line first: what follows stands at its own indentation.
    let blank_first = text.trim_start_matches([' ', '\t']).starts_with(['\n', '\r']);
    blank_first.then(|| text.trim_start_matches([' ', '\t']).to_owned())
}

/// Number of bytes that the model may write before its own text begins.
pub fn held_back_len(held_back: &HeldBack) -> usize {
    held_back.space.len()
}

fn prefix(window: &Window, engine: &Engine) -> Vec<u32> {
    // Tokenised apart, so that the tokens of the nearest text do not depend on what survived the cut.
    let mut tokens = engine.tokenize(&window.head);
    tokens.extend(engine.tokenize(&window.prefix));
    tokens
}

fn newest(mut tokens: Vec<u32>, most: usize) -> Vec<u32> {
    let surplus = tokens.len().saturating_sub(most);
    tokens.drain(..surplus);
    tokens
}

/// The ids of a model's fill-in-the-middle markers.
struct Markers {
    prefix: u32,
    suffix: u32,
    middle: u32,
    file: Option<u32>,
    order: FimOrder,
    mid_token: bool,
}

impl Markers {
    fn of(fim: &Fim, engine: &Engine) -> Option<Self> {
        let id = |marker: &str| {
            let id = engine.special(marker);
            if id.is_none() {
                tracing::warn!(
                    "the model has no token {marker}: it completes from the text before the cursor alone"
                );
            }
            id
        };
        Some(Self {
            prefix: id(&fim.prefix)?,
            suffix: id(&fim.suffix)?,
            middle: id(&fim.middle)?,
            file: fim.file.as_deref().and_then(id),
            order: fim.order,
            mid_token: fim.mid_token,
        })
    }

    /// Bavarian et al. 2022, arXiv 2207.14255. Each part is tokenised by itself; markers are put in by id.
    fn around(
        &self,
        window: &Window,
        scene: &Scene,
        engine: &Engine,
        most_prefix: usize,
        most_suffix: usize,
    ) -> Vec<u32> {
        let prefix = newest(prefix(window, engine), most_prefix);
        let mut suffix = engine.tokenize(&window.suffix);
        suffix.truncate(most_suffix);
        let mut tokens = Vec::with_capacity(prefix.len() + suffix.len() + 32);
        let name =
            scene.snapshot.path.as_deref().and_then(|path| path.file_name()).and_then(|name| name.to_str());
        if let (Some(file), Some(name)) = (self.file, name) {
            tokens.push(file);
            tokens.extend(engine.tokenize(&format!("{name}\n")));
        }
        match self.order {
            FimOrder::PrefixSuffixMiddle => {
                tokens.push(self.prefix);
                tokens.extend(prefix);
                tokens.push(self.suffix);
                tokens.extend(suffix);
                tokens.push(self.middle);
            }
            FimOrder::SuffixPrefixMiddle => {
                tokens.extend([self.prefix, self.suffix]);
                tokens.extend(suffix);
                tokens.push(self.middle);
                tokens.extend(prefix);
            }
        }
        tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::scene::fixture::with_scene;

    #[test]
    fn white_space_before_the_cursor_is_held_back_and_given_back() {
        let check = |text: &str, written: &str, expected: Option<&str>| {
            let held_back = with_scene("rust", text, |scene| {
                let mut prefix = text.split("$0").next().unwrap().to_owned();
                hold_back(&mut prefix, scene)
            });
            assert_eq!(give_back(&held_back, written).as_deref(), expected, "{text:?} {written:?}");
        };
        check("fn a() {\n    $0", "    let b = 1;", Some("let b = 1;"));
        check("fn a() {\n    $0", "        let b = 1;", Some("    let b = 1;"));
        check("fn a() {\n    $0", "}", None);
        check("fn a() {\n    $0", "\n    let b = 1;", Some("\n    let b = 1;"));
        check("let a = $0", " b;", Some("b;"));
        check("let a = $0", "b;", Some("b;"));
        check("let a =$0", " b;", Some(" b;"));
    }

    #[test]
    fn the_newest_tokens_are_kept() {
        assert_eq!(newest(vec![1, 2, 3, 4], 3), [2, 3, 4]);
        assert_eq!(newest(vec![1, 2], 3), [1, 2]);
    }
}
