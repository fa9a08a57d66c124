//! Passes over the scores of a vocabulary against plain loops.

use super::*;
use crate::kernels::scores::likeliest_by;

/// `count` scores as wide apart as a model's, the greatest twice.
fn scores(count: usize) -> Vec<f32> {
    let mut scores: Vec<f32> =
        Numbers(count as u64 | 1).floats(count).iter().map(|score| 20.0 * score).collect();
    let greatest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let places = [count / 3, count - 1 - count / 5];
    places.into_iter().for_each(|place| scores[place] = greatest + 0.5);
    scores
}

#[test]
fn the_likeliest_is_the_first_of_the_greatest_and_its_probability_is_known() {
    for count in [1, 15, 16, 255, 256, 257, 1000, 5007] {
        let scores = scores(count);
        let greatest = scores[count / 3];
        let total: f64 = scores.iter().map(|score| f64::from(score - greatest).exp()).sum();
        for kernels in all_kernels() {
            let found = likeliest_by(kernels.routines, &scores);
            assert_eq!((found.place, found.score), (count / 3, greatest), "{} {count}", kernels.name());
            assert!((f64::from(found.total) - total).abs() < 1e-5 * total, "{} {count}", kernels.name());
        }
    }
}

#[test]
fn scores_that_are_no_numbers_are_not_the_greatest_and_show_in_the_total() {
    for kernels in all_kernels() {
        for count in [0, 5, 300] {
            let found = likeliest_by(kernels.routines, &vec![f32::NAN; count]);
            assert!(found.place == 0 && !found.score.is_finite(), "{}", kernels.name());
        }
        for count in [5, 300] {
            for place in [0, count - 1] {
                let mut scores = vec![0.5; count];
                scores[place] = f32::NAN;
                scores[2] = 0.75;
                let found = likeliest_by(kernels.routines, &scores);
                assert_eq!((found.place, found.score), (2, 0.75), "{}", kernels.name());
                assert!(found.total.is_nan() || found.total > 1e38, "{}", kernels.name());
            }
        }
    }
}

#[test]
fn scores_are_shifted_and_groups_in_reach_found() {
    for count in [1, 16, 255, 256, 257, 5007] {
        let scores = scores(count);
        let steps: Vec<f32> = Numbers(7).floats(count).iter().map(|step| step.abs()).collect();
        let limit = scores[count / 3] - 1.0;
        let in_reach =
            |(value, step): (&f32, &f32)| f64::from(*value) + 2.0 * f64::from(*step) > f64::from(limit);
        let groups = scores.chunks(LANES).zip(steps.chunks(LANES)).enumerate();
        let expected: Vec<usize> = groups
            .filter_map(|(group, (scores, steps))| scores.iter().zip(steps).any(in_reach).then_some(group))
            .collect();
        let shifted: Vec<f64> = scores.iter().map(|score| f64::from(score * 3.0 - 1.0).min(30.0)).collect();
        for kernels in all_kernels() {
            let (mut found, mut out) = (Vec::new(), scores.clone());
            // SAFETY: the level is available, and each score has a step.
            unsafe {
                (kernels.routines.groups_in_reach)(&scores, &steps, 2.0, limit, &mut |group| {
                    found.push(group)
                });
                (kernels.routines.shift)(&mut out, 3.0, -1.0, 30.0);
            }
            assert_eq!(found, expected, "{} {count}", kernels.name());
            check_close(&kernels, &out, &shifted, 1e-6);
        }
    }
}
