//! Buffers that grow to the largest use and stay, so that the steady path allocates nothing.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::aligned::AlignedBytes;
use super::pool::Preparation;
use super::top::Near;

/// Those of one [`super::Kernels`].
#[derive(Default)]
pub(super) struct Scratch {
    /// Rounded activations, part after part.
    pub(super) activations: AlignedBytes,
    /// Bytes from one part to the next: the same in all products, so that they stay in the caches where they are at home.
    pub(super) part_bytes: usize,
    /// For each part of tokens that are at home, whether theirs are.
    pub(super) rounded: Vec<Preparation>,
    /// Parts of attentions.
    pub(super) parts: Vec<f32>,
    /// Tasks of each head that have not ended.
    pub(super) unfinished: Vec<AtomicUsize>,
}

thread_local! {
    static VALUES: RefCell<AlignedBytes> = RefCell::default();
    static WEIGHTS: RefCell<AlignedBytes> = RefCell::default();
    static ACTIVATIONS: RefCell<AlignedBytes> = RefCell::default();
    static NEAR: RefCell<Vec<Near>> = RefCell::default();
    /// The region whose activations this thread has rounded.
    static ROUNDED: Cell<u64> = const { Cell::new(0) };
}

/// Lends this thread's buffer, on 64 bytes. It holds what was left there; a use inside a use gets a buffer of its own.
pub(super) fn with_thread_scratch(values: usize, f: impl FnOnce(&mut [f32])) {
    VALUES.with(|scratch| match scratch.try_borrow_mut() {
        Ok(mut scratch) => {
            scratch.grow(values * size_of::<f32>());
            f(&mut scratch.as_floats_mut()[..values]);
        }
        Err(_) => f(&mut vec![0.0; values]),
    });
}

/// This thread's buffer for what is made of weights before they are multiplied, on 64 bytes, in the same way.
pub(super) fn with_thread_weights(bytes: usize, f: impl FnOnce(*mut u8)) {
    WEIGHTS.with_borrow_mut(|weights| {
        weights.grow(bytes);
        f(weights.as_mut_ptr());
    });
}

/// This thread's list of groups of rows that are near the top, empty.
pub(super) fn with_thread_near(f: impl FnOnce(&mut Vec<Near>)) {
    NEAR.with_borrow_mut(|near| {
        near.clear();
        f(near);
    });
}

/// A number for a region's activations that no other region has.
pub(super) fn new_region() -> u64 {
    static REGIONS: AtomicU64 = AtomicU64::new(1);
    REGIONS.fetch_add(1, Ordering::Relaxed)
}

/// This thread's own rounded activations of a region: `fill` makes them, in `bytes` bytes, at the thread's first task of
/// the region. They stay until the thread's next region.
pub(super) fn thread_activations(region: u64, bytes: usize, fill: impl FnOnce(*mut u8)) -> *mut u8 {
    ACTIVATIONS.with_borrow_mut(|activations| {
        if ROUNDED.replace(region) != region {
            activations.grow(bytes);
            fill(activations.as_mut_ptr());
        }
        activations.as_mut_ptr()
    })
}
