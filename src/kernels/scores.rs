//! Passes over the scores of a vocabulary: shifting them, the greatest, those that may be it, and what all are together.

use super::Routines;
use super::isa::{Isa, LANES};
use super::level::Level;
use super::routines_of;

/// Scores whose greatest is compared at once.
const RUN: usize = 16 * LANES;

/// See [`groups_in_reach`].
pub(super) type GroupsInReach = unsafe fn(&[f32], &[f32], f32, f32, &mut dyn FnMut(usize));

/// The likeliest of all tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likeliest {
    /// The first of the greatest scores; zero where none is a number.
    pub place: usize,
    /// −∞ where none is a number.
    pub score: f32,
    /// Σ e^(score − the greatest) over all: the inverse of its probability. Where a score is no number, neither is this, or it is
    /// above 10³⁸.
    pub total: f32,
}

/// The greatest of `scores`, natural logarithms of numbers to which probabilities are in proportion.
pub fn likeliest(scores: &[f32]) -> Likeliest {
    likeliest_by(routines_of(Level::choose()), scores)
}

/// As [`likeliest`], by the routines of a level that is available.
pub(super) fn likeliest_by(routines: &Routines, scores: &[f32]) -> Likeliest {
    // SAFETY: the level is available.
    unsafe {
        let (place, score) = (routines.greatest)(scores);
        Likeliest { place, score, total: (routines.sum_of_powers)(scores, score) }
    }
}

/// Place and value of the greatest of `values`, the first of equals; zero and −∞ if none is a number.
///
/// # Safety
/// The level must be available.
#[inline(always)]
pub(super) unsafe fn greatest<I: Isa>(values: &[f32]) -> (usize, f32) {
    let (mut first, mut greatest) = (0, f32::NEG_INFINITY);
    for (index, run) in values.chunks(RUN).enumerate() {
        // SAFETY: the caller's promise.
        let of_run = unsafe { greatest_of_run::<I>(run) };
        if of_run > greatest {
            (first, greatest) = (index * RUN, of_run);
        }
    }
    let place = values[first..].iter().position(|value| *value == greatest);
    (place.map_or(0, |place| first + place), greatest)
}

/// # Safety
/// The level must be available.
#[inline(always)]
unsafe fn greatest_of_run<I: Isa>(run: &[f32]) -> f32 {
    let (vectors, rest) = run.as_chunks::<LANES>();
    // SAFETY: the caller's promise; every access is to a whole chunk of sixteen.
    let greatest = unsafe {
        let mut greatest = I::splat(f32::NEG_INFINITY);
        for values in vectors {
            // In this order: where one of two is no number, some levels take the second.
            greatest = I::max(I::load(values.as_ptr()), greatest);
        }
        I::largest(greatest)
    };
    rest.iter().copied().fold(greatest, f32::max)
}

/// `values = values · factor + offset`, at most `most`.
///
/// # Safety
/// The level must be available.
#[inline(always)]
pub(super) unsafe fn shift<I: Isa>(values: &mut [f32], factor: f32, offset: f32, most: f32) {
    let (vectors, rest) = values.as_chunks_mut::<LANES>();
    for values in vectors {
        // SAFETY: the caller's promise; every access is to a whole chunk of sixteen.
        unsafe {
            let shifted = I::fma(I::load(values.as_ptr()), I::splat(factor), I::splat(offset));
            I::store(values.as_mut_ptr(), I::min(shifted, I::splat(most)));
        }
    }
    rest.iter_mut().for_each(|value| *value = (*value * factor + offset).min(most));
}

/// Calls `found` with the number of every group of sixteen in which a value and `reach` of its steps are more than `limit`.
///
/// # Safety
/// The level must be available, and there must be a step for each value.
#[inline(always)]
pub(super) unsafe fn groups_in_reach<I: Isa>(
    values: &[f32],
    steps: &[f32],
    reach: f32,
    limit: f32,
    found: &mut dyn FnMut(usize),
) {
    let in_reach = |(value, step): (&f32, &f32)| *value + reach * step > limit;
    for (index, (values, steps)) in values.chunks(RUN).zip(steps.chunks(RUN)).enumerate() {
        let (vectors, rest) = values.as_chunks::<LANES>();
        let (vectors_of_steps, rest_of_steps) = steps.as_chunks::<LANES>();
        // Few runs have one.
        // SAFETY: the caller's promise; every access is to a whole chunk of sixteen.
        let most = unsafe {
            let mut most = I::splat(f32::NEG_INFINITY);
            for (values, steps) in vectors.iter().zip(vectors_of_steps) {
                let ends = I::fma(I::load(steps.as_ptr()), I::splat(reach), I::load(values.as_ptr()));
                most = I::max(ends, most);
            }
            I::largest(most)
        };
        if most > limit || rest.iter().zip(rest_of_steps).any(in_reach) {
            for (group, (values, steps)) in values.chunks(LANES).zip(steps.chunks(LANES)).enumerate() {
                if values.iter().zip(steps).any(in_reach) {
                    found(index * (RUN / LANES) + group);
                }
            }
        }
    }
}

/// Σ e^(value − greatest).
///
/// # Safety
/// The level must be available.
#[inline(always)]
pub(super) unsafe fn sum_of_powers<I: Isa>(values: &[f32], greatest: f32) -> f32 {
    let (vectors, rest) = values.as_chunks::<LANES>();
    // SAFETY: the caller's promise; every access is to a whole chunk of sixteen.
    let sum = unsafe {
        // Four sums, so that additions need not wait for each other.
        let mut sums = [I::splat(0.0); 4];
        for (index, values) in vectors.iter().enumerate() {
            let power = I::exp(I::sub(I::load(values.as_ptr()), I::splat(greatest)));
            sums[index % 4] = I::add(sums[index % 4], power);
        }
        I::sum(I::add(I::add(sums[0], sums[1]), I::add(sums[2], sums[3])))
    };
    sum + rest.iter().map(|value| (value - greatest).exp()).sum::<f32>()
}
