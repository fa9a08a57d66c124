//! Other answers, for a user who asked by a key: in a line the likeliest of a beam search; for a block, which is long, each
//! begins as the model would have begun next most likely.

use crate::completion::postprocess::{self, Written};
use crate::completion::prompt::{self, Prompt};
use crate::completion::scene::Scene;
use crate::completion::stop::Stop;
use crate::completion::{Extent, Suggestion};
use crate::engine::{self, Engine, Finish, Flow, Limits};
use crate::interrupt::Interrupt;

/// Answers beside the first.
const MOST: usize = 2;
/// Ways that are followed to find them.
const WIDTH: usize = 4;
/// What is by so much less probable than the best, in natural logarithms, is no alternative to it.
const UNLIKELY: f32 = 5.0;

/// Up to [`MOST`] suggestions that begin otherwise than `first`, the model's own text, and differ from each other, the
/// likeliest beginning first. The prompt is in the cache; each costs its own writing.
///
/// # Errors
/// When the engine fails.
pub fn write(
    scene: &Scene,
    extent: Extent,
    prompt: &Prompt,
    first: &str,
    limits: Limits,
    engine: &mut Engine,
    interrupt: &Interrupt,
) -> anyhow::Result<Vec<Suggestion>> {
    let asked = engine::Prompt { tokens: &prompt.tokens, begun: &prompt.begun, least_logprob: None };
    if extent == Extent::Line {
        return in_line(scene, prompt, asked, first, limits, engine, interrupt);
    }
    let mut found: Vec<Suggestion> = Vec::new();
    for opening in engine.openings(asked, MOST + 1, interrupt)? {
        if first.starts_with(&opening) {
            continue;
        }
        let mut stop = Stop::new(extent, scene, &prompt.held_back);
        let whole = |text: &str| format!("{opening}{text}");
        let mut observe = |text: &str| if stop.holds(&whole(text)) { Flow::Stop } else { Flow::Continue };
        let begun = [&prompt.begun, opening.as_bytes()].concat();
        let asked = engine::Prompt { begun: &begun, ..asked };
        let output = engine.run(asked, limits, interrupt, &mut observe)?;
        if interrupt.is_set() {
            break;
        }
        let text = prompt::give_back(&prompt.held_back, &whole(&output.text));
        let written = Written { scene, extent, finish: output.finish, half_word: output.half_word };
        let Some(Ok(text)) = text.map(|text| postprocess::apply(&written, text)) else {
            continue;
        };
        if !found.iter().any(|suggestion| suggestion.text.trim() == text.trim()) {
            found.push(Suggestion { text, range: scene.offset..scene.offset });
        }
    }
    Ok(found)
}

/// The likeliest ways to the end of the line beside the first.
fn in_line(
    scene: &Scene,
    prompt: &Prompt,
    asked: engine::Prompt,
    first: &str,
    limits: Limits,
    engine: &mut Engine,
    interrupt: &Interrupt,
) -> anyhow::Result<Vec<Suggestion>> {
    let as_shown = |text: &str| {
        let text = prompt::give_back(&prompt.held_back, text)?;
        let written = Written { scene, extent: Extent::Line, finish: Finish::Stop, half_word: false };
        postprocess::apply(&written, text).ok()
    };
    let mut stop = Stop::new(Extent::Line, scene, &prompt.held_back);
    let ways = engine.hypotheses(asked, WIDTH, limits, &mut |text| stop.holds(text), interrupt)?;
    let likeliest = ways.iter().map(|way| way.logprob).fold(f32::NEG_INFINITY, f32::max);
    let mut texts: Vec<String> = as_shown(first).into_iter().collect();
    let known = texts.len();
    for way in ways.iter().filter(|way| way.logprob >= likeliest - UNLIKELY) {
        let Some(text) = as_shown(&way.text) else { continue };
        if texts.len() < known + MOST && !texts.iter().any(|known| known.trim() == text.trim()) {
            texts.push(text);
        }
    }
    let range = scene.offset..scene.offset;
    Ok(texts.drain(known..).map(|text| Suggestion { text, range: range.clone() }).collect())
}
