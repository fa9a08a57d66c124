//! The thread pool of the kernels: regions of independent tasks, started in well under a microsecond while the
//! threads are awake, and no work at all for the cores when there is nothing to do.
//!
//! One 64-bit ticket holds the number of tasks and the next task to take. Taking a task is one `fetch_add`; whoever
//! gets a number below the count owns that task, and the region cannot end before the task is done, so the closure
//! outlives every call. Threads that come late find no task left and never delay the region. Where the closure is
//! stands beside the ticket, because every cache line that has to come from another core delays the start.
//!
//! Idle threads spin for some tens of microseconds (the gap between two operations of a forward pass), then offer
//! their core to others, then sleep until a region wakes them.
//!
//! Where other programs want the cores too, a thread that is taken off its core in the middle of a task keeps all others
//! waiting for milliseconds. So the pool's own threads offer their core between two regions, before the system takes
//! it: a thread that is away then is not waited for, and the others do its share.
//!
//! A region may say where its tasks are at home: each thread has a ticket of its own then, and takes from those of others when
//! nothing is left at home. Threads keep their numbers, so what a thread computed in one region is in its core's caches when
//! it goes on with that in the next.
//!
//! In idle time some threads are left out: they sleep, and regions do not wake them. The caller, too, offers its core then:
//! one that is free elsewhere does not always help, because a system may wake a thread where it ran last.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Looks for work before a thread starts to yield: about 30 µs.
const SPINS: u32 = 1500;
/// Yields before a thread sleeps.
const YIELDS: u32 = 200;
/// Threads that take part where somebody waits.
const ALL: usize = usize::MAX;
/// How long a thread keeps its core before it offers it: well below what schedulers grant. Costs nothing where nobody
/// takes it.
const STINT: Duration = Duration::from_micros(500);

/// See the module's description.
pub(super) struct Pool {
    shared: Arc<Shared>,
    /// One region at a time; the number of tasks that were completed when it has ended, modulo 2³².
    region: Mutex<u32>,
    threads: Vec<JoinHandle<()>>,
}

/// A cache line of its own (two, as CPUs fetch pairs).
#[repr(align(128))]
#[derive(Default)]
struct Line<T>(T);

struct Shared {
    /// What a thread needs to begin: it comes in one transfer between cores.
    region: Line<Region>,
    /// Tickets of the homes after the first.
    homes: Vec<Line<AtomicU64>>,
    /// Tasks of all regions.
    completed: Line<AtomicU32>,
    // From here on nothing changes from region to region, so idle threads look at it in their own caches.
    panicked: AtomicBool,
    quit: AtomicBool,
    /// Threads that take part in regions, the caller included; those with a higher number rest. [`ALL`] if not in idle time.
    taking_part: AtomicUsize,
    /// Threads that a region must wake. Those that rest are not among them.
    asleep: AtomicU32,
    sleep: Mutex<()>,
    wake: Condvar,
    recall: Condvar,
}

/// The region under way.
struct Region {
    /// The end of the first home's tasks in the high half, its next task in the low half.
    ticket: AtomicU64,
    /// How many homes there are.
    homes: AtomicUsize,
    /// The caller's closure.
    closure: AtomicPtr<()>,
    /// [`call`] for the closure's type.
    call: AtomicPtr<()>,
}

/// Calls a closure of a known type.
type Call = unsafe fn(*const (), usize);

/// # Safety
/// `closure` must point to a living `F`.
unsafe fn call<F: Fn(usize)>(closure: *const (), task: usize) {
    // SAFETY: the caller's promise.
    unsafe { (*closure.cast::<F>())(task) }
}

thread_local! {
    /// Whether this thread is inside a task: a region started there runs in place.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// When this thread offered its core last.
    static OFFERED: Cell<Instant> = Cell::new(Instant::now());
}

impl Pool {
    /// A pool of `threads` threads (at least one), the caller of [`Pool::run`] included.
    pub(super) fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            region: Line(Region {
                ticket: AtomicU64::new(0),
                homes: AtomicUsize::new(1),
                closure: AtomicPtr::new(std::ptr::null_mut()),
                call: AtomicPtr::new(std::ptr::null_mut()),
            }),
            homes: (1..threads).map(|_| Line(AtomicU64::new(0))).collect(),
            completed: Line(AtomicU32::new(0)),
            panicked: AtomicBool::new(false),
            quit: AtomicBool::new(false),
            taking_part: AtomicUsize::new(ALL),
            asleep: AtomicU32::new(0),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
            recall: Condvar::new(),
        });
        let threads = (1..threads.max(1))
            .map_while(|number| {
                let shared = Arc::clone(&shared);
                let spawned = std::thread::Builder::new()
                    .name(format!("foretype-kernels-{number}"))
                    .spawn(move || shared.work(number));
                // Fewer threads are slower, not wrong.
                spawned.inspect_err(|error| tracing::warn!("kernel thread {number}: {error}")).ok()
            })
            .collect();
        Pool { shared, region: Mutex::default(), threads }
    }

    /// Threads that can take part in a region.
    pub(super) fn threads(&self) -> usize {
        self.threads.len() + 1
    }

    /// Idle time begins, in which at most so many threads take part in a region, the caller included; or it ends.
    pub(super) fn set_idle(&self, threads: Option<usize>) {
        self.shared.taking_part.store(threads.unwrap_or(ALL), Ordering::SeqCst);
        drop(self.shared.sleep.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.recall.notify_all();
    }

    /// Calls `task` once with every number below `count`, on all threads, and returns when all calls have.
    ///
    /// Regions from several threads wait for each other; a region inside a task runs in place.
    ///
    /// # Panics
    /// When a task panics, after the other tasks have ended.
    pub(super) fn run<F: Fn(usize) + Sync>(&self, count: usize, task: &F) {
        self.run_at_home(1, count, task);
    }

    /// As [`Pool::run`], with `each` tasks in each of `homes` homes, at most one a thread: the first home's are numbered from
    /// zero, and so on. A thread begins with its own home's tasks, the same in every region, so what it has left in its core's
    /// caches is at hand; then it helps the others.
    ///
    /// # Panics
    /// As [`Pool::run`], and when there are more homes than threads.
    pub(super) fn run_at_home<F: Fn(usize) + Sync>(&self, homes: usize, each: usize, task: &F) {
        assert!((1..=self.threads()).contains(&homes), "{homes} homes for {} threads", self.threads());
        let count = homes * each;
        let is_idle = self.shared.taking_part.load(Ordering::SeqCst) != ALL;
        let alone = self.threads.is_empty() || self.shared.is_resting(1);
        if count <= 1 || alone || INSIDE.get() {
            for number in 0..count {
                task(number);
                if is_idle {
                    offer_core();
                }
            }
            return;
        }
        self.run_region(homes, each, (&raw const *task).cast(), call::<F>, is_idle);
    }

    /// The part of [`Pool::run`] that is the same for all closures.
    fn run_region(&self, homes: usize, each: usize, closure: *const (), call: Call, is_idle: bool) {
        let count = u32::try_from(homes * each).expect("fewer than 2^32 tasks");
        let tasks_of = |home: usize| ((home + 1) * each) as u64 * (1 << 32) + (home * each) as u64;
        let mut completed = self.region.lock().unwrap_or_else(PoisonError::into_inner);
        *completed = completed.wrapping_add(count);
        let (shared, region) = (&*self.shared, &self.shared.region.0);
        region.closure.store(closure.cast_mut(), Ordering::Relaxed);
        region.call.store(call as *mut (), Ordering::Relaxed);
        region.homes.store(homes, Ordering::Relaxed);
        for home in 1..homes {
            shared.homes[home - 1].0.store(tasks_of(home), Ordering::Release);
        }
        // Publishes the stores above. Sequentially consistent, as is the counter of sleepers: either a thread about
        // to sleep sees the ticket, or this thread sees the sleeper.
        region.ticket.store(tasks_of(0), Ordering::SeqCst);
        if shared.asleep.load(Ordering::SeqCst) > 0 {
            drop(shared.sleep.lock().unwrap_or_else(PoisonError::into_inner));
            shared.wake.notify_all();
        }
        shared.take_tasks(0);
        let mut waited = 0;
        while shared.completed.0.load(Ordering::Acquire) != *completed {
            pause(&mut waited);
        }
        if is_idle {
            offer_core();
        }
        if shared.panicked.load(Ordering::Relaxed) {
            shared.panicked.store(false, Ordering::Relaxed);
            drop(completed);
            resume_unwind(Box::new("a kernel task panicked"));
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::SeqCst);
        drop(self.shared.sleep.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.wake.notify_all();
        self.shared.recall.notify_all();
        for thread in self.threads.drain(..) {
            // Tasks' panics are caught, so a thread ends only by returning.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn work(&self, number: usize) {
        let mut waited = 0;
        while !self.quit.load(Ordering::Relaxed) {
            if self.is_resting(number) {
                self.rest(number);
                waited = 0;
            } else if self.has_tasks(number, Ordering::Relaxed) {
                self.take_tasks(number);
                waited = 0;
                offer_core();
            } else if waited < SPINS + YIELDS {
                pause(&mut waited);
            } else {
                self.sleep_until_woken(number);
                waited = 0;
            }
        }
    }

    /// Whether the thread with this number is left out of regions.
    fn is_resting(&self, number: usize) -> bool {
        number >= self.taking_part.load(Ordering::SeqCst)
    }

    /// Whether the first home or the thread's own has tasks.
    fn has_tasks(&self, number: usize, ordering: Ordering) -> bool {
        [0, number].into_iter().any(|home| {
            let ticket = self.ticket(home).load(ordering);
            (ticket as u32) < (ticket >> 32) as u32
        })
    }

    fn ticket(&self, home: usize) -> &AtomicU64 {
        if home == 0 { &self.region.0.ticket } else { &self.homes[home - 1].0 }
    }

    /// Takes tasks until none is left, those of the home with this number first.
    fn take_tasks(&self, number: usize) {
        INSIDE.set(true);
        let mut taken = 0;
        // Where these are another region's already, what follows is only slower.
        let homes = self.region.0.homes.load(Ordering::Relaxed);
        for home in (number..homes).chain(0..number.min(homes)) {
            taken += self.take_tasks_of(home);
        }
        INSIDE.set(false);
        if taken > 0 {
            self.completed.0.fetch_add(taken, Ordering::Release);
        }
    }

    /// Takes a home's tasks until none is left; returns how many they were.
    fn take_tasks_of(&self, home: usize) -> u32 {
        let mut taken = 0;
        loop {
            // Acquire: sees the region's tasks. Taking past the end is harmless, the next region resets the ticket.
            let ticket = self.ticket(home).fetch_add(1, Ordering::Acquire);
            let (end, number) = ((ticket >> 32) as u32, ticket as u32);
            if number >= end {
                return taken;
            }
            let Region { closure, call, .. } = &self.region.0;
            let (closure, call) = (closure.load(Ordering::Relaxed), call.load(Ordering::Relaxed));
            // SAFETY: this thread owns task `number` of the region that stored both; `run` returns, and its closure
            // ends, only after this task has been counted as completed.
            let task = |number| unsafe { std::mem::transmute::<*mut (), Call>(call)(closure, number) };
            if catch_unwind(AssertUnwindSafe(|| task(number as usize))).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            taken += 1;
        }
    }

    fn sleep_until_woken(&self, number: usize) {
        let mut guard = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
        self.asleep.fetch_add(1, Ordering::SeqCst);
        let is_called = || self.quit.load(Ordering::SeqCst) || self.is_resting(number);
        while !self.has_tasks(number, Ordering::SeqCst) && !is_called() {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.asleep.fetch_sub(1, Ordering::SeqCst);
    }

    fn rest(&self, number: usize) {
        let mut guard = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
        while self.is_resting(number) && !self.quit.load(Ordering::SeqCst) {
            guard = self.recall.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Something that several tasks of a region need, and that the first of them makes.
#[derive(Default)]
pub(super) struct Preparation {
    state: Line<AtomicU32>,
}

/// States of a [`Preparation`].
const UNDER_WAY: u32 = 1;
const DONE: u32 = 2;

impl Preparation {
    /// Calls `make` if nobody did; returns when it has ended. Where it panics, others see what it has made so far; the region
    /// ends with that panic.
    pub(super) fn once(&self, make: impl FnOnce()) {
        struct Ending<'a>(&'a AtomicU32);
        impl Drop for Ending<'_> {
            fn drop(&mut self) {
                self.0.store(DONE, Ordering::Release);
            }
        }
        let state = &self.state.0;
        if state.load(Ordering::Acquire) == DONE {
            return;
        }
        if state.compare_exchange(0, UNDER_WAY, Ordering::Acquire, Ordering::Acquire).is_ok() {
            let _ending = Ending(state);
            return make();
        }
        let mut waited = 0;
        while state.load(Ordering::Acquire) != DONE {
            pause(&mut waited);
        }
    }
}

/// Offers the core to other threads, if that was not done just now.
fn offer_core() {
    if OFFERED.get().elapsed() > STINT {
        std::thread::yield_now();
        OFFERED.set(Instant::now());
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

    use super::{Pool, Preparation};

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
    fn tasks_at_home_run_once_and_none_waits_for_its_home() {
        for threads in [1, 2, 5] {
            let pool = Pool::new(threads);
            for (homes, each) in (1..=threads).flat_map(|homes| [0, 1, 3, 40].map(|each| (homes, each))) {
                let calls: Vec<AtomicUsize> = (0..homes * each).map(|_| AtomicUsize::new(0)).collect();
                for region in 1..100 {
                    pool.run_at_home(homes, each, &|task| {
                        calls[task].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) == region));
                    check_regions(&pool, 1, 3);
                }
            }
            // Whose home rests, for them others work.
            pool.set_idle(Some(1));
            let done = AtomicUsize::new(0);
            pool.run_at_home(threads, 4, &|_| {
                done.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(done.into_inner(), 4 * threads);
        }
    }

    #[test]
    fn threads_begin_at_home() {
        let pool = Pool::new(2);
        let caller = std::thread::current().id();
        let mut at_home = 0;
        for _ in 0..30 {
            let threads = [const { std::sync::Mutex::new(None) }; 2];
            pool.run_at_home(2, 1, &|task| {
                *threads[task].lock().unwrap() = Some(std::thread::current().id());
                // Long enough for the other to come.
                std::thread::sleep(Duration::from_millis(1));
            });
            let [first, second] = threads.map(|thread| thread.into_inner().unwrap().unwrap());
            at_home += usize::from(first == caller && second != caller);
        }
        // Mostly, but other programs may keep a thread from coming in time.
        assert!(at_home > 0);
    }

    #[test]
    fn what_tasks_need_is_made_once_before_any_of_them() {
        let pool = Pool::new(3);
        for _ in 0..200 {
            let (preparation, made) = (Preparation::default(), AtomicUsize::new(0));
            pool.run(9, &|_| {
                preparation.once(|| {
                    std::thread::sleep(Duration::from_micros(20));
                    made.fetch_add(1, Ordering::Relaxed);
                });
                assert_eq!(made.load(Ordering::Relaxed), 1);
            });
        }
        let preparation = Preparation::default();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.run(9, &|_| preparation.once(|| panic!("expected by the test")));
        }));
        assert!(outcome.is_err(), "nobody waits for what will never be made");
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
    fn threads_that_are_left_out_do_nothing_and_come_back() {
        let pool = Pool::new(3);
        let caller = std::thread::current().id();
        for threads in [Some(1), Some(2), None, Some(1), Some(3)] {
            pool.set_idle(threads);
            check_regions(&pool, 200, 8);
            std::thread::sleep(Duration::from_millis(3));
            pool.run(8, &|_| {
                assert!(threads != Some(1) || std::thread::current().id() == caller);
            });
        }
        pool.set_idle(Some(1));
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
