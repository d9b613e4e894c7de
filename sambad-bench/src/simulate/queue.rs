//! What does one thing at a time: a core, or a row that everybody needs.

/// Something that does one thing at a time.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    pub(super) free_ns: u64,
    pub(super) busy_ns: u64,
}

impl Queue {
    /// When something that comes now and takes so long is done.
    pub(super) fn take(&mut self, now_ns: u64, takes_ns: u64, counted_from_ns: u64) -> u64 {
        self.free_ns = self.free_ns.max(now_ns) + takes_ns;
        if now_ns >= counted_from_ns {
            self.busy_ns += takes_ns;
        }
        self.free_ns
    }
}

/// Has the queue do it that is free first.
pub(super) fn take_first(queues: &mut [Queue], now_ns: u64, takes_ns: u64, counted_from_ns: u64) -> u64 {
    let first = queues.iter_mut().min_by_key(|queue| queue.free_ns).expect("there is at least one core");
    first.take(now_ns, takes_ns, counted_from_ns)
}
