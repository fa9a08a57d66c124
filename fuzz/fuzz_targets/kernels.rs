//! Any bytes as weights: packing and multiplying never panics, and the fastest level agrees with the scalar one.
#![no_main]

use std::sync::{Arc, LazyLock};

use arbitrary::Arbitrary;
use foretype::kernels::{Kernels, Level, PackedMatrix, SourceKind, dequantize, multiply, multiply_top};
use libfuzzer_sys::fuzz_target;

/// The tests' tolerance, here relative to the largest sum that there could be: what is left of sums that cancel out is
/// rounding alone.
const TOLERANCE: f32 = 3e-5;

static SCALAR: LazyLock<Arc<Kernels>> = LazyLock::new(|| Kernels::with_level(1, Level::Scalar).unwrap());
static FASTEST: LazyLock<Arc<Kernels>> = LazyLock::new(|| {
    let level = Level::ALL.into_iter().find(|level| level.is_available()).unwrap();
    Kernels::with_level(2, level).unwrap()
});

#[derive(Arbitrary, Debug)]
struct Input {
    kind: u8,
    rows: u8,
    blocks: u8,
    tokens: u8,
    /// Repeated to as many as the shape asks for.
    weights: Vec<u8>,
    activations: Vec<f32>,
}

fuzz_target!(|input: Input| {
    let kind = SourceKind::ALL[usize::from(input.kind) % SourceKind::ALL.len()];
    let (rows, tokens) = (1 + usize::from(input.rows % 70), 1 + usize::from(input.tokens % 30));
    let cols = 32 * usize::from(input.blocks % 20);
    let Some(row_bytes) = kind.bytes(cols) else {
        assert!(PackedMatrix::pack(&FASTEST, kind, rows, cols, &input.weights).is_err());
        return;
    };
    if cols == 0 || input.weights.is_empty() || input.activations.is_empty() {
        assert!(PackedMatrix::pack(&FASTEST, kind, rows, 0, &input.weights).is_err());
        return;
    }
    let source: Vec<u8> = input.weights.iter().copied().cycle().take(rows * row_bytes).collect();
    let x: Vec<f32> = input.activations.iter().copied().cycle().take(tokens * cols).collect();

    let pack = || PackedMatrix::pack(&FASTEST, kind, rows, cols, &source).unwrap();
    let matrix = pack();
    assert_eq!(matrix.as_bytes(), PackedMatrix::pack(&SCALAR, kind, rows, cols, &source).unwrap().as_bytes());
    let product = |kernels: &Kernels| {
        let mut out = vec![7.0; tokens * rows];
        multiply(kernels, &[&matrix], x[..].into(), &mut out).unwrap();
        out
    };
    let (expected, actual) = (product(&SCALAR), product(&FASTEST));
    let planes = pack().into_planes();
    let mut joined = vec![7.0; tokens * rows];
    multiply(&FASTEST, &[&planes], x[..].into(), &mut joined).unwrap();
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&joined), bits(&actual));
    let mut top = vec![7.0; tokens * rows];
    multiply_top(&FASTEST, &planes, x[..].into(), &mut top).unwrap();

    let mut values = vec![0.0; rows * cols];
    for (row, out) in values.chunks_exact_mut(cols).enumerate() {
        matrix.row(row, out).unwrap();
    }
    // Where numbers are not finite or not far from it, levels may differ.
    let bound = cols as f32 * largest(&x) * (largest(&values) + largest_minimum(kind, &source, rows * cols));
    if bound < 1e37 {
        for (actual, expected) in actual.iter().zip(&expected) {
            let difference = (actual - expected).abs();
            assert!(difference <= TOLERANCE * bound, "{}: {actual}, not {expected}", FASTEST.name());
        }
    }
});

/// The largest absolute value; NaN if there is one.
fn largest(values: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if a.is_nan() || a >= b { a } else { b };
    values.iter().fold(0.0, |largest, value| larger(largest, value.abs()))
}

/// At least what a minimum is that is added to weights, and may cancel them out.
fn largest_minimum(kind: SourceKind, source: &[u8], values: usize) -> f32 {
    let offset = match kind {
        SourceKind::Q4_1 | SourceKind::Q5_1 => 4,
        SourceKind::Q4K | SourceKind::Q5K => 16,
        _ => return 0.0,
    };
    let mut zeros = source.to_vec();
    zeros.chunks_exact_mut(kind.block().1).for_each(|block| block[offset..].fill(0));
    let mut minima = vec![0.0; values];
    dequantize(kind, &zeros, &mut minima).unwrap();
    2.0 * largest(&minima)
}
