//! The process as its system sees it, under the names that every Prometheus exporter has for it.
//!
//! Source: Prometheus, "Writing client libraries", process metrics; proc(5).

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// Reads the figures when they are asked for; where the system does not tell them, there are none.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(Figures { start_s, cpu_s, threads, resident_bytes, virtual_bytes }) = Figures::read() else { return Ok(()) };
        let cpu = ConstCounter::new(cpu_s);
        cpu.encode(encoder.encode_descriptor("process_cpu_seconds", "CPU time used", None, cpu.metric_type())?)?;
        let mut gauge = |name, help, value: f64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        gauge("process_start_time_seconds", "Start time of the process, in seconds since 1970", start_s)?;
        gauge("process_threads", "Threads", threads)?;
        gauge("process_resident_memory_bytes", "Resident memory", resident_bytes)?;
        gauge("process_virtual_memory_bytes", "Virtual memory", virtual_bytes)?;
        if let Some(open) = descriptors() {
            gauge("process_open_fds", "Open file descriptors", open)?;
        }
        gauge("process_max_fds", "Limit of open file descriptors", descriptors_max())
    }
}

struct Figures {
    start_s: f64,
    cpu_s: f64,
    threads: f64,
    resident_bytes: f64,
    virtual_bytes: f64,
}

#[expect(clippy::cast_precision_loss, reason = "what is shown has fifteen digits")]
impl Figures {
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The program's name, in parentheses, may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        // The first of them is the third of proc(5).
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let (ticks, page) = (clock_ticks_per_second() as f64, page_size() as f64);
        let boot = fs::read_to_string("/proc/stat").ok()?;
        let boot: f64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        Some(Self {
            start_s: boot + field(22)? as f64 / ticks,
            cpu_s: (field(14)? + field(15)?) as f64 / ticks,
            threads: field(20)? as f64,
            virtual_bytes: field(23)? as f64,
            resident_bytes: field(24)? as f64 * page,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "what is shown has fifteen digits")]
fn descriptors() -> Option<f64> {
    let folder = "/proc/self/fd";
    // Since Linux 6.2 the folder's size says how many there are; counting ten thousand takes milliseconds.
    let told = fs::metadata(folder).ok()?.len();
    if told > 0 {
        return Some(told as f64);
    }
    Some(fs::read_dir(folder).ok()?.count() as f64)
}

#[expect(clippy::cast_precision_loss, reason = "what is shown has fifteen digits")]
fn descriptors_max() -> f64 {
    getrlimit(Resource::Nofile).current.map_or(f64::INFINITY, |limit| limit as f64)
}
