//! Tables of the angles that rotate queries and keys by their position.

use candle_core::{Result, Tensor};

use crate::kernels::RopeStyle;
use crate::model::families::Shape;
use crate::model::ops::{Angles, Ops};

/// Cosines and sines of all positions, `[capacity, head_dim / 2]` each.
pub struct Rotary {
    cos: Tensor,
    sin: Tensor,
    style: RopeStyle,
}

impl Rotary {
    /// Angles of `capacity` positions: `position / base^(2i / head_dim)`, divided by `factors[i]` where the model has
    /// them (Llama 3's long contexts).
    ///
    /// # Errors
    /// When the factors are not `head_dim / 2` many.
    pub fn new(ops: &Ops, capacity: usize, shape: &Shape, factors: Option<&[f32]>) -> Result<Self> {
        let &Shape { head_dim, rope_base: base, .. } = shape;
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
        Ok(Self { cos: table(cos)?, sin: table(sin)?, style: shape.rope })
    }

    /// Angles of `tokens` positions from `start` on.
    pub fn at(&self, start: usize, tokens: usize) -> Result<Angles> {
        let part = |table: &Tensor| table.narrow(0, start, tokens);
        Ok(Angles { cos: part(&self.cos)?, sin: part(&self.sin)?, style: self.style })
    }

    /// Angles of these positions.
    pub fn of(&self, positions: &[usize]) -> Result<Angles> {
        let positions: Vec<u32> = positions.iter().map(|position| *position as u32).collect();
        let positions = Tensor::new(positions, self.cos.device())?;
        let part = |table: &Tensor| table.index_select(&positions, 0);
        Ok(Angles { cos: part(&self.cos)?, sin: part(&self.sin)?, style: self.style })
    }
}
