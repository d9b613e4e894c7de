//! What the stderr of a server may be that cannot be written to.

use std::fs::File;
use std::io::{ErrorKind, PipeReader, PipeWriter, Write as _, pipe};
use std::process::Stdio;

use super::process::Process;

/// A stderr that takes no line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeadStderr {
    /// `2>&-`.
    Closed,
    /// A file on a full disk.
    Full,
    /// A pipe whose reader has gone, as when what collects logs is restarted.
    Abandoned,
    /// A full pipe that nobody reads, as when what collects logs hangs.
    Unread,
}

impl DeadStderr {
    pub(crate) const ALL: [Self; 4] = [Self::Closed, Self::Full, Self::Abandoned, Self::Unread];

    /// Starts the binary on it. The pipe that nobody reads stays full as long as its reader is kept.
    pub(crate) async fn start(self, args: &[&str]) -> (Process, Option<PipeReader>) {
        match self {
            Self::Closed => (Process::start_without_stderr(args).await, None),
            Self::Full => {
                let full = File::options().write(true).open("/dev/full").expect("Linux has it");
                (Process::start_on(args, full.into()).await, None)
            }
            Self::Abandoned => {
                let (_, writer) = pipe().expect("a pipe");
                (Process::start_on(args, writer.into()).await, None)
            }
            Self::Unread => {
                let (reader, mut writer) = pipe().expect("a pipe");
                fill(&mut writer);
                (Process::start_on(args, Stdio::from(writer)).await, Some(reader))
            }
        }
    }
}

/// Fills a pipe with empty lines, as many as it takes.
fn fill(pipe: &mut PipeWriter) {
    let blocks = |blocks: bool| rustix::io::ioctl_fionbio(&*pipe, !blocks).expect("a pipe may block or not");
    blocks(false);
    let mut writer = &*pipe;
    // Line by line, so that none fits when it ends: a pipe takes what fits of a longer write.
    let filled = loop {
        if let Err(error) = writer.write_all(b"\n") {
            break error;
        }
    };
    assert_eq!(filled.kind(), ErrorKind::WouldBlock, "{filled}");
    blocks(true);
}
