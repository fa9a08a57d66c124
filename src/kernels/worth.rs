//! How many threads are worth having, measured: cores differ in speed, and a few of them use up what memory gives.

use std::time::Instant;

use super::aligned::AlignedBytes;
use super::isa::LANES;
use super::layout::Encoding;
use super::{Input, Kernels, Level, PackedMatrix, multiply};

/// The width of a small model.
const COLUMNS: usize = 576;
/// Rows that make 48 MiB of weights, more than caches hold: a token is written with them.
const ROWS: usize = (48 << 20) / Encoding::FourBit.group_bytes(COLUMNS) * LANES;
/// Tokens that are read, with a sixteenth of the weights.
const READ: usize = 32;
const ROUNDS: usize = 4;
/// A thread is worth having if without it the work takes longer by this factor.
const GAIN: f64 = 1.05;

/// The fewest threads, of at most `most`, with which reading and writing is about as fast as it gets here. Takes some tens of
/// milliseconds for each number of them. Where the fastest kernels are plain Rust, memory is no limit and nothing is measured.
pub fn threads_worth_having(most: usize) -> usize {
    let level = Level::fastest();
    if most <= 1 || level == Level::Scalar {
        return most.max(1);
    }
    let times = measure(level, most, ROWS);
    tracing::debug!("seconds by threads: {times:?}");
    fewest(&times).unwrap_or(most)
}

/// Threads, from one to `most`, and the seconds that the work takes with them.
fn measure(level: Level, most: usize, rows: usize) -> Vec<(usize, f64)> {
    let matrix = |rows: usize| {
        let bytes = rows / LANES * Encoding::FourBit.group_bytes(COLUMNS);
        PackedMatrix::from_packed(Encoding::FourBit, rows, COLUMNS, AlignedBytes::zeroed(bytes))
    };
    let (all, some) = (matrix(rows), matrix(rows / 16 / LANES * LANES));
    let tokens = vec![0.5; READ * COLUMNS];
    let mut out = vec![0.0; all.rows().max(READ * some.rows())];
    (1..=most)
        .filter_map(|threads| {
            let kernels = Kernels::with_level(threads, level)?;
            let mut best = f64::INFINITY;
            for _ in 0..ROUNDS {
                let started = Instant::now();
                multiply(&kernels, &[&all], Input::from(&tokens[..COLUMNS]), &mut out[..all.rows()]).ok()?;
                multiply(&kernels, &[&some], Input::from(&tokens[..]), &mut out[..READ * some.rows()])
                    .ok()?;
                best = best.min(started.elapsed().as_secs_f64());
            }
            Some((threads, best))
        })
        .collect()
}

/// The first that is about as fast as the fastest.
fn fewest(times: &[(usize, f64)]) -> Option<usize> {
    let best = times.iter().map(|(_, time)| *time).min_by(f64::total_cmp)?;
    times.iter().find(|(_, time)| *time <= best * GAIN).map(|(threads, _)| *threads)
}

#[cfg(test)]
mod tests {
    use super::{LANES, Level, fewest, measure, threads_worth_having};

    #[test]
    fn threads_that_gain_little_are_left_out() {
        assert_eq!(fewest(&[(1, 4.0), (2, 2.1), (3, 1.5), (4, 1.45)]), Some(3));
        assert_eq!(fewest(&[(1, 4.0), (2, 2.0), (3, 2.6)]), Some(2));
        assert_eq!(fewest(&[(1, 1.0), (2, 1.0)]), Some(1));
        assert_eq!(fewest(&[]), None);
    }

    #[test]
    fn at_least_one_and_at_most_so_many() {
        assert_eq!([0, 1].map(threads_worth_having), [1, 1]);
        let times = measure(Level::fastest(), 3, 64 * LANES);
        assert_eq!(times.iter().map(|(threads, _)| *threads).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(times.iter().all(|(_, seconds)| *seconds > 0.0));
    }
}
