//! What the page's main thread had of the processor, instant by instant: a task is long by what it computes, not by what other
//! programs of the machine take in its middle.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const EVERY: Duration = Duration::from_millis(5);

/// Milliseconds since 1970, and what a thread has computed until then, in milliseconds.
type Sample = (f64, f64);

/// Follows the renderers of one browser.
pub(crate) struct Processor {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Vec<Sample>>>,
}

/// What the busiest renderer computed.
#[derive(Debug)]
pub(crate) struct Computed {
    samples: Vec<Sample>,
}

impl Processor {
    pub(crate) fn follow(chromium: i32) -> Self {
        // A process's first thread has its id, and is where a renderer runs scripts.
        let threads: Vec<PathBuf> = renderers(chromium).iter().map(|id| format!("/proc/{id}/schedstat").into()).collect();
        assert!(!threads.is_empty(), "the browser has a renderer");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut samples = vec![Vec::new(); threads.len()];
            // The one place where a test sleeps: it looks at a clock.
            while !stopped.load(Ordering::Relaxed) {
                for (thread, samples) in threads.iter().zip(&mut samples) {
                    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs_f64() * 1000.0;
                    let stat = std::fs::read_to_string(thread).unwrap_or_default();
                    if let Some(ns) = stat.split(' ').next().and_then(|text| text.parse::<f64>().ok()) {
                        samples.push((now, ns / 1e6));
                    }
                }
                std::thread::sleep(EVERY);
            }
            samples
        });
        Self { stop, thread }
    }

    pub(crate) fn stop(self) -> Computed {
        self.stop.store(true, Ordering::Relaxed);
        let threads = self.thread.join().unwrap();
        let samples = threads.into_iter().max_by(|one, other| total(one).total_cmp(&total(other))).unwrap();
        Computed { samples }
    }
}

fn total(samples: &[Sample]) -> f64 {
    samples.last().map_or(0.0, |last| last.1 - samples[0].1)
}

impl Computed {
    /// In milliseconds.
    pub(crate) fn total(&self) -> f64 {
        total(&self.samples)
    }

    /// What was computed in this span, between samples in proportion.
    pub(crate) fn within(&self, begin: f64, end: f64) -> f64 {
        self.until(end) - self.until(begin)
    }

    fn until(&self, instant: f64) -> f64 {
        let after = self.samples.partition_point(|sample| sample.0 < instant).clamp(1, self.samples.len() - 1);
        let ((from, done), (to, then)) = (self.samples[after - 1], self.samples[after]);
        done + (then - done) * ((instant - from) / (to - from)).clamp(0.0, 1.0)
    }
}

/// Processes that run pages, among the descendants of a browser's.
fn renderers(chromium: i32) -> Vec<i32> {
    let children = |id: i32| {
        let text = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        text.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<i32>>()
    };
    let (mut found, mut open) = (Vec::new(), vec![chromium]);
    while let Some(id) = open.pop() {
        open.extend(children(id));
        let command = std::fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
        if command.contains("--type=renderer") {
            found.push(id);
        }
    }
    found
}
