//! The scene as tokens: fill-in-the-middle where the model has markers, else the text before the cursor alone.

use crate::completion::scene::Scene;
use crate::completion::{Desk, Wish};
use crate::config::Settings;
use crate::context::{Window, window};
use crate::engine::Engine;
use crate::model::manifest::{Fim, FimOrder};

/// Sizes of context in tokens; one of them is taken, so that a wavering speed does not move the cut.
const SIZES: &[usize] = &[128, 256, 512, 1024, 1536, 2048, 4096, 8192];
/// Bytes of code that a token stands for, at least. More tokens than the budget are cut off exactly.
const BYTES_PER_TOKEN: usize = 3;
/// Context where time does not matter.
const UNHURRIED: usize = 1024;
/// One part in this many of a fill-in-the-middle prompt is suffix.
const SUFFIX_SHARE: usize = 4;

/// For which text a prompt is built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// For the one that there is.
    Now,
    /// As far as it is known, for the one that there will be after some more lines: a long text is cut elsewhere then.
    Soon,
}

impl Reach {
    fn tokens(self) -> usize {
        match self {
            Self::Now => 0,
            Self::Soon => 80,
        }
    }
}

/// A prompt, and what of the text before the cursor was left out of it.
pub struct Prompt {
    pub tokens: Vec<u32>,
    /// The last token before the cursor, taken back: the model begins with its text.
    pub begun: Vec<u8>,
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
pub fn build(
    scene: &Scene,
    engine: &Engine,
    desk: &mut Desk,
    settings: &Settings,
    wish: &Wish,
    max_tokens: usize,
    reach: Reach,
) -> Prompt {
    let budget = context_tokens(engine, &mut desk.context, settings, wish, max_tokens);
    let fim = engine.manifest().fim.as_ref();
    let markers = fim.and_then(|fim| Markers::of(fim, engine));
    let suffix_tokens = if markers.is_some() { budget / SUFFIX_SHARE } else { 0 };
    let most = Most { prefix: budget - suffix_tokens, suffix: suffix_tokens };

    let mut window = window(
        scene.snapshot,
        scene.tree.as_ref(),
        scene.language,
        scene.offset,
        most.prefix * BYTES_PER_TOKEN,
        most.suffix * BYTES_PER_TOKEN,
        reach.tokens() * BYTES_PER_TOKEN,
    );
    let as_it_stands = markers.as_ref().is_some_and(|markers| markers.mid_token);
    let order = markers.as_ref().map(|markers| markers.order).filter(|_| !wish.unhurried);
    let anchored = order == Some(FimOrder::PrefixSuffixMiddle);
    let mut typed = String::new();
    let mut held_back = HeldBack::default();
    if anchored {
        (window, typed) = desk.anchors.divide(scene.snapshot, scene.offset, window);
    } else if order == Some(FimOrder::SuffixPrefixMiddle) {
        window.suffix = desk.anchors.suffix(scene.snapshot, scene.offset, &window);
    }
    if !as_it_stands {
        held_back = hold_back(if anchored { &mut typed } else { &mut window.prefix }, scene);
    }
    let mut parts = Parts {
        prefix: newest(prefix(&window, engine), most.prefix, reach.tokens()),
        suffix: engine.tokenize(&window.suffix),
        typed: engine.tokenize(&typed),
    };
    parts.suffix.truncate(most.suffix);
    // White space that is held back leaves whole tokens; else the last one may be half of what the model would write.
    let mut begun = Vec::new();
    let healed = match (as_it_stands, fim) {
        (true, Some(fim)) => fim.heal,
        _ => held_back.space.is_empty(),
    };
    if healed {
        let last = if anchored { &mut parts.typed } else { &mut parts.prefix };
        begun = engine.take_back(last, usize::from(markers.is_none()));
    }
    let tokens = match markers {
        Some(markers) => markers.around(&parts, scene, engine),
        None => parts.prefix,
    };
    // A model must read something before it writes.
    let tokens = if tokens.is_empty() { engine.tokenize("\n") } else { tokens };
    Prompt { tokens, begun, held_back }
}

/// How many tokens of context can be read inside the time budget when nothing is cached. The size of the last prompt
/// stays until the speed has clearly left it, because every cached token would be lost with it.
fn context_tokens(
    engine: &Engine,
    last: &mut Option<usize>,
    settings: &Settings,
    wish: &Wish,
    max_tokens: usize,
) -> usize {
    let room = engine.capacity().saturating_sub(max_tokens + 16).max(64);
    if wish.unhurried {
        return UNHURRIED.min(room);
    }
    let affordable = engine.reading() * settings.budget.as_secs_f64();
    let size = match *last {
        Some(size) if (0.7 * size as f64..2.6 * size as f64).contains(&affordable) => size,
        _ => SIZES.iter().rev().copied().find(|size| *size as f64 <= affordable).unwrap_or(SIZES[0]),
    };
    *last = Some(size);
    size.min(room)
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

/// At most the `most` last tokens. The cut moves in steps of a quarter of that: seldom while the text grows. It is where
/// it will be with `more` tokens.
fn newest(mut tokens: Vec<u32>, most: usize, more: usize) -> Vec<u32> {
    let surplus = (tokens.len() + more).saturating_sub(most);
    let cut = surplus.next_multiple_of((most / 4).max(1)).min(tokens.len());
    tokens.drain(..cut);
    tokens
}

/// Most tokens of each part.
struct Most {
    prefix: usize,
    suffix: usize,
}

/// The text around the cursor as tokens.
struct Parts {
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    /// What was typed since the anchor.
    typed: Vec<u32>,
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
    fn around(&self, parts: &Parts, scene: &Scene, engine: &Engine) -> Vec<u32> {
        let Parts { prefix, suffix, typed } = parts;
        let mut tokens = Vec::with_capacity(prefix.len() + suffix.len() + typed.len() + 32);
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
        tokens.extend(typed);
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
        assert_eq!(newest(vec![1, 2, 3, 4], 3, 0), [2, 3, 4]);
        assert_eq!(newest(vec![1, 2], 3, 0), [1, 2]);
        // The cut stays until a quarter is full again.
        let firsts: Vec<u32> = (0..8).map(|more| newest((0..20 + more).collect(), 16, 0)[0]).collect();
        assert_eq!(firsts, [4, 8, 8, 8, 8, 12, 12, 12]);
    }
}
