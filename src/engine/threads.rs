//! The number of threads where none is set: measured at the first start and kept.

use std::path::Path;

use etcetera::BaseStrategy;

use crate::kernels::{Level, threads_worth_having};

/// Most threads that are tried.
const MOST: usize = 8;

/// As many as make computing faster on this machine; see [`threads_worth_having`]. Measured once by each version of Foretype on
/// each kind of machine, and kept in the cache folder.
pub fn default_threads() -> usize {
    let folder = etcetera::choose_base_strategy().ok().map(|folders| folders.cache_dir().join("foretype"));
    kept(folder.as_deref(), worth_trying(num_cpus::get_physical()), &threads_worth_having)
}

/// Physical cores: two threads of one core share its multipliers. One is left to the editor where there are many.
fn worth_trying(cores: usize) -> usize {
    match cores {
        0..=2 => cores.max(1),
        _ => (cores - 1).min(MOST),
    }
}

/// What was measured before for so many, else what `measure` says.
fn kept(folder: Option<&Path>, most: usize, measure: &dyn Fn(usize) -> usize) -> usize {
    let key = format!("{} {} {most} ", env!("CARGO_PKG_VERSION"), Level::fastest().name());
    let path = folder.map(|folder| folder.join("threads"));
    let text = path.as_ref().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with(&key)).collect();
    let known = text.lines().find_map(|line| line.strip_prefix(&key)?.parse().ok());
    if let Some(threads) = known.filter(|threads| (1..=most).contains(threads)) {
        return threads;
    }
    let threads = measure(most);
    if let (Some(folder), Some(path)) = (folder, path) {
        let text: String = lines
            .into_iter()
            .map(str::to_owned)
            .chain([format!("{key}{threads}")])
            .map(|line| line + "\n")
            .collect();
        // Whole or not at all: another process may do the same.
        let written = std::fs::create_dir_all(folder).and_then(|()| {
            let file = tempfile::NamedTempFile::new_in(folder)?;
            std::fs::write(file.path(), text)?;
            file.persist(path).map_err(|error| error.error)
        });
        if let Err(error) = written {
            tracing::debug!("the number of threads is not kept: {error}");
        }
    }
    threads
}

/// Threads that compute while nobody waits, of so many: one processor is left free for a key that is answered from memory. It
/// would have to wait for milliseconds until the system takes one from a thread that computes.
pub(super) fn idle_threads(threads: usize, processors: usize) -> usize {
    threads.min(processors.saturating_sub(1)).max(1)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn one_core_is_left_to_the_editor_where_there_are_many() {
        assert_eq!([0, 1, 2, 3, 4, 8, 64].map(worth_trying), [1, 1, 2, 2, 3, 7, 8]);
    }

    #[test]
    fn is_measured_once() {
        let folder = tempfile::tempdir().unwrap();
        let measured = Cell::new(0);
        let threads = |folder: &Path, most: usize| {
            kept(Some(folder), most, &|most| {
                measured.set(measured.get() + 1);
                most - 1
            })
        };
        let missing = folder.path().join("not/yet");
        assert_eq!([4, 4, 7, 4, 7].map(|most| threads(&missing, most)), [3, 3, 6, 3, 6]);
        assert_eq!(measured.get(), 2);
        // What cannot be read, or is no possible number, is measured anew.
        let path = missing.join("threads");
        let text = std::fs::read_to_string(&path).unwrap();
        for broken in ["\u{0}", "", &text.replace(" 3\n", " 5\n"), &text.replace(" 3\n", " many\n")] {
            std::fs::write(&path, broken).unwrap();
            assert_eq!(threads(&missing, 4), 3);
            assert_eq!(threads(&missing, 4), 3);
        }
        assert_eq!(measured.get(), 6);
    }

    #[test]
    fn idle_work_leaves_a_processor_free_where_there_are_several() {
        let threads = [(2, 2), (2, 4), (7, 8), (8, 8), (1, 2), (1, 1), (4, 1)];
        let idle = threads.map(|(threads, processors)| idle_threads(threads, processors));
        assert_eq!(idle, [1, 2, 7, 7, 1, 1, 1]);
    }
}
