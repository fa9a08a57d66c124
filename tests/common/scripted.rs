//! A network that writes what a script says, so that everything around it can be tested to the letter.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foretype::engine::Engine;
use foretype::engine::tokenizer::Tokenizer;
use foretype::interrupt::Interrupt;
use foretype::model::gguf::GgufFile;
use foretype::model::manifest::{self, FETCHED, Fim, FimOrder};
use foretype::model::{Memory, Network, Stopped, Tree, Wanted};
use foretype::worker::Loader;

use super::tiny_model::{MARKERS, Tiny};

/// After text that ends with the first part, the model writes the second.
#[derive(Clone)]
pub struct Script {
    pub lines: Vec<(String, String)>,
    /// Time for each token, as on a slow machine.
    pub pace: Duration,
    /// Tokens that were read one by one so far: all that were written.
    pub steps: Arc<AtomicUsize>,
    /// So many may be written; the next one waits until more are allowed, or for an interrupt.
    pub allowed: Arc<AtomicUsize>,
    /// Where the first would be written, the second is nearly as likely.
    pub second_best: Option<(char, char)>,
    /// The model fills in the middle, as it stands.
    pub fills_in: Option<FimOrder>,
    /// Panic where this text has been read.
    pub panics_after: Option<String>,
}

impl Script {
    pub fn new(lines: &[(&str, &str)]) -> Self {
        Self {
            lines: lines.iter().map(|(after, text)| ((*after).to_owned(), (*text).to_owned())).collect(),
            pace: Duration::ZERO,
            steps: Arc::default(),
            allowed: Arc::new(AtomicUsize::new(usize::MAX)),
            second_best: None,
            fills_in: None,
            panics_after: None,
        }
    }

    pub fn slow(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }

    /// The model falls silent after so many tokens, until it is released.
    pub fn held_after(self, steps: usize) -> Self {
        self.allowed.store(steps, Ordering::SeqCst);
        self
    }

    pub fn release(&self) {
        self.allowed.store(usize::MAX, Ordering::SeqCst);
    }

    /// Wait until the model has written so many tokens.
    pub async fn written(&self, wanted: usize) {
        while self.steps.load(Ordering::SeqCst) < wanted {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// A loader of engines that follow this script.
    pub fn loader(self) -> Loader {
        Box::new(move |_, progress| {
            progress(0.5);
            Ok(self.engine())
        })
    }

    pub fn engine(&self) -> Engine {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.gguf");
        Tiny::default().write(&path);
        let tokenizer = Tokenizer::from_gguf(&GgufFile::open(&path).unwrap()).unwrap();
        let network = Scripted { script: self.clone(), tokens: Vec::new(), logits: Vec::new() };
        let mut manifest = manifest::find(FETCHED).unwrap();
        manifest.fim = self.fills_in.map(|order| Fim {
            prefix: MARKERS[1].to_owned(),
            suffix: MARKERS[2].to_owned(),
            middle: MARKERS[3].to_owned(),
            end: Vec::new(),
            file: None,
            order,
            mid_token: true,
            heal: false,
        });
        Engine::with_network(Box::new(network), tokenizer, manifest)
    }
}

struct Scripted {
    script: Script,
    tokens: Vec<u32>,
    logits: Vec<f32>,
}

impl Scripted {
    /// The byte that comes next, or the end.
    fn next(&self) -> u32 {
        let bytes: Vec<u8> =
            self.tokens.iter().map(|token| u8::try_from(*token).unwrap_or(b'\x01')).collect();
        for (after, text) in &self.script.lines {
            let (after, text) = (after.as_bytes(), text.as_bytes());
            for written in (0..text.len()).rev() {
                let ends_so =
                    bytes.ends_with(&text[..written]) && bytes[..bytes.len() - written].ends_with(after);
                if ends_so {
                    return u32::from(text[written]);
                }
            }
        }
        256
    }
}

impl Network for Scripted {
    fn extend(&mut self, tokens: &[u32], _: Wanted, interrupt: &Interrupt) -> Result<(), Stopped> {
        if interrupt.is_set() {
            return Err(Stopped::Interrupted);
        }
        if tokens.len() == 1 {
            while self.script.steps.load(Ordering::SeqCst) >= self.script.allowed.load(Ordering::SeqCst) {
                if interrupt.is_set() {
                    return Err(Stopped::Interrupted);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            self.script.steps.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(self.script.pace);
        }
        self.tokens.extend_from_slice(tokens);
        if let Some(text) = &self.script.panics_after {
            let bytes: Vec<u8> = self.tokens.iter().map(|token| *token as u8).collect();
            assert!(!bytes.ends_with(text.as_bytes()), "the script says to panic here");
        }
        let next = self.next() as usize;
        self.logits = vec![-20.0; self.vocabulary()];
        self.logits[next] = 20.0;
        if let Some((first, second)) = self.script.second_best.filter(|(first, _)| *first as usize == next) {
            debug_assert!(first != second);
            self.logits[second as usize] = 19.0;
        }
        Ok(())
    }

    fn extend_each(
        &mut self,
        tokens: &[u32],
        wanted: Wanted,
        interrupt: &Interrupt,
    ) -> Result<&[f32], Stopped> {
        let mut all = Vec::new();
        for token in tokens {
            self.extend(&[*token], wanted, interrupt)?;
            all.extend_from_slice(self.logits());
        }
        self.logits = all;
        Ok(&self.logits)
    }

    fn extend_tree(&mut self, tree: &mut Tree, interrupt: &Interrupt) -> Result<&[f32], Stopped> {
        let (trunk, mut all) = (self.len(), Vec::new());
        for number in tree.unread() {
            let read = self.extend(&tree.path(number), Wanted::All, interrupt);
            self.truncate(trunk);
            read?;
            all.extend_from_slice(self.logits());
        }
        tree.mark_read();
        self.logits = all;
        Ok(&self.logits)
    }

    fn logits(&self) -> &[f32] {
        &self.logits[self.logits.len().saturating_sub(self.vocabulary())..]
    }

    fn truncate(&mut self, len: usize) {
        self.tokens.truncate(len);
    }

    fn len(&self) -> usize {
        self.tokens.len()
    }

    fn capacity(&self) -> usize {
        4096
    }

    fn vocabulary(&self) -> usize {
        256 + MARKERS.len()
    }

    fn kernels(&self) -> &str {
        "script"
    }

    fn memory(&self) -> Memory {
        Memory::default()
    }
}
