//! The peer: llama-server with the same weights, asked as llama.vim asks it, with its defaults.
//!
//! What it does on each key is written down from llama.vim's source: an answer is looked for in its cache, up to 128
//! bytes back; one request is in flight, others are tried again after 100 ms; a shown suggestion is followed by a
//! request for what comes after it.

mod cache;
mod context;
mod http;
mod render;
mod ring;
mod server;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cli::bench::keystrokes::document::{Change, Document, Place};
use crate::cli::bench::keystrokes::random::Random;
use crate::cli::bench::keystrokes::subject::{Answer, Subject, Work};

use cache::Cache;
use context::{Context, PREFIX_LINES, SUFFIX_LINES};
use http::Exchange;
use render::{Hint, render};
use ring::{CHUNK_LINES, Ring};

pub use server::Server;

const RETRY: Duration = Duration::from_millis(100);
const MAX_TOKENS: u32 = 128;
/// Milliseconds of writing after which a line's end ends it: for what is waited for, and for what comes after it.
const FIRST_MILLIS: u32 = 250;
const NEXT_MILLIS: u32 = 1000;
/// Nothing is asked with more bytes than these after the cursor.
const MAX_LINE_SUFFIX: usize = 8;
const RING_SCOPE: usize = 1024;
const RING_PERIOD: Duration = Duration::from_millis(1000);
/// While typing, the ring rests until the cursor has for this long.
const RING_REST: Duration = Duration::from_secs(3);
/// The cursor has gone elsewhere if it moved by more lines.
const FAR: usize = 32;

pub struct LlamaVim {
    server: Server,
    cache: Cache,
    ring: Ring,
    in_flight: Option<InFlight>,
    /// Requests whose answer is nothing to us.
    others: Vec<Exchange>,
    retry: Option<Retry>,
    hint: Option<Hint>,
    last_indent: usize,
    last_move: Instant,
    last_picked: Option<usize>,
    next_ring: Instant,
    /// The file is open and nothing was typed yet.
    is_reading: bool,
    answers: Vec<Answer>,
    work: Work,
}

struct InFlight {
    exchange: Exchange,
    keys: Vec<String>,
    is_speculative: bool,
}

struct Retry {
    at: Instant,
    /// For a request that was made for a suggestion: where, and the suggestion.
    previous: Option<(Place, Vec<String>)>,
}

impl LlamaVim {
    pub fn new(server: Server, seed: u64) -> Self {
        Self {
            server,
            cache: Cache::default(),
            ring: Ring::new(Random::new(seed)),
            in_flight: None,
            others: Vec::new(),
            retry: None,
            hint: None,
            last_indent: 0,
            last_move: Instant::now(),
            last_picked: None,
            next_ring: Instant::now() + RING_PERIOD,
            is_reading: true,
            answers: Vec::new(),
            work: Work::default(),
        }
    }

    /// The cursor moved: look into the cache, then ask.
    fn moved(&mut self, document: &Document) -> anyhow::Result<()> {
        self.last_move = Instant::now();
        self.hint = None;
        self.answers.clear();
        self.try_hint(document)?;
        self.ask(document, None)
    }

    fn try_hint(&mut self, document: &Document) -> anyhow::Result<()> {
        let place = document.place(document.cursor);
        let context = Context::at(document, place.line, place.column, &[], self.last_indent);
        let Some(answer) = self.cache.find(&context) else { return Ok(()) };
        let hint = render(document, place, &answer);
        let text = hint.can_be_taken.then(|| hint.text.clone());
        self.answers.push(Answer { at: Instant::now(), text });
        let lines = hint.lines.clone();
        self.hint = Some(hint);
        self.ask(document, Some((place, lines)))
    }

    /// Ask for the cursor's place, or for what comes after a suggestion.
    fn ask(&mut self, document: &Document, previous: Option<(Place, Vec<String>)>) -> anyhow::Result<()> {
        if self.in_flight.is_some() {
            self.retry = Some(Retry { at: Instant::now() + RETRY, previous });
            return Ok(());
        }
        let cursor = document.place(document.cursor);
        let (place, taken) = match &previous {
            Some((place, lines)) => (*place, lines.as_slice()),
            None => (cursor, [].as_slice()),
        };
        let context = Context::at(document, place.line, place.column, taken, self.last_indent);
        if context.line_suffix.len() > MAX_LINE_SUFFIX {
            if previous.is_none() {
                // It says nothing here, and that at once.
                self.answers.push(Answer { at: Instant::now(), text: None });
            }
            return Ok(());
        }
        let keys = context.keys();
        if keys.iter().any(|key| self.cache.get(key).is_some()) {
            return Ok(());
        }
        self.last_indent = context.indent;
        let lines: Vec<&str> = document.text.split('\n').collect();
        self.ring.drop_like(around(&lines, cursor.line));
        let request = self.request(&context, previous.is_some());
        let exchange = self.server.send(&request)?;
        self.in_flight = Some(InFlight { exchange, keys, is_speculative: previous.is_some() });
        self.pick_far(document, &lines, place.line);
        Ok(())
    }

    fn request(&self, context: &Context, is_speculative: bool) -> Value {
        let Context { prefix, middle, suffix, indent, .. } = context;
        let mut request = json!({
            "id_slot": 0,
            "n_predict": MAX_TOKENS,
            "stop": [],
            "n_indent": indent,
            "top_k": 40,
            "top_p": 0.90,
            "samplers": ["top_k", "top_p", "infill"],
            "stream": false,
            "cache_prompt": true,
            "t_max_prompt_ms": 500,
            "t_max_predict_ms": if is_speculative { NEXT_MILLIS } else { FIRST_MILLIS },
        });
        if self.server.fills() {
            request["input_prefix"] = json!(prefix);
            request["input_suffix"] = json!(suffix);
            request["input_extra"] = json!(self.ring.extra());
            request["prompt"] = json!(middle);
        } else {
            request["prompt"] = json!(format!("{prefix}{middle}"));
        }
        request
    }

    /// Where the cursor went far, chunks from before and after the sent text join the ring.
    fn pick_far(&mut self, document: &Document, lines: &[&str], line: usize) {
        if self.last_picked.is_some_and(|last| last.abs_diff(line) <= FAR) {
            return;
        }
        let file = document.path.to_string_lossy();
        let part = |from: usize, to: usize| &lines[from.min(lines.len())..(to + 1).min(lines.len())];
        let before = part(line.saturating_sub(RING_SCOPE), line.saturating_sub(PREFIX_LINES));
        let after = part(line + SUFFIX_LINES, line + SUFFIX_LINES + CHUNK_LINES);
        self.ring.pick(before, &file, false);
        self.ring.pick(after, &file, false);
        self.last_picked = Some(line);
    }

    fn update_ring(&mut self) -> anyhow::Result<()> {
        self.next_ring += RING_PERIOD;
        if (!self.is_reading && self.last_move.elapsed() < RING_REST) || !self.ring.advance() {
            return Ok(());
        }
        if !self.server.fills() {
            return Ok(());
        }
        let request = json!({
            "id_slot": 0,
            "input_prefix": "",
            "input_suffix": "",
            "input_extra": self.ring.extra(),
            "prompt": "",
            "n_predict": 0,
            "temperature": 0.0,
            "samplers": [],
            "stream": false,
            "cache_prompt": true,
            "t_max_prompt_ms": 1,
            "t_max_predict_ms": 1,
        });
        self.others.push(self.server.send(&request)?);
        Ok(())
    }

    /// Take in what comes until then, or until an answer has come.
    fn hear(&mut self, document: &Document, until: Instant) -> anyhow::Result<()> {
        let count = |answer: &Value, work: &mut Work, idle: bool| {
            let number = |key: &str| answer["timings"][key].as_u64().unwrap_or_default();
            let (read, written) = (number("prompt_n"), number("predicted_n"));
            if idle {
                (work.idle_read, work.idle_written) = (work.idle_read + read, work.idle_written + written);
            } else {
                (work.read, work.written) = (work.read + read, work.written + written);
            }
        };
        let mut left = Vec::new();
        for mut exchange in std::mem::take(&mut self.others) {
            match exchange.advance(Instant::now())? {
                Some((_, answer)) => count(&answer, &mut self.work, true),
                None => left.push(exchange),
            }
        }
        self.others = left;
        let Some(in_flight) = &mut self.in_flight else {
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
            return Ok(());
        };
        let Some((status, answer)) = in_flight.exchange.advance(until)? else { return Ok(()) };
        anyhow::ensure!(status == 200, "the peer's server answers {status}: {answer}");
        count(&answer, &mut self.work, in_flight.is_speculative);
        let text = answer["content"].as_str().unwrap_or_default();
        for key in std::mem::take(&mut in_flight.keys) {
            self.cache.insert(key, text);
        }
        if self.hint.as_ref().is_none_or(|hint| !hint.can_be_taken) {
            // The request counts as running still, so what follows from here is tried again later.
            self.try_hint(document)?;
        }
        self.in_flight = None;
        Ok(())
    }
}

impl Subject for LlamaVim {
    fn name(&self) -> &'static str {
        "llama.vim"
    }

    fn process(&self) -> u32 {
        self.server.process()
    }

    fn open(&mut self, document: &Document) -> anyhow::Result<()> {
        self.is_reading = true;
        self.hint = None;
        self.retry = None;
        let lines: Vec<&str> = document.text.split('\n').collect();
        let line = document.place(document.cursor).line;
        self.ring.pick(around(&lines, line), &document.path.to_string_lossy(), true);
        Ok(())
    }

    fn stroke(&mut self, document: &Document, _: Option<&Change>) -> anyhow::Result<()> {
        self.is_reading = false;
        self.moved(document)
    }

    fn wait(&mut self, document: &Document, until: Instant) -> anyhow::Result<Option<Answer>> {
        loop {
            if !self.answers.is_empty() {
                return Ok(Some(self.answers.remove(0)));
            }
            let now = Instant::now();
            if now >= self.next_ring {
                self.update_ring()?;
            }
            if let Some(retry) = self.retry.take_if(|retry| retry.at <= now) {
                self.ask(document, retry.previous)?;
                continue;
            }
            let due = [Some(until), Some(self.next_ring), self.retry.as_ref().map(|retry| retry.at)];
            let due = due.into_iter().flatten().min().unwrap_or(until);
            self.hear(document, due)?;
            if self.answers.is_empty() && Instant::now() >= until {
                return Ok(None);
            }
        }
    }

    fn work(&mut self) -> anyhow::Result<Option<Work>> {
        Ok(Some(self.work.clone()))
    }

    fn close(&mut self, document: &Document) -> anyhow::Result<()> {
        self.retry = None;
        // What is still written would otherwise count for the next file.
        let until = Instant::now() + Duration::from_secs(2);
        while (self.in_flight.is_some() || !self.others.is_empty()) && Instant::now() < until {
            self.hear(document, Instant::now() + Duration::from_millis(20))?;
        }
        self.retry = None;
        self.answers.clear();
        Ok(())
    }
}

fn around<'a, 'b>(lines: &'a [&'b str], line: usize) -> &'a [&'b str] {
    &lines[line.saturating_sub(CHUNK_LINES / 2)..(line + CHUNK_LINES / 2 + 1).min(lines.len())]
}

#[cfg(test)]
mod tests {
    use crate::cli::bench::keystrokes::document::Document;

    pub fn document(text: &str) -> Document {
        let path = std::path::PathBuf::from("/a");
        Document {
            path,
            uri: "file:///a".to_owned(),
            language: "plaintext",
            text: text.to_owned(),
            cursor: 0,
        }
    }
}
