//! Logits to the likeliest token, and to probabilities.

use crate::kernels::{self, Likeliest};

/// Logits that are looked through together.
const CHUNK: usize = 64;

/// The likeliest token, the first of equals, and the natural logarithm of its probability.
///
/// # Errors
/// When the logits are no numbers: the weights are broken.
pub fn likeliest(logits: &[f32]) -> anyhow::Result<(u32, f32)> {
    let Likeliest { place, total, .. } = find(logits)?;
    Ok((place as u32, -total.ln()))
}

/// The natural logarithm of a token's probability.
///
/// # Errors
/// As [`likeliest`].
pub fn logprob(logits: &[f32], token: usize) -> anyhow::Result<f32> {
    Ok(logits[token] - log_total(logits)?)
}

/// The natural logarithm of what all tokens' e^logit are together: a token's logit less this is its probability's.
///
/// # Errors
/// As [`likeliest`].
pub fn log_total(logits: &[f32]) -> anyhow::Result<f32> {
    let Likeliest { score, total, .. } = find(logits)?;
    Ok(score + total.ln())
}

/// The likeliest, if all logits are numbers.
fn find(logits: &[f32]) -> anyhow::Result<Likeliest> {
    let found = kernels::likeliest(logits);
    // Each adds at most 1, but for rounding, and one that is no number far more.
    let are_numbers = found.score.is_finite() && found.total <= 2.0 * logits.len() as f32;
    anyhow::ensure!(are_numbers, "the model computes no numbers; its weights are broken: fetch them again");
    Ok(found)
}

/// Places of the `count` greatest logits, the greatest first, the first of equals before the others.
pub fn greatest_few(logits: &[f32], count: usize) -> Vec<usize> {
    let mut best: Vec<usize> = Vec::with_capacity(count + 1);
    for (number, chunk) in logits.chunks(CHUNK).enumerate() {
        let least = |best: &[usize]| match best.len() == count {
            true => best.last().map_or(f32::INFINITY, |last| logits[*last]),
            false => f32::NEG_INFINITY,
        };
        // Few chunks have one: most need no more than this loop, which compilers turn into vectors.
        if best.len() == count && chunk.iter().all(|logit| *logit <= least(&best)) {
            continue;
        }
        for (index, logit) in chunk.iter().enumerate() {
            if best.len() < count || *logit > least(&best) {
                best.insert(best.partition_point(|other| logits[*other] >= *logit), number * CHUNK + index);
                best.truncate(count);
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_is_the_first_of_the_greatest_and_its_probability_is_known() {
        let mut logits = vec![0.0; 100];
        logits[70] = 1.0;
        logits[71] = 1.0;
        let (token, logprob) = likeliest(&logits).unwrap();
        let e = std::f32::consts::E;
        assert_eq!(token, 70);
        assert!((logprob - (e / (98.0 + 2.0 * e)).ln()).abs() < 1e-5);
        assert!((super::logprob(&logits, 3).unwrap() - (1.0 / (98.0 + 2.0 * e)).ln()).abs() < 1e-5);
    }

    #[test]
    fn the_greatest_few_come_in_order() {
        let logits: Vec<f32> = (0..1000).map(|n| (n * 7919 % 501) as f32).collect();
        let mut places: Vec<usize> = (0..logits.len()).collect();
        places.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
        for count in [0, 1, 4, 64, 999, 1000] {
            assert_eq!(greatest_few(&logits, count), places[..count]);
        }
        assert_eq!(greatest_few(&[1.0, 2.0], 5), [1, 0]);
        assert!(greatest_few(&[], 2).is_empty());
    }

    #[test]
    fn logits_that_are_no_numbers_are_an_error() {
        assert!(likeliest(&[f32::NAN; 4]).is_err());
        for place in [0, 50, 99] {
            let mut logits = vec![0.5; 100];
            assert!(likeliest(&logits).is_ok());
            logits[place] = f32::NAN;
            assert!(likeliest(&logits).is_err() && logprob(&logits, 3).is_err(), "{place}");
        }
    }
}
