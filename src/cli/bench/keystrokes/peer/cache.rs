//! llama.vim's memory of answers: 250 of them, the least recently used goes first.

use std::collections::HashMap;

use crate::cli::bench::keystrokes::peer::context::{Context, key};

const ENTRIES: usize = 250;
/// How far back an answer is looked for that what was typed since goes along with, in bytes.
const LOOK_BACK: usize = 128;

#[derive(Default)]
pub struct Cache {
    answers: HashMap<String, (String, u64)>,
    clock: u64,
}

impl Cache {
    pub fn insert(&mut self, key: String, answer: &str) {
        if self.answers.len() >= ENTRIES
            && let Some(oldest) = self.answers.iter().min_by_key(|(_, (_, used))| *used)
        {
            let oldest = oldest.0.clone();
            self.answers.remove(&oldest);
        }
        self.clock += 1;
        self.answers.insert(key, (answer.to_owned(), self.clock));
    }

    pub fn get(&mut self, key: &str) -> Option<&str> {
        self.clock += 1;
        let (answer, used) = self.answers.get_mut(key)?;
        *used = self.clock;
        Some(answer)
    }

    /// The answer for this place, or the longest rest of one for a place before it.
    pub fn find(&mut self, context: &Context) -> Option<String> {
        let Context { prefix, middle, suffix, .. } = context;
        if let Some(answer) = self.get(&key(prefix, middle, suffix)) {
            return Some(answer.to_owned());
        }
        let before = format!("{prefix}{middle}");
        let mut best: Option<String> = None;
        for back in 1..=LOOK_BACK.min(before.len()) {
            let Some((earlier, typed)) = before.split_at_checked(before.len() - back) else { continue };
            let Some(rest) =
                self.get(&key(earlier, "", suffix)).and_then(|answer| answer.strip_prefix(typed))
            else {
                continue;
            };
            if !rest.is_empty() && best.as_ref().is_none_or(|best| rest.len() > best.len()) {
                best = Some(rest.to_owned());
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(middle: &str) -> Context {
        let (prefix, suffix) = ("a\n".to_owned(), "\n".to_owned());
        Context { prefix, middle: middle.to_owned(), suffix, indent: 0, line_suffix: String::new() }
    }

    #[test]
    fn typing_along_finds_the_rest() {
        let mut cache = Cache::default();
        cache.insert(context("x").keys().remove(0), "yz;");
        assert_eq!(cache.find(&context("x")).as_deref(), Some("yz;"));
        assert_eq!(cache.find(&context("xy")).as_deref(), Some("z;"));
        assert_eq!(cache.find(&context("xz")), None);
        assert_eq!(cache.find(&context("xyz;")), None);
    }

    #[test]
    fn the_least_recently_used_goes() {
        let mut cache = Cache::default();
        for number in 0..ENTRIES {
            cache.insert(number.to_string(), "");
        }
        cache.get("0");
        cache.insert("new".to_owned(), "");
        assert!(cache.get("0").is_some() && cache.get("1").is_none() && cache.get("new").is_some());
    }
}
