//! The log's lines on their way to stderr: kept in memory within a bound, and written by a thread of their own.
//!
//! **Invariant:** logging never waits and never fails. A line that finds no room, or that cannot be written, is lost, counted, and
//! reported once the log can be written again.
//!
//! Not `tracing-appender`: it bounds lines and not bytes, it counts no failed write, and the guard that writes what is left at
//! exit prints to stdout when it cannot, which panics or blocks where stdout is as dead as stderr.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sambad_core::stats::Count;
use sambad_core::text::is_deceptive;
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

/// Bytes of lines that may wait: some ten thousand lines.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// Bytes that a waiting line takes beside its text.
const LINE_BYTES: usize = 64;
/// Bytes of a line; a longer one is cut.
const LINE_BYTES_MAX: usize = 64 << 10;
/// What a line that was cut ends with.
const CUT: &[u8] = "…\n".as_bytes();
/// How often lost lines are reported while more are lost, and how often the thread tries to report them when nothing is logged.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Pause before a stderr that was made not to block, by a process that shares it, is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(10);
/// The target of the line that reports lost lines, which does not wait among the others.
const LOST: &str = "sambad_server::telemetry::lost";

/// Takes lines; clones share one thread that writes them.
#[derive(Debug, Clone)]
pub(super) struct LogWriter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// A std lock: it is held for a few instructions, and never while anything is written.
    waiting: Mutex<Waiting>,
    /// Notified when a line waits.
    filled: Condvar,
    /// Notified when no line waits or is being written.
    emptied: Condvar,
    /// The line that reports lost lines, handed over to the thread that made it.
    report: Mutex<Vec<u8>>,
    lost: Arc<Count>,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Whether a line that waited is being written.
    writing: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LogWriter {
    /// Starts the thread that writes lines to `out`, and counts in `lost` those that were lost. Where no thread can be started,
    /// lines wait until there is no room.
    pub(super) fn start(out: impl Write + Send + 'static, lost: Arc<Count>) -> Self {
        let (waiting, filled, emptied) = (Mutex::default(), Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared { waiting, filled, emptied, report: Mutex::default(), lost });
        let writing = Writing { shared: Arc::clone(&shared), out, torn: false, reported: 0, reported_at: None };
        let _ = thread::Builder::new().name("log".to_owned()).spawn(|| writing.run());
        Self(shared)
    }

    /// Takes a line, or loses it.
    pub(super) fn take(&self, line: &[u8]) {
        let line = cut(&visible(line));
        let mut waiting = locked(&self.0.waiting);
        if waiting.bytes + line.len() + LINE_BYTES > WAITING_BYTES_MAX {
            self.0.lost.add(1);
            return;
        }
        waiting.bytes += line.len() + LINE_BYTES;
        waiting.lines.push_back(line);
        drop(waiting);
        self.0.filled.notify_one();
    }

    /// Waits until every line is written or lost, for so long at most.
    pub(super) fn finish(&self, within: Duration) {
        let busy = |waiting: &mut Waiting| waiting.writing || !waiting.lines.is_empty();
        let _ = self.0.emptied.wait_timeout_while(locked(&self.0.waiting), within, busy);
    }
}

/// A line in which nobody's text hides, turns around or controls a terminal: such characters are `\\u009b`, which in JSON means the
/// same. Those of ASCII the logger escapes, or writes itself, as colours and the line's end.
fn visible(line: &[u8]) -> Cow<'_, [u8]> {
    let text = String::from_utf8_lossy(line);
    if !text.chars().any(|c| !c.is_ascii() && is_deceptive(c)) {
        return Cow::Borrowed(line);
    }
    let mut visible = String::with_capacity(line.len() + 16);
    for c in text.chars() {
        if !c.is_ascii() && is_deceptive(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(visible, "\\u{unit:04x}");
            }
        } else {
            visible.push(c);
        }
    }
    Cow::Owned(visible.into_bytes())
}

/// Cuts a line that is too long, between two characters.
fn cut(line: &[u8]) -> Vec<u8> {
    if line.len() <= LINE_BYTES_MAX {
        return line.to_vec();
    }
    let is_within_character = |at: &usize| line[*at] & 0b1100_0000 == 0b1000_0000;
    let end = (0..=LINE_BYTES_MAX - CUT.len()).rev().find(|at| !is_within_character(at)).unwrap_or(0);
    [&line[..end], CUT].concat()
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter { log: self, reports: false }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> LineWriter<'a> {
        LineWriter { log: self, reports: metadata.target() == LOST }
    }
}

/// Takes one line, which the logger writes at once.
#[derive(Debug)]
pub(super) struct LineWriter<'a> {
    log: &'a LogWriter,
    /// Whether the line reports lost ones.
    reports: bool,
}

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.reports {
            *locked(&self.log.0.report) = cut(&visible(line));
        } else {
            self.log.take(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The thread that writes.
struct Writing<W> {
    shared: Arc<Shared>,
    out: W,
    /// Whether the last line was written in part.
    torn: bool,
    /// Lost lines that were reported.
    reported: u64,
    reported_at: Option<Instant>,
}

impl<W: Write> Writing<W> {
    fn run(mut self) {
        loop {
            match self.next() {
                Some(line) if self.put(&line).is_ok() => self.report_in_time(),
                Some(_) => self.shared.lost.add(1),
                None => self.report(),
            }
        }
    }

    /// Waits for the next line; `None` when there are lost lines to report and nothing was logged for a while.
    fn next(&mut self) -> Option<Vec<u8>> {
        let mut waiting = locked(&self.shared.waiting);
        waiting.writing = false;
        if waiting.lines.is_empty() {
            self.shared.emptied.notify_all();
        }
        let is_empty = |waiting: &mut Waiting| waiting.lines.is_empty();
        let filled = &self.shared.filled;
        waiting = if self.shared.lost.get() == self.reported {
            filled.wait_while(waiting, is_empty).unwrap_or_else(PoisonError::into_inner)
        } else {
            filled.wait_timeout_while(waiting, REPORT_INTERVAL, is_empty).unwrap_or_else(PoisonError::into_inner).0
        };
        let line = waiting.lines.pop_front()?;
        waiting.bytes -= line.len() + LINE_BYTES;
        waiting.writing = true;
        Some(line)
    }

    /// Writes a whole line; one that was written in part before gets its end first.
    fn put(&mut self, line: &[u8]) -> io::Result<()> {
        let ending: &[u8] = if self.torn { b"\n" } else { b"" };
        for mut rest in [ending, line] {
            while !rest.is_empty() {
                match self.out.write(rest) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => {
                        rest = &rest[written..];
                        self.torn = !rest.is_empty();
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY_PAUSE),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Reports lost lines after a line that was written: at once when none waits, else not more often than the interval.
    fn report_in_time(&mut self) {
        let is_due = self.reported_at.is_none_or(|at| at.elapsed() >= REPORT_INTERVAL);
        if self.shared.lost.get() != self.reported && (is_due || locked(&self.shared.waiting).lines.is_empty()) {
            self.report();
        }
    }

    /// Reports lost lines, if the log can be written; else they are reported later.
    fn report(&mut self) {
        let lost = self.shared.lost.get();
        tracing::warn!(target: LOST, lines = lost - self.reported, "log lines were lost");
        // Empty where the filter leaves such lines out.
        let line = std::mem::take(&mut *locked(&self.shared.report));
        if self.put(&line).is_ok() {
            self.reported = lost;
            self.reported_at = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// What a write comes to: so many bytes are taken, or it fails.
    type Outcome = Result<usize, io::ErrorKind>;

    /// An output whose every write waits to be told what it comes to.
    struct Obedient {
        asked: Sender<Vec<u8>>,
        outcomes: Receiver<Outcome>,
    }

    impl Write for Obedient {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.asked.send(bytes.to_vec()).map_err(io::Error::other)?;
            let outcome = self.outcomes.recv().map_err(io::Error::other)?;
            outcome.map(|most| most.min(bytes.len())).map_err(Into::into)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct World {
        log: LogWriter,
        asked: Receiver<Vec<u8>>,
        outcomes: Sender<Outcome>,
    }

    impl World {
        fn new() -> Self {
            let ((asked, asking), (outcomes, outcome)) = (channel(), channel());
            let log = LogWriter::start(Obedient { asked, outcomes: outcome }, Arc::default());
            Self { log, asked: asking, outcomes }
        }

        /// Waits for a write, which comes to `outcome`.
        fn write(&self, outcome: Outcome) -> String {
            let bytes = self.asked.recv_timeout(PATIENCE).expect("something is written");
            self.outcomes.send(outcome).expect("the thread lives");
            String::from_utf8(bytes).expect("lines are text")
        }
    }

    /// Goal: whoever logs never waits, memory is bounded, and what finds no room is counted. Method: an output that blocks, twice as
    /// many lines as there is room for; then it takes all that waited.
    #[test]
    fn lines_that_find_no_room_are_lost_and_counted() {
        let world = World::new();
        let line = [&[b'x'; 1000][..], b"\n"].concat();
        let lines = 2 * WAITING_BYTES_MAX / line.len();
        for _ in 0..lines {
            world.log.take(&line);
        }
        let (lost, kept) = (world.log.0.lost.get(), locked(&world.log.0.waiting).lines.len());
        assert!(kept * line.len() <= WAITING_BYTES_MAX && kept > WAITING_BYTES_MAX / line.len() / 2, "{kept} lines wait");
        // One of them is being written.
        assert!((lost as usize + kept).abs_diff(lines) <= 1, "{lost} lost and {kept} kept of {lines}");
        world.log.finish(Duration::from_millis(1));
        for _ in 0..lines - lost as usize {
            assert_eq!(world.write(Ok(usize::MAX)).as_bytes(), line);
        }
        world.log.finish(PATIENCE);
        assert_eq!(world.log.0.lost.get(), lost);
    }

    /// Goal: a line that cannot be written is lost alone, and one that was written in part does not spoil the next. Method: each
    /// failure that a full disk, a pipe without a reader and a shared terminal give.
    #[test]
    fn a_line_that_fails_is_lost_alone() {
        let world = World::new();
        world.log.take(b"first\n");
        assert_eq!(world.write(Err(io::ErrorKind::BrokenPipe)), "first\n");
        world.log.take(b"second\n");
        assert_eq!(world.write(Ok(3)), "second\n");
        assert_eq!(world.write(Err(io::ErrorKind::StorageFull)), "ond\n");
        world.log.take(b"third\n");
        assert_eq!(world.write(Err(io::ErrorKind::Interrupted)), "\n", "the line that was torn gets its end");
        assert_eq!(world.write(Ok(1)), "\n");
        assert_eq!(world.write(Err(io::ErrorKind::WouldBlock)), "third\n");
        assert_eq!(world.write(Ok(usize::MAX)), "third\n");
        world.log.finish(PATIENCE);
        assert_eq!(world.log.0.lost.get(), 2);
    }

    /// Goal: no character of a line hides, turns text around or controls a terminal, and people's scripts stay. Method: a table; JSON
    /// that means the same.
    #[test]
    fn deceptive_characters_are_escaped() {
        for (line, shown) in [
            ("plain\n", "plain\n"),
            ("\u{1b}[31mcolour\u{1b}[0m\n", "\u{1b}[31mcolour\u{1b}[0m\n"),
            ("a\u{9b}31mb\u{85}\n", "a\\u009b31mb\\u0085\n"),
            ("abc\u{202e}fed\u{2066}\u{200f}", "abc\\u202efed\\u2066\\u200f"),
            ("a\u{2028}b\u{feff}\u{200b}", "a\\u2028b\\ufeff\\u200b"),
            ("\u{e0041}", "\\udb40\\udc41"),
            ("नमस्ते क्\u{200d}ष 👩\u{200d}💻 é", "नमस्ते क्\u{200d}ष 👩\u{200d}💻 é"),
        ] {
            assert_eq!(String::from_utf8_lossy(&visible(line.as_bytes())), shown);
        }
        let (text, mut line) = ("a\u{9b}\u{202e}\u{e0041}\\", String::new());
        write!(line, "{}", serde_json::json!({ "path": text })).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&visible(line.as_bytes())).unwrap();
        assert_eq!(read["path"], text);
    }

    /// Goal: no line is longer than its bound, and it stays text. Method: long lines of characters of one to three bytes.
    #[test]
    fn a_long_line_is_cut() {
        for text in ["x", "é", "ह"] {
            let line = text.repeat(LINE_BYTES_MAX + 1);
            let cut = String::from_utf8(cut(line.as_bytes())).expect("it is text");
            assert!(cut.len() <= LINE_BYTES_MAX && cut.len() > LINE_BYTES_MAX - 8, "{} bytes", cut.len());
            assert!(cut.ends_with("…\n"));
        }
        assert_eq!(cut(b"short\n"), b"short\n");
    }
}
