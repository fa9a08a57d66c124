//! Every instruction level of this machine against plain formulas in `f64` and against the scalar level.

use std::sync::Arc;

use half::{bf16, f16};
use proptest::prelude::*;

use super::isa::LANES;
use super::*;
use attention::{check_attention, check_branches};
use elementwise::check_elementwise;

mod attention;
mod elementwise;
mod planes;
mod scores;

/// Repeatable numbers: enough randomness for weights, without a dependency.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// In −1…1.
    fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.float()).collect()
    }
}

/// All levels that this CPU has, with one and with two threads.
fn all_kernels() -> Vec<Arc<Kernels>> {
    let levels = Level::ALL.into_iter().filter(|level| level.is_available());
    levels.flat_map(|level| [1, 2].map(|threads| Kernels::with_level(threads, level).unwrap())).collect()
}

/// Random weights of a format, of about unit size.
fn random_matrix(kind: SourceKind, rows: usize, cols: usize, numbers: &mut Numbers) -> Vec<u8> {
    let (block_values, block_bytes) = kind.block();
    let mut bytes: Vec<u8> =
        (0..rows * cols / block_values * block_bytes).map(|_| numbers.next() as u8).collect();
    for block in bytes.chunks_exact_mut(block_bytes) {
        let mut half = |offset: usize, scale: f32| {
            block[offset..offset + 2].copy_from_slice(&f16::from_f32(numbers.float() * scale).to_le_bytes());
        };
        match kind {
            SourceKind::F32 => block.copy_from_slice(&numbers.float().to_le_bytes()),
            SourceKind::F16 => half(0, 1.0),
            SourceKind::BF16 => block.copy_from_slice(&bf16::from_f32(numbers.float()).to_le_bytes()),
            SourceKind::Q4_0 => half(0, 0.1),
            SourceKind::Q5_0 => half(0, 0.05),
            SourceKind::Q8_0 => half(0, 0.01),
            SourceKind::Q4_1 | SourceKind::Q5_1 => {
                half(0, 0.05);
                half(2, 1.0);
            }
            SourceKind::Q4K | SourceKind::Q5K => {
                half(0, 0.001);
                half(2, 0.02);
            }
            SourceKind::Q6K => half(208, 0.0005),
        }
    }
    bytes
}

/// How far `actual` is from `expected`, relative to the size of `expected` as a whole.
fn distance(actual: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let difference = squares(&mut actual.iter().zip(expected).map(|(a, e)| f64::from(*a) - e));
    (difference / squares(&mut expected.iter().copied()).max(1e-30)).sqrt()
}

fn check_close(kernels: &Kernels, actual: &[f32], expected: &[f64], tolerance: f64) {
    let distance = distance(actual, expected);
    assert!(distance <= tolerance, "{}, {} threads: {distance}", kernels.name(), kernels.threads());
}

/// The activations as the kernels see them: multiples of a scale for every 32.
fn rounded_to_bytes(x: &[f32]) -> Vec<f64> {
    let round = |block: &[f32]| {
        let largest = block.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        let step = f64::from(largest) / 127.0;
        block.iter().map(|value| f64::from((value * inverse).round_ties_even()) * step).collect::<Vec<_>>()
    };
    x.chunks(32).flat_map(round).collect()
}

fn multiply_reference(weights: &[f32], x: &[f64], rows: usize, cols: usize) -> Vec<f64> {
    let dot = |token: &[f64], row: &[f32]| token.iter().zip(row).map(|(x, w)| x * f64::from(*w)).sum::<f64>();
    let product = |token| weights.chunks(cols).take(rows).map(move |row| dot(token, row)).collect::<Vec<_>>();
    x.chunks(cols).flat_map(product).collect()
}

fn check_multiply(kind: SourceKind, rows: usize, cols: usize, tokens: usize, seed: u64) {
    let mut numbers = Numbers(seed | 1);
    let source = random_matrix(kind, rows, cols, &mut numbers);
    let x = numbers.floats(tokens * cols);
    let mut values = vec![0.0; rows * cols];
    dequantize(kind, &source, &mut values).unwrap();
    for kernels in all_kernels() {
        let matrix = PackedMatrix::pack(&kernels, kind, rows, cols, &source).unwrap();
        let mut weights = vec![0.0; rows * cols];
        for (row, out) in weights.chunks_exact_mut(cols).enumerate() {
            matrix.row(row, out).unwrap();
        }
        let exact: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
        let tolerance = match kind {
            SourceKind::F32 | SourceKind::F16 | SourceKind::BF16 => 0.01,
            // Its scales and minima become halves.
            SourceKind::Q5K => 5e-4,
            _ => 1e-7,
        };
        check_close(&kernels, &weights, &exact, tolerance);

        // Beyond the result: a guard that no tile may touch.
        let mut out = vec![7.0; tokens * rows + 64];
        multiply(&kernels, &[&matrix], x[..].into(), &mut out[..tokens * rows]).unwrap();
        let (out, guard) = out.split_at(tokens * rows);
        assert!(guard.iter().all(|value| *value == 7.0), "{} wrote past the end", kernels.name());
        check_close(&kernels, out, &multiply_reference(&weights, &rounded_to_bytes(&x), rows, cols), 3e-5);
        let unrounded: Vec<f64> = x.iter().map(|value| f64::from(*value)).collect();
        check_close(&kernels, out, &multiply_reference(&values, &unrounded, rows, cols), 0.03);
    }
}

#[test]
fn products_of_every_format() {
    for kind in SourceKind::ALL {
        let cols = if kind.block().0 == 256 { 256 } else { 96 };
        check_multiply(kind, 21, cols, 3, 11);
        check_multiply(kind, 48, 2 * cols, 17, 12);
    }
}

#[test]
fn products_of_every_small_batch() {
    for tokens in 1..=20 {
        check_multiply(SourceKind::Q4_0, 33, 64, tokens, tokens as u64);
    }
}

/// The largest sums that there can be, of either sign: they must fit where a level adds them up.
#[test]
fn products_of_the_largest_weights_and_activations() {
    for kind in SourceKind::ALL.into_iter().filter(|kind| kind.block().0 > 1) {
        let (block_values, block_bytes) = kind.block();
        let cols = block_values.max(64);
        for (byte, eight_bits) in [(0x00, 0x81), (0xff, 0x7f)] {
            let (mut block, scale) = (vec![byte; block_bytes], f16::from_f32(1.0).to_le_bytes());
            block[..2].copy_from_slice(&scale);
            match kind {
                SourceKind::Q4_1 | SourceKind::Q5_1 => block[2..4].copy_from_slice(&scale),
                SourceKind::Q8_0 => block[2..].fill(eight_bits),
                SourceKind::Q4K | SourceKind::Q5K => {
                    block[2..4].copy_from_slice(&scale);
                    // Scales and minima of 1.
                    block[4..16].copy_from_slice(&[1, 1, 1, 1, 1, 1, 1, 1, 0x11, 0x11, 0x11, 0x11]);
                }
                SourceKind::Q6K => {
                    block[..2].fill(byte);
                    block[192..208].fill(1);
                    block[208..].copy_from_slice(&scale);
                }
                _ => {}
            }
            let source = block.repeat(LANES * cols / block_values);
            let mut weights = vec![0.0; LANES * cols];
            dequantize(kind, &source, &mut weights).unwrap();
            for signs in [[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]] {
                let x = signs.repeat(3 * cols / 2);
                let wide: Vec<f64> = x.iter().copied().map(f64::from).collect();
                let expected = multiply_reference(&weights, &wide, LANES, cols);
                for kernels in all_kernels() {
                    let matrix = PackedMatrix::pack(&kernels, kind, LANES, cols, &source).unwrap();
                    let mut out = vec![7.0; 3 * LANES];
                    multiply(&kernels, &[&matrix], x[..].into(), &mut out).unwrap();
                    for (actual, expected) in out.iter().zip(&expected) {
                        let difference = (f64::from(*actual) - expected).abs();
                        assert!(difference < 0.1, "{} {kind:?}: {actual}, not {expected}", kernels.name());
                    }
                }
            }
        }
    }
}

/// Many tokens are multiplied with weights that are made ready first; that may change no bit.
#[test]
fn products_do_not_depend_on_how_many_tokens_there_are() {
    let (rows, cols, tokens) = (40, 512, 40);
    let mut numbers = Numbers(17);
    let x = numbers.floats(tokens * cols);
    for kind in SourceKind::ALL {
        let source = random_matrix(kind, rows, cols, &mut numbers);
        for kernels in all_kernels() {
            let matrix = PackedMatrix::pack(&kernels, kind, rows, cols, &source).unwrap();
            let mut together = vec![0.0; tokens * rows];
            multiply(&kernels, &[&matrix], x[..].into(), &mut together).unwrap();
            for (x, expected) in x.chunks(cols).zip(together.chunks(rows)) {
                let mut alone = vec![0.0; rows];
                multiply(&kernels, &[&matrix], x.into(), &mut alone).unwrap();
                assert_eq!(alone, expected, "{} {kind:?}", kernels.name());
            }
        }
    }
}

#[test]
fn products_of_many_tokens_are_divided_among_threads() {
    check_multiply(SourceKind::Q4_1, 70, 64, 230, 5);
    check_multiply(SourceKind::Q8_0, 500, 96, 2, 6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn products_of_random_shapes(
        kind in prop::sample::select(&SourceKind::ALL[..]),
        rows in 1_usize..80,
        blocks in 1_usize..7,
        tokens in 1_usize..40,
        seed: u64,
    ) {
        check_multiply(kind, rows, kind.block().0.max(32) * blocks, tokens, seed);
    }

    #[test]
    fn attention_of_random_shapes(
        kv_heads in 1_usize..4,
        group in 1_usize..6,
        vectors in 1_usize..6,
        start in 0_usize..200,
        tokens in 1_usize..40,
        spare in 0_usize..20,
        seed: u64,
    ) {
        let shape = AttentionShape {
            heads: kv_heads * group,
            kv_heads,
            head_dim: 16 * vectors,
            capacity: (start + tokens + spare).next_multiple_of(16),
        };
        check_attention(shape, start, tokens, seed);
        check_branches(shape, start, tokens, seed);
    }

    #[test]
    fn combined_products_of_random_shapes(
        rows in [1_usize..60, 1_usize..60, 1_usize..60],
        blocks in 1_usize..5,
        tokens in 1_usize..30,
        seed: u64,
    ) {
        check_combined(rows, blocks, tokens, seed);
    }

    #[test]
    fn elementwise_operations_on_random_shapes(rows in 1_usize..5, width in 1_usize..90, seed: u64) {
        check_elementwise(rows, width, seed);
    }
}

/// Several matrices at once, with biases, a norm, a gate and a sum, against one product after the other.
fn check_combined(rows: [usize; 3], blocks: usize, tokens: usize, seed: u64) {
    let cols = 32 * blocks;
    let mut numbers = Numbers(seed | 1);
    let kinds = if cols == 256 {
        [SourceKind::Q6K, SourceKind::Q4K, SourceKind::Q5K]
    } else {
        [SourceKind::Q4_0, SourceKind::Q4_1, SourceKind::Q8_0]
    };
    let sources: Vec<_> = (0..3).map(|i| random_matrix(kinds[i], rows[i], cols, &mut numbers)).collect();
    let biases: Vec<_> = rows.iter().map(|rows| numbers.floats(*rows)).collect();
    let (x, weight) = (numbers.floats(tokens * cols), numbers.floats(cols));
    for kernels in all_kernels() {
        let pack = |i: usize| PackedMatrix::pack(&kernels, kinds[i], rows[i], cols, &sources[i]).unwrap();
        let mut normed = vec![0.0; x.len()];
        for (x, out) in x.chunks(cols).zip(normed.chunks_mut(cols)) {
            // SAFETY: the level is available.
            unsafe { (kernels.routines.rms_norm_row)(x, &weight, 1e-5, out) };
        }
        let alone: Vec<Vec<f32>> = (0..3)
            .map(|i| {
                let mut out = vec![0.0; tokens * rows[i]];
                multiply(&kernels, &[&pack(i)], normed[..].into(), &mut out).unwrap();
                out
            })
            .collect();
        let input = Input { values: &x, norm: Some(Norm { weight: &weight, epsilon: 1e-5 }) };

        let biased: Vec<_> = (0..3).map(|i| pack(i).with_bias(&biases[i]).unwrap()).collect();
        let width: usize = rows.iter().sum();
        let mut out = vec![7.0; tokens * width];
        multiply(&kernels, &biased.iter().collect::<Vec<_>>(), input, &mut out).unwrap();
        let (alone, biases) = (&alone, &biases);
        let of_token = |token: usize| {
            let part = move |i: usize| {
                let product = &alone[i][token * rows[i]..][..rows[i]];
                product.iter().zip(&biases[i]).map(|(y, bias)| f64::from(*y) + f64::from(*bias))
            };
            part(0).chain(part(1)).chain(part(2)).collect::<Vec<_>>()
        };
        check_close(&kernels, &out, &(0..tokens).flat_map(of_token).collect::<Vec<_>>(), 1e-5);

        let mut out = alone[0].clone();
        multiply_add(&kernels, &pack(0), normed[..].into(), &mut out).unwrap();
        let doubled: Vec<f64> = alone[0].iter().map(|value| 2.0 * f64::from(*value)).collect();
        check_close(&kernels, &out, &doubled, 1e-5);
        assert!(multiply_add(&kernels, &biased[0], normed[..].into(), &mut out).is_err());

        let source = random_matrix(SourceKind::Q8_0, rows[0], cols, &mut numbers);
        let up = PackedMatrix::pack(&kernels, SourceKind::Q8_0, rows[0], cols, &source).unwrap();
        let mut values = vec![0.0; tokens * rows[0]];
        multiply(&kernels, &[&up], normed[..].into(), &mut values).unwrap();
        let silu = |gate: f32| f64::from(gate) / (1.0 + f64::from(-gate).exp());
        let gated: Vec<f64> =
            alone[0].iter().zip(&values).map(|(gate, value)| silu(*gate) * f64::from(*value)).collect();
        let mut out = vec![7.0; values.len()];
        multiply_gated(&kernels, &pack(0), &up, input, &mut out).unwrap();
        check_close(&kernels, &out, &gated, 1e-5);
    }
}

#[test]
fn combined_products_of_few_and_of_many_tokens() {
    check_combined([48, 16, 33], 3, 1, 1);
    check_combined([576, 192, 192], 2, 3, 2);
    check_combined([70, 5, 64], 4, 150, 3);
    check_combined([48, 16, 33], 8, 1, 4);
    check_combined([70, 5, 64], 8, 30, 5);
}

#[test]
fn a_packed_matrix_is_the_same_in_a_shared_file() {
    let kernels = Kernels::new(1);
    let mut numbers = Numbers(5);
    for kind in SourceKind::ALL {
        let cols = kind.block().0.max(96);
        let source = random_matrix(kind, 40, cols, &mut numbers);
        let matrix = PackedMatrix::pack(&kernels, kind, 40, cols, &source).unwrap();
        let mut file = aligned::AlignedBytes::zeroed(64 + matrix.bytes());
        file.as_mut_slice()[64..64 + matrix.bytes()].copy_from_slice(matrix.as_bytes());
        let file: SharedBytes = Arc::new(file);
        let at =
            |offset, rows| PackedMatrix::from_shared(matrix.encoding(), rows, cols, file.clone(), offset);
        let shared = at(64, 40).unwrap();
        let x = numbers.floats(2 * cols);
        let product = |matrix: &PackedMatrix| {
            let mut out = vec![0.0; 80];
            multiply(&kernels, &[matrix], x[..].into(), &mut out).unwrap();
            out
        };
        assert_eq!(product(&shared), product(&matrix));
        assert!(at(32, 40).is_err() && at(128, 40).is_err() && at(64, 4000).is_err() && at(64, 0).is_err());
        assert!(at(usize::MAX, 40).is_err());
        assert!(PackedMatrix::from_shared("three-bit", 40, cols, file.clone(), 64).is_err());
        assert!(PackedMatrix::from_shared("four-bit-wide", 16, cols, file.clone(), 64).is_err());
        // Nested scales are those of whole chunks.
        assert!(PackedMatrix::from_shared("four-bit-nested", 16, 64, file.clone(), 64).is_err());
    }
}

#[test]
fn every_level_rounds_activations_to_the_same_bytes() {
    const COLUMNS: usize = 96;
    let mut x = Numbers(13).floats(COLUMNS);
    // Ties: the scale is 1, every other value lies between two whole numbers.
    for (index, value) in x[..32].iter_mut().enumerate() {
        *value = if index == 0 { -127.0 } else { index as f32 - 15.5 };
    }
    let rounded = |kernels: &Kernels| {
        let mut tile = aligned::AlignedBytes::zeroed(layout::Encoding::EightBit.token_bytes(COLUMNS));
        // SAFETY: the level is available, the values are there, and the tile has room for one token.
        unsafe {
            let (from, to) = (x.as_ptr(), tile.as_mut_ptr());
            (kernels.routines.quantize_token)(layout::Encoding::EightBit, from, COLUMNS, to, 1, 0);
        }
        tile.as_slice().to_vec()
    };
    let scalar = rounded(&Kernels::with_level(1, Level::Scalar).unwrap());
    assert_eq!(
        scalar[8..16].iter().map(|byte| *byte as i8).collect::<Vec<_>>(),
        [-127, -14, -14, -12, -12, -10, -10, -8]
    );
    for kernels in all_kernels() {
        assert_eq!(rounded(&kernels), scalar, "{}", kernels.name());
    }
}

#[test]
fn activations_of_any_size_give_finite_products() {
    for kernels in all_kernels() {
        let ones = f16::ONE.to_le_bytes().repeat(64);
        let matrix = PackedMatrix::pack(&kernels, SourceKind::F16, 1, 64, &ones).unwrap();
        for value in [0.0, 1e-40, 1e-35, 1e-20, 1e20, 1e35] {
            let mut out = [7.0];
            multiply(&kernels, &[&matrix], [value; 64][..].into(), &mut out).unwrap();
            let error = (out[0] - 64.0 * value).abs();
            assert!(error <= 64.0 * value * 1e-2 + 1e-28, "{}: {value} gave {}", kernels.name(), out[0]);
        }
    }
}

#[test]
fn one_kernels_serves_several_threads() {
    let kernels = Kernels::new(2);
    let mut numbers = Numbers(3);
    let source = random_matrix(SourceKind::Q4_0, 64, 128, &mut numbers);
    let matrix = PackedMatrix::pack(&kernels, SourceKind::Q4_0, 64, 128, &source).unwrap();
    let x = numbers.floats(9 * 128);
    let mut expected = vec![0.0; 9 * 64];
    multiply(&kernels, &[&matrix], x[..].into(), &mut expected).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let mut out = vec![0.0; 9 * 64];
                    multiply(&kernels, &[&matrix], x[..].into(), &mut out).unwrap();
                    assert_eq!(out, expected);
                }
            });
        }
    });
}

#[test]
fn impossible_shapes_are_errors() {
    let kernels = Kernels::with_level(1, Level::Scalar).unwrap();
    let pack =
        |kind, rows, cols, bytes: usize| PackedMatrix::pack(&kernels, kind, rows, cols, &vec![0; bytes]);
    let error = |result: anyhow::Result<PackedMatrix>| result.err().expect("an error").to_string();
    assert_eq!(error(pack(SourceKind::F32, 0, 32, 0)), "a matrix of 0 × 32 has no values");
    assert_eq!(
        error(pack(SourceKind::F32, 1, 33, 132)),
        "a row of 33 values does not divide into blocks of 32"
    );
    assert_eq!(
        error(pack(SourceKind::Q4K, 1, 64, 36)),
        "a row of 64 values does not divide into blocks of Q4K"
    );
    assert_eq!(
        error(pack(SourceKind::Q8_0, 2, 32, 67)),
        "2 × 32 values of Q8_0 do not take 67 bytes; is the file damaged?"
    );
    let matrix = pack(SourceKind::Q8_0, 2, 32, 68).unwrap();
    let product = |values: &[f32], room: usize| {
        multiply(&kernels, &[&matrix], values.into(), &mut vec![0.0; room]).is_ok()
    };
    assert!(product(&[0.0; 32], 2));
    assert!(!product(&[], 0) && !product(&[0.0; 31], 2) && !product(&[0.0; 32], 3));
    assert!(multiply(&kernels, &[], [0.0; 32][..].into(), &mut []).is_err());
    let norm = Norm { weight: &[1.0; 31], epsilon: 0.0 };
    let normed = Input { values: &[0.0; 32], norm: Some(norm) };
    assert!(multiply(&kernels, &[&matrix], normed, &mut [0.0; 2]).is_err());
    let wider = pack(SourceKind::Q8_0, 2, 64, 136).unwrap();
    assert!(multiply(&kernels, &[&matrix, &wider], [0.0; 32][..].into(), &mut [0.0; 4]).is_err());
    let taller = pack(SourceKind::Q8_0, 3, 32, 102).unwrap();
    assert!(multiply_gated(&kernels, &matrix, &taller, [0.0; 32][..].into(), &mut [0.0; 2]).is_err());
    assert!(matrix.row(2, &mut [0.0; 32]).is_err());

    assert!(matrix.with_bias(&[0.0; 3]).is_err());

    let shape = AttentionShape { heads: 2, kv_heads: 1, head_dim: 16, capacity: 16 };
    let (mut halves, mut bytes) = ([f16::ZERO; 512], [0; 640]);
    let attend = |shape: &AttentionShape, start, sight: Sight, qkv: &[f32], cache: CacheMut, room: usize| {
        let angles = Angles { cos: &[1.0; 8], sin: &[0.0; 8], style: RopeStyle::Halves };
        let place = Place { start, angles, sight };
        attend(&kernels, shape, &place, qkv, cache, &mut vec![0.0; room]).is_ok()
    };
    let qkv = [0.0; 64];
    let before = Sight::Before;
    assert!(attend(&shape, 15, before, &qkv, CacheMut::Halves(&mut halves), 32));
    assert!(attend(&shape, 15, before, &qkv, CacheMut::Bytes(&mut bytes), 32));
    assert!(!attend(&shape, 16, before, &qkv, CacheMut::Halves(&mut halves), 32));
    assert!(!attend(&shape, usize::MAX, before, &qkv, CacheMut::Halves(&mut halves), 32));
    for (trunk, nodes, fits) in
        [(13, &[2][..], true), (13, &[1][..], false), (13, &[2, 3][..], false), (16, &[0][..], false)]
    {
        let branches: Vec<Branch> = nodes.iter().map(|node| Branch::default().with(*node)).collect();
        let sight = Sight::Branches { trunk, branches: &branches };
        assert_eq!(attend(&shape, 15, sight, &qkv, CacheMut::Halves(&mut halves), 32), fits);
    }
    // Its rows would have 2⁶⁴ + 32 values.
    let huge = AttentionShape { heads: 1 << 60, ..shape };
    assert!(!attend(&huge, 0, before, &qkv[..32], CacheMut::Halves(&mut halves), 0));
    assert!(!attend(&shape, 0, before, &qkv[..63], CacheMut::Halves(&mut halves), 32));
    assert!(
        !attend(&shape, 0, before, &[0.0; 128], CacheMut::Halves(&mut halves), 64),
        "angles of one token"
    );
    assert!(!attend(&shape, 0, before, &qkv, CacheMut::Halves(&mut halves[..480]), 32));
    assert!(!attend(&shape, 0, before, &qkv, CacheMut::Bytes(&mut bytes[..639]), 32));
    assert!(!attend(&shape, 0, before, &qkv, CacheMut::Halves(&mut halves), 16));
    for shape in [
        AttentionShape { heads: 3, kv_heads: 2, ..shape },
        AttentionShape { head_dim: 24, ..shape },
        AttentionShape { capacity: 15, ..shape },
    ] {
        let (qkv, mut cache) = (vec![0.0; shape.row()], vec![f16::ZERO; shape.cache_values()]);
        let room = shape.heads * shape.head_dim;
        assert!(!attend(&shape, 0, before, &qkv, CacheMut::Halves(&mut cache), room));
    }
    let cache = Cache::Halves(&halves);
    assert!(copy_cache(&shape, cache, CacheMut::Halves(&mut [f16::ZERO; 480]), 1).is_err());
    assert!(copy_cache(&shape, cache, CacheMut::Bytes(&mut [0; 640]), 1).is_err());
    let mut copy = halves;
    assert!(copy_cache(&shape, cache, CacheMut::Halves(&mut copy), 17).is_err());
}
