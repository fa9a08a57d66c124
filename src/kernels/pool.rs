//! The thread pool of the kernels: regions of independent tasks, started in well under a microsecond while the
//! threads are awake, and no work at all for the cores when there is nothing to do.
//!
//! One 64-bit ticket holds the number of tasks and the next task to take. Taking a task is one `fetch_add`; whoever
//! gets a number below the count owns that task, and the region cannot end before the task is done, so the closure
//! outlives every call. Threads that come late find no task left and never delay the region.
//!
//! Idle threads spin for some tens of microseconds (the gap between two operations of a forward pass), then offer
//! their core to others, then sleep until a region wakes them.
//!
//! Where other programs want the cores too, a thread that is taken off its core in the middle of a task keeps all others
//! waiting for milliseconds. So the pool's own threads offer their core between two regions, before the system takes
//! it: a thread that is away then is not waited for, and the others do its share.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Looks for work before a thread starts to yield: about 30 µs.
const SPINS: u32 = 1500;
/// Yields before a thread sleeps.
const YIELDS: u32 = 200;
/// How long a thread keeps its core before it offers it: well below what schedulers grant. Costs nothing where nobody
/// takes it.
const STINT: Duration = Duration::from_micros(500);

/// See the module's description.
pub(super) struct Pool {
    shared: Arc<Shared>,
    /// One region at a time.
    region: Mutex<()>,
    threads: Vec<JoinHandle<()>>,
}

/// A cache line of its own (two, as CPUs fetch pairs).
#[repr(align(128))]
struct Line<T>(T);

struct Shared {
    /// Number of tasks in the high half, next task in the low half.
    ticket: Line<AtomicU64>,
    completed: Line<AtomicU32>,
    /// The tasks of the region under way: points to the caller's `&dyn Fn`.
    tasks: AtomicPtr<Tasks<'static>>,
    panicked: AtomicBool,
    quit: AtomicBool,
    asleep: AtomicU32,
    sleep: Mutex<()>,
    wake: Condvar,
}

/// A thin pointer can point to this fat one.
struct Tasks<'a>(&'a (dyn Fn(usize) + Sync));

thread_local! {
    /// Whether this thread is inside a task: a region started there runs in place.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

impl Pool {
    /// A pool of `threads` threads (at least one), the caller of [`Pool::run`] included.
    pub(super) fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            ticket: Line(AtomicU64::new(0)),
            completed: Line(AtomicU32::new(0)),
            tasks: AtomicPtr::new(std::ptr::null_mut()),
            panicked: AtomicBool::new(false),
            quit: AtomicBool::new(false),
            asleep: AtomicU32::new(0),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
        });
        let threads = (1..threads.max(1))
            .map_while(|number| {
                let shared = Arc::clone(&shared);
                let spawned = std::thread::Builder::new()
                    .name(format!("foretype-kernels-{number}"))
                    .spawn(move || shared.work());
                // Fewer threads are slower, not wrong.
                spawned.inspect_err(|error| tracing::warn!("kernel thread {number}: {error}")).ok()
            })
            .collect();
        Pool { shared, region: Mutex::new(()), threads }
    }

    /// Threads that take part in a region.
    pub(super) fn threads(&self) -> usize {
        self.threads.len() + 1
    }

    /// Calls `task` once with every number below `count`, on all threads, and returns when all calls have.
    ///
    /// Regions from several threads wait for each other; a region inside a task runs in place.
    ///
    /// # Panics
    /// When a task panics, after the other tasks have ended.
    pub(super) fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        if count <= 1 || self.threads.is_empty() || INSIDE.get() {
            (0..count).for_each(task);
            return;
        }
        let count = u32::try_from(count).expect("fewer than 2^32 tasks");
        let _region = self.region.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = &*self.shared;
        let tasks = Tasks(task);
        shared.completed.0.store(0, Ordering::Relaxed);
        shared.panicked.store(false, Ordering::Relaxed);
        shared.tasks.store((&raw const tasks).cast_mut().cast(), Ordering::Relaxed);
        // Publishes the stores above. Sequentially consistent, as is the counter of sleepers: either a thread about
        // to sleep sees the ticket, or this thread sees the sleeper.
        shared.ticket.0.store(u64::from(count) << 32, Ordering::SeqCst);
        if shared.asleep.load(Ordering::SeqCst) > 0 {
            drop(shared.sleep.lock().unwrap_or_else(PoisonError::into_inner));
            shared.wake.notify_all();
        }
        shared.take_tasks();
        let mut waited = 0;
        while shared.completed.0.load(Ordering::Acquire) != count {
            pause(&mut waited);
        }
        if shared.panicked.load(Ordering::Relaxed) {
            resume_unwind(Box::new("a kernel task panicked"));
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::SeqCst);
        drop(self.shared.sleep.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.wake.notify_all();
        for thread in self.threads.drain(..) {
            // Tasks' panics are caught, so a thread ends only by returning.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn work(&self) {
        let mut waited = 0;
        let mut stint = Instant::now();
        while !self.quit.load(Ordering::Relaxed) {
            if self.has_tasks(Ordering::Relaxed) {
                self.take_tasks();
                waited = 0;
                if stint.elapsed() > STINT {
                    std::thread::yield_now();
                    stint = Instant::now();
                }
            } else if waited < SPINS + YIELDS {
                pause(&mut waited);
            } else {
                self.sleep_until_woken();
                waited = 0;
            }
        }
    }

    fn has_tasks(&self, ordering: Ordering) -> bool {
        let ticket = self.ticket.0.load(ordering);
        (ticket as u32) < (ticket >> 32) as u32
    }

    /// Takes tasks until none is left.
    fn take_tasks(&self) {
        INSIDE.set(true);
        let mut taken = 0;
        loop {
            // Acquire: sees the region's tasks. Taking past the end is harmless, the next region resets the ticket.
            let ticket = self.ticket.0.fetch_add(1, Ordering::Acquire);
            let (count, number) = ((ticket >> 32) as u32, ticket as u32);
            if number >= count {
                break;
            }
            let tasks = self.tasks.load(Ordering::Relaxed);
            // SAFETY: this thread owns task `number` of the region that stored `tasks`; `run` returns, and its
            // closure ends, only after this task has been counted as completed.
            let task = unsafe { (*tasks).0 };
            if catch_unwind(AssertUnwindSafe(|| task(number as usize))).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            taken += 1;
        }
        INSIDE.set(false);
        if taken > 0 {
            self.completed.0.fetch_add(taken, Ordering::Release);
        }
    }

    fn sleep_until_woken(&self) {
        let mut guard = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
        self.asleep.fetch_add(1, Ordering::SeqCst);
        while !self.has_tasks(Ordering::SeqCst) && !self.quit.load(Ordering::SeqCst) {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.asleep.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Spins at first, then offers the core to other threads.
fn pause(waited: &mut u32) {
    if *waited < SPINS {
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
    *waited = waited.saturating_add(1);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::Pool;

    fn check_regions(pool: &Pool, regions: usize, count: usize) {
        let calls: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
        for _ in 0..regions {
            pool.run(count, &|task| {
                calls[task].fetch_add(1, Ordering::Relaxed);
            });
        }
        assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) == regions));
    }

    #[test]
    fn every_task_runs_once_in_each_of_many_tiny_regions() {
        for threads in [0, 1, 2, 5] {
            let pool = Pool::new(threads);
            assert_eq!(pool.threads(), threads.max(1));
            for count in [0, 1, 2, 3, 17] {
                check_regions(&pool, 300, count);
            }
        }
    }

    #[test]
    fn sleeping_threads_wake_and_an_idle_pool_can_be_dropped() {
        let pool = Pool::new(3);
        for _ in 0..5 {
            std::thread::sleep(Duration::from_millis(3));
            check_regions(&pool, 2, 8);
        }
        std::thread::sleep(Duration::from_millis(3));
        drop(pool);
    }

    #[test]
    fn two_callers_share_one_pool() {
        let pool = Arc::new(Pool::new(2));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| check_regions(&pool, 500, 4));
            }
        });
    }

    #[test]
    fn a_region_inside_a_task_runs_in_place() {
        let pool = Pool::new(2);
        let calls = AtomicUsize::new(0);
        pool.run(3, &|_| {
            pool.run(4, &|_| {
                calls.fetch_add(1, Ordering::Relaxed);
            })
        });
        assert_eq!(calls.into_inner(), 12);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        let pool = Pool::new(2);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.run(6, &|task| assert_ne!(task, 4, "expected by the test"));
        }));
        assert!(outcome.is_err());
        check_regions(&pool, 50, 6);
    }
}
