//! The angles that rotate queries and keys by their position.

use candle_core::{Device, Result, Tensor};

use crate::kernels::RopeStyle;
use crate::model::families::Shape;
use crate::model::ops::{Angles, Ops};

/// How fast each pair of a head's values turns, `[head_dim / 2]`: radians a position.
pub struct Rotary {
    frequencies: Vec<f64>,
    style: RopeStyle,
    device: Device,
}

impl Rotary {
    /// `1 / base^(2i / head_dim)`, divided by `factors[i]` where the model has them (Llama 3's long contexts).
    ///
    /// # Errors
    /// When the factors are not `head_dim / 2` many.
    pub fn new(ops: &Ops, shape: &Shape, factors: Option<&[f32]>) -> Result<Self> {
        let &Shape { head_dim, rope_base: base, .. } = shape;
        let half = head_dim / 2;
        if factors.is_some_and(|factors| factors.len() != half) {
            candle_core::bail!("the model's RoPE factors do not fit its heads");
        }
        let frequency = |i: usize| {
            let factor = factors.map_or(1.0, |factors| f64::from(factors[i]));
            base.powf(-2.0 * i as f64 / head_dim as f64) / factor
        };
        let frequencies = (0..half).map(frequency).collect();
        Ok(Self { frequencies, style: shape.rope, device: ops.device().clone() })
    }

    /// Cosines and sines of the angles at these positions.
    ///
    /// # Errors
    /// When the device has no memory for them.
    pub fn at(&self, positions: impl ExactSizeIterator<Item = usize>) -> Result<Angles> {
        let shape = (positions.len(), self.frequencies.len());
        let angles = positions.flat_map(|position| self.frequencies.iter().map(move |f| position as f64 * f));
        let (sin, cos): (Vec<f32>, Vec<f32>) = angles
            .map(|angle| {
                let (sin, cos) = angle.sin_cos();
                (sin as f32, cos as f32)
            })
            .unzip();
        let tensor = |values| Tensor::from_vec(values, shape, &self.device);
        Ok(Angles { cos: tensor(cos)?, sin: tensor(sin)?, style: self.style })
    }
}
