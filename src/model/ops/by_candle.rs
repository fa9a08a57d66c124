//! The steps of a layer in candle's own operations, for GPUs.

use candle_core::{D, DType, Device, Result, Tensor};

use crate::kernels::{RopeStyle, Sight};
use crate::model::linear::Linear;
use crate::model::ops::{Angles, Heads, LayerCache, Norm, Place};

/// Keys and values, `[kv heads, capacity, dim]` in f16 each.
pub fn new_cache(device: &Device, heads: Heads, capacity: usize) -> Result<Vec<Tensor>> {
    (0..2).map(|_| Tensor::zeros((heads.kv, capacity, heads.dim), DType::F16, device)).collect()
}

pub fn copy_cache(from: &LayerCache, to: &LayerCache, length: usize) -> Result<()> {
    let mut pairs = from.iter().zip(to);
    pairs.try_for_each(|(from, to)| to.slice_set(&from.narrow(1, 0, length)?.contiguous()?, 1, 0))
}

pub fn project(x: &Tensor, norm: &Norm, qkv: &[Linear; 3]) -> Result<Tensor> {
    let h = normalise(x, norm)?;
    let [q, k, v] = qkv.each_ref().map(|linear| linear.forward(&h));
    Tensor::cat(&[q?, k?, v?], 1)
}

pub fn attend(
    qkv: &Tensor,
    cache: &LayerCache,
    place: &Place,
    heads: Heads,
    wanted: usize,
) -> Result<Tensor> {
    let Place { start, angles, sight } = place;
    let [keys, values] = cache else { candle_core::bail!("a cache is keys and values") };
    let (q_width, kv_width) = (heads.query * heads.dim, heads.kv * heads.dim);
    let q = rope(&qkv.narrow(1, 0, q_width)?, heads.dim, angles)?;
    let k = rope(&qkv.narrow(1, q_width, kv_width)?, heads.dim, angles)?;
    store(keys, &k, *start)?;
    store(values, &qkv.narrow(1, q_width + kv_width, kv_width)?, *start)?;
    let tokens = qkv.dims2()?.0;
    let first = tokens - wanted;
    let q = q.narrow(0, first, wanted)?;
    attend_to(&q, keys, values, start + first, sight.of_tokens(first..tokens), heads)
}

pub fn gate(x: &Tensor, norm: &Norm, gate: &Linear, up: &Linear) -> Result<Tensor> {
    let h = normalise(x, norm)?;
    candle_nn::ops::silu(&gate.forward(&h)?)? * up.forward(&h)?
}

pub fn score(x: &Tensor, norm: &Norm, head: &Linear, out: &mut Vec<f32>) -> Result<()> {
    *out = head.forward(&normalise(x, norm)?)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    Ok(())
}

fn normalise(x: &Tensor, norm: &Norm) -> Result<Tensor> {
    candle_nn::ops::rms_norm(&x.contiguous()?, &norm.weight, norm.epsilon)
}

fn rope(x: &Tensor, dim: usize, angles: &Angles) -> Result<Tensor> {
    let (tokens, width) = x.dims2()?;
    let x = x.reshape((1, tokens, width / dim, dim))?.transpose(1, 2)?.contiguous()?; // [1, heads, tokens, dim]
    let rotated = match angles.style {
        RopeStyle::Interleaved => candle_nn::rotary_emb::rope_i(&x, &angles.cos, &angles.sin)?,
        RopeStyle::Halves => candle_nn::rotary_emb::rope(&x, &angles.cos, &angles.sin)?,
    };
    rotated.transpose(1, 2)?.reshape((tokens, width))
}

/// Write `x` `[tokens, kv heads * dim]` into `cache` from position `start` on.
fn store(cache: &Tensor, x: &Tensor, start: usize) -> Result<()> {
    let (kv_heads, _, dim) = cache.dims3()?;
    let x = x.reshape(((), kv_heads, dim))?.transpose(0, 1)?.to_dtype(cache.dtype())?.contiguous()?;
    cache.slice_set(&x, 1, start)
}

fn attend_to(q: &Tensor, k: &Tensor, v: &Tensor, start: usize, sight: Sight, heads: Heads) -> Result<Tensor> {
    let (tokens, width) = q.dims2()?;
    let (group, length) = (heads.query / heads.kv, start + tokens);
    // The query heads that share one key head are stacked as rows of one matrix: no key is copied.
    let q = q.reshape((tokens, heads.kv, group, heads.dim))?.permute((1, 2, 0, 3))?.contiguous()?;
    let q = (q.reshape((heads.kv, group * tokens, heads.dim))? / (heads.dim as f64).sqrt())?;
    let k = k.narrow(1, 0, length)?.to_dtype(DType::F32)?; // [kv heads, length, dim]
    let v = v.narrow(1, 0, length)?.to_dtype(DType::F32)?;
    let scores = q.matmul(&k.transpose(1, 2)?)?.reshape((heads.kv, group, tokens, length))?;
    let sees_all = tokens == 1 && matches!(sight, Sight::Before);
    let scores =
        if sees_all { scores } else { scores.broadcast_add(&mask(tokens, start, sight, q.device())?)? };
    let weights = candle_nn::ops::softmax(&scores, D::Minus1)?.reshape((heads.kv, group * tokens, length))?;
    let mixed = weights.matmul(&v.contiguous()?)?.reshape((heads.kv, group, tokens, heads.dim))?;
    mixed.permute((2, 0, 1, 3))?.contiguous()?.reshape((tokens, width))
}

/// Minus infinity where a token does not see, `[tokens, start + tokens]`.
fn mask(tokens: usize, start: usize, sight: Sight, device: &Device) -> Result<Tensor> {
    let length = start + tokens;
    let value = |row, column| if sight.window(start, row, column) & 1 == 1 { 0.0 } else { f32::NEG_INFINITY };
    let values: Vec<f32> =
        (0..tokens).flat_map(|row| (0..length).map(move |column| value(row, column))).collect();
    Tensor::from_vec(values, (tokens, length), device)
}
