//! A process that this program starts: it ends with this program, and what it prints is read, so that it never waits.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, PipeReader, Read};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// Lines that an error shows, at most.
pub(super) const LINES_MAX: usize = 10;

/// A process that was started and not waited for.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    notices: Receiver<Notice>,
    lines: Arc<Mutex<VecDeque<String>>>,
}

/// What the threads of a process tell.
enum Notice {
    Spawned(std::io::Result<Child>),
    Ready,
    /// It is dead and not yet waited for.
    Ended,
    /// Nothing more will be read of it.
    Drained,
}

/// What became of a process that was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// It has printed its mark.
    Ready,
    /// It has ended before.
    Ended,
    /// Neither.
    Late,
}

impl Process {
    /// Starts it. Ready it is when a line of `output` holds `mark`; without an `output`, of its stdout, a pipe then.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(command: Command, output: Option<PipeReader>, mark: &'static str) -> anyhow::Result<Self> {
        let (sender, notices) = mpsc::channel();
        let lines = Arc::new(Mutex::default());
        let read = Arc::clone(&lines);
        thread::Builder::new()
            .name("process-keeper".to_owned())
            .spawn(move || keep(command, output, mark, &sender, read))
            .context("cannot start a thread for the process")?;
        let Ok(Notice::Spawned(child)) = notices.recv() else { bail!("the thread of the process ended") };
        Ok(Self { child: child.context("cannot start the process")?, notices, lines })
    }

    pub(super) fn ready_within(&self, timeout: Duration) -> Start {
        let deadline = Instant::now() + timeout;
        loop {
            match self.notices.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Notice::Ready) => return Start::Ready,
                Ok(Notice::Ended) => return Start::Ended,
                Ok(Notice::Spawned(_) | Notice::Drained) => {}
                Err(_) => return Start::Late,
            }
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends it a signal; one that stops it has stopped it when this returns.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub(super) fn signal(&self, signal: Signal) -> rustix::io::Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal)?;
        if signal == Signal::STOP {
            // The signal arrives at each of its threads a little later.
            wait_for(pid, WaitIdOptions::STOPPED | WaitIdOptions::EXITED);
        }
        Ok(())
    }

    /// Kills it, unless it has ended, and waits for it; it is gone afterwards and leaves no zombie.
    pub(super) fn kill(&mut self) -> std::io::Result<ExitStatus> {
        // Refused only when it has ended.
        let _ = self.child.kill();
        self.child.wait()
    }

    pub(super) fn ends_within(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        loop {
            match self.notices.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Notice::Ended) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }

    /// The last lines that it printed; of one that has ended, all that is still on its way among them.
    pub(super) fn last_lines(&self) -> Vec<String> {
        const PATIENCE: Duration = Duration::from_millis(500);
        while self.notices.recv_timeout(PATIENCE).is_ok_and(|notice| !matches!(notice, Notice::Drained)) {}
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// Starts the process and stays until it is dead.
///
/// It needs a thread of its own that lasts as long: the kernel takes the thread that started a process for its parent,
/// and ends the process with it ([`super::hosted`]). Whoever starts or restarts a server may well end before it.
fn keep(
    mut command: Command,
    output: Option<PipeReader>,
    mark: &'static str,
    notices: &Sender<Notice>,
    lines: Arc<Mutex<VecDeque<String>>>,
) {
    let spawned = command.spawn();
    // With it goes this side's copy of the pipe that the process writes to: else there would be no end of it.
    drop(command);
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return drop(notices.send(Notice::Spawned(Err(error)))),
    };
    let pid = Pid::from_child(&child);
    let stdout = child.stdout.take();
    // Nobody receives only after a panic; then the process ends with this thread.
    if notices.send(Notice::Spawned(Ok(child))).is_err() {
        return;
    }
    let told = notices.clone();
    // Ends with the process, or with the last of its children that has its output: not waited for.
    match (output, stdout) {
        (Some(output), _) => drop(thread::spawn(move || read(output, mark, &told, &lines))),
        (None, Some(stdout)) => drop(thread::spawn(move || read(stdout, mark, &told, &lines))),
        (None, None) => {}
    }
    wait_for(pid, WaitIdOptions::EXITED);
    let _ = notices.send(Notice::Ended);
}

/// Waits until that happens to a child; its status stays for the child's owner, so that its id cannot belong to another
/// process meanwhile.
fn wait_for(pid: Pid, what: WaitIdOptions) {
    while matches!(waitid(WaitId::Pid(pid), what | WaitIdOptions::NOWAIT), Err(Errno::INTR)) {}
}

/// Reads all that the process prints, so that it never waits for a reader, and tells when it is ready.
fn read(output: impl Read, mark: &str, notices: &Sender<Notice>, lines: &Mutex<VecDeque<String>>) {
    let mut told = false;
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        if !told && line.contains(mark) {
            told = true;
            let _ = notices.send(Notice::Ready);
        }
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }
    let _ = notices.send(Notice::Drained);
}
