//! A checksum of large files at the speed of memory, to notice damage; no defence against a forger.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Kernels;

/// Bytes that one task sums.
const PART: usize = 1 << 20;

/// The sum of `bytes`, computed by all threads.
pub fn checksum(kernels: &Kernels, bytes: &[u8]) -> u64 {
    let sum = AtomicU64::new(bytes.len() as u64);
    kernels.pool.run(bytes.len().div_ceil(PART), &|index| {
        let part = &bytes[index * PART..bytes.len().min((index + 1) * PART)];
        // The place of a part counts as well: two parts that change places change the sum.
        sum.fetch_add(mix(of_part(part) ^ mix(index as u64 + 1)), Ordering::Relaxed);
    });
    mix(sum.into_inner())
}

/// Eight sums beside each other, so that no multiplication waits for the one before.
fn of_part(part: &[u8]) -> u64 {
    let mut sums: [u64; 8] = std::array::from_fn(|lane| lane as u64);
    let (lines, rest) = part.as_chunks::<64>();
    let mut add = |line: &[u8; 64]| {
        for (sum, word) in sums.iter_mut().zip(line.as_chunks::<8>().0) {
            *sum = (*sum ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
    };
    lines.iter().for_each(&mut add);
    if !rest.is_empty() {
        let mut line = [0; 64];
        line[..rest.len()].copy_from_slice(rest);
        add(&line);
    }
    sums.into_iter().fold(part.len() as u64, |total, sum| mix(total ^ sum))
}

/// Every bit of the result depends on every bit of `x` (the finaliser of SplitMix64).
fn mix(x: u64) -> u64 {
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use super::{PART, checksum};
    use crate::kernels::{Kernels, Level};

    #[test]
    fn any_change_changes_the_sum_and_threads_do_not() {
        let [one, two] = [1, 2].map(|threads| Kernels::with_level(threads, Level::Scalar).unwrap());
        let mut bytes: Vec<u8> = (0..2 * PART + 77).map(|i| ((i * i) >> 7) as u8).collect();
        let sum = checksum(&one, &bytes);
        assert_eq!(checksum(&two, &bytes), sum);
        for place in [0, 63, 64, PART - 1, PART, 2 * PART + 76] {
            bytes[place] ^= 0x10;
            assert_ne!(checksum(&two, &bytes), sum, "{place}");
            bytes[place] ^= 0x10;
        }
        assert_ne!(checksum(&two, &bytes[..2 * PART + 76]), sum);
        bytes.rotate_left(PART);
        assert_ne!(checksum(&two, &bytes), sum);
        assert_ne!(checksum(&one, &[]), checksum(&one, &[0]));
    }
}
