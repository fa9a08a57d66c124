//! Other answers, for a user who asked by a key: each begins as the model would have begun next most likely.

use crate::completion::postprocess::{self, Written};
use crate::completion::prompt::{self, Prompt};
use crate::completion::scene::Scene;
use crate::completion::stop::Stop;
use crate::completion::{Extent, Suggestion};
use crate::engine::{self, Engine, Flow, Limits, Sampling};
use crate::interrupt::Interrupt;

/// Answers beside the first.
const MOST: usize = 2;

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
        let output = engine.run_begun(asked, limits, Sampling::Greedy, interrupt, &mut observe)?;
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
