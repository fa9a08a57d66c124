//! The steps of a layer as candle custom operations that call our kernels on slices.

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, Error, InplaceOp2, InplaceOp3, Layout, Result, Shape, Tensor,
};
use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::kernels::{self, AttentionShape, Kernels, PackedMatrix, RopeStyle};
use crate::model::ops::{Angles, Heads};

pub fn rms_norm(kernels: &Kernels, x: &Tensor, weight: &Tensor, epsilon: f32) -> Result<Tensor> {
    x.apply_op2_no_bwd(weight, &RmsNorm { kernels, epsilon })
}

pub fn rope(kernels: &Kernels, x: Tensor, dim: usize, angles: &Angles, style: RopeStyle) -> Result<Tensor> {
    x.inplace_op3(&angles.cos, &angles.sin, &Rope { kernels, dim, style })?;
    Ok(x)
}

pub fn store(cache: &Tensor, x: &Tensor, start: usize) -> Result<()> {
    cache.inplace_op2(x, &Store { start })
}

pub fn attend(
    kernels: &Kernels,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    start: usize,
    heads: Heads,
) -> Result<Tensor> {
    q.apply_op3_no_bwd(k, v, &Attend { kernels, start, heads })
}

pub fn swiglu(kernels: &Kernels, gate: Tensor, up: &Tensor) -> Result<Tensor> {
    gate.inplace_op2(up, &SwiGlu { kernels })?;
    Ok(gate)
}

pub fn add(x: Tensor, y: &Tensor) -> Result<Tensor> {
    x.inplace_op2(y, &Add)?;
    Ok(x)
}

/// `x` `[tokens, cols]` times the transposed matrix: `[tokens, rows]`.
pub fn multiply(kernels: &Kernels, matrix: &PackedMatrix, x: &Tensor) -> Result<Tensor> {
    x.apply_op1_no_bwd(&Multiply { kernels, matrix })
}

struct RmsNorm<'a> {
    kernels: &'a Kernels,
    epsilon: f32,
}

impl CustomOp2 for RmsNorm<'_> {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        weight: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = floats(x, xl)?;
        let mut out = vec![0.0; x.len()];
        kernels::rms_norm(self.kernels, x, floats(weight, wl)?, self.epsilon, &mut out)
            .map_err(Error::wrap)?;
        Ok((CpuStorage::F32(out), xl.shape().clone()))
    }
}

struct Rope<'a> {
    kernels: &'a Kernels,
    dim: usize,
    style: RopeStyle,
}

impl InplaceOp3 for Rope<'_> {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        xl: &Layout,
        cos: &CpuStorage,
        cl: &Layout,
        sin: &CpuStorage,
        sl: &Layout,
    ) -> Result<()> {
        let (tokens, width) = xl.shape().dims2()?;
        let (cos, sin) = (floats(cos, cl)?, floats(sin, sl)?);
        let x = floats_mut(x, xl)?;
        kernels::rope(self.kernels, x, tokens, width / self.dim, self.dim, cos, sin, self.style)
            .map_err(Error::wrap)
    }
}

struct Store {
    start: usize,
}

impl InplaceOp2 for Store {
    fn name(&self) -> &'static str {
        "kv-store"
    }

    fn cpu_fwd(&self, cache: &mut CpuStorage, cl: &Layout, x: &CpuStorage, xl: &Layout) -> Result<()> {
        let (kv_heads, capacity, dim) = cl.shape().dims3()?;
        let x = floats(x, xl)?;
        let CpuStorage::F16(cache) = cache else { candle_core::bail!("the cache is not f16") };
        for (token, row) in x.chunks_exact(kv_heads * dim).enumerate() {
            for (head, values) in row.chunks_exact(dim).enumerate() {
                let place = cl.start_offset() + (head * capacity + self.start + token) * dim;
                cache[place..place + dim].convert_from_f32_slice(values);
            }
        }
        Ok(())
    }
}

struct Attend<'a> {
    kernels: &'a Kernels,
    start: usize,
    heads: Heads,
}

impl CustomOp3 for Attend<'_> {
    fn name(&self) -> &'static str {
        "attend"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        ql: &Layout,
        k: &CpuStorage,
        kl: &Layout,
        v: &CpuStorage,
        vl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let q = floats(q, ql)?;
        let shape = AttentionShape {
            heads: self.heads.query,
            kv_heads: self.heads.kv,
            head_dim: self.heads.dim,
            capacity: kl.shape().dims3()?.1,
        };
        let mut out = vec![0.0; q.len()];
        kernels::attend(self.kernels, &shape, self.start, q, halves(k, kl)?, halves(v, vl)?, &mut out)
            .map_err(Error::wrap)?;
        Ok((CpuStorage::F32(out), ql.shape().clone()))
    }
}

struct SwiGlu<'a> {
    kernels: &'a Kernels,
}

impl InplaceOp2 for SwiGlu<'_> {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(&self, gate: &mut CpuStorage, gl: &Layout, up: &CpuStorage, ul: &Layout) -> Result<()> {
        kernels::swiglu(self.kernels, floats_mut(gate, gl)?, floats(up, ul)?).map_err(Error::wrap)
    }
}

struct Add;

impl InplaceOp2 for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, xl: &Layout, y: &CpuStorage, yl: &Layout) -> Result<()> {
        kernels::add_in_place(floats_mut(x, xl)?, floats(y, yl)?);
        Ok(())
    }
}

struct Multiply<'a> {
    kernels: &'a Kernels,
    matrix: &'a PackedMatrix,
}

impl CustomOp1 for Multiply<'_> {
    fn name(&self) -> &'static str {
        "packed-multiply"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout) -> Result<(CpuStorage, Shape)> {
        let tokens = xl.shape().dims2()?.0;
        let mut out = vec![0.0; tokens * self.matrix.rows()];
        self.matrix.multiply(self.kernels, tokens, floats(x, xl)?, &mut out).map_err(Error::wrap)?;
        Ok((CpuStorage::F32(out), Shape::from((tokens, self.matrix.rows()))))
    }
}

fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (begin, end) = contiguous(layout)?;
    Ok(&storage.as_slice::<f32>()?[begin..end])
}

fn halves<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f16]> {
    let (begin, end) = contiguous(layout)?;
    Ok(&storage.as_slice::<f16>()?[begin..end])
}

fn floats_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    let (begin, end) = contiguous(layout)?;
    match storage {
        CpuStorage::F32(values) => Ok(&mut values[begin..end]),
        _ => candle_core::bail!("the tensor is not f32"),
    }
}

fn contiguous(layout: &Layout) -> Result<(usize, usize)> {
    match layout.contiguous_offsets() {
        Some(offsets) => Ok(offsets),
        None => candle_core::bail!("the tensor is not contiguous"),
    }
}
