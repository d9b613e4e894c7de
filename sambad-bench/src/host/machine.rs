//! Where and with what a run was measured: figures mean nothing without it.

use std::fs;

use crate::report::{Machine, Tool};

/// This machine, as this process may use it: to be asked before any thread is confined to cores.
pub(crate) fn machine() -> Machine {
    let text = |path: &str| fs::read_to_string(path).ok();
    let cores = super::pin::allowed().len();
    let cores = if cores > 0 { cores } else { std::thread::available_parallelism().map_or(1, usize::from) };
    let processor = text("/proc/cpuinfo").and_then(|cpuinfo| processor_of(&cpuinfo));
    let system = || Some(format!("{} {}", text("/proc/sys/kernel/ostype")?.trim(), text("/proc/sys/kernel/osrelease")?.trim()));
    Machine {
        processor: processor.unwrap_or_else(|| format!("unknown {}", std::env::consts::ARCH)),
        cores,
        memory_bytes: text("/proc/meminfo").and_then(|meminfo| memory_of(&meminfo)).unwrap_or(0),
        system: system().unwrap_or_else(|| std::env::consts::OS.to_owned()),
    }
}

/// This program.
pub(crate) fn tool() -> Tool {
    Tool {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: option_env!("SAMBAD_BENCH_COMMIT").map(str::to_owned),
        optimised: !cfg!(debug_assertions),
    }
}

/// The first processor's name in a `/proc/cpuinfo`; not every architecture has one.
fn processor_of(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    let name = line.split_once(':')?.1.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// All memory in bytes in a `/proc/meminfo`.
fn memory_of(meminfo: &str) -> Option<u64> {
    let value = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = value.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the kernel's texts are read right. Method: texts as they occur.
    #[test]
    fn reads_the_kernels_texts() {
        let cpuinfo = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC 9R14\n\nprocessor\t: 1\nmodel name\t: other\n";
        assert_eq!(processor_of(cpuinfo).as_deref(), Some("AMD EPYC 9R14"));
        assert_eq!(processor_of("processor\t: 0\nBogoMIPS\t: 50.00\n"), None);
        assert_eq!(memory_of("MemTotal:        8131484 kB\nMemFree: 1 kB\n"), Some(8_131_484 * 1024));
        assert_eq!(memory_of("MemTotal: ?\n"), None);
    }

    /// Goal: a report names a machine and a build. Method: this one's.
    #[test]
    fn knows_this_machine_and_build() {
        let (machine, tool) = (machine(), tool());
        assert!(machine.cores > 0 && !machine.processor.is_empty() && !machine.system.is_empty(), "{machine:?}");
        #[cfg(target_os = "linux")]
        assert!(machine.memory_bytes > 1 << 20 && machine.system.starts_with("Linux "), "{machine:?}");
        assert_eq!(tool.optimised, !cfg!(debug_assertions));
        let hash = tool.commit.as_deref().map(|commit| commit.strip_suffix("-dirty").unwrap_or(commit));
        assert!(hash.is_none_or(|hash| hash.len() >= 12 && hash.chars().all(|c| c.is_ascii_hexdigit())), "{tool:?}");
    }
}
