//! The `sambad-server` binary: flags, logs, signals around [`sambad_server::serve`].

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use sambad_core::Sambad;
use sambad_server::config::Cli;
use sambad_server::{serve, telemetry};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // stderr may be closed; there is nobody left to tell.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: &Cli) -> anyhow::Result<()> {
    telemetry::install(&cli.log, cli.log_format).with_context(|| format!("invalid log filter {:?}", cli.log))?;
    tracing::info!(?cli, "starting");
    // Before anything is opened: a signal from here on is a request to stop, not the end of the process.
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let listener = TcpListener::bind(cli.listen).await.with_context(|| format!("cannot listen on {}", cli.listen))?;
    let address = listener.local_addr().context("listener has no address")?;
    let sambad = Sambad::open(cli.core()).await.context("cannot start")?;
    announce(cli, address).context("cannot write to stdout")?;
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    serve(listener, sambad, cli.server(), shutdown).await.context("cannot serve")
}

/// Says where the database is, then the line that scripts wait for.
fn announce(cli: &Cli, address: std::net::SocketAddr) -> io::Result<()> {
    let path = cli.database.strip_prefix("sqlite:").unwrap_or(&cli.database);
    let path = path.strip_prefix("//").unwrap_or(path);
    let path = std::path::absolute(path)?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "Database: {}", path.display())?;
    writeln!(stdout, "Sambad unified backend listening on http://{address}")?;
    stdout.flush()
}
