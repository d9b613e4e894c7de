//! Which cores a thread runs on, so that the server and the load generator do not take each other's time.

/// Cores that this thread may run on; empty where that is unknown.
///
/// Threads of one physical core stand side by side, so that [`split`] leaves them on one side.
pub(crate) fn allowed() -> Vec<usize> {
    let mut cores = system::allowed();
    cores.sort_by_cached_key(|core| (system::first_sibling(*core).unwrap_or(*core), *core));
    cores
}

/// Confines this thread, and the threads and processes that it starts from now on, to these cores.
///
/// Returns whether that was done: not on systems other than Linux, and not for cores that do not exist or for none.
pub(crate) fn confine(cores: &[usize]) -> bool {
    system::confine(cores)
}

/// Shares cores out between server and load generator.
///
/// `server` is how many the server gets: at least 1, and at most all but one; `None` is half of them, rounded down.
/// With fewer than two cores both have the same.
pub(crate) fn split(allowed: &[usize], server: Option<usize>) -> (Vec<usize>, Vec<usize>) {
    if allowed.len() < 2 {
        return (allowed.to_vec(), allowed.to_vec());
    }
    let server = server.unwrap_or(allowed.len() / 2).clamp(1, allowed.len() - 1);
    let (server, generator) = allowed.split_at(server);
    (server.to_vec(), generator.to_vec())
}

#[cfg(target_os = "linux")]
mod system {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    pub(super) fn allowed() -> Vec<usize> {
        let set = sched_getaffinity(None).unwrap_or_default();
        (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
    }

    pub(super) fn confine(cores: &[usize]) -> bool {
        let mut set = CpuSet::new();
        for core in cores.iter().filter(|core| **core < CpuSet::MAX_CPU) {
            set.set(*core);
        }
        // The kernel ignores cores that do not exist as long as one does: a set that is not wholly there is refused here.
        usize::try_from(set.count()) == Ok(cores.len())
            && sched_setaffinity(None, &set).is_ok()
            && sched_getaffinity(None).is_ok_and(|now| now == set)
    }

    /// The lowest of the logical cores that share a physical one.
    pub(super) fn first_sibling(core: usize) -> Option<usize> {
        let path = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
        let siblings = std::fs::read_to_string(path).ok()?;
        siblings.trim_end().split([',', '-']).next()?.parse().ok()
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) fn allowed() -> Vec<usize> {
        Vec::new()
    }

    pub(super) fn confine(_cores: &[usize]) -> bool {
        false
    }

    pub(super) fn first_sibling(_core: usize) -> Option<usize> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: both sides get cores of their own wherever there are two. Method: every kind of machine and wish.
    #[test]
    fn shares_cores_out() {
        for (allowed, server, expected) in [
            (&[][..], None, (&[][..], &[][..])),
            (&[3], None, (&[3], &[3])),
            (&[3], Some(2), (&[3], &[3])),
            (&[0, 1], None, (&[0], &[1])),
            (&[0, 1, 2], None, (&[0], &[1, 2])),
            (&[0, 4, 1, 5], None, (&[0, 4], &[1, 5])),
            (&[0, 1, 2, 3], Some(1), (&[0], &[1, 2, 3])),
            (&[0, 1, 2, 3], Some(0), (&[0], &[1, 2, 3])),
            (&[0, 1, 2, 3], Some(9), (&[0, 1, 2], &[3])),
        ] {
            assert_eq!(split(allowed, server), (expected.0.to_vec(), expected.1.to_vec()), "{allowed:?} {server:?}");
        }
    }

    /// Goal: a confined thread runs where it should and its threads with it. Method: one core, as the kernel tells it.
    #[test]
    #[cfg(target_os = "linux")]
    fn confines_a_thread_and_its_children() {
        let before = allowed();
        let core = *before.last().unwrap();
        std::thread::spawn(move || {
            assert!(confine(&[core]));
            assert_eq!(allowed(), [core]);
            assert_eq!(std::thread::spawn(allowed).join().unwrap(), [core]);
            assert!(!confine(&[]) && !confine(&[100_000]) && !confine(&[core, 1023]));
        })
        .join()
        .unwrap();
        assert_eq!(allowed(), before);
    }
}
