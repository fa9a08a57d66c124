//! Types a trace in real time: reads what is suggested, takes it where it is right, and notes what came of each key.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cli::bench::keystrokes::closing::Closing;
use crate::cli::bench::keystrokes::document::Document;
use crate::cli::bench::keystrokes::process;
use crate::cli::bench::keystrokes::subject::{Answer, Subject, Work};
use crate::cli::bench::keystrokes::trace::{Act, Stroke, Trace};

/// A suggestion must have stood there this long before it can be taken.
const READING: Duration = Duration::from_millis(300);
/// Shorter ones are typed.
const WORTH_TAKING: usize = 3;
/// Time to look at the text after a suggestion was taken.
const LOOKING: Duration = Duration::from_millis(300);
/// Nobody waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Work that goes on longer after the last key is not waited for.
const SETTLED: Duration = Duration::from_secs(5);

/// What came of one key.
#[derive(Clone, Debug, Serialize)]
pub struct Key {
    pub kind: Kind,
    /// Milliseconds to the next key.
    pub interval: f64,
    /// Milliseconds to its answer, if that came before the next key.
    pub answered: Option<f64>,
    /// Milliseconds until what is shown was up to date again, however many keys that took.
    pub wait: f64,
    /// Its answer was text.
    pub shown: bool,
    /// What was computed until the next key.
    pub work: Option<Work>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The cursor went elsewhere.
    Jump,
    /// A letter that a shown suggestion goes on with.
    Along,
    /// Any other letter.
    Letter,
    /// A wrong letter, or one taken back.
    Correction,
    /// The key that takes a suggestion.
    Accept,
}

/// What came of a trace.
#[derive(Debug)]
pub struct Session {
    pub language: &'static str,
    pub keys: Vec<Key>,
    /// Characters of the text that was to be typed, and those of them that were taken.
    pub characters: usize,
    pub taken: usize,
    /// Seconds of computing, work after the last key included.
    pub cpu: Option<f64>,
}

/// Type a trace at somebody; `closes`: in an editor that closes brackets and quotes by itself.
///
/// # Errors
/// When the subject's process is lost.
pub fn replay(trace: &Trace, subject: &mut dyn Subject, closes: bool) -> anyhow::Result<Session> {
    let before = process::cpu_seconds(subject.process());
    let mut typist = Typist::new(trace, subject)?;
    typist.closing = closes.then(Closing::default);
    let mut due = Instant::now();
    for stroke in &trace.strokes {
        if !typist.needs(stroke) {
            continue;
        }
        due += stroke.pause;
        typist.wait(due)?;
        if let Some(text) = typist.right_suggestion(stroke) {
            typist.accept(&text)?;
            due = Instant::now() + LOOKING;
            typist.wait(due)?;
            if !typist.needs(stroke) {
                continue;
            }
        }
        typist.press(stroke)?;
        // The hands go on from this key: one that came late shifts the others.
        due = Instant::now();
    }
    typist.finish(before)
}

struct Typist<'a> {
    trace: &'a Trace,
    subject: &'a mut dyn Subject,
    document: Document,
    /// Where each hole is now.
    starts: Vec<usize>,
    hole: usize,
    /// How much of the hole's text stands.
    progress: usize,
    /// Wrong letters after it.
    slips: usize,
    closing: Option<Closing>,
    shown: Option<Shown>,
    keys: Vec<Key>,
    pressed: Vec<Instant>,
    /// The first key whose answer has not come.
    waiting: usize,
    work: Option<Work>,
    taken: usize,
}

struct Shown {
    text: String,
    since: Instant,
}

impl<'a> Typist<'a> {
    fn new(trace: &'a Trace, subject: &'a mut dyn Subject) -> anyhow::Result<Self> {
        let document = Document::new(trace);
        subject.open(&document)?;
        let work = subject.work()?;
        Ok(Self {
            trace,
            subject,
            document,
            starts: trace.holes.iter().map(|hole| hole.start).collect(),
            hole: 0,
            progress: 0,
            slips: 0,
            closing: None,
            shown: None,
            keys: Vec::new(),
            pressed: Vec::new(),
            waiting: 0,
            work,
            taken: 0,
        })
    }

    fn wait(&mut self, until: Instant) -> anyhow::Result<()> {
        while let Some(answer) = self.subject.wait(&self.document, until)? {
            self.hear(answer);
        }
        Ok(())
    }

    fn hear(&mut self, answer: Answer) {
        let Some(last) = self.keys.len().checked_sub(1) else { return };
        let shown = answer.text.as_ref().is_some_and(|text| !text.is_empty());
        for number in self.waiting..=last {
            self.keys[number].wait = millis(answer.at.saturating_duration_since(self.pressed[number]));
        }
        if self.waiting <= last {
            self.keys[last].answered = Some(self.keys[last].wait);
        }
        self.keys[last].shown |= shown;
        self.waiting = last + 1;
        self.shown = answer.text.filter(|text| !text.is_empty()).map(|text| {
            // The same line as before is read already.
            let known = self.shown.as_ref().filter(|old| first_line(&old.text) == first_line(&text));
            Shown { since: known.map_or(answer.at, |old| old.since), text }
        });
    }

    /// As much of what is shown as is right, in whole lines, if this is when it would be taken.
    fn right_suggestion(&self, stroke: &Stroke) -> Option<String> {
        let shown = self.shown.as_ref()?;
        let is_letter = matches!(stroke.act, Act::Type { .. } | Act::Slip(_));
        if self.slips > 0 || !is_letter || shown.since.elapsed() < READING {
            return None;
        }
        let hole = &self.trace.holes[self.hole].text;
        let limit = self.closing.as_ref().map_or(hole.len(), |closing| closing.limit(hole));
        let wanted = &hole[self.progress..limit];
        let mut right = "";
        for (end, _) in shown.text.match_indices('\n').chain([(shown.text.len(), "")]) {
            let text = shown.text[..end].trim_end();
            if !wanted.starts_with(text) {
                break;
            }
            right = text;
        }
        (right.trim().chars().count() >= WORTH_TAKING).then(|| right.to_owned())
    }

    fn accept(&mut self, text: &str) -> anyhow::Result<()> {
        self.key(Kind::Accept)?;
        self.shown = None;
        self.write(text, "")?;
        self.progress += text.len();
        self.taken += text.chars().count();
        Ok(())
    }

    /// False for what an accept went past.
    fn needs(&self, stroke: &Stroke) -> bool {
        match stroke.act {
            Act::Jump => true,
            Act::Type { to } => to > self.progress,
            Act::Slip(_) | Act::Erase => stroke.at >= self.progress,
        }
    }

    fn press(&mut self, stroke: &Stroke) -> anyhow::Result<()> {
        match stroke.act {
            Act::Jump => {
                self.key(Kind::Jump)?;
                self.shown = None;
                (self.hole, self.progress, self.slips) = (stroke.hole, 0, 0);
                self.document.cursor = self.starts[self.hole];
                self.pressed.push(Instant::now());
                self.subject.stroke(&self.document, None)
            }
            Act::Type { to } => {
                let (hole, from) = (&self.trace.holes[self.hole].text, self.progress);
                let text = &hole[from..to];
                let along = self.shown.as_ref().and_then(|shown| shown.text.strip_prefix(text));
                let along = along.map(str::to_owned).filter(|rest| !rest.is_empty());
                self.key(if along.is_some() { Kind::Along } else { Kind::Letter })?;
                self.shown =
                    along.and_then(|text| self.shown.take().map(|shown| Shown { text, since: shown.since }));
                self.progress = to;
                if self.closing.as_mut().is_some_and(|closing| closing.types_over(hole, from, to)) {
                    self.document.cursor += text.len();
                    self.pressed.push(Instant::now());
                    return self.subject.stroke(&self.document, None);
                }
                let behind = self.closing.as_mut().map(|closing| closing.behind(hole, from, to));
                self.write(text, &behind.unwrap_or_default())
            }
            Act::Slip(letter) => {
                self.key(Kind::Correction)?;
                self.shown = None;
                self.slips += 1;
                self.write(letter.encode_utf8(&mut [0; 4]), "")
            }
            Act::Erase => {
                self.key(Kind::Correction)?;
                self.shown = None;
                self.slips -= 1;
                let before = self.document.cursor;
                let change = self.document.erase();
                self.shift(before, before - self.document.cursor, false);
                self.pressed.push(Instant::now());
                self.subject.stroke(&self.document, Some(&change))
            }
        }
    }

    fn write(&mut self, text: &str, behind: &str) -> anyhow::Result<()> {
        let change = self.document.insert(text, behind);
        self.shift(self.document.cursor - text.len(), change.text.len(), true);
        self.pressed.push(Instant::now());
        self.subject.stroke(&self.document, Some(&change))
    }

    /// Holes behind the one that is typed into move with the text.
    fn shift(&mut self, from: usize, by: usize, forth: bool) {
        for (hole, start) in self.starts.iter_mut().enumerate() {
            if hole != self.hole && *start >= from {
                *start = if forth { *start + by } else { *start - by };
            }
        }
    }

    /// A key is about to be pressed: the one before it is over.
    fn key(&mut self, kind: Kind) -> anyhow::Result<()> {
        self.close_key()?;
        self.keys.push(Key { kind, interval: 0.0, answered: None, wait: 0.0, shown: false, work: None });
        Ok(())
    }

    fn close_key(&mut self) -> anyhow::Result<()> {
        let work = self.subject.work()?;
        // An answer may have come meanwhile.
        self.wait(Instant::now())?;
        if let (Some(key), Some(pressed)) = (self.keys.last_mut(), self.pressed.last()) {
            key.interval = millis(pressed.elapsed());
            if let (Some(before), Some(after)) = (&self.work, &work) {
                key.work = Some(after.since(before));
            }
        }
        self.work = work;
        Ok(())
    }

    fn finish(mut self, before: Option<f64>) -> anyhow::Result<Session> {
        let until = Instant::now() + PATIENCE;
        while self.waiting < self.keys.len() && Instant::now() < until {
            let Some(answer) = self.subject.wait(&self.document, until)? else { break };
            self.hear(answer);
        }
        for number in self.waiting..self.keys.len() {
            self.keys[number].wait = millis(self.pressed[number].elapsed());
        }
        let after = self.settle()?;
        self.close_key()?;
        self.subject.close(&self.document)?;
        Ok(Session {
            language: self.trace.language,
            characters: self.trace.holes.iter().map(|hole| hole.text.chars().count()).sum(),
            taken: self.taken,
            cpu: before.zip(after).map(|(before, after)| after - before),
            keys: self.keys,
        })
    }

    /// Wait until the process computes no more; its seconds then.
    fn settle(&mut self) -> anyhow::Result<Option<f64>> {
        let process = self.subject.process();
        let until = Instant::now() + SETTLED;
        let mut last = process::cpu_seconds(process);
        while Instant::now() < until {
            self.wait(Instant::now() + Duration::from_millis(250))?;
            let now = process::cpu_seconds(process);
            let is_idle = last.zip(now).is_none_or(|(last, now)| now - last < 0.015);
            last = now;
            if is_idle {
                break;
            }
        }
        Ok(last)
    }
}

fn first_line(text: &str) -> &str {
    text.split('\n').next().unwrap_or_default()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
