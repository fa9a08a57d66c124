//! The angles that rotate queries and keys by their position.

use candle_core::{Result, Tensor};

use crate::kernels::RopeStyle;
use crate::model::families::Shape;
use crate::model::ops::{Angles, Ops, Workspace};

/// How fast each pair of a head's values turns, `[head_dim / 2]`: radians a position.
pub struct Rotary {
    frequencies: Vec<f64>,
    style: RopeStyle,
}

impl Rotary {
    /// `1 / base^(2i / head_dim)`, divided by `factors[i]` where the model has them (Llama 3's long contexts).
    ///
    /// # Errors
    /// When the factors are not `head_dim / 2` many.
    pub fn new(shape: &Shape, factors: Option<&[f32]>) -> Result<Self> {
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
        Ok(Self { frequencies, style: shape.rope })
    }

    /// Cosines and sines of the angles at these positions, one for each token of the pass that `work` has begun.
    ///
    /// # Errors
    /// When the device has no memory for them.
    pub fn at(
        &self,
        ops: &Ops,
        work: &Workspace,
        positions: impl ExactSizeIterator<Item = usize>,
    ) -> Result<Angles> {
        let shape = (positions.len(), self.frequencies.len());
        let write = |cos: &mut [f32], sin: &mut [f32]| {
            let angles =
                positions.flat_map(|position| self.frequencies.iter().map(move |f| position as f64 * f));
            for ((cos, sin), angle) in cos.iter_mut().zip(sin).zip(angles) {
                let (s, c) = angle.sin_cos();
                (*sin, *cos) = (s as f32, c as f32);
            }
        };
        let [cos, sin] = match ops {
            Ops::Kernels(_) => work.angles(write)?,
            Ops::Candle(device) => {
                let [mut cos, mut sin] = [(); 2].map(|()| vec![0.0; shape.0 * shape.1]);
                write(&mut cos, &mut sin);
                [Tensor::from_vec(cos, shape, device)?, Tensor::from_vec(sin, shape, device)?]
            }
        };
        Ok(Angles { cos, sin, style: self.style })
    }
}
