//! What is typed and when, decided before anything is typed: the same seed and files give the same trace.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::bench::keystrokes::random::Random;

/// Keys that a file is typed on with, about, before the next one is opened.
const KEYS_A_FILE: usize = 150;
/// Lines and bytes that are typed in one place, at most.
const LINES_A_HOLE: usize = 6;
const BYTES_A_HOLE: usize = 240;
/// A letter that is missed.
const SLIPS: f64 = 0.025;

/// One file's share of the typing.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    pub path: PathBuf,
    /// The language's id.
    pub language: &'static str,
    /// The file without what will be typed.
    pub text: String,
    pub holes: Vec<Hole>,
    pub strokes: Vec<Stroke>,
}

/// A place that is typed into.
#[derive(Clone, Debug, PartialEq)]
pub struct Hole {
    /// Where it is in the text without holes.
    pub start: usize,
    /// What belongs there.
    pub text: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Stroke {
    /// Time since the stroke before.
    pub pause: Duration,
    pub hole: usize,
    /// How much of the hole's text stands before it, in bytes. A stroke whose place was passed by an accept is left out.
    pub at: usize,
    pub act: Act,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Act {
    /// The cursor goes to the hole.
    Jump,
    /// The hole's text goes on to this offset: a letter, or a line's end with the next line's indentation.
    Type { to: usize },
    /// A letter that will be taken back.
    Slip(char),
    /// Takes a letter back.
    Erase,
}

/// How many files it takes to type this many keys.
pub fn files_for(keys: usize) -> usize {
    keys.div_ceil(KEYS_A_FILE).max(1)
}

/// Plan the typing of `keys` keys, about, in one file. `None` if it has no place for that.
pub fn plan(path: &Path, language: &'static str, text: &str, keys: usize, seed: u64) -> Option<Trace> {
    let mut random = Random::new(seed);
    let mut ranges = choose(text, keys, &mut random);
    if ranges.is_empty() {
        return None;
    }
    ranges.sort_by_key(|range| range.start);
    let (mut rest, mut holes, mut end) = (String::new(), Vec::new(), 0);
    for range in ranges {
        rest.push_str(&text[end..range.start]);
        holes.push(Hole { start: rest.len(), text: text[range.clone()].to_owned() });
        end = range.end;
    }
    rest.push_str(&text[end..]);

    let mut order: Vec<usize> = (0..holes.len()).collect();
    random.shuffle(&mut order);
    let mut strokes = Vec::new();
    for hole in order {
        let pause = millis(random.between(1200.0, 2000.0));
        strokes.push(Stroke { pause, hole, at: 0, act: Act::Jump });
        type_out(&holes[hole].text, hole, &mut random, &mut strokes);
    }
    Some(Trace { path: path.to_owned(), language, text: rest, holes, strokes })
}

/// Spans of whole lines without the first one's indentation, apart from each other.
fn choose(text: &str, keys: usize, random: &mut Random) -> Vec<Range<usize>> {
    let mut lines: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    for line in text.split('\n') {
        lines.push(start..start + line.trim_end().len());
        start += line.len() + 1;
    }
    let (mut taken, mut chosen, mut total) = (vec![false; lines.len() + 2], Vec::new(), 0);
    for _ in 0..200 {
        if total >= keys {
            break;
        }
        let first = random.below(lines.len());
        let mut last = (first + random.below(LINES_A_HOLE)).min(lines.len() - 1);
        while last > first && lines[last].is_empty() {
            last -= 1;
        }
        let indent = text[lines[first].clone()].len() - text[lines[first].clone()].trim_start().len();
        let range = lines[first].start + indent..lines[last].end;
        // The lines around it stay, so that each place has something to go by.
        let around = first.saturating_sub(1)..last + 2;
        if range.len() < 8 || range.len() > BYTES_A_HOLE || taken[around.clone()].contains(&true) {
            continue;
        }
        taken[around].fill(true);
        total += text[range.clone()].lines().map(|line| line.trim_start().chars().count() + 1).sum::<usize>();
        chosen.push(range);
    }
    chosen
}

fn type_out(text: &str, hole: usize, random: &mut Random, strokes: &mut Vec<Stroke>) {
    let mut hand = Hand { tempo: 1.0, before: '\n' };
    let mut at = 0;
    while let Some(letter) = text[at..].chars().next() {
        if letter.is_ascii_alphabetic() && random.chance(SLIPS) {
            slip(&text[at..], hole, at, &mut hand, random, strokes);
        }
        let mut to = at + letter.len_utf8();
        if letter == '\n' {
            // Editors indent by themselves.
            let next = &text[to..];
            to += next.len() - next.trim_start_matches([' ', '\t']).len();
        }
        strokes.push(Stroke { pause: hand.pause(letter, random), hole, at, act: Act::Type { to } });
        at = to;
    }
}

/// A wrong letter, perhaps right ones after it until it is seen, and all of them taken back.
fn slip(rest: &str, hole: usize, at: usize, hand: &mut Hand, random: &mut Random, strokes: &mut Vec<Stroke>) {
    let letter = rest.chars().next().unwrap_or('a');
    let wrong = if letter == 'z' { 'y' } else { char::from_u32(letter as u32 + 1).unwrap_or('a') };
    let unseen = random.below(3);
    let more = rest.chars().skip(1).take(unseen).take_while(|letter| *letter != '\n');
    let letters: Vec<char> = std::iter::once(wrong).chain(more).collect();
    for letter in &letters {
        let pause = hand.pause(*letter, random);
        strokes.push(Stroke { pause, hole, at, act: Act::Slip(*letter) });
    }
    for number in 0..letters.len() {
        let pause = if number == 0 { random.between(220.0, 450.0) } else { random.between(80.0, 150.0) };
        strokes.push(Stroke { pause: millis(pause), hole, at, act: Act::Erase });
    }
}

/// A hand on the keys: words come in bursts of their own speed, signs take longer, and now and then it rests.
struct Hand {
    tempo: f64,
    before: char,
}

impl Hand {
    fn pause(&mut self, letter: char, random: &mut Random) -> Duration {
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let mut rest = 0.0;
        if is_word(letter) && !is_word(self.before) {
            self.tempo = random.between(0.7, 1.35);
            if random.chance(0.06) {
                rest = random.between(400.0, 1500.0);
            }
        }
        let key = match letter {
            '\n' => 1.8,
            _ if is_word(letter) => 1.0,
            _ => 1.35,
        };
        self.before = letter;
        millis((115.0 * self.tempo * key * (0.3 * random.bell()).exp()).clamp(45.0, 450.0) + rest)
    }
}

fn millis(millis: f64) -> Duration {
    Duration::from_micros((millis * 1000.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        (0..60).map(|n| format!("fn number_{n}() -> u32 {{\n    let näme = {n};\n    näme\n}}\n\n")).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_trace_and_another_one_another() {
        let trace = |seed| plan(Path::new("a.rs"), "rust", &text(), 200, seed).unwrap();
        assert_eq!(trace(1), trace(1));
        assert_ne!(trace(1), trace(2));
    }

    #[test]
    fn what_is_typed_makes_the_file_whole() {
        for seed in 0..50 {
            let trace = plan(Path::new("a.rs"), "rust", &text(), 150, seed).unwrap();
            assert!(trace.strokes.len() > 100, "{} strokes", trace.strokes.len());
            let mut typed = vec![String::new(); trace.holes.len()];
            for stroke in &trace.strokes {
                let text = &mut typed[stroke.hole];
                match stroke.act {
                    Act::Jump => {}
                    Act::Type { to } => {
                        assert_eq!(text.len(), stroke.at);
                        text.push_str(&trace.holes[stroke.hole].text[stroke.at..to]);
                    }
                    Act::Slip(letter) => text.push(letter),
                    Act::Erase => {
                        text.pop();
                    }
                }
            }
            let mut whole = trace.text.clone();
            for (hole, typed) in trace.holes.iter().zip(&typed).rev() {
                whole.insert_str(hole.start, typed);
            }
            assert_eq!(whole, text(), "seed {seed}");
        }
    }

    #[test]
    fn a_file_without_room_is_left_out() {
        assert_eq!(plan(Path::new("a.rs"), "rust", "a\n\nb\n", 100, 1), None);
    }
}
