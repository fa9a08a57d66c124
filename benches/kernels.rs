//! How fast the kernels are at each level that the CPU has, on the shapes of the default model and all physical cores.
//!
//! `cargo bench --bench kernels [FILTER]`. Products show bytes of packed weights and operations (two for each weight and
//! token) a second; `cargo test --benches` runs each once.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use foretype::kernels::{
    Angles, AttentionShape, CacheMut, Kernels, Level, PackedMatrix, Place, RopeStyle, Sight, SourceKind,
    attend, multiply, multiply_add, multiply_gated,
};
use half::f16;

/// Weights that are read in turn: more than caches hold, as a model's are.
const WEIGHT_BYTES: usize = 256 << 20;

/// Formats whose packed forms have 4 bits, 4 bits with minima, 5 bits and 8 bits.
const KINDS: [SourceKind; 4] = [SourceKind::Q4_0, SourceKind::Q4_1, SourceKind::Q5_0, SourceKind::Q8_0];

/// Those whose blocks of 256 do not divide the default model's widths: packed as 4 bits with nested scales, 5 bits with
/// minima, and 6 bits.
const KINDS_OF_256: [SourceKind; 3] = [SourceKind::Q4K, SourceKind::Q5K, SourceKind::Q6K];

fn main() {
    divan::main();
}

/// A product at one level.
#[derive(Clone, Copy)]
struct Case {
    kind: SourceKind,
    tokens: usize,
    level: Level,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:?} {} {}", self.kind, self.tokens, self.level.name())
    }
}

/// Some tokens at one level.
#[derive(Clone, Copy)]
struct Tokens {
    tokens: usize,
    level: Level,
}

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {}", self.tokens, self.level.name())
    }
}

fn levels() -> impl Iterator<Item = Level> + Clone {
    Level::ALL.into_iter().filter(|level| level.is_available())
}

fn at_each_level(tokens: &[usize]) -> Vec<Tokens> {
    tokens.iter().flat_map(|&tokens| levels().map(move |level| Tokens { tokens, level })).collect()
}

fn cases(kinds: &[SourceKind], tokens: &[usize]) -> Vec<Case> {
    let of_kind = |kind| {
        let case = move |Tokens { tokens, level }| Case { kind, tokens, level };
        at_each_level(tokens).into_iter().map(case)
    };
    kinds.iter().copied().flat_map(of_kind).collect()
}

fn kernels(level: Level) -> Arc<Kernels> {
    Kernels::with_level(num_cpus::get_physical(), level).expect("an available level")
}

/// Matrices of one shape and format. All levels read the same packed weights, and cases of one format follow each other,
/// so the last ones are kept.
fn matrices(kernels: &Kernels, kind: SourceKind, rows: usize, cols: usize) -> Arc<Vec<PackedMatrix>> {
    type Kept = Option<((SourceKind, usize, usize), Arc<Vec<PackedMatrix>>)>;
    static KEPT: Mutex<Kept> = Mutex::new(None);
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((key, matrices)) = &*kept
        && *key == (kind, rows, cols)
    {
        return matrices.clone();
    }
    // Frees the memory before more is taken.
    *kept = None;
    let bytes = rows * kind.bytes(cols).expect("whole blocks");
    // Where nothing is measured, two are enough for any product.
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    let count = if is_measured { (WEIGHT_BYTES / bytes).max(2) } else { 2 };
    // As a half-precision scale, 0x2c2c is 0.065.
    let source = vec![0x2c; bytes];
    let pack = |_| PackedMatrix::pack(kernels, kind, rows, cols, &source).expect("a matrix");
    let matrices: Arc<Vec<_>> = Arc::new((0..count).map(pack).collect());
    *kept = Some(((kind, rows, cols), matrices.clone()));
    matrices
}

/// Measures `product`, which takes `taken` matrices, on one after the other.
fn bench_product(
    bencher: Bencher,
    case: Case,
    (rows, cols): (usize, usize),
    taken: usize,
    product: impl Fn(&Kernels, &[PackedMatrix], &[f32], &mut [f32]) + Sync,
) {
    let Case { kind, tokens, level } = case;
    let kernels = kernels(level);
    let matrices = matrices(&kernels, kind, rows, cols);
    let x: Vec<f32> = (0..tokens * cols).map(|index| (index % 255) as f32 - 127.0).collect();
    let mut out = vec![0.0; tokens * rows];
    let next = AtomicUsize::new(0);
    bencher
        .counter(BytesCount::new(taken * matrices[0].bytes()))
        .counter(ItemsCount::new(2 * taken * rows * cols * tokens))
        .bench_local(|| {
            let first = next.fetch_add(1, Ordering::Relaxed) % (matrices.len() / taken) * taken;
            product(&kernels, &matrices[first..first + taken], &x, &mut out);
        });
}

#[divan::bench(args = cases(&KINDS, &[1, 2, 4, 8, 128]), max_time = 0.3)]
fn product_576x576(bencher: Bencher, case: Case) {
    bench_product(bencher, case, (576, 576), 1, |kernels, matrices, x, out| {
        multiply(kernels, &[&matrices[0]], x.into(), out).unwrap();
    });
}

#[divan::bench(args = cases(&KINDS, &[1, 2, 4, 8, 128]), max_time = 0.3)]
fn product_gated_1536x576(bencher: Bencher, case: Case) {
    bench_product(bencher, case, (1536, 576), 2, |kernels, matrices, x, out| {
        multiply_gated(kernels, &matrices[0], &matrices[1], x.into(), out).unwrap();
    });
}

#[divan::bench(args = cases(&KINDS, &[1, 2, 4, 8, 128]), max_time = 0.3)]
fn product_added_576x1536(bencher: Bencher, case: Case) {
    bench_product(bencher, case, (576, 1536), 1, |kernels, matrices, x, out| {
        out.fill(0.0);
        multiply_add(kernels, &matrices[0], x.into(), out).unwrap();
    });
}

/// The head, which is never asked for many tokens at once.
#[divan::bench(args = cases(&KINDS, &[1, 2, 4, 8]), max_time = 0.3)]
fn product_49152x576(bencher: Bencher, case: Case) {
    bench_product(bencher, case, (49152, 576), 1, |kernels, matrices, x, out| {
        multiply(kernels, &[&matrices[0]], x.into(), out).unwrap();
    });
}

/// A matrix of Qwen2's 1.5B.
#[divan::bench(args = cases(&KINDS_OF_256, &[1, 2, 4, 8, 128]), max_time = 0.3)]
fn product_1536x1536(bencher: Bencher, case: Case) {
    bench_product(bencher, case, (1536, 1536), 1, |kernels, matrices, x, out| {
        multiply(kernels, &[&matrices[0]], x.into(), out).unwrap();
    });
}

/// Attention of tokens that stand after 512 others, their rotation and storing included: bytes of keys and values, and two operations for each of their values
/// and query head.
#[divan::bench(args = at_each_level(&[1, 128]), max_time = 0.3)]
fn attention_after_512(bencher: Bencher, Tokens { tokens, level }: Tokens) {
    const START: usize = 512;
    let shape = AttentionShape { heads: 9, kv_heads: 3, head_dim: 64, capacity: START + 128 };
    let kernels = kernels(level);
    let qkv = vec![0.1; tokens * shape.row()];
    let mut cache = vec![f16::from_f32(0.1); shape.cache_values()];
    let (cos, sin) = (vec![1.0; tokens * shape.head_dim / 2], vec![0.0; tokens * shape.head_dim / 2]);
    let angles = Angles { cos: &cos, sin: &sin, style: RopeStyle::Halves };
    let place = Place { start: START, angles, sight: Sight::Before };
    let mut out = vec![0.0; tokens * shape.heads * shape.head_dim];
    // Each token sees itself and all before it.
    let seen: usize = (1..=tokens).map(|index| START + index).sum();
    let cached = 2 * shape.kv_heads * shape.head_dim * (START + tokens);
    bencher
        .counter(BytesCount::new(cached * size_of::<f16>()))
        .counter(ItemsCount::new(2 * 2 * shape.heads * shape.head_dim * seen))
        .bench_local(|| {
            attend(&kernels, &shape, &place, &qkv, CacheMut::Halves(&mut cache), &mut out).unwrap()
        });
}
