//! The whole program but for its command line: logs, signals, a listener and the core around [`serve`].

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sambad_core::{Fatal, Phone, Sambad, phone};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::{Cli, TlsArgs};
use crate::serve::serve_announced;
use crate::tls::{Tls, TlsError};
use crate::{ServeError, commands, telemetry};

/// How long a server may take to end after a fatal end of its core; then the process is aborted.
const FATAL_END_TIMEOUT: Duration = Duration::from_secs(10);

/// Does what the command line asks for, as the binary does.
///
/// Serving ends with SIGTERM or SIGINT: other programs start the very same server with it. It installs the process's logger and panic
/// hook, and prints to stdout where the database is and, once it accepts connections, a line that ends in
/// ` listening on http://ADDRESS:PORT`, or `https://` with a certificate, followed by the line that scripts of the first backend wait
/// for, which ends in ` listening on port PORT`. It raises the process's limit of descriptors as far as that is allowed, and forbids
/// core dumps unless they are allowed. When it returns, the log is written as far as stderr takes it within a second.
///
/// A server that had to end ([`ServeError::is_fatal_end`]) returns that error within a few seconds; should it fail to, the process is
/// aborted.
///
/// # Errors
/// When a file of settings is named that [`Cli::load`] has not read, the log filter is invalid, the address is taken, the database cannot be opened, the server had to end, or a command fails.
///
/// # Panics
/// When a logger is installed already.
///
/// # Cancel safety
/// Dropping the future leaves the core's tasks to the runtime: send a signal instead.
pub async fn run(cli: &Cli) -> anyhow::Result<()> {
    // A program that starts a server of its own parses flags only: a file in its folder is none of its business.
    ensure!(cli.config.is_none() || cli.settings.file().is_some(), "only sambad-server itself reads a settings file");
    if !cli.allow_core_dumps {
        forbid_core_dumps();
    }
    match &cli.command {
        Some(command) => {
            for warning in cli.settings.warnings() {
                telemetry::say(&format!("warning: {warning}"));
            }
            let done = commands::run(cli, command).await;
            telemetry::finish();
            done
        }
        None => {
            let served = serve_until_signal(cli).await;
            telemetry::finish();
            served
        }
    }
}

/// The process's exit code after [`run`] failed: 3 when the server had to end and is to be started anew, else 1.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.downcast_ref().is_some_and(ServeError::is_fatal_end) { 3 } else { 1 }
}

async fn serve_until_signal(cli: &Cli) -> anyhow::Result<()> {
    cli.access.refuse_to_be_open(cli.listen)?;
    cli.database_file()?;
    let mut config = cli.server()?;
    config.tls = certificate(&cli.tls).context("cannot use TLS")?;
    if cli.logs.log_pii {
        Phone::show_in_logs();
    }
    telemetry::install(&cli.log, cli.log_format).with_context(|| format!("invalid log filter {:?}", cli.log))?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), settings = cli.settings.changed(), "starting");
    for warning in cli.settings.warnings() {
        tracing::warn!("{warning}");
    }
    warn_of_shared_key(&cli.tls);
    raise_descriptor_limit();
    // Before anything is opened: a signal from here on is a request to stop, not the end of the process.
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let listener = TcpListener::bind(cli.listen).await.with_context(|| format!("cannot listen on {}", cli.listen))?;
    let address = listener.local_addr().context("listener has no address")?;
    config.metrics_listener = bind_metrics(cli.metrics.metrics_listen).await?;
    let hangup = watch_hangup(config.tls.clone()).context("cannot listen for SIGHUP")?;
    // Beside everything else: it takes some milliseconds, which the first login need not wait for.
    let code = config.default_country_code.clone();
    drop(tokio::task::spawn_blocking(move || phone::prepare(&code)));
    let sambad = Sambad::open(cli.core()?).await.context("cannot start")?;
    end_in_any_case(sambad.stopped()).context("cannot start a thread")?;
    let announce = announcement(cli, address)?;
    let stop = CancellationToken::new();
    let signals = async {
        for again in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if !again {
                stop.cancel();
            }
        }
    };
    tokio::select! {
        // In this order: a server that has ended did so well, whatever signals came meanwhile.
        biased;
        served = serve_announced(listener, sambad, config, announce, stop.clone().cancelled_owned()) => {
            served.context("cannot serve")
        }
        never = hangup => match never {},
        () = signals => bail!("a second signal ended the server at once; acknowledged writes are on disk"),
    }
}

/// Listens for those who read metrics; which port a `0` came to is told in the log.
async fn bind_metrics(address: Option<SocketAddr>) -> anyhow::Result<Option<Arc<TcpListener>>> {
    let Some(address) = address else { return Ok(None) };
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} for metrics"))?;
    let address = listener.local_addr().context("listener has no address")?;
    tracing::info!(%address, "metrics are served");
    if !address.ip().to_canonical().is_loopback() {
        tracing::warn!(%address, "metrics are served beyond this machine without authentication: choose a private address");
    }
    Ok(Some(Arc::new(listener)))
}

/// Reads the certificate, if there is to be one.
fn certificate(args: &TlsArgs) -> Result<Option<Tls>, TlsError> {
    args.tls_cert.as_ref().zip(args.tls_key.as_ref()).map(|(cert, key)| Tls::load(cert, key)).transpose()
}

/// Reads the certificate again with every SIGHUP; one that cannot be used changes nothing. Without a certificate the signal
/// is left as it was.
fn watch_hangup(tls: Option<Tls>) -> io::Result<impl Future<Output = Infallible>> {
    let mut hangup = tls.is_some().then(|| signal(SignalKind::hangup())).transpose()?;
    Ok(async move {
        let (Some(tls), Some(hangup)) = (tls, &mut hangup) else { return std::future::pending().await };
        while hangup.recv().await.is_some() {
            match tls.reload() {
                Ok(()) => tracing::info!("certificate reloaded"),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "certificate cannot be used: the old one stays in use");
                }
            }
        }
        std::future::pending().await
    })
}

/// Kubernetes and Debian's `ssl-cert` let others read a key on purpose, and so this is no reason not to serve.
fn warn_of_shared_key(args: &TlsArgs) {
    const OTHERS: u32 = 0o077;
    let Some(key) = &args.tls_key else { return };
    let mode = std::fs::metadata(key).map_or(0, |found| found.permissions().mode() & 0o777);
    if mode & OTHERS != 0 {
        tracing::warn!(key = %key.display(), mode = %format_args!("{mode:03o}"), "other users can read the key of the \
            certificate");
    }
}

/// A core dump holds keys, passwords and messages. Where the system knows no such wish, the limit of its size is 0, which programs
/// that collect dumps may ignore.
fn forbid_core_dumps() {
    let limit = getrlimit(Resource::Core);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), ..limit });
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Each session and each connection is a descriptor; the soft limit is low for programs that use `select`, which this is not.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Refused where "unlimited" is more than the system knows, as on macOS: then the old limit stays.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Aborts the process when it has not ended some time after `stopped`, whatever keeps it from ending.
fn end_in_any_case(stopped: impl Future<Output = Fatal> + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Handle::current();
    // A thread of its own: it depends on nothing that may be blocked by then, and writes nothing.
    let watch = move || {
        let _ = runtime.block_on(stopped);
        thread::sleep(FATAL_END_TIMEOUT);
        std::process::abort();
    };
    thread::Builder::new().name("last resort".to_owned()).spawn(watch).map(drop)
}

/// Prints where the database is, then the line that scripts wait for, and the one of the first backend.
///
/// In a thread of its own: a stdout that takes nothing, or that is closed, is no reason not to serve.
fn announcement(cli: &Cli, address: SocketAddr) -> anyhow::Result<impl FnOnce()> {
    let database = match cli.database_file()? {
        Some(path) => std::path::absolute(path)?.display().to_string(),
        None => cli.database.to_string(),
    };
    let scheme = if cli.tls.tls_cert.is_some() { "https" } else { "http" };
    let port = address.port();
    let lines = format!(
        "Database: {database}\nSambad unified backend listening on {scheme}://{address}\n\
         ✅ Unified backend listening on port {port}\n"
    );
    let print = move || {
        let mut stdout = io::stdout().lock();
        if let Err(error) = stdout.write_all(lines.as_bytes()).and_then(|()| stdout.flush()) {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot write to stdout");
        }
    };
    Ok(move || {
        if let Err(error) = thread::Builder::new().name("stdout".to_owned()).spawn(print) {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot print where the server listens");
        }
    })
}
