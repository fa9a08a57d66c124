//! Other answers, for a user who asked by a key: in a line the likeliest of a beam search; for a block, which is long, each
//! begins as the model would have begun next most likely.

use crate::completion::postprocess::{self, Written};
use crate::completion::prompt::{self, Prompt};
use crate::completion::scene::Scene;
use crate::completion::stop::Stop;
use crate::completion::{Extent, Suggestion};
use crate::engine::{self, Engine, Finish, Fork, Hypothesis, Limits, UNLIKELY};
use crate::interrupt::Interrupt;

/// Answers beside the first.
const MOST: usize = 2;
/// Ways that are followed to find them in a line.
const WIDTH: usize = 4;

/// Up to [`MOST`] suggestions beside `first`, the model's own text, that differ from it and from each other, the likeliest
/// first. The prompt is in the cache.
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
    let (fork, width) = match extent {
        Extent::Line => (Fork::Anywhere, WIDTH),
        _ => (Fork::Opening, 1 + MOST),
    };
    let mut stop = Stop::new(extent, scene, &prompt.held_back);
    let ways = engine.hypotheses(asked, fork, width, limits, &mut |text| stop.holds(text), interrupt)?;
    let likeliest = ways.iter().map(|way| way.logprob).fold(f32::NEG_INFINITY, f32::max);
    let is_another = |way: &&Hypothesis| match fork {
        // Half a line is none.
        Fork::Anywhere => way.finish != Finish::Deadline && way.logprob >= likeliest - UNLIKELY,
        // The model's own way is among them, cut short elsewhere perhaps.
        Fork::Opening => first.is_empty() || !(first.starts_with(&way.text) || way.text.starts_with(first)),
    };
    let as_shown = |text: &str, finish, half_word| {
        let text = prompt::give_back(&prompt.held_back, text)?;
        postprocess::apply(&Written { scene, extent, finish, half_word }, text).ok()
    };
    let mut texts: Vec<String> = as_shown(first, Finish::Stop, false).into_iter().collect();
    let known = texts.len();
    for way in ways.iter().filter(is_another) {
        let Some(text) = as_shown(&way.text, way.finish, way.half_word) else { continue };
        if texts.len() < known + MOST && !texts.iter().any(|known| known.trim() == text.trim()) {
            texts.push(text);
        }
    }
    let range = scene.offset..scene.offset;
    Ok(texts.drain(known..).map(|text| Suggestion { text, range: range.clone() }).collect())
}
