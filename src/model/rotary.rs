//! Tables of the angles that rotate queries and keys by their position.

use candle_core::{Result, Tensor};

use crate::model::ops::{Angles, Ops};

/// Cosines and sines of all positions, `[capacity, head_dim / 2]` each.
pub struct Rotary {
    cos: Tensor,
    sin: Tensor,
}

impl Rotary {
    /// Angles of `capacity` positions: `position / base^(2i / head_dim)`, divided by `factors[i]` where the model has
    /// them (Llama 3's long contexts).
    ///
    /// # Errors
    /// When the factors are not `head_dim / 2` many.
    pub fn new(
        ops: &Ops,
        capacity: usize,
        head_dim: usize,
        base: f64,
        factors: Option<&[f32]>,
    ) -> Result<Self> {
        let half = head_dim / 2;
        if factors.is_some_and(|factors| factors.len() != half) {
            candle_core::bail!("the model's RoPE factors do not fit its heads");
        }
        let frequency = |i: usize| {
            let factor = factors.map_or(1.0, |factors| f64::from(factors[i]));
            base.powf(-2.0 * i as f64 / head_dim as f64) / factor
        };
        let angle = |n: usize| (n / half) as f64 * frequency(n % half);
        let cos: Vec<f32> = (0..capacity * half).map(|n| angle(n).cos() as f32).collect();
        let sin: Vec<f32> = (0..capacity * half).map(|n| angle(n).sin() as f32).collect();
        let table = |values| Tensor::from_vec(values, (capacity, half), ops.device());
        Ok(Self { cos: table(cos)?, sin: table(sin)? })
    }

    /// Angles of `tokens` positions from `start` on.
    pub fn at(&self, start: usize, tokens: usize) -> Result<Angles> {
        Ok(Angles { cos: self.cos.narrow(0, start, tokens)?, sin: self.sin.narrow(0, start, tokens)? })
    }
}
