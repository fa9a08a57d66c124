//! Matrices in two planes against the same ones whole.

use proptest::prelude::*;

use super::super::*;
use super::{Numbers, all_kernels, random_matrix};

/// Products with a matrix in planes are those with the whole one, bit for bit; so are the largest of those of which only they
/// are wanted.
fn check_planes(kind: SourceKind, rows: usize, blocks: usize, tokens: usize, is_normed: bool, seed: u64) {
    let (cols, mut numbers) = (kind.block().0 * blocks, Numbers(seed | 1));
    let source = random_matrix(kind, rows, cols, &mut numbers);
    let x = numbers.floats(tokens * cols);
    let weight = numbers.floats(cols);
    let norm = is_normed.then_some(Norm { weight: &weight, epsilon: 1e-5 });
    let input = Input { values: &x, norm };
    for kernels in all_kernels() {
        let pack = || PackedMatrix::pack(&kernels, kind, rows, cols, &source).unwrap();
        let (whole, planes) = (pack(), pack().into_planes());
        assert_eq!(planes.encoding(), format!("{}-planes", whole.encoding()));
        assert_eq!(planes.bytes(), whole.bytes());
        let [mut row, mut same] = [vec![0.0; cols], vec![0.0; cols]];
        for number in 0..rows {
            whole.row(number, &mut row).unwrap();
            planes.row(number, &mut same).unwrap();
            assert_eq!(row, same);
        }

        let [mut expected, mut products, mut top] = [(); 3].map(|()| vec![7.0; tokens * rows]);
        multiply(&kernels, &[&whole], input, &mut expected).unwrap();
        multiply(&kernels, &[&planes], input, &mut products).unwrap();
        assert_eq!(products, expected, "{}", kernels.name());
        multiply_top(&kernels, &planes, input, &mut top).unwrap();
        for (top, expected) in top.chunks(rows).zip(expected.chunks(rows)) {
            let best = expected.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            for (top, expected) in top.iter().zip(expected) {
                assert!(top == expected || (*top < best && *expected < best), "{top} {expected} of {best}");
            }
        }
    }
}

#[test]
fn planes_are_the_whole_matrix() {
    check_planes(SourceKind::Q8_0, 16, 2, 1, false, 1);
    check_planes(SourceKind::Q8_0, 1, 1, 2, true, 2);
    check_planes(SourceKind::Q8_0, 500, 18, 5, true, 3);
    check_planes(SourceKind::Q8_0, 75, 5, 40, false, 4);
    check_planes(SourceKind::Q6K, 16, 1, 1, false, 5);
    check_planes(SourceKind::Q6K, 1, 2, 2, true, 6);
    check_planes(SourceKind::Q6K, 500, 3, 5, true, 7);
    check_planes(SourceKind::Q6K, 75, 1, 40, false, 8);
}

#[test]
fn few_rows_are_looked_at_again() {
    check_few_rows(SourceKind::Q8_0);
    check_few_rows(SourceKind::Q6K);
}

fn check_few_rows(kind: SourceKind) {
    let (rows, cols) = (4000, 256);
    let mut numbers = Numbers(5);
    let source = random_matrix(kind, rows, cols, &mut numbers);
    let x = numbers.floats(cols);
    for kernels in all_kernels() {
        let pack = || PackedMatrix::pack(&kernels, kind, rows, cols, &source).unwrap();
        let (whole, planes) = (pack(), pack().into_planes());
        for size in [1.0, 10.0, 1e4] {
            let x: Vec<f32> = x.iter().map(|value| size * value).collect();
            let [mut expected, mut top] = [(); 2].map(|()| vec![0.0; rows]);
            multiply(&kernels, &[&whole], x[..].into(), &mut expected).unwrap();
            multiply_top(&kernels, &planes, x[..].into(), &mut top).unwrap();
            let exact = top.iter().zip(&expected).filter(|(top, expected)| top == expected).count();
            assert!((1..rows / 2).contains(&exact), "{exact}");
            let most = |values: &[f32]| (0..rows).max_by(|a, b| values[*a].total_cmp(&values[*b]));
            assert_eq!(most(&top), most(&expected), "{size}");
            if size <= 10.0 {
                let squares =
                    |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>();
                let off = squares(&mut top.iter().zip(&expected).map(|(top, expected)| top - expected));
                assert!(off < 0.03 * squares(&mut expected.iter().copied()), "{off}");
            }
        }
    }
}

#[test]
fn a_matrix_in_planes_is_the_same_in_a_shared_file() {
    let kernels = Kernels::new(1);
    let mut numbers = Numbers(6);
    let source = random_matrix(SourceKind::Q8_0, 40, 96, &mut numbers);
    let planes = PackedMatrix::pack(&kernels, SourceKind::Q8_0, 40, 96, &source).unwrap().into_planes();
    let mut bytes = aligned::AlignedBytes::zeroed(64 + planes.bytes());
    bytes.as_mut_slice()[64..].copy_from_slice(planes.as_bytes());
    let file: SharedBytes = Arc::new(bytes);
    let shared = |offset, rows| PackedMatrix::from_shared(planes.encoding(), rows, 96, file.clone(), offset);
    let again = shared(64, 40).unwrap();
    assert_eq!(again.as_bytes(), planes.as_bytes());
    assert!(again.bytes_for_top() * 17 == again.bytes() * 9);
    assert!(shared(64, 50).is_err() && shared(128, 40).is_err() && shared(0, usize::MAX).is_err());
}

#[test]
fn other_weights_stay_as_they_are() {
    let kernels = Kernels::new(1);
    let source = random_matrix(SourceKind::Q5_0, 20, 64, &mut Numbers(7));
    let matrix = PackedMatrix::pack(&kernels, SourceKind::Q5_0, 20, 64, &source).unwrap();
    let bytes = matrix.bytes();
    let same = matrix.into_planes();
    assert_eq!((same.encoding(), same.bytes_for_top()), ("five-bit", bytes));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn planes_of_random_shapes(
        is_of_six_bits: bool,
        rows in 1_usize..200,
        blocks in 1_usize..9,
        tokens in 1_usize..20,
        is_normed: bool,
        seed: u64,
    ) {
        let (kind, blocks) = if is_of_six_bits { (SourceKind::Q6K, blocks.div_ceil(4)) } else { (SourceKind::Q8_0, blocks) };
        check_planes(kind, rows, blocks, tokens, is_normed, seed);
    }
}
