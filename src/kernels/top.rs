//! The product with a large matrix of which mostly the largest values are wanted, such as scores of all tokens of a
//! vocabulary: the upper four bits of all rows first, then the whole of the few rows that may be at the top.
//!
//! ```text
//! out = 16 · high · x                                 for all rows, half the bytes; of six bits 4 · high · x, two thirds
//! mean, variance = those of product − out             of a few rows here and there
//! best = the product of the row that is first in out
//! near = the rows with out + mean + DEVIATIONS · deviation > best
//! more = mean, mean(product − out − mean) of those, and variance / 2
//! out = product                                       in the groups of sixteen that they belong to
//! out += more                                         in the others, so that e^out is right on average; less than the top
//! ```
//!
//! A low nibble that is left out is off its mean by √((16² − 1) / 12) steps (root mean square), two bits by √((4² − 1) / 12). So
//! a row's product is off by that times its scale times |x|: the row's deviation; more where the sample shows more, as it does if
//! a few columns of x are much larger than all others and scales differ along a row. That a row which is left as it is belongs to
//! the top takes more than five of them, one time in some millions. The mean is not zero, because a block's largest value is
//! always at the end of the range of its upper bits, and it is often in the same column. The products at the top are those of
//! [`super::multiply`], bit for bit.

use anyhow::Result;

use super::isa::LANES;
use super::layout::Encoding;
use super::matrix::PackedMatrix;
use super::product::{Input, multiply};
use super::scratch::{
    new_region, thread_activations, with_thread_near, with_thread_scratch, with_thread_weights,
};
use super::tile::Tile;
use super::{Kernels, SharedPointer};

/// Deviations that a row may be off.
const DEVIATIONS: f32 = 5.0;
/// With more tokens it takes longer to look at rows near the top again than to read all of them whole.
const TOKENS: usize = 8;
/// Groups of rows that tell how far all are off on average.
const SAMPLE: usize = 8;
/// Rows near the top that count as much as what is known of them before.
const FEW: f32 = 4.0;

/// A group of rows whose products are wanted whole.
pub(super) struct Near {
    group: usize,
    products: [f32; LANES],
}

/// How far the products of a sample are from those with high nibbles.
struct Distance {
    mean: f32,
    variance: f32,
    /// What the variance would be if nibbles and activations had nothing to do with each other.
    expected: f32,
}

/// As [`multiply`] with one matrix, but of one in planes (see [`PackedMatrix::into_planes`]) only the largest products are what
/// that gives, for each of the tokens; others are off by a few hundredths of how far all of them lie apart. It reads little more
/// than half the bytes.
///
/// # Errors
/// As [`multiply`].
pub fn multiply_top(kernels: &Kernels, matrix: &PackedMatrix, x: Input, out: &mut [f32]) -> Result<()> {
    let is_worth_it = x.values.len() <= TOKENS * matrix.cols;
    let (Some(high), Some(joined), true) = (matrix.high_plane(), matrix.encoding.joined(), is_worth_it)
    else {
        return multiply(kernels, &[matrix], x, out);
    };
    let unit = (1 << matrix.encoding.low_bits()) as f32;
    multiply(kernels, &[&high], x, out)?;
    let steps = matrix.steps(kernels);
    let out = SharedPointer(out.as_mut_ptr());
    kernels.pool.run(x.values.len() / matrix.cols, &|index| {
        let token = &x.values[index * matrix.cols..][..matrix.cols];
        // SAFETY: each task has its own token's products, of which there are as many as rows.
        let out = unsafe { std::slice::from_raw_parts_mut(out.get().add(index * matrix.rows), matrix.rows) };
        with_thread_scratch(matrix.cols, |normed| {
            let token = match x.norm {
                Some(norm) => {
                    // SAFETY: the level is available; all three are one row long, as the product has found.
                    unsafe { (kernels.routines.rms_norm_row)(token, norm.weight, norm.epsilon, normed) };
                    normed
                }
                None => token,
            };
            let top = Top { kernels, matrix, joined, unit, token, steps };
            with_thread_near(|near| top.find(near, out));
        });
    });
    Ok(())
}

/// What the largest products are made of.
struct Top<'a> {
    kernels: &'a Kernels,
    matrix: &'a PackedMatrix,
    /// What its planes are joined into.
    joined: Encoding,
    /// What one in the first plane is in the whole.
    unit: f32,
    token: &'a [f32],
    steps: &'a [f32],
}

impl Top<'_> {
    /// Makes of products with the high nibbles those of [`multiply_top`]; `near` is empty.
    fn find(&self, near: &mut Vec<Near>, out: &mut [f32]) {
        let routines = self.kernels.routines;
        let length = self.token.iter().map(|value| value * value).sum::<f32>().sqrt();
        let deviation = ((self.unit * self.unit - 1.0) / 12.0).sqrt() * length; // times a row's scale

        let bytes = self.joined.token_bytes(self.matrix.cols);
        let activations = thread_activations(new_region(), bytes, |activations| {
            let (token, cols) = (self.token.as_ptr(), self.matrix.cols);
            // SAFETY: the level is available, and there is room for a tile of one token.
            unsafe { (routines.quantize_token)(self.joined, token, cols, activations, 1, 0) };
        });
        let activations = SharedPointer(activations);

        let Distance { mean, variance, expected } = self.distance(activations.get(), out, deviation);
        let deviation = deviation * (variance / expected).sqrt().max(1.0);
        // SAFETY: the level is available.
        let largest = unsafe { (routines.greatest)(out).0 } / LANES;
        near.push(Near { group: largest, products: self.multiply_group(largest, activations.get()) });
        let rows = LANES.min(out.len() - largest * LANES);
        let best = near[0].products[..rows].iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let reach = DEVIATIONS * deviation;
        // SAFETY: the level is available, and each row has a step.
        unsafe {
            // In steps of `out`, which need not be written for that.
            let (reach, best) = (reach / self.unit, (best - mean) / self.unit);
            (routines.groups_in_reach)(out, self.steps, reach, best, &mut |group| {
                if group != largest {
                    near.push(Near { group, products: [0.0; LANES] });
                }
            });
        }
        let start = SharedPointer(near.as_mut_ptr());
        self.kernels.pool.run(near.len() - 1, &|index| {
            // SAFETY: each task has its own group.
            let near = unsafe { &mut *start.get().add(1 + index) };
            near.products = self.multiply_group(near.group, activations.get());
        });

        let (mut more, mut count, mut most) = (0.0, FEW, best);
        for Near { group, products } in near.iter() {
            let rows = out[group * LANES..].iter().zip(&self.steps[group * LANES..]).zip(products);
            for ((high, step), product) in rows {
                most = most.max(*product);
                let about = self.unit * high + mean;
                if about + reach * step > best {
                    more += product - about;
                    count += 1.0;
                }
            }
        }
        let more = more / count + 0.5 * variance;
        // SAFETY: the level is available.
        unsafe { (routines.shift)(out, self.unit, mean + more, most.next_down()) };
        for Near { group, products } in near.iter() {
            out[group * LANES..].iter_mut().zip(products).for_each(|(out, product)| *out = *product);
        }
    }

    /// How far products are from `unit` · `high`.
    fn distance(&self, activations: *const u8, high: &[f32], deviation: f32) -> Distance {
        let groups = high.len().div_ceil(LANES);
        let sample = (0..SAMPLE.min(groups)).map(|index| index * groups / SAMPLE.min(groups));
        let (mut sum, mut squares, mut expected, mut count) = (0.0, 0.0, 0.0, 0.0);
        for group in sample {
            let products = self.multiply_group(group, activations);
            let rows = high[group * LANES..].iter().zip(&self.steps[group * LANES..]);
            for (product, (high, step)) in products.iter().zip(rows) {
                let distance = product - self.unit * high;
                sum += distance;
                squares += distance * distance;
                expected += (deviation * step) * (deviation * step);
                count += 1.0;
            }
        }
        let mean = sum / count;
        Distance { mean, variance: squares / count - mean * mean, expected: expected / count }
    }

    /// The whole products of a group's rows.
    fn multiply_group(&self, group: usize, activations: *const u8) -> [f32; LANES] {
        let (high, low) = self.matrix.planes(group);
        let bytes = self.joined.group_bytes(self.matrix.cols);
        let mut products = [0.0; LANES];
        with_thread_weights(bytes, |weights| {
            // SAFETY: the level is available; there is room for a group, and one group and one token are multiplied.
            unsafe {
                let room = std::slice::from_raw_parts_mut(weights, bytes);
                (self.kernels.routines.join_planes)(self.matrix.encoding, high, low, room);
                let tile = Tile {
                    weights,
                    group_stride: 0,
                    passes: 1,
                    wide: weights,
                    wide_stride: 0,
                    activations,
                    chunks: self.matrix.cols.div_ceil(self.joined.chunk_columns()),
                    ahead: 0,
                    out: products.as_mut_ptr(),
                    out_stride: 0,
                    start: std::ptr::null(),
                    start_stride: 0,
                };
                (self.kernels.routines.multiply_tile)(self.joined, 1, 1)(&tile);
            }
        });
        products
    }
}
