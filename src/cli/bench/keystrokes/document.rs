//! The text as the editor has it: what is typed goes here, and from here to those who are measured.

use std::path::PathBuf;

use crate::cli::bench::keystrokes::trace::Trace;
use crate::documents::uri_of_path;

pub struct Document {
    pub path: PathBuf,
    pub uri: String,
    pub language: &'static str,
    pub text: String,
    /// In bytes.
    pub cursor: usize,
}

/// A replacement, with its place in the text before it.
pub struct Change {
    pub start: Place,
    pub end: Place,
    pub text: String,
}

/// A line and a byte in it, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

impl Document {
    pub fn new(trace: &Trace) -> Self {
        Self {
            path: trace.path.clone(),
            uri: uri_of_path(&trace.path),
            language: trace.language,
            text: trace.text.clone(),
            cursor: 0,
        }
    }

    pub fn place(&self, offset: usize) -> Place {
        let before = &self.text[..offset];
        let line = before.bytes().filter(|byte| *byte == b'\n').count();
        Place { line, column: offset - before.rfind('\n').map_or(0, |end| end + 1) }
    }

    /// Write around the cursor.
    pub fn insert(&mut self, text: &str, behind: &str) -> Change {
        let start = self.place(self.cursor);
        let whole = format!("{text}{behind}");
        self.text.insert_str(self.cursor, &whole);
        self.cursor += text.len();
        Change { start, end: start, text: whole }
    }

    /// Take back the letter before the cursor.
    pub fn erase(&mut self) -> Change {
        let letter = self.text[..self.cursor].chars().next_back();
        let start = self.cursor - letter.map_or(0, char::len_utf8);
        let change = Change { start: self.place(start), end: self.place(self.cursor), text: String::new() };
        self.text.replace_range(start..self.cursor, "");
        self.cursor = start;
        change
    }
}
