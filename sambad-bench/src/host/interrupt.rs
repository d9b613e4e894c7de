//! Ctrl-C and SIGTERM: a request to stop, so that no server and no database is left behind.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Exit;

/// Set once, read by whoever waits for long.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Turns the first signal into a request; the second ends the process at once.
///
/// # Errors
/// When the system has no thread or no signals to give.
pub(crate) fn watch() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _context = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let wait = async move {
        for _ in 0..2 {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if INTERRUPTED.swap(true, Ordering::Relaxed) {
                std::process::exit(Exit::Invalid as i32);
            }
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(wait))?;
    Ok(())
}

/// # Errors
/// When it is time to stop.
pub(crate) fn check() -> anyhow::Result<()> {
    if INTERRUPTED.load(Ordering::Relaxed) { Err(Exit::Invalid.because("interrupted: no report")) } else { Ok(()) }
}
