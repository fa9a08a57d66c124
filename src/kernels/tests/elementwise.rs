//! Normalisation, the gate and rotation against plain formulas.

use super::*;

pub fn check_elementwise(rows: usize, width: usize, seed: u64) {
    let mut numbers = Numbers(seed | 1);
    let x: Vec<f32> = numbers.floats(rows * width).iter().map(|value| 10.0 * value).collect();
    let weight = numbers.floats(width);
    let up = numbers.floats(x.len());
    let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
    let normalised: Vec<f64> = x
        .chunks(width)
        .flat_map(|row| {
            let squares = wide(row).iter().map(|value| value * value).sum::<f64>();
            let factor = 1.0 / (squares / width as f64 + 1e-5).sqrt();
            row.iter().zip(&weight).map(|(x, w)| f64::from(*x) * factor * f64::from(*w)).collect::<Vec<_>>()
        })
        .collect();
    let gated: Vec<f64> =
        wide(&x).iter().zip(wide(&up)).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();
    for kernels in all_kernels() {
        let mut out = vec![7.0; x.len()];
        for (x, out) in x.chunks(width).zip(out.chunks_mut(width)) {
            // SAFETY: the level is available.
            unsafe { (kernels.routines.rms_norm_row)(x, &weight, 1e-5, out) };
        }
        check_close(&kernels, &out, &normalised, 1e-6);
        // SAFETY: the level is available.
        unsafe { (kernels.routines.swiglu)(&x, &up, &mut out) };
        check_close(&kernels, &out, &gated, 1e-6);
    }
}

#[test]
fn elementwise_operations_on_many_values() {
    check_elementwise(70, 576, 3);
}

#[test]
fn gates_far_from_zero_stay_finite() {
    for kernels in all_kernels() {
        let gate: Vec<f32> = [-1e30, -1000.0, -90.0, 0.0, 90.0, 1000.0, 1e30].repeat(5);
        let (up, mut out) = (vec![1.0; gate.len()], vec![7.0; gate.len()]);
        // SAFETY: the level is available.
        unsafe { (kernels.routines.swiglu)(&gate, &up, &mut out) };
        let expected = [0.0, 0.0, 0.0, 0.0, 90.0, 1000.0, 1e30];
        for (actual, expected) in out.iter().zip(expected.repeat(5)) {
            assert!((actual - expected).abs() <= expected * 1e-6 + 1e-6, "{}: {actual}", kernels.name());
        }
    }
}

#[test]
fn rotation_turns_pairs_of_either_style() {
    let (cos, sin) = ([0.0, 1.0], [1.0, 0.0]);
    for kernels in all_kernels() {
        let check = |style, expected: [f32; 8]| {
            let mut x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
            // SAFETY: the level is available.
            unsafe { (kernels.routines.rotate)(&mut x, Angles { cos: &cos, sin: &sin, style }) };
            assert_eq!(x, expected);
        };
        check(RopeStyle::Interleaved, [-2.0, 1.0, 3.0, 4.0, -6.0, 5.0, 7.0, 8.0]);
        check(RopeStyle::Halves, [-3.0, 2.0, 1.0, 4.0, -7.0, 6.0, 5.0, 8.0]);
    }
}
