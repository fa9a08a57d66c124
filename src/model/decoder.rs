//! The forward pass of the Llama and Qwen2 families, top to bottom, once for every device.

use candle_core::{DType, Result, Tensor};

use crate::interrupt::Interrupt;
use crate::model::embedding::Embedding;
use crate::model::families::Shape;
use crate::model::kv_cache::KvCache;
use crate::model::linear::{Linear, Matrix};
use crate::model::ops::{Heads, Ops};
use crate::model::rotary::Rotary;
use crate::model::weights::Weights;
use crate::model::{Memory, Network, Stopped};

/// A prompt is read in chunks of this many tokens; finished chunks survive an interrupt.
const CHUNK: usize = 128;

/// Tokens of a pass that gives the logits after each.
const EACH: usize = 64;

/// Documents whose tokens are kept beside each other.
const SLOTS: usize = 4;

/// A decoder-only Transformer with its caches.
pub struct Decoder {
    shape: Shape,
    ops: Ops,
    embedding: Embedding,
    blocks: Vec<Block>,
    norm: Tensor,
    head: Linear,
    rotary: Rotary,
    /// One a slot.
    caches: Vec<KvCache>,
    selected: usize,
    /// Of the last pass, `[tokens, vocabulary]`; all but the last token's are kept only where they were asked for.
    logits: Vec<f32>,
    weight_bytes: usize,
}

/// One layer's weights.
struct Block {
    attention_norm: Tensor,
    q: Linear,
    k: Linear,
    v: Linear,
    attention_output: Linear,
    ffn_norm: Tensor,
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
        mut shape: Shape,
        ops: Ops,
        capacity: usize,
        progress: &mut dyn FnMut(f32),
    ) -> anyhow::Result<Self> {
        let capacity = capacity.min(shape.context);
        let heads = Heads { query: shape.heads, kv: shape.kv_heads, dim: shape.head_dim };
        let (q_width, kv_width) = (heads.query * heads.dim, heads.kv * heads.dim);

        let raw = weights.get("token_embd.weight")?;
        let matrix = Matrix::load(&ops, &raw)?;
        shape.vocabulary = raw.rows;
        anyhow::ensure!(
            raw.cols == shape.width,
            "the embedding has rows of {}, not {}",
            raw.cols,
            shape.width
        );
        let head = match weights.find("output.weight")? {
            Some(raw) => Linear::new(Matrix::load(&ops, &raw)?, None),
            None => Linear::new(matrix.clone(), None),
        };
        let mut weight_bytes = matrix.bytes();
        let embedding = Embedding::new(&ops, matrix)?;

        let vector = |name: &str, length: usize| -> anyhow::Result<Tensor> {
            let values = weights.get(name)?.to_f32()?;
            anyhow::ensure!(values.len() == length, "{name} has {} values, not {length}", values.len());
            Ok(Tensor::from_vec(values, length, ops.device())?)
        };
        let linear = |name: &str, rows: usize, cols: usize| -> anyhow::Result<Linear> {
            let raw = weights.get(&format!("{name}.weight"))?;
            let found = (raw.rows, raw.cols);
            anyhow::ensure!(found == (rows, cols), "{name} is {found:?}, not {:?}", (rows, cols));
            let bias = format!("{name}.bias");
            let bias = if weights.find(&bias)?.is_some() { Some(vector(&bias, rows)?) } else { None };
            Ok(Linear::new(Matrix::load(&ops, &raw)?, bias))
        };
        let ffn = weights.get("blk.0.ffn_gate.weight")?.rows;
        let width = shape.width;
        let mut blocks = Vec::with_capacity(shape.layers);
        for layer in 0..shape.layers {
            let name = |part: &str| format!("blk.{layer}.{part}");
            let block = Block {
                attention_norm: vector(&name("attn_norm.weight"), width)?,
                q: linear(&name("attn_q"), q_width, width)?,
                k: linear(&name("attn_k"), kv_width, width)?,
                v: linear(&name("attn_v"), kv_width, width)?,
                attention_output: linear(&name("attn_output"), width, q_width)?,
                ffn_norm: vector(&name("ffn_norm.weight"), width)?,
                gate: linear(&name("ffn_gate"), ffn, width)?,
                up: linear(&name("ffn_up"), ffn, width)?,
                down: linear(&name("ffn_down"), width, ffn)?,
            };
            weight_bytes += block.bytes();
            blocks.push(block);
            progress((layer + 1) as f32 / shape.layers as f32);
        }

        let factors = weights.find("rope_freqs.weight")?.map(|raw| raw.to_f32()).transpose()?;
        let factors =
            factors.or_else(|| (shape.rope_scale != 1.0).then(|| vec![shape.rope_scale; heads.dim / 2]));
        Ok(Self {
            norm: vector("output_norm.weight", width)?,
            rotary: Rotary::new(&ops, capacity, heads.dim, shape.rope_base, factors.as_deref())?,
            caches: (0..SLOTS)
                .map(|_| KvCache::new(&ops, shape.layers, heads, capacity))
                .collect::<Result<_>>()?,
            selected: 0,
            logits: Vec::new(),
            embedding,
            blocks,
            head,
            weight_bytes,
            shape,
            ops,
        })
    }

    /// Read `tokens` and return the last layer's output for them, `[tokens, width]`. The cache grows only if every
    /// layer was computed.
    fn read(&mut self, tokens: &[u32], interrupt: &Interrupt) -> std::result::Result<Tensor, Stopped> {
        let Self { shape, ops, blocks, caches, selected, .. } = self;
        let cache = &mut caches[*selected];
        let (start, epsilon) = (cache.len(), shape.norm_epsilon);
        let heads = Heads { query: shape.heads, kv: shape.kv_heads, dim: shape.head_dim };
        let angles = self.rotary.at(start, tokens.len())?;
        let mut x = self.embedding.rows(tokens, shape.width)?; // [tokens, width]
        for (layer, block) in blocks.iter().enumerate() {
            if interrupt.is_set() {
                return Err(Stopped::Interrupted);
            }
            let (keys, values) = cache.layer(layer); // [kv heads, capacity, dim]
            let h = ops.rms_norm(&x, &block.attention_norm, epsilon)?;
            let q = ops.rope(block.q.forward(&h)?, heads.dim, &angles, shape.rope)?; // [tokens, heads * dim]
            let k = ops.rope(block.k.forward(&h)?, heads.dim, &angles, shape.rope)?; // [tokens, kv heads * dim]
            ops.store(keys, &k, start)?;
            ops.store(values, &block.v.forward(&h)?, start)?;
            let attended = ops.attend(&q, keys, values, start, heads)?; // [tokens, heads * dim]
            x = ops.add(x, &block.attention_output.forward(&attended)?)?;

            let h = ops.rms_norm(&x, &block.ffn_norm, epsilon)?;
            let h = ops.swiglu(block.gate.forward(&h)?, &block.up.forward(&h)?)?; // [tokens, ffn]
            x = ops.add(x, &block.down.forward(&h)?)?;
        }
        cache.grow(tokens.len());
        Ok(x)
    }

    /// Whether a pass over these tokens is possible.
    fn check(&self, tokens: &[u32]) -> anyhow::Result<()> {
        anyhow::ensure!(!tokens.is_empty(), "nothing to read");
        let room = self.capacity() - self.len();
        anyhow::ensure!(tokens.len() <= room, "{} tokens do not fit into the cache", tokens.len());
        let unknown = tokens.iter().find(|token| **token as usize >= self.shape.vocabulary);
        anyhow::ensure!(unknown.is_none(), "there is no token {}", unknown.unwrap_or(&0));
        Ok(())
    }

    /// Logits after each row of `x` `[rows, width]`: `[rows, vocabulary]`.
    fn project(&self, x: &Tensor) -> Result<Tensor> {
        let h = self.ops.rms_norm(x, &self.norm, self.shape.norm_epsilon)?;
        self.head.forward(&h)?.to_dtype(DType::F32)
    }
}

impl Network for Decoder {
    fn extend(&mut self, tokens: &[u32], interrupt: &Interrupt) -> std::result::Result<(), Stopped> {
        self.check(tokens)?;
        let mut last = None;
        for chunk in tokens.chunks(CHUNK) {
            let x = self.read(chunk, interrupt)?;
            last = Some(x.narrow(0, chunk.len() - 1, 1)?.contiguous()?);
        }
        if let Some(x) = last {
            self.logits = self.project(&x)?.squeeze(0)?.to_vec1()?;
        }
        Ok(())
    }

    fn extend_each(&mut self, tokens: &[u32], interrupt: &Interrupt) -> std::result::Result<&[f32], Stopped> {
        self.check(tokens)?;
        if tokens.len() > EACH {
            return Err(anyhow::anyhow!("{} tokens are more than a draft has", tokens.len()).into());
        }
        let x = self.read(tokens, interrupt)?;
        self.logits = self.project(&x)?.flatten_all()?.to_vec1()?;
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
        Ok(target.copy_from(source, len)?)
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

    fn kernels(&self) -> &str {
        match &self.ops {
            Ops::Kernels(kernels) => kernels.name(),
            Ops::Candle(device) if device.is_cuda() => "cuda",
            Ops::Candle(device) if device.is_metal() => "metal",
            Ops::Candle(_) => "candle",
        }
    }

    fn memory(&self) -> Memory {
        let kv_cache = self.caches.iter().map(KvCache::bytes).sum();
        Memory { weights: self.weight_bytes, kv_cache }
    }
}

impl Block {
    fn bytes(&self) -> usize {
        let Self { q, k, v, attention_output, gate, up, down, .. } = self;
        [q, k, v, attention_output, gate, up, down].iter().map(|linear| linear.bytes()).sum()
    }
}
