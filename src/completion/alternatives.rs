//! Several answers, for a user who asked by a key: in a line the likeliest of a beam search, of which the first is right
//! more often than what the model writes greedily; for a block, which is long, each begins as the model would have begun
//! next most likely.

use crate::completion::postprocess::{self, Written};
use crate::completion::prompt::{self, Prompt};
use crate::completion::scene::Scene;
use crate::completion::stop::Stop;
use crate::completion::{Attempt, Extent, Suggestion};
use crate::engine::{self, Engine, Finish, Fork, Hypothesis, Limits, UNLIKELY};
use crate::interrupt::Interrupt;

/// Answers beside the first.
const MOST: usize = 2;
/// Ways that are followed to find them in a line.
const WIDTH: usize = 4;

/// What the model wrote greedily, and up to [`MOST`] suggestions that differ from it and from each other, the best first.
/// The prompt is in the cache.
///
/// # Errors
/// When the engine fails.
pub fn write(
    scene: &Scene,
    extent: Extent,
    prompt: &Prompt,
    greedy: &Attempt,
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
        Fork::Opening => {
            let own = &greedy.raw_text;
            own.is_empty() || !(own.starts_with(&way.text) || way.text.starts_with(own))
        }
    };
    let others: Vec<&Hypothesis> = ways.iter().filter(is_another).collect();
    let better = match fork {
        Fork::Anywhere => others.partition_point(|way| way.mean_logprob() > greedy.mean_logprob),
        Fork::Opening => 0,
    };
    let (better, worse) = others.split_at(better);
    let shown = |way: &&Hypothesis| {
        let text = prompt::give_back(&prompt.held_back, &way.text)?;
        let Hypothesis { finish, half_word, .. } = **way;
        postprocess::apply(&Written { scene, extent, finish, half_word }, text).ok()
    };
    let own = greedy.suggestion.iter().map(|suggestion| suggestion.text.clone());
    let mut texts: Vec<String> = Vec::new();
    for text in better.iter().filter_map(shown).chain(own).chain(worse.iter().filter_map(shown)) {
        if texts.len() <= MOST && !texts.iter().any(|known| known.trim() == text.trim()) {
            texts.push(text);
        }
    }
    let range = scene.offset..scene.offset;
    Ok(texts.into_iter().map(|text| Suggestion { text, range: range.clone() }).collect())
}
