//! Writing a token takes no memory from the allocator, neither on the thread that asks nor on those that compute, but for the
//! list that candle makes of a tensor's extent before it is changed in place.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::tiny_model::Tiny;
use foretype::interrupt::Interrupt;
use foretype::kernels::Kernels;
use foretype::model::decoder::Decoder;
use foretype::model::families::Shape;
use foretype::model::gguf::GgufFile;
use foretype::model::ops::Ops;
use foretype::model::weights::Weights;
use foretype::model::{Network, Wanted};

/// The system's allocator, counting.
struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's own, called with what it was called with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of a `step`, the fewest of some rounds: a thread's own room is made when it first computes, which may be in any
/// of them.
fn fewest(decoder: &mut Decoder, mut step: impl FnMut(&mut Decoder)) -> usize {
    let mut round = || {
        decoder.truncate(8);
        let before = COUNT.load(Ordering::Relaxed);
        (0..16).for_each(|_| step(decoder));
        COUNT.load(Ordering::Relaxed) - before
    };
    (0..40).map(|_| round()).min().unwrap().div_ceil(16)
}

#[test]
fn only_candle_allocates_when_tokens_are_written_and_guesses_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    Tiny::default().write(&path);
    let file = GgufFile::open(&path).unwrap();
    let shape = Shape::of_gguf(&file).unwrap();
    // Of a layer: its products, its attention, and what that writes; before them the embedding, cosines and sines.
    let operations = 6 * shape.layers + 3;
    let ops = Ops::Kernels(Kernels::new(2));
    let mut decoder = Decoder::load(&Weights::Gguf(file), shape, ops, 256, &mut |_| {}).unwrap();
    let interrupt = Interrupt::default();
    decoder.extend(&[1, 2, 3, 4, 5, 6, 7, 8], Wanted::Nothing, &interrupt).unwrap();

    for wanted in [Wanted::Likeliest, Wanted::All] {
        let written = fewest(&mut decoder, |decoder| decoder.extend(&[9], wanted, &interrupt).unwrap());
        assert!(written <= operations, "{wanted:?}: {written}");
    }
    let checked = fewest(&mut decoder, |decoder| {
        decoder.extend_each(&[9, 10, 11, 12], Wanted::Likeliest, &interrupt).unwrap();
    });
    assert!(checked <= operations, "{checked}");
}
