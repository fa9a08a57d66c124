//! Seeded choices, the same on every machine and for every model.

/// SplitMix64 (Steele, Lea, Flood 2014): small, and good enough to choose cases.
pub struct Seeded(u64);

impl Seeded {
    /// A sequence of numbers that the seed determines.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`, which is at least 1.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}

/// At most `limit` of the items, chosen by the seed, in their old order.
pub fn sample<T>(mut items: Vec<T>, limit: Option<usize>, seed: u64) -> Vec<T> {
    let Some(limit) = limit.filter(|limit| *limit < items.len()) else { return items };
    let mut seeded = Seeded::new(seed);
    // Whether an item stays depends on how many are still wanted among those that are left (Knuth's algorithm S).
    let (mut left, mut wanted) = (items.len(), limit);
    items.retain(|_| {
        let stays = seeded.below(left) < wanted;
        left -= 1;
        wanted -= usize::from(stays);
        stays
    });
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_its_size_its_order_and_its_seed() {
        let all: Vec<usize> = (0..1000).collect();
        let some = sample(all.clone(), Some(100), 1);
        assert_eq!(some.len(), 100);
        assert!(some.is_sorted() && some[50] > 300 && some[50] < 700, "{some:?}");
        assert_eq!(some, sample(all.clone(), Some(100), 1));
        assert_ne!(some, sample(all.clone(), Some(100), 2));
        assert_eq!(sample(all.clone(), Some(5000), 1), all);
        assert_eq!(sample(all.clone(), None, 1), all);
    }
}
