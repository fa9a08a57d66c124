//! The forward pass of the Llama and Qwen2 families, top to bottom, once for every device.

use std::path::Path;

use candle_core::{Result, Tensor};

use crate::interrupt::Interrupt;
use crate::kernels::Sight;
use crate::model::embedding::Embedding;
use crate::model::families::Shape;
use crate::model::kv_cache::{KvCache, KvKind};
use crate::model::linear::Linear;
use crate::model::ops::{Heads, Norm, Ops, Place, Workspace};
use crate::model::packed::PackedStore;
use crate::model::rotary::Rotary;
use crate::model::weights::{Raw, Weights};
use crate::model::{Memory, Network, Stopped, Tree, Wanted};

const EMBEDDING: &str = "token_embd.weight";
const HEAD: &str = "output.weight";
const ROPE_FACTORS: &str = "rope_freqs.weight";

/// A prompt is read in chunks of this many tokens; finished chunks survive an interrupt.
const CHUNK: usize = 128;

/// Tokens of a pass that gives the logits after each.
const EACH: usize = 64;

/// Bytes that the caches may take: as many are kept beside each other as fit, one a place that was worked at; the one
/// that was not used for the longest time makes room. One is always there.
const CACHES: usize = 192 << 20;
/// More places are not come back to.
const MOST_SLOTS: usize = 16;

/// A decoder-only Transformer with its caches.
pub struct Decoder {
    shape: Shape,
    heads: Heads,
    ops: Ops,
    embedding: Embedding,
    blocks: Vec<Block>,
    norm: Norm,
    head: Linear,
    rotary: Rotary,
    work: Workspace,
    /// One a slot.
    caches: Vec<KvCache>,
    selected: usize,
    /// Of the last pass, `[tokens, vocabulary]`; all but the last token's are kept only where they were asked for.
    logits: Vec<f32>,
    /// Of the weights.
    memory: Memory,
}

/// For which tokens of a pass the last layer's output is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Output {
    Each,
    Last,
}

/// One layer's weights.
struct Block {
    attention_norm: Norm,
    qkv: [Linear; 3],
    attention_output: Linear,
    ffn_norm: Norm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Decoder {
    /// Load all weights into the form that `ops` computes with; `progress` goes from 0 to 1.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape than the model states.
    pub fn load(
        weights: &Weights,
        shape: Shape,
        ops: Ops,
        capacity: usize,
        progress: &mut dyn FnMut(f32),
    ) -> anyhow::Result<Self> {
        Self::load_packed(weights, shape, ops, capacity, None, progress)
    }

    /// As [`Decoder::load`]; weights that the kernels have packed are kept in `folder`, and taken from there next time.
    ///
    /// # Errors
    /// As [`Decoder::load`]; a folder that cannot be written is only worth a warning.
    pub fn load_packed(
        weights: &Weights,
        mut shape: Shape,
        ops: Ops,
        capacity: usize,
        folder: Option<&Path>,
        progress: &mut dyn FnMut(f32),
    ) -> anyhow::Result<Self> {
        if let Ops::Candle(_) = ops {
            shape.kv_cache = KvKind::F16; // the only one that candle's operations know
        }
        let store = PackedStore::open(folder, weights, &ops);
        // Kernels keep keys in blocks of sixteen positions.
        let capacity = capacity.min(shape.context).next_multiple_of(16);
        let heads = Heads { query: shape.heads, kv: shape.kv_heads, dim: shape.head_dim };
        let (q_width, kv_width) = (heads.query * heads.dim, heads.kv * heads.dim);

        let load = |name: &str, raw: &Raw, bias: Option<Vec<f32>>| match store.find(name) {
            Some(packed) => Linear::packed(packed, bias),
            None => Linear::load(&ops, raw, bias),
        };
        let load_head = |name: &str, raw: &Raw| match store.find(name) {
            Some(packed) => Linear::packed(packed, None),
            None => Linear::load_head(&ops, raw),
        };
        let raw = weights.get(EMBEDDING)?;
        let raw_head = weights.find(HEAD)?;
        let matrix = match raw_head {
            Some(_) => load(EMBEDDING, &raw, None)?,
            None => load_head(EMBEDDING, &raw)?,
        };
        shape.vocabulary = raw.rows;
        anyhow::ensure!(
            raw.cols == shape.width,
            "the embedding has rows of {}, not {}",
            raw.cols,
            shape.width
        );
        let mut memory = Memory { weights: matrix.bytes(), ..Memory::default() };
        let head = match raw_head {
            Some(raw) => {
                let head = load_head(HEAD, &raw)?;
                memory.weights += head.bytes();
                head
            }
            None => matrix.clone(),
        };
        memory.weights_of_pass = head.bytes_for_top();
        let embedding = Embedding::new(&ops, matrix)?;

        let vector = |name: &str, length: usize| -> anyhow::Result<Vec<f32>> {
            let values = store.vector(name, weights)?;
            anyhow::ensure!(values.len() == length, "{name} has {} values, not {length}", values.len());
            Ok(values)
        };
        let norm = |name: &str| -> anyhow::Result<Norm> {
            let weight = Tensor::from_vec(vector(name, shape.width)?, shape.width, ops.device())?;
            Ok(Norm { weight, epsilon: shape.norm_epsilon })
        };
        let linear = |name: &str, rows: usize, cols: usize| -> anyhow::Result<Linear> {
            let full_name = format!("{name}.weight");
            let raw = weights.get(&full_name)?;
            let found = (raw.rows, raw.cols);
            anyhow::ensure!(found == (rows, cols), "{name} is {found:?}, not {:?}", (rows, cols));
            let bias = format!("{name}.bias");
            let bias = if weights.find(&bias)?.is_some() { Some(vector(&bias, rows)?) } else { None };
            load(&full_name, &raw, bias)
        };
        let ffn = weights.get("blk.0.ffn_gate.weight")?.rows;
        let width = shape.width;
        let mut blocks = Vec::new(); // as many as there are, not as many as are claimed
        for layer in 0..shape.layers {
            let name = |part: &str| format!("blk.{layer}.{part}");
            let block = Block {
                attention_norm: norm(&name("attn_norm.weight"))?,
                qkv: [
                    linear(&name("attn_q"), q_width, width)?,
                    linear(&name("attn_k"), kv_width, width)?,
                    linear(&name("attn_v"), kv_width, width)?,
                ],
                attention_output: linear(&name("attn_output"), width, q_width)?,
                ffn_norm: norm(&name("ffn_norm.weight"))?,
                gate: linear(&name("ffn_gate"), ffn, width)?,
                up: linear(&name("ffn_up"), ffn, width)?,
                down: linear(&name("ffn_down"), width, ffn)?,
            };
            memory.weights += block.bytes();
            memory.weights_of_pass += block.bytes();
            blocks.push(block);
            progress((layer + 1) as f32 / shape.layers as f32);
        }

        let output_norm = norm("output_norm.weight")?;
        let factors = weights.find(ROPE_FACTORS)?.map(|_| store.vector(ROPE_FACTORS, weights)).transpose()?;
        let factors =
            factors.or_else(|| (shape.rope_scale != 1.0).then(|| vec![shape.rope_scale; heads.dim / 2]));
        if store.is_missing() {
            let layers = blocks.iter().enumerate().flat_map(|(layer, block)| block.named(layer));
            let outer = [(EMBEDDING.to_owned(), embedding.linear()), (HEAD.to_owned(), &head)];
            store.keep(layers.chain(outer));
        }
        let slots = slots_within(CACHES, KvCache::bytes_for(shape.layers, heads, capacity, shape.kv_cache));
        let caches = (0..slots).map(|_| KvCache::new(&ops, shape.layers, heads, capacity, shape.kv_cache));
        Ok(Self {
            norm: output_norm,
            rotary: Rotary::new(&shape, factors.as_deref())?,
            caches: caches.collect::<Result<_>>()?,
            selected: 0,
            work: Workspace::new(CHUNK, width, heads, ffn)?,
            logits: Vec::new(),
            embedding,
            blocks,
            head,
            memory,
            heads,
            shape,
            ops,
        })
    }

    /// Read `tokens` behind those of the cache and return the last layer's output for `of` them, `[tokens or 1, width]`. The
    /// cache grows only if every layer was computed.
    fn read(
        &mut self,
        tokens: &[u32],
        of: Output,
        interrupt: &Interrupt,
    ) -> std::result::Result<Tensor, Stopped> {
        let start = self.len();
        self.work.begin(tokens.len())?;
        let angles = self.rotary.at(&self.ops, &self.work, start..start + tokens.len())?;
        let x = self.pass(tokens, &Place { start, angles, sight: Sight::Before }, of, interrupt)?;
        self.caches[self.selected].grow(tokens.len());
        Ok(x)
    }

    /// The last layer's output for `of` the tokens, `[tokens or 1, width]`; the keys and values of all are in the cache then.
    /// It stands in the workspace, which has begun the pass, until the next.
    fn pass(
        &self,
        tokens: &[u32],
        place: &Place,
        of: Output,
        interrupt: &Interrupt,
    ) -> std::result::Result<Tensor, Stopped> {
        let Self { ops, work, heads, blocks, caches, selected, .. } = self;
        let cache = &caches[*selected];
        let mut x = self.embedding.rows(work, tokens)?; // [tokens, width]
        for (layer, block) in blocks.iter().enumerate() {
            if interrupt.is_set() {
                return Err(Stopped::Interrupted);
            }
            let qkv = ops.project(work, &x, &block.attention_norm, &block.qkv)?; // [tokens, (heads + 2 kv heads) * dim]
            if of == Output::Last && layer + 1 == self.shape.layers {
                x = x.narrow(0, tokens.len() - 1, 1)?; // of the others only keys and values are read
            }
            let wanted = x.dim(0)?;
            let attended = ops.attend(work, &qkv, cache.layer(layer), place, *heads, wanted)?; // [wanted, heads * dim]
            x = ops.add(x, &block.attention_output, &attended)?;
            let gated = ops.gate(work, &x, &block.ffn_norm, &block.gate, &block.up)?; // [tokens, ffn]
            x = ops.add(x, &block.down, &gated)?;
        }
        Ok(x)
    }

    /// The logits after each row of `x`, as far as they are wanted.
    fn score(&mut self, x: &Tensor, wanted: Wanted) -> Result<()> {
        let Self { ops, norm, head, logits, .. } = self;
        match wanted {
            Wanted::Nothing => logits.clear(),
            Wanted::Likeliest => ops.score_top(x, norm, head, logits)?,
            Wanted::All => ops.score(x, norm, head, logits)?,
        }
        Ok(())
    }

    /// Whether a pass over these tokens is possible, from position `start` of the cache on.
    fn check(&self, tokens: &[u32], start: usize) -> anyhow::Result<()> {
        anyhow::ensure!(!tokens.is_empty(), "nothing to read");
        let room = self.capacity().saturating_sub(start);
        anyhow::ensure!(tokens.len() <= room, "{} tokens do not fit into the cache", tokens.len());
        let unknown = tokens.iter().find(|token| **token as usize >= self.shape.vocabulary);
        anyhow::ensure!(unknown.is_none(), "there is no token {}", unknown.unwrap_or(&0));
        Ok(())
    }
}

impl Network for Decoder {
    fn extend(
        &mut self,
        tokens: &[u32],
        wanted: Wanted,
        interrupt: &Interrupt,
    ) -> std::result::Result<(), Stopped> {
        self.check(tokens, self.len())?;
        let mut last = None;
        for chunk in tokens.chunks(CHUNK) {
            last = Some(self.read(chunk, Output::Last, interrupt)?);
        }
        if let Some(x) = last {
            self.score(&x, wanted)?;
        }
        Ok(())
    }

    fn extend_each(
        &mut self,
        tokens: &[u32],
        wanted: Wanted,
        interrupt: &Interrupt,
    ) -> std::result::Result<&[f32], Stopped> {
        self.check(tokens, self.len())?;
        check_each(tokens)?;
        let x = self.read(tokens, Output::Each, interrupt)?;
        self.score(&x, wanted)?;
        Ok(&self.logits)
    }

    fn extend_tree(
        &mut self,
        tree: &mut Tree,
        interrupt: &Interrupt,
    ) -> std::result::Result<&[f32], Stopped> {
        let (trunk, unread) = (self.len(), tree.unread());
        let (tokens, branches) = (&tree.tokens()[unread.clone()], &tree.branches()[unread.clone()]);
        let start = trunk + unread.start;
        self.check(tokens, start)?;
        check_each(tokens)?;
        self.work.begin(tokens.len())?;
        let depths = tree.depths()[unread].iter();
        let angles = self.rotary.at(&self.ops, &self.work, depths.map(|depth| trunk + depth))?;
        let place = Place { start, angles, sight: Sight::Branches { trunk, branches } };
        let x = self.pass(tokens, &place, Output::Each, interrupt)?;
        self.score(&x, Wanted::All)?;
        tree.mark_read();
        Ok(&self.logits)
    }

    fn logits(&self) -> &[f32] {
        &self.logits[self.logits.len().saturating_sub(self.shape.vocabulary)..]
    }

    fn slots(&self) -> usize {
        self.caches.len()
    }

    fn select(&mut self, slot: usize) {
        assert!(slot < self.caches.len(), "there is no slot {slot}");
        self.selected = slot;
    }

    fn copy_from(&mut self, slot: usize, len: usize) -> anyhow::Result<()> {
        if slot == self.selected {
            self.truncate(len);
            return Ok(());
        }
        let pair = self.caches.get_disjoint_mut([slot, self.selected]);
        let [source, target] = pair.map_err(|_| anyhow::anyhow!("there is no slot {slot}"))?;
        Ok(target.copy_from(&self.ops, source, len)?)
    }

    fn truncate(&mut self, len: usize) {
        self.caches[self.selected].truncate(len);
    }

    fn len(&self) -> usize {
        self.caches[self.selected].len()
    }

    fn capacity(&self) -> usize {
        self.caches[self.selected].capacity()
    }

    fn vocabulary(&self) -> usize {
        self.shape.vocabulary
    }

    fn set_idle(&mut self, threads: Option<usize>) {
        if let Ops::Kernels(kernels) = &self.ops {
            kernels.set_idle(threads);
        }
    }

    fn kernels(&self) -> &str {
        match &self.ops {
            Ops::Kernels(kernels) => kernels.name(),
            Ops::Candle(device) if device.is_cuda() => "cuda",
            Ops::Candle(device) if device.is_metal() => "metal",
            Ops::Candle(_) => "candle",
        }
    }

    fn memory(&self) -> Memory {
        Memory { kv_cache: self.caches.iter().map(KvCache::bytes).sum(), ..self.memory }
    }
}

/// Whether so many tokens can have their logits in one pass.
fn check_each(tokens: &[u32]) -> anyhow::Result<()> {
    anyhow::ensure!(tokens.len() <= EACH, "{} tokens are more than a draft has", tokens.len());
    Ok(())
}

/// Caches of this size that fit into so many bytes.
fn slots_within(bytes: usize, cache: usize) -> usize {
    (bytes / cache.max(1)).clamp(1, MOST_SLOTS)
}

impl Block {
    /// All matrices with their names in the file.
    fn named(&self, layer: usize) -> impl Iterator<Item = (String, &Linear)> {
        let Self { qkv: [q, k, v], attention_output, gate, up, down, .. } = self;
        let named = [
            ("attn_q", q),
            ("attn_k", k),
            ("attn_v", v),
            ("attn_output", attention_output),
            ("ffn_gate", gate),
            ("ffn_up", up),
            ("ffn_down", down),
        ];
        named.into_iter().map(move |(part, linear)| (format!("blk.{layer}.{part}.weight"), linear))
    }

    fn bytes(&self) -> usize {
        self.named(0).map(|(_, linear)| linear.bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_caches_are_kept_as_fit_and_one_at_least() {
        let heads = Heads { query: 9, kv: 3, dim: 64 };
        let [default, bytes] =
            [KvKind::F16, KvKind::Int8].map(|kind| KvCache::bytes_for(30, heads, 2048, kind));
        assert_eq!(default, 2 * 2 * 30 * 3 * 64 * 2048);
        assert_eq!(slots_within(CACHES, bytes), 8);
        assert_eq!(slots_within(CACHES, default), 4);
        assert_eq!((slots_within(100, 60), slots_within(100, 200), slots_within(100, 1)), (1, 1, MOST_SLOTS));
    }
}
