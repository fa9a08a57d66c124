//! Logits to the likeliest token, and to probabilities.

/// Logits that are looked through together.
const CHUNK: usize = 64;

/// The likeliest token, the first of equals, and the natural logarithm of its probability.
///
/// # Errors
/// When the logits are no numbers: the weights are broken.
pub fn likeliest(logits: &[f32]) -> anyhow::Result<(u32, f32)> {
    let (best, highest) = greatest(logits)?;
    Ok((best as u32, -total(logits, highest).ln()))
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
    let (_, highest) = greatest(logits)?;
    Ok(highest + total(logits, highest).ln())
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

/// Place and value of the greatest, if they are numbers.
fn greatest(logits: &[f32]) -> anyhow::Result<(usize, f32)> {
    let (best, highest) = argmax(logits);
    anyhow::ensure!(
        highest.is_finite(),
        "the model computes no numbers; its weights are broken: fetch them again"
    );
    Ok((best, highest))
}

/// Sum of e^(logit − highest).
fn total(logits: &[f32], highest: f32) -> f32 {
    logits.chunks(256).map(|chunk| chunk.iter().map(|logit| exp(logit - highest)).sum::<f32>()).sum()
}

/// Place and value of the greatest; the first of equals.
fn argmax(logits: &[f32]) -> (usize, f32) {
    // The maximum first, in a loop that compilers turn into vectors; then its place.
    let lanes = logits.chunks(CHUNK).fold([f32::NEG_INFINITY; CHUNK], |mut lanes, chunk| {
        lanes
            .iter_mut()
            .zip(chunk)
            .for_each(|(lane, logit)| *lane = if *logit > *lane { *logit } else { *lane });
        lanes
    });
    let highest = lanes.into_iter().fold(f32::NEG_INFINITY, f32::max);
    (logits.iter().position(|logit| *logit == highest).unwrap_or(0), highest)
}

/// e^x for x ≤ 0 within 2e-7 relative error, without branches or calls so that loops over it become vectors. Cody and
/// Waite's reduction to 2^k e^r with |r| ≤ ln 2 / 2, then the series of e^r.
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2^23: adding it rounds to a whole number
    let x = if x > -87.0 { x } else { -87.0 };
    let k = x * std::f32::consts::LOG2_E + ROUND;
    let whole = k - ROUND;
    let r = x - whole * 0.693_145_75 - whole * 1.428_606_8e-6;
    let series = 1.0
        + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0))))));
    let power = f32::from_bits(((whole as i32 + 127) << 23) as u32);
    series * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_exact_enough() {
        for step in 0..870 {
            let x = -(step as f32) / 10.0;
            let (got, wanted) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((got - wanted).abs() <= 1e-6 * wanted, "e^{x}: {got} instead of {wanted}");
        }
        assert!(exp(-1000.0) < 1e-37);
    }

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
    }
}
