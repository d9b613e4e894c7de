//! CPU time and memory of a process, as Linux tells them.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// What a process needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    /// CPU time since its start, of all its threads, ended ones too; it may lag by 10 ms.
    pub(crate) cpu: Duration,
    /// Resident memory now.
    pub(crate) rss_bytes: u64,
}

/// What this process needed; `None` on systems other than Linux.
pub(crate) fn own() -> Option<Usage> {
    of(std::process::id())
}

/// How long each thread of this process was running or waiting for a core, by its number; empty where that is unknown.
pub(crate) fn busy_threads() -> BTreeMap<u32, Duration> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let busy = threads.filter_map(|thread| {
        let number = thread.file_name().to_str()?.parse().ok()?;
        Some((number, busy_of_schedstat(&fs::read_to_string(thread.path().join("schedstat")).ok()?)?))
    });
    busy.collect()
}

/// The time on a core and in the queue for one, of a thread's `schedstat`.
fn busy_of_schedstat(text: &str) -> Option<Duration> {
    let mut fields = text.split_whitespace().map(|field| field.parse::<u64>().ok());
    Some(Duration::from_nanos(fields.next()?? + fields.next()??))
}

/// What that process needed; `None` when it has ended, and on systems other than Linux.
pub(crate) fn of(pid: u32) -> Option<Usage> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let whole = cpu_of_stat(&String::from_utf8_lossy(&stat), rustix::param::clock_ticks_per_second())?;
    // The whole counts ended threads but in ticks of 10 ms; the sum of the living ones is exact. Neither is ever too
    // large, and so the larger one is the better.
    let cpu = whole.max(living_threads(pid));
    let status = fs::read(format!("/proc/{pid}/status")).ok()?;
    Some(Usage { cpu, rss_bytes: rss_of_status(&String::from_utf8_lossy(&status))? })
}

/// CPU time of that process, of the children that it has, and of those that it had; `None` when it has ended.
///
/// PostgreSQL is a process for each connection.
pub(crate) fn cpu_with_children(pid: u32) -> Option<Duration> {
    let ticks = rustix::param::clock_ticks_per_second();
    let stat = |pid: &str| fs::read(format!("/proc/{pid}/stat")).ok().map(|text| String::from_utf8_lossy(&text).into_owned());
    let gone = cpu_of_ended_children(&stat(&pid.to_string())?, ticks)?;
    let children = fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
        let child: u32 = entry.file_name().to_str()?.parse().ok()?;
        (parent_of_stat(&stat(&child.to_string())?)? == pid).then(|| of(child))?
    });
    Some(of(pid)?.cpu + gone + children.map(|child| child.cpu).sum::<Duration>())
}

/// The parent's number in a `/proc/PID/stat`: the second field after the name.
fn parent_of_stat(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// User and system time of children that were waited for: the 16th and 17th field of a `/proc/PID/stat`.
fn cpu_of_ended_children(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(13);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Duration::from_micros((user + system).checked_mul(1_000_000)?.checked_div(ticks_per_second)?))
}

/// CPU time of the threads that run now; zero where the kernel does not tell.
fn living_threads(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.filter_map(|thread| cpu_of_schedstat(&fs::read_to_string(thread.path().join("schedstat")).ok()?)).sum()
}

/// User and system time of a `/proc/PID/stat`.
///
/// Source: proc_pid_stat(5); the second field is the program's name in brackets and may hold blanks and brackets itself.
fn cpu_of_stat(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    // The third field is the first after the name; utime is the 14th and stime the 15th.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let micros = (user + system).checked_mul(1_000_000)?.checked_div(ticks_per_second)?;
    Some(Duration::from_micros(micros))
}

/// Time on a core, the first field of a thread's `schedstat`.
fn cpu_of_schedstat(schedstat: &str) -> Option<Duration> {
    schedstat.split_ascii_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// Resident memory in bytes of a `/proc/PID/status`.
fn rss_of_status(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = value.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a thread that waits for a core counts as busy. Method: a line of the kernel's, and damaged ones.
    #[test]
    fn busy_is_running_or_waiting() {
        assert_eq!(busy_of_schedstat("1500000000 500000000 42\n"), Some(Duration::from_secs(2)));
        assert!(busy_of_schedstat("").is_none() && busy_of_schedstat("7").is_none() && busy_of_schedstat("a b c").is_none());
    }

    /// Goal: the kernel's texts are read right, also of a process with an odd name. Method: texts as they occur, and torn ones.
    #[test]
    fn reads_the_kernels_texts() {
        let stat = "1234 (a) b (c d) S 1 1234 1234 0 -1 4194304 102 0 7 0 150 25 900 900 20 0 1 0 249494 3133440 395";
        assert_eq!(cpu_of_stat(stat, 100), Some(Duration::from_millis(1750)));
        assert_eq!(cpu_of_stat(stat, 0), None);
        assert_eq!((parent_of_stat(stat), cpu_of_ended_children(stat, 100)), (Some(1), Some(Duration::from_secs(18))));
        for torn in ["", "1234 (a", "1234 (a) S 1", "1234 (a) S 1 1234 1234 0 -1 4194304 102 0 7 0 150"] {
            assert_eq!(cpu_of_stat(torn, 100), None, "{torn:?}");
        }
        assert_eq!(cpu_of_schedstat("906848 54301 1\n"), Some(Duration::from_nanos(906_848)));
        assert_eq!(cpu_of_schedstat(""), None);
        assert_eq!(rss_of_status("Name:\tVmRSS: 1 kB\nVmHWM:\t 9 kB\nVmRSS:\t    4096 kB\nRssAnon:\t 1 kB\n"), Some(4 << 20));
        assert_eq!(rss_of_status("Name:\tkthreadd\n"), None);
    }

    /// Goal: a process's own figures are there and CPU time passes, also that of a thread that ended.
    /// Method: a thread computes for a while; before and after.
    #[test]
    #[cfg(target_os = "linux")]
    fn counts_ended_threads() {
        let before = own().unwrap();
        assert!(before.rss_bytes > 100_000, "{before:?}");
        let spent = std::thread::spawn(|| {
            let clock = || {
                let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
                Duration::try_from(now).unwrap()
            };
            while clock() < Duration::from_millis(60) {}
            clock()
        });
        let spent = spent.join().unwrap();
        let passed = own().unwrap().cpu.checked_sub(before.cpu).unwrap();
        assert!(passed + Duration::from_millis(20) >= spent, "{passed:?} of {spent:?}");
        assert_eq!(of(u32::MAX), None);
    }
}
