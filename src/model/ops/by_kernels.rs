//! The steps of a layer as candle custom operations that call our kernels on slices, in place.

use std::cell::Cell;

use candle_core::{
    CpuStorage, Device, Error, InplaceOp1, InplaceOp2, InplaceOp3, Layout, Result, Storage, Tensor,
};
use half::f16;
use half::vec::HalfBitsVecExt;

use crate::kernels::{self, Angles, AttentionShape, Cache, CacheMut, Input, Kernels, PackedMatrix};
use crate::model::KvKind;
use crate::model::linear::Linear;
use crate::model::ops::{self, Heads, LayerCache, Norm, Place};

/// One tensor, laid out as [`kernels::attend`] wants it.
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
    let out = room.clone();
    let [q, k, v] = qkv.each_ref().map(packed);
    let matrices: &[&PackedMatrix] = &[q?, k?, v?];
    out.inplace_op3(x, &norm.weight, &Product { kernels, epsilon: norm.epsilon, matrices, gated: false })?;
    Ok(out)
}

pub fn attend(
    kernels: &Kernels,
    out: Tensor,
    qkv: &Tensor,
    cache: &Tensor,
    place: &Place,
    heads: Heads,
) -> Result<Tensor> {
    cache.inplace_op2(qkv, &Attend { kernels, place, heads, out: &out })?;
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
    let out = room.narrow(0, 0, x.dims2()?.0)?; // of the last layer's rows perhaps only one is wanted
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
    with_floats([x, &norm.weight], |[values, weight]| {
        let norm = kernels::Norm { weight, epsilon: norm.epsilon };
        out.resize(values.len() / head.cols() * head.rows(), 0.0);
        multiply(Input { values, norm: Some(norm) }, out).map_err(Error::wrap)
    })
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

/// Rotates, stores keys and values in the cache and attends to it: changes both the cache and `out`, of which candle hands
/// over one, so the other is asked for inside.
struct Attend<'a> {
    kernels: &'a Kernels,
    place: &'a Place<'a>,
    heads: Heads,
    out: &'a Tensor,
}

impl InplaceOp2 for Attend<'_> {
    fn name(&self) -> &'static str {
        "attend"
    }

    fn cpu_fwd(&self, cache: &mut CpuStorage, cl: &Layout, qkv: &CpuStorage, ql: &Layout) -> Result<()> {
        let &Attend { kernels, place, heads, out } = self;
        let shape = attention_shape(heads, cl.shape().dims4()?.2);
        let qkv = floats(qkv, ql)?;
        let ops::Angles { cos, sin, style } = &place.angles;
        with_floats([cos, sin], |[cos, sin]| {
            let angles = Angles { cos, sin, style: *style };
            let place = kernels::Place { start: place.start, angles, sight: place.sight };
            let cache = cached_mut(cache)?;
            write(out, |out| kernels::attend(kernels, &shape, &place, qkv, cache, out).map_err(Error::wrap))
        })
    }
}

/// Lends the values of a tensor to `change`.
pub fn write(tensor: &Tensor, change: impl FnOnce(&mut [f32]) -> Result<()>) -> Result<()> {
    tensor.inplace_op1(&Write(Cell::new(Some(change))))
}

struct Write<F>(Cell<Option<F>>);

impl<F: FnOnce(&mut [f32]) -> Result<()>> InplaceOp1 for Write<F> {
    fn name(&self) -> &'static str {
        "write"
    }

    fn cpu_fwd(&self, values: &mut CpuStorage, layout: &Layout) -> Result<()> {
        match self.0.take() {
            Some(change) => change(floats_mut(values, layout)?),
            None => candle_core::bail!("an operation ran twice"),
        }
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

/// Lends the values of two tensors.
fn with_floats<R>(tensors: [&Tensor; 2], f: impl FnOnce([&[f32]; 2]) -> Result<R>) -> Result<R> {
    let [(first, first_layout), (second, second_layout)] = tensors.map(Tensor::storage_and_layout);
    match (&*first, &*second) {
        (Storage::Cpu(first), Storage::Cpu(second)) => {
            f([floats(first, first_layout)?, floats(second, second_layout)?])
        }
        _ => candle_core::bail!("the tensor is not on the CPU"),
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
