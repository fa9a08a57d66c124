//! The whole product as one function that reads like a story: a snapshot and an offset in, a suggestion out.

mod alternatives;
mod anchor;
mod closers;
mod confidence;
mod desk;
mod haste;
mod postprocess;
mod progress;
mod prompt;
mod reuse;
mod scene;
mod stop;
mod trigger;

use std::ops::Range;
use std::time::Duration;

use crate::config::Settings;
use crate::documents::Snapshot;
use crate::engine::{self, Engine, Finish, Flow, Fork, Limits, Output};
use crate::interrupt::Interrupt;

pub use confidence::asked_for;
pub use desk::Desk;
pub use progress::Progress;
pub use reuse::Reuse;

use haste::Haste;
use postprocess::Written;
use prompt::Reach;
use scene::Scene;
use stop::Stop;

/// A syntax tree may take one part in this many of the time for a suggestion.
const PARSING: u32 = 12;

/// What asks for a suggestion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trigger {
    /// The user typed; nothing is a fine answer.
    #[default]
    Automatic,
    /// The user asked by a key or a command; answer if at all possible.
    Explicit,
}

/// How much may be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    /// Decided from the code around the cursor.
    #[default]
    Auto,
    Line,
    Block,
}

/// What is wanted at the cursor.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    pub trigger: Trigger,
    pub extent: Extent,
    /// Overrides the setting.
    pub max_tokens: Option<usize>,
    /// Text of the entry selected in the editor's completion menu, with the byte range it will replace; a suggestion
    /// must begin with it and use its range.
    pub selected: Option<(Range<usize>, String)>,
    /// No time limit: command line and benchmarks.
    pub unhurried: bool,
}

/// Text to show at the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// Replaces `range`.
    pub text: String,
    /// Bytes of the snapshot's text.
    pub range: Range<usize>,
}

/// A suggestion, if any, and everything that is known about how it was made.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub suggestion: Option<Suggestion>,
    /// Other suggestions, where the user asked by a key.
    pub alternatives: Vec<Suggestion>,
    /// What the model wrote, before the filters.
    pub raw_text: String,
    /// The trigger rule or filter that left nothing, by name.
    pub dropped_by: Option<&'static str>,
    pub finish: Finish,
    pub tokens: usize,
    pub prompt_tokens: usize,
    pub cached_tokens: usize,
    pub mean_logprob: f32,
    pub min_logprob: f32,
    /// Tokens guessed without the model, and how many of them were right.
    pub drafted: usize,
    pub drafts_taken: usize,
    pub prefill: Duration,
    pub decode: Duration,
}

/// Suggest what the user types next at `offset` (bytes) of `snapshot`.
///
/// # Errors
/// When the engine fails; nothing to say and an interrupt are no errors.
pub fn complete(
    snapshot: &Snapshot,
    offset: usize,
    wish: &Wish,
    engine: &mut Engine,
    desk: &mut Desk,
    settings: &Settings,
    interrupt: &Interrupt,
) -> anyhow::Result<Attempt> {
    if let Some((range, text)) = &wish.selected {
        return after_selected(snapshot, range, text, wish, engine, desk, settings, interrupt);
    }
    suggest(snapshot, offset, wish, engine, desk, settings, interrupt, Waiting::Yes)
}

/// As [`complete`], to the end of what the model has to say: in idle time, when the answer has been given.
///
/// # Errors
/// As [`complete`].
pub fn complete_ahead(
    snapshot: &Snapshot,
    offset: usize,
    wish: &Wish,
    engine: &mut Engine,
    desk: &mut Desk,
    settings: &Settings,
    interrupt: &Interrupt,
) -> anyhow::Result<Attempt> {
    suggest(snapshot, offset, wish, engine, desk, settings, interrupt, Waiting::No)
}

/// What the model itself writes at `offset`: prompt, white space and healing are those of [`complete`], but `stop` alone
/// ends it and no filter looks at it. For measurements of a model.
///
/// # Errors
/// As [`complete`].
pub fn raw_middle(
    snapshot: &Snapshot,
    offset: usize,
    max_tokens: usize,
    engine: &mut Engine,
    settings: &Settings,
    stop: &mut dyn FnMut(&str) -> bool,
) -> anyhow::Result<Output> {
    let (mut desk, wish) = (Desk::default(), Wish { unhurried: true, ..Wish::default() });
    let scene = Scene::look(snapshot, snapshot.clamp(offset), &mut desk.syntax);
    let prompt = prompt::build(&scene, engine, &mut desk, settings, &wish, max_tokens, Reach::Now);
    let mut observe = |text: &str| match prompt::give_back(&prompt.held_back, text) {
        Some(text) if stop(&text) => Flow::Stop,
        _ => Flow::Continue,
    };
    let reading = engine::Prompt { tokens: &prompt.tokens, begun: &prompt.begun, least_logprob: None };
    let limits = Limits { max_tokens, time: None };
    let mut output = engine.run(reading, limits, &Interrupt::new(), &mut observe)?;
    output.text = prompt::give_back(&prompt.held_back, &output.text).unwrap_or_default();
    Ok(output)
}

/// Whether somebody waits for the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Yes,
    No,
}

#[allow(clippy::too_many_arguments)]
fn suggest(
    snapshot: &Snapshot,
    offset: usize,
    wish: &Wish,
    engine: &mut Engine,
    desk: &mut Desk,
    settings: &Settings,
    interrupt: &Interrupt,
    waiting: Waiting,
) -> anyhow::Result<Attempt> {
    desk.syntax.patience = (!wish.unhurried).then_some(settings.budget / PARSING);
    let scene = Scene::look(snapshot, snapshot.clamp(offset), &mut desk.syntax);
    let extent = match trigger::decide(&scene, wish, settings) {
        Ok(extent) => extent,
        Err(rule) => return Ok(Attempt::untried(rule)),
    };

    let max_tokens = wish.max_tokens.unwrap_or(settings.max_tokens);
    let prompt = prompt::build(&scene, engine, desk, settings, wish, max_tokens, Reach::Now);
    let waits = waiting == Waiting::Yes;
    let limits = Limits { max_tokens, time: (waits && !wish.unhurried).then_some(settings.budget) };
    let mut stop = Stop::new(extent, &scene, &prompt.held_back);
    let mut haste = Haste::new(extent, wish, settings, waits);
    let mut observe = |text: &str| {
        let wanted =
            prompt::give_back(&prompt.held_back, text).is_none_or(|text| desk.progress.publish(&text));
        if !wanted {
            interrupt.trigger();
        }
        if !wanted || stop.holds(text) || haste.is_enough(text) { Flow::Stop } else { Flow::Continue }
    };
    let sureness = engine.manifest().confidence;
    let least_logprob = confidence::hopeless(wish, settings, sureness);
    let reading = engine::Prompt { tokens: &prompt.tokens, begun: &prompt.begun, least_logprob };
    let mut output = engine.run(reading, limits, interrupt, &mut observe)?;
    if haste.cut_short {
        output.finish = Finish::Deadline;
    }

    let text = prompt::give_back(&prompt.held_back, &output.text);
    let written = Written { scene: &scene, extent, finish: output.finish, half_word: output.half_word };
    let text = text.ok_or("dedent").and_then(|text| postprocess::apply(&written, text));
    let text = text.and_then(|text| {
        confidence::enough(&output, wish, settings, sureness).then_some(text).ok_or("confidence")
    });
    let mut attempt = Attempt::of(output, scene.offset, text);
    if waits && wish.trigger == Trigger::Explicit && !wish.unhurried && !interrupt.is_set() {
        let limits = Limits { time: Some(settings.budget / 2), ..limits };
        let first = &attempt.raw_text;
        attempt.alternatives =
            alternatives::write(&scene, extent, &prompt, first, limits, engine, interrupt)?;
    }
    Ok(attempt)
}

/// The likeliest few ways to write on up to the end of the line, side by side, as they would be shown; the likeliest by
/// the mean of its tokens first.
///
/// # Errors
/// When the engine fails.
pub fn hypotheses(
    snapshot: &Snapshot,
    offset: usize,
    width: usize,
    engine: &mut Engine,
    desk: &mut Desk,
    settings: &Settings,
    interrupt: &Interrupt,
) -> anyhow::Result<Vec<(Suggestion, engine::Hypothesis)>> {
    let scene = Scene::look(snapshot, snapshot.clamp(offset), &mut desk.syntax);
    let wish = Wish { trigger: Trigger::Explicit, extent: Extent::Line, unhurried: true, ..Wish::default() };
    let prompt = prompt::build(&scene, engine, desk, settings, &wish, settings.max_tokens, Reach::Now);
    let mut stop = Stop::new(Extent::Line, &scene, &prompt.held_back);
    let reading = engine::Prompt { tokens: &prompt.tokens, begun: &prompt.begun, least_logprob: None };
    let mut ends = |text: &str| stop.holds(text);
    let limits = Limits { max_tokens: settings.max_tokens, time: None };
    let found = engine.hypotheses(reading, Fork::Anywhere, width, limits, &mut ends, interrupt)?;
    let shown = |hypothesis: engine::Hypothesis| {
        let text = prompt::give_back(&prompt.held_back, &hypothesis.text)?;
        let engine::Hypothesis { finish, half_word, .. } = hypothesis;
        let written = Written { scene: &scene, extent: Extent::Line, finish, half_word };
        let text = postprocess::apply(&written, text).ok()?;
        Some((Suggestion { text, range: scene.offset..scene.offset }, hypothesis))
    };
    Ok(found.into_iter().filter_map(shown).collect())
}

/// Read what a request at `offset` needs, and what later ones will need nearby; the tokens that were read. In idle time.
///
/// # Errors
/// When the engine fails.
pub fn warm_up(
    snapshot: &Snapshot,
    offset: usize,
    engine: &mut Engine,
    desk: &mut Desk,
    settings: &Settings,
    interrupt: &Interrupt,
) -> anyhow::Result<usize> {
    let scene = Scene::look(snapshot, snapshot.clamp(offset), &mut desk.syntax);
    let wish = Wish::default();
    let mut read = 0;
    for reach in [Reach::Now, Reach::Soon] {
        let prompt = prompt::build(&scene, engine, desk, settings, &wish, settings.max_tokens, reach);
        read += engine.read(&prompt.tokens, interrupt)?;
    }
    Ok(read)
}

/// As [`complete`], as if the entry selected in the editor's menu had been taken already.
#[allow(clippy::too_many_arguments)]
fn after_selected(
    snapshot: &Snapshot,
    range: &Range<usize>,
    selected: &str,
    wish: &Wish,
    engine: &mut Engine,
    desk: &mut Desk,
    settings: &Settings,
    interrupt: &Interrupt,
) -> anyhow::Result<Attempt> {
    let range = snapshot.clamp(range.start)..snapshot.clamp(range.end.max(range.start));
    let taken = snapshot.with_replaced(range.clone(), selected);
    let wish = Wish { selected: None, ..wish.clone() };
    let offset = range.start + selected.len();
    let mut attempt = complete(&taken, offset, &wish, engine, desk, settings, interrupt)?;
    let whole =
        |rest: Suggestion| Suggestion { text: format!("{selected}{}", rest.text), range: range.clone() };
    attempt.suggestion = attempt.suggestion.map(whole);
    attempt.alternatives = attempt.alternatives.into_iter().map(whole).collect();
    Ok(attempt)
}

impl Attempt {
    /// Nothing was tried, because of this rule.
    pub fn untried(rule: &'static str) -> Self {
        Self {
            suggestion: None,
            alternatives: Vec::new(),
            raw_text: String::new(),
            dropped_by: Some(rule),
            finish: Finish::Stop,
            tokens: 0,
            prompt_tokens: 0,
            cached_tokens: 0,
            mean_logprob: 0.0,
            min_logprob: 0.0,
            drafted: 0,
            drafts_taken: 0,
            prefill: Duration::ZERO,
            decode: Duration::ZERO,
        }
    }

    fn of(output: Output, offset: usize, text: Result<String, &'static str>) -> Self {
        let interrupted = output.finish == Finish::Interrupted;
        let text = if interrupted { Err("interrupt") } else { text };
        Self {
            dropped_by: text.as_ref().err().copied(),
            suggestion: text.ok().map(|text| Suggestion { text, range: offset..offset }),
            alternatives: Vec::new(),
            raw_text: output.text,
            finish: output.finish,
            tokens: output.tokens,
            prompt_tokens: output.prompt_tokens,
            cached_tokens: output.cached_tokens,
            mean_logprob: output.mean_logprob,
            min_logprob: output.min_logprob,
            drafted: output.drafted,
            drafts_taken: output.drafts_taken,
            prefill: output.prefill,
            decode: output.decode,
        }
    }
}
