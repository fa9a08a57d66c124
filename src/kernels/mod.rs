//! The CPU kernels: products with packed weights of 4 to 8 bits, attention and the operations between them, at the best
//! instruction level that the CPU has, on a pool of threads of their own.
//!
//! Everything here is safe to call: shapes are checked, and `unsafe` stays inside. [`Kernels`] chooses the level once;
//! every kernel is written once, over the vector operations of `isa.rs`, and `scalar.rs` is the definition of correct.

// Loops run over rows, columns and tokens of tiles, as the pseudo-code above each does.
#![allow(clippy::needless_range_loop)]

mod aligned;
mod attention;
mod checksum;
mod division;
mod elementwise;
mod formats;
mod level;
mod matrix;
mod product;

mod layout;
mod pack;
mod planes;
mod pool;
mod routines;
mod scores;
mod scratch;
mod tile;
mod top;
mod worth;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod isa;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use attention::{AttentionShape, Branch, Cache, CacheMut, Place, Sight, attend, copy_cache};
pub use checksum::checksum;
pub use elementwise::{Angles, RopeStyle};
pub use formats::{SourceKind, dequantize};
pub use level::{LEVEL_VARIABLE, Level};
pub use matrix::{PackedMatrix, SharedBytes};
pub use product::{Input, Norm, multiply, multiply_add, multiply_gated};
pub use scores::{Likeliest, likeliest};
pub use top::multiply_top;
pub use worth::threads_worth_having;

use pool::Pool;
use routines::{Routines, routines};
use scratch::Scratch;

#[cfg(target_arch = "x86_64")]
routines!(AVX512, avx512::Avx512, "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,f16c");
#[cfg(target_arch = "x86_64")]
routines!(AVX_VNNI, avx2::Avx2<true>, "avx2,fma,f16c,avxvnni");
#[cfg(target_arch = "x86_64")]
routines!(AVX2, avx2::Avx2<false>, "avx2,fma,f16c");
#[cfg(target_arch = "aarch64")]
routines!(NEON_I8MM, neon::Neon<neon::DotProducts<true>>, "neon,dotprod,i8mm");
#[cfg(target_arch = "aarch64")]
routines!(NEON_DOTPROD, neon::Neon<neon::DotProducts<false>>, "neon,dotprod");
#[cfg(target_arch = "aarch64")]
routines!(NEON, neon::Neon<neon::LongProducts>, "neon");
routines!(SCALAR, scalar::Scalar);

/// The kernels of one instruction level and their threads. Share it by `Arc`; it can be used from several threads,
/// whose products and attentions then take turns.
pub struct Kernels {
    level: Level,
    routines: &'static Routines,
    /// See [`Level::bytes_ahead`]; kept, because asking for the CPU's maker is slow in a virtual machine.
    bytes_ahead: [usize; 2],
    pool: Pool,
    scratch: Mutex<Scratch>,
}

impl Kernels {
    /// Kernels on `threads` threads, the calling one included, at the level that `FORETYPE_KERNELS` names, else at
    /// the best one that the CPU has.
    pub fn new(threads: usize) -> Arc<Self> {
        Arc::new(Kernels::at_level(threads, Level::choose()))
    }

    /// Kernels at `level`, where the CPU has it.
    pub fn with_level(threads: usize, level: Level) -> Option<Arc<Self>> {
        level.is_available().then(|| Arc::new(Kernels::at_level(threads, level)))
    }

    /// The level's name, as `FORETYPE_KERNELS` takes it.
    pub fn name(&self) -> &'static str {
        self.level.name()
    }

    /// Threads that share the work.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// In idle time at most so many of them work, the calling one included, and offer their cores to others all the time;
    /// `None`: somebody waits. Results do not depend on it.
    pub fn set_idle(&self, threads: Option<usize>) {
        self.pool.set_idle(threads);
    }

    /// `level` must be available.
    fn at_level(threads: usize, level: Level) -> Self {
        let routines = routines_of(level);
        let (bytes_ahead, pool) = (level.bytes_ahead(), Pool::new(threads));
        Kernels { level, routines, bytes_ahead, pool, scratch: Mutex::default() }
    }

    /// The buffers, for one operation at a time.
    fn scratch(&self) -> MutexGuard<'_, Scratch> {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a level can do.
fn routines_of(level: Level) -> &'static Routines {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => &AVX512,
        #[cfg(target_arch = "x86_64")]
        Level::AvxVnni => &AVX_VNNI,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => &AVX2,
        #[cfg(target_arch = "aarch64")]
        Level::NeonI8mm => &NEON_I8MM,
        #[cfg(target_arch = "aarch64")]
        Level::NeonDotProd => &NEON_DOTPROD,
        #[cfg(target_arch = "aarch64")]
        Level::Neon => &NEON,
        _ => &SCALAR,
    }
}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernels").field("level", &self.name()).field("threads", &self.threads()).finish()
    }
}

/// A pointer that the tasks of a region share. They write disjoint parts; each use says why.
struct SharedPointer<T>(*mut T);

// SAFETY: a pointer is only an address; whoever dereferences it answers for the access.
unsafe impl<T> Sync for SharedPointer<T> {}

impl<T> Clone for SharedPointer<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SharedPointer<T> {}

impl<T> SharedPointer<T> {
    fn get(&self) -> *mut T {
        self.0
    }
}
