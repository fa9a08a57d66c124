//! A model on another machine: the same prompt as text to an OpenAI-compatible completions endpoint, the answer as it comes.
//!
//! Its tokenizer is not known here, so that every byte counts as a token.

use std::io::{BufRead, BufReader, Read};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use crate::config;
use crate::engine::tokenizer::Tokenizer;
use crate::engine::{Engine, Finish, Flow, Limits, Output, Prompt};
use crate::interrupt::Interrupt;
use crate::model::manifest::{self, Manifest, Source};
use crate::model::{Memory, Network, Stopped, Tree, Wanted};

/// Most bytes of prompt and answer together.
const CAPACITY: usize = 8192;
/// Bytes that are read in a second, for the choice of how much to send: all that is of use, within usual budgets.
const READING: f64 = 40_000.0;
/// Most sequences that end an answer; the interface allows no more.
const MOST_STOPS: usize = 4;
/// Longest message of an error that is passed on to the user.
const LONGEST_MESSAGE: u64 = 300;

/// Where to ask, and as whom.
pub struct Remote {
    agent: Agent,
    url: String,
    model: String,
    key: Option<String>,
    stops: Vec<String>,
    /// Texts of the tokens that stand for no byte.
    markers: Vec<(u32, String)>,
}

impl Engine {
    /// An engine that asks an endpoint. Where the catalogue knows the model, its markers are used.
    ///
    /// # Errors
    /// When the variable that should hold the key is not set.
    pub fn remote(remote: &config::Remote) -> anyhow::Result<Self> {
        let known = manifest::recognised(&remote.model);
        let manifest = Manifest {
            name: remote.model.clone(),
            description: format!("asked at {}", remote.url),
            parameters: known.as_ref().map_or(0, |known| known.parameters),
            license: String::new(),
            family: "remote".to_owned(),
            context: CAPACITY,
            source: Source::Path { path: remote.url.clone() },
            fim: known.as_ref().and_then(|known| known.fim.clone()),
            kv_cache: Default::default(),
            confidence: known.as_ref().map(|known| known.confidence).unwrap_or_default(),
            instruction: known.and_then(|known| known.instruction),
        };
        let fim = manifest.fim.iter();
        let texts: Vec<String> = fim
            .flat_map(|fim| {
                [&fim.prefix, &fim.suffix, &fim.middle].into_iter().chain(&fim.end).chain(&fim.file)
            })
            .cloned()
            .collect();
        let tokenizer = Tokenizer::of_bytes(&texts)?;
        let key = remote.api_key_env.as_deref().map(|name| {
            std::env::var(name).with_context(|| {
                format!("the environment variable {name}, `apiKeyEnv` of `remote`, is not set")
            })
        });
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_recv_response(Some(Duration::from_secs(30)))
            .timeout_recv_body(Some(Duration::from_secs(60)))
            .build();
        let base = remote.url.trim_end_matches('/');
        let of_marker = |text: &String| tokenizer.marker(text).map(|id| (id, text.clone()));
        let asked = Remote {
            agent: agent.into(),
            url: if base.ends_with("/completions") { base.to_owned() } else { format!("{base}/completions") },
            model: remote.model.clone(),
            key: key.transpose()?,
            stops: manifest.fim.iter().flat_map(|fim| fim.end.iter().chain([&fim.prefix])).cloned().collect(),
            markers: texts.iter().filter_map(of_marker).collect(),
        };
        let mut engine = Self::with_network(Box::new(Elsewhere { held: 0 }), tokenizer, manifest);
        engine.reading = READING;
        engine.remote = Some(asked);
        Ok(engine)
    }
}

impl Remote {
    /// Ask, and hand on what is written until something says stop. Hanging up ends the work over there.
    ///
    /// # Errors
    /// When the endpoint cannot be reached or refuses.
    pub fn run(
        &self,
        tokenizer: &Tokenizer,
        prompt: Prompt,
        limits: Limits,
        interrupt: &Interrupt,
        observe: &mut dyn FnMut(&str) -> Flow,
    ) -> anyhow::Result<Output> {
        let started = Instant::now();
        let mut output = Output { prompt_tokens: prompt.tokens.len(), ..Output::default() };
        if interrupt.is_set() {
            output.finish = Finish::Interrupted;
            return Ok(output);
        }
        let mut lines = BufReader::new(self.ask(&self.text(tokenizer, prompt), limits)?).lines();
        let mut deadline = limits.time.map(|time| started + time);
        output.finish = loop {
            let Some(line) = lines.next() else { break Finish::End };
            if interrupt.is_set() {
                break Finish::Interrupted;
            }
            let line = line.map_err(|error| self.unreachable(&error))?;
            let data = line.strip_prefix("data:").unwrap_or(&line).trim();
            if data == "[DONE]" {
                break Finish::End;
            }
            let Ok(part) = serde_json::from_str::<Value>(data) else { continue };
            if !part["error"].is_null() {
                bail!("the remote model fails: {}", part["error"]);
            }
            let choice = &part["choices"][0];
            let new = choice["text"].as_str().unwrap_or_default();
            if !new.is_empty() {
                if output.tokens == 0 {
                    output.prefill = started.elapsed();
                    // As here, some time is left for writing, however long reading took.
                    deadline =
                        deadline.zip(limits.time).map(|(end, time)| end.max(Instant::now() + time / 2));
                }
                output.tokens += 1;
                output.text.push_str(new);
                if observe(&output.text) == Flow::Stop {
                    break Finish::Stop;
                }
            }
            match choice["finish_reason"].as_str() {
                Some("length") => break Finish::Length,
                Some(_) => break Finish::End,
                None => {}
            }
            if output.tokens > 0 && deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break Finish::Deadline;
            }
        };
        let is_of_word = |last: char| last.is_alphanumeric() || last == '_';
        let cut_short = matches!(output.finish, Finish::Length | Finish::Deadline);
        output.half_word = cut_short && output.text.chars().next_back().is_some_and(is_of_word);
        output.decode = started.elapsed().saturating_sub(output.prefill);
        Ok(output)
    }

    /// The prompt as text. What was taken back from it is put back: nothing holds a remote model to a beginning.
    fn text(&self, tokenizer: &Tokenizer, prompt: Prompt) -> String {
        let mut bytes = Vec::new();
        for token in prompt.tokens {
            let marker = self.markers.iter().find(|(id, _)| id == token);
            bytes.extend_from_slice(marker.map_or(tokenizer.piece(*token), |(_, text)| text.as_bytes()));
        }
        bytes.extend_from_slice(prompt.begun);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn ask(&self, prompt: &str, limits: Limits) -> anyhow::Result<impl Read + use<>> {
        let mut body = json!({
            "model": self.model,
            "prompt": prompt,
            "max_tokens": limits.max_tokens,
            "temperature": 0,
            "stream": true,
        });
        if !self.stops.is_empty() {
            body["stop"] = json!(self.stops.iter().take(MOST_STOPS).collect::<Vec<_>>());
        }
        let mut request = self.agent.post(&self.url).header("content-type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let answer = request.send(body.to_string().as_bytes()).map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        let reader = answer.into_body().into_reader();
        if !status.is_success() {
            let mut message = String::new();
            let _ = reader.take(LONGEST_MESSAGE).read_to_string(&mut message);
            bail!("{} answers {status}: {}", self.url, message.trim());
        }
        Ok(reader)
    }

    fn unreachable(&self, error: &dyn std::fmt::Display) -> anyhow::Error {
        anyhow!("{} cannot be asked ({error}); see the setting `remote`", self.url)
    }
}

/// What stands in for a network that is elsewhere: it counts what it would have read.
struct Elsewhere {
    held: usize,
}

impl Network for Elsewhere {
    fn extend(&mut self, tokens: &[u32], _: Wanted, _: &Interrupt) -> Result<(), Stopped> {
        self.held += tokens.len();
        Ok(())
    }

    fn extend_each(
        &mut self,
        tokens: &[u32],
        wanted: Wanted,
        interrupt: &Interrupt,
    ) -> Result<&[f32], Stopped> {
        self.extend(tokens, wanted, interrupt)?;
        Ok(&[])
    }

    fn extend_tree(&mut self, tree: &mut Tree, _: &Interrupt) -> Result<&[f32], Stopped> {
        tree.mark_read();
        Ok(&[])
    }

    fn logits(&self) -> &[f32] {
        &[]
    }

    fn truncate(&mut self, len: usize) {
        self.held = self.held.min(len);
    }

    fn len(&self) -> usize {
        self.held
    }

    fn capacity(&self) -> usize {
        CAPACITY
    }

    fn vocabulary(&self) -> usize {
        0
    }

    fn kernels(&self) -> &str {
        "remote"
    }

    fn memory(&self) -> Memory {
        Memory::default()
    }
}
