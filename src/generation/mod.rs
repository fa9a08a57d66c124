//! Instructions to code: `generate` and `document`, from a request in words to an edit of the file.

mod document;
mod extract;
mod prompt;

use std::ops::Range;
use std::time::Duration;

use anyhow::bail;

use crate::context::SyntaxCache;
use crate::documents::Snapshot;
use crate::engine::{Engine, Finish, Flow, Limits, Prompt};
use crate::interrupt::Interrupt;
use crate::languages::{self, Language};

/// Tokens that an answer may have.
const MOST_TOKENS: usize = 320;
/// Time that an answer may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is asked for.
#[derive(Clone, Debug)]
pub enum Request {
    /// Code for an instruction, at the start of `range` or in its place if it is not empty (bytes).
    Generate { instruction: String, range: Range<usize> },
    /// A doc comment for the function around `offset` (bytes).
    Document { offset: usize },
}

/// Text and where it goes (bytes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub range: Range<usize>,
    pub text: String,
}

/// Write the code that `request` asks for. `observe` sees the code so far after each token.
///
/// # Errors
/// When the engine fails, when nothing usable was written, when the work was interrupted, or when there is no function
/// to document.
pub fn generate(
    snapshot: &Snapshot,
    request: &Request,
    engine: &mut Engine,
    syntax: &mut SyntaxCache,
    interrupt: &Interrupt,
    observe: &mut dyn FnMut(&str) -> Flow,
) -> anyhow::Result<Edit> {
    let language = languages::of(&snapshot.language_id, snapshot.path.as_deref());
    match request {
        Request::Generate { instruction, range } => {
            let range = snapshot.clamp(range.start)..snapshot.clamp(range.end.max(range.start));
            let asked = prompt::for_code(engine, snapshot, language, instruction, &range);
            let code = write(engine, &asked, language, interrupt, observe)?;
            Ok(Edit { text: extract::fit(snapshot, &range, &code), range })
        }
        Request::Document { offset } => {
            let Some(tree) = syntax.tree(snapshot, language) else {
                bail!("{} has no grammar here, so no function can be found in it", language.name);
            };
            let place = document::place(&tree, snapshot, language, snapshot.clamp(*offset))?;
            let asked = prompt::for_comment(engine, language, &place.code);
            let sentence = document::sentences(&write_text(engine, &asked, interrupt, observe)?)?;
            Ok(Edit { range: place.offset..place.offset, text: place.comment(&sentence) })
        }
    }
}

/// Run the model and give back the code in its answer.
fn write(
    engine: &mut Engine,
    asked: &prompt::Asked,
    language: &Language,
    interrupt: &Interrupt,
    observe: &mut dyn FnMut(&str) -> Flow,
) -> anyhow::Result<String> {
    let mut see = |answer: &str| {
        let code = extract::code(answer, asked.shape);
        match observe(&code.text) {
            Flow::Continue if code.complete => Flow::Stop,
            flow => flow,
        }
    };
    let answer = run(engine, asked, interrupt, &mut see)?;
    let code = extract::code(&answer, asked.shape).text;
    if code.trim().is_empty() {
        bail!("the model wrote no {}; say it in other words, or pick a larger model", language.name);
    }
    Ok(code)
}

fn write_text(
    engine: &mut Engine,
    asked: &prompt::Asked,
    interrupt: &Interrupt,
    observe: &mut dyn FnMut(&str) -> Flow,
) -> anyhow::Result<String> {
    let mut see = |answer: &str| match observe(answer) {
        Flow::Continue if document::is_enough(answer) => Flow::Stop,
        flow => flow,
    };
    run(engine, asked, interrupt, &mut see)
}

fn run(
    engine: &mut Engine,
    asked: &prompt::Asked,
    interrupt: &Interrupt,
    observe: &mut dyn FnMut(&str) -> Flow,
) -> anyhow::Result<String> {
    let room = engine.capacity().saturating_sub(asked.tokens.len() + 1);
    let limits = Limits { max_tokens: MOST_TOKENS.min(room), time: Some(PATIENCE) };
    let output = engine.run(Prompt::of(&asked.tokens), limits, interrupt, observe)?;
    if output.finish == Finish::Interrupted {
        bail!("stopped");
    }
    Ok(output.text)
}
