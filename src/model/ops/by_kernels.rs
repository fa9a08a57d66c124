//! The steps of a layer as candle custom operations that call our kernels on slices, in place.

use candle_core::{CpuStorage, Device, Error, InplaceOp2, InplaceOp3, Layout, Result, Storage, Tensor};
use half::f16;
use half::vec::HalfBitsVecExt;

use crate::kernels::{self, AttentionShape, Cache, CacheMut, Input, Kernels, PackedMatrix};
use crate::model::KvKind;
use crate::model::linear::Linear;
use crate::model::ops::{Heads, LayerCache, Norm, Place};

/// One tensor, laid out as [`kernels::store`] says.
pub fn new_cache(heads: Heads, capacity: usize, kind: KvKind) -> Result<Vec<Tensor>> {
    let shape = attention_shape(heads, capacity);
    // Whole numbers come zeroed from the system, their pages untouched; `Tensor::zeros` would write each f16.
    Ok(vec![match kind {
        KvKind::F16 => {
            let values: Vec<f16> = vec![0_u16; shape.cache_values()].reinterpret_into();
            Tensor::from_vec(values, (2, heads.kv, capacity, heads.dim), &Device::Cpu)?
        }
        KvKind::Int8 => {
            let row = shape.cache_bytes() / (2 * heads.kv * capacity);
            Tensor::from_vec(vec![0_u8; shape.cache_bytes()], (2, heads.kv, capacity, row), &Device::Cpu)?
        }
    }])
}

pub fn copy_cache(from: &LayerCache, to: &LayerCache, heads: Heads, length: usize) -> Result<()> {
    to[0].inplace_op2(&from[0], &CopyCache { heads, length })
}

pub fn project(
    kernels: &Kernels,
    room: &Tensor,
    x: &Tensor,
    norm: &Norm,
    qkv: &[Linear; 3],
) -> Result<Tensor> {
    let out = room.narrow(0, 0, x.dims2()?.0)?;
    let [q, k, v] = qkv.each_ref().map(packed);
    let matrices: &[&PackedMatrix] = &[q?, k?, v?];
    out.inplace_op3(x, &norm.weight, &Product { kernels, epsilon: norm.epsilon, matrices, gated: false })?;
    Ok(out)
}

pub fn attend(
    kernels: &Kernels,
    room: &Tensor,
    qkv: &Tensor,
    cache: &Tensor,
    place: &Place,
    heads: Heads,
) -> Result<Tensor> {
    let out = room.narrow(0, 0, qkv.dims2()?.0)?;
    let attention = Attention { kernels, place, heads };
    qkv.inplace_op3(&place.angles.cos, &place.angles.sin, &attention)?;
    cache.inplace_op2(qkv, &attention)?;
    out.inplace_op3(qkv, cache, &Attend(attention))?;
    Ok(out)
}

pub fn gate(
    kernels: &Kernels,
    room: &Tensor,
    x: &Tensor,
    norm: &Norm,
    gate: &Linear,
    up: &Linear,
) -> Result<Tensor> {
    let out = room.narrow(0, 0, x.dims2()?.0)?;
    let matrices: &[&PackedMatrix] = &[packed(gate)?, packed(up)?];
    out.inplace_op3(x, &norm.weight, &Product { kernels, epsilon: norm.epsilon, matrices, gated: true })?;
    Ok(out)
}

pub fn add(kernels: &Kernels, x: Tensor, linear: &Linear, y: &Tensor) -> Result<Tensor> {
    x.inplace_op2(y, &AddProduct { kernels, matrix: packed(linear)? })?;
    Ok(x)
}

pub fn score(kernels: &Kernels, x: &Tensor, norm: &Norm, head: &Linear, out: &mut Vec<f32>) -> Result<()> {
    let head = packed(head)?;
    with_scores(x, norm, head, out, |input, out| kernels::multiply(kernels, &[head], input, out))
}

pub fn score_top(
    kernels: &Kernels,
    x: &Tensor,
    norm: &Norm,
    head: &Linear,
    out: &mut Vec<f32>,
) -> Result<()> {
    let head = packed(head)?;
    with_scores(x, norm, head, out, |input, out| kernels::multiply_top(kernels, head, input, out))
}

/// Makes room for the scores after each row of `x`, and has `multiply` fill it.
fn with_scores(
    x: &Tensor,
    norm: &Norm,
    head: &PackedMatrix,
    out: &mut Vec<f32>,
    multiply: impl FnOnce(Input, &mut [f32]) -> anyhow::Result<()>,
) -> Result<()> {
    let ((x, x_layout), (weight, weight_layout)) = (x.storage_and_layout(), norm.weight.storage_and_layout());
    let (Storage::Cpu(x), Storage::Cpu(weight)) = (&*x, &*weight) else {
        candle_core::bail!("the tensor is not on the CPU")
    };
    let values = floats(x, x_layout)?;
    let norm = kernels::Norm { weight: floats(weight, weight_layout)?, epsilon: norm.epsilon };
    out.resize(values.len() / head.cols() * head.rows(), 0.0);
    multiply(Input { values, norm: Some(norm) }, out).map_err(Error::wrap)
}

fn packed(linear: &Linear) -> Result<&PackedMatrix> {
    match linear {
        Linear::Packed(matrix) => Ok(matrix),
        Linear::Candle { .. } => candle_core::bail!("the matrix is not packed"),
    }
}

fn attention_shape(heads: Heads, capacity: usize) -> AttentionShape {
    AttentionShape { heads: heads.query, kv_heads: heads.kv, head_dim: heads.dim, capacity }
}

/// `out = (matrices · norm(x))`, side by side or the first as the gate of the second.
struct Product<'a> {
    kernels: &'a Kernels,
    epsilon: f32,
    matrices: &'a [&'a PackedMatrix],
    gated: bool,
}

impl InplaceOp3 for Product<'_> {
    fn name(&self) -> &'static str {
        "packed-product"
    }

    fn cpu_fwd(
        &self,
        out: &mut CpuStorage,
        ol: &Layout,
        x: &CpuStorage,
        xl: &Layout,
        weight: &CpuStorage,
        wl: &Layout,
    ) -> Result<()> {
        let norm = kernels::Norm { weight: floats(weight, wl)?, epsilon: self.epsilon };
        let input = Input { values: floats(x, xl)?, norm: Some(norm) };
        let out = floats_mut(out, ol)?;
        match self.matrices {
            [gate, up] if self.gated => kernels::multiply_gated(self.kernels, gate, up, input, out),
            matrices => kernels::multiply(self.kernels, matrices, input, out),
        }
        .map_err(Error::wrap)
    }
}

/// `x += matrix · y`
struct AddProduct<'a> {
    kernels: &'a Kernels,
    matrix: &'a PackedMatrix,
}

impl InplaceOp2 for AddProduct<'_> {
    fn name(&self) -> &'static str {
        "packed-product-add"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, xl: &Layout, y: &CpuStorage, yl: &Layout) -> Result<()> {
        kernels::multiply_add(self.kernels, self.matrix, floats(y, yl)?.into(), floats_mut(x, xl)?)
            .map_err(Error::wrap)
    }
}

struct Attention<'a> {
    kernels: &'a Kernels,
    place: &'a Place<'a>,
    heads: Heads,
}

/// Rotates queries and keys.
impl InplaceOp3 for Attention<'_> {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(
        &self,
        qkv: &mut CpuStorage,
        ql: &Layout,
        cos: &CpuStorage,
        cl: &Layout,
        sin: &CpuStorage,
        sl: &Layout,
    ) -> Result<()> {
        let Heads { query, kv, dim } = self.heads;
        let (cos, sin) = (floats(cos, cl)?, floats(sin, sl)?);
        let qkv = floats_mut(qkv, ql)?;
        kernels::rope(self.kernels, qkv, self.heads.row(), query + kv, dim, cos, sin, self.place.angles.style)
            .map_err(Error::wrap)
    }
}

/// Stores keys and values.
impl InplaceOp2 for Attention<'_> {
    fn name(&self) -> &'static str {
        "kv-store"
    }

    fn cpu_fwd(&self, cache: &mut CpuStorage, cl: &Layout, qkv: &CpuStorage, ql: &Layout) -> Result<()> {
        let shape = attention_shape(self.heads, cl.shape().dims4()?.2);
        kernels::store(self.kernels, &shape, self.place.start, floats(qkv, ql)?, cached_mut(cache)?)
            .map_err(Error::wrap)
    }
}

struct Attend<'a>(Attention<'a>);

impl InplaceOp3 for Attend<'_> {
    fn name(&self) -> &'static str {
        "attend"
    }

    fn cpu_fwd(
        &self,
        out: &mut CpuStorage,
        ol: &Layout,
        qkv: &CpuStorage,
        ql: &Layout,
        cache: &CpuStorage,
        cl: &Layout,
    ) -> Result<()> {
        let Attention { kernels, place, heads } = self.0;
        let shape = attention_shape(heads, cl.shape().dims4()?.2);
        let (qkv, cache, out) = (floats(qkv, ql)?, cached(cache)?, floats_mut(out, ol)?);
        kernels::attend(kernels, &shape, place.start, place.sight, qkv, cache, out).map_err(Error::wrap)
    }
}

struct CopyCache {
    heads: Heads,
    length: usize,
}

impl InplaceOp2 for CopyCache {
    fn name(&self) -> &'static str {
        "kv-copy"
    }

    fn cpu_fwd(&self, to: &mut CpuStorage, tl: &Layout, from: &CpuStorage, _: &Layout) -> Result<()> {
        let shape = attention_shape(self.heads, tl.shape().dims4()?.2);
        kernels::copy_cache(&shape, cached(from)?, cached_mut(to)?, self.length).map_err(Error::wrap)
    }
}

fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (begin, end) = contiguous(layout)?;
    Ok(&storage.as_slice::<f32>()?[begin..end])
}

fn floats_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    let (begin, end) = contiguous(layout)?;
    match storage {
        CpuStorage::F32(values) => Ok(&mut values[begin..end]),
        _ => candle_core::bail!("the tensor is not f32"),
    }
}

fn cached(storage: &CpuStorage) -> Result<Cache<'_>> {
    match storage {
        CpuStorage::F16(values) => Ok(Cache::Halves(values)),
        CpuStorage::U8(bytes) => Ok(Cache::Bytes(bytes)),
        _ => candle_core::bail!("no cache is of such numbers"),
    }
}

fn cached_mut(storage: &mut CpuStorage) -> Result<CacheMut<'_>> {
    match storage {
        CpuStorage::F16(values) => Ok(CacheMut::Halves(values)),
        CpuStorage::U8(bytes) => Ok(CacheMut::Bytes(bytes)),
        _ => candle_core::bail!("no cache is of such numbers"),
    }
}

fn contiguous(layout: &Layout) -> Result<(usize, usize)> {
    match layout.contiguous_offsets() {
        Some(offsets) => Ok(offsets),
        None => candle_core::bail!("the tensor is not contiguous"),
    }
}
