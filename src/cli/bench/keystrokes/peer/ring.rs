//! llama.vim's ring of chunks: text from elsewhere that goes before the prompt.

use std::collections::{HashSet, VecDeque};

use serde_json::{Value, json};

use crate::cli::bench::keystrokes::random::Random;

const CHUNKS: usize = 16;
const QUEUED: usize = 16;
/// Lines of a chunk.
pub const CHUNK_LINES: usize = 64;

pub struct Ring {
    chunks: VecDeque<Chunk>,
    queued: VecDeque<Chunk>,
    random: Random,
}

struct Chunk {
    lines: Vec<String>,
    file: String,
}

impl Ring {
    pub fn new(random: Random) -> Self {
        Self { chunks: VecDeque::new(), queued: VecDeque::new(), random }
    }

    /// Queue a random part of these lines. Very similar ones are replaced, or keep it out.
    pub fn pick(&mut self, lines: &[&str], file: &str, replaces: bool) {
        if lines.len() < 3 {
            return;
        }
        let lines = if lines.len() + 1 < CHUNK_LINES { lines } else { self.part(lines) };
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        if self.chunks.iter().chain(&self.queued).any(|chunk| chunk.lines == lines) {
            return;
        }
        for list in [&mut self.queued, &mut self.chunks] {
            let similar = |chunk: &Chunk| similarity(&chunk.lines, &lines) > 0.9;
            if !replaces && list.iter().any(similar) {
                return;
            }
            list.retain(|chunk| !similar(chunk));
        }
        if self.queued.len() == QUEUED {
            self.queued.pop_front();
        }
        self.queued.push_back(Chunk { lines, file: file.to_owned() });
    }

    /// Leave out chunks that are like the text around the cursor.
    pub fn drop_like(&mut self, around: &[&str]) {
        let part: Vec<String> = self.part(around).iter().map(|line| (*line).to_owned()).collect();
        self.chunks.retain(|chunk| similarity(&chunk.lines, &part) <= 0.5);
    }

    /// Take a queued chunk in. False if there is none.
    pub fn advance(&mut self) -> bool {
        let Some(chunk) = self.queued.pop_front() else { return false };
        if self.chunks.len() == CHUNKS {
            self.chunks.pop_front();
        }
        self.chunks.push_back(chunk);
        true
    }

    /// The chunks as a request carries them.
    pub fn extra(&self) -> Vec<Value> {
        let as_json = |chunk: &Chunk| json!({"text": chunk.lines.join("\n") + "\n", "filename": chunk.file});
        self.chunks.iter().map(as_json).collect()
    }

    fn part<'a, 'b>(&mut self, lines: &'a [&'b str]) -> &'a [&'b str] {
        let start = self.random.below(lines.len().saturating_sub(CHUNK_LINES / 2) + 1);
        &lines[start.min(lines.len())..(start + CHUNK_LINES / 2 + 1).min(lines.len())]
    }
}

/// Words in common, from 0 to 1 (and above where words repeat).
fn similarity(one: &[String], other: &[String]) -> f64 {
    let words = |lines: &[String]| -> Vec<String> {
        let text = lines.join("\n");
        let split = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
        split.map(str::to_owned).collect()
    };
    let (one, other) = (words(one), words(other));
    let known: HashSet<&String> = one.iter().collect();
    let common = other.iter().filter(|word| known.contains(word)).count();
    2.0 * common as f64 / (one.len() + other.len()).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_alike_is_kept_once() {
        let mut ring = Ring::new(Random::new(1));
        let lines: Vec<String> = (0..10).map(|n| format!("word{n} word{}", n + 1)).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        ring.pick(&lines, "a", false);
        ring.pick(&lines, "a", false);
        ring.pick(&lines[..2], "b", false);
        ring.pick(&["other", "things", "here"], "c", false);
        assert!(ring.advance() && ring.advance() && !ring.advance());
        assert_eq!(ring.extra().len(), 2);
        ring.drop_like(&["other", "things", "here"]);
        assert_eq!(ring.extra()[0]["filename"], "a");
        assert_eq!(ring.extra().len(), 1);
    }
}
