//! The `sambad-server` binary: its allocator and its command line around [`sambad_server::run`].

use sambad_server::config::Cli;
use sambad_server::telemetry;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() {
    let cli = match Cli::load(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let code = match sambad_server::run(&cli).await {
        Ok(()) => 0,
        Err(error) => {
            let told = format!("{error:#}");
            telemetry::say(&format!("error: {told}{}", cli.settings.origins(&told)));
            telemetry::finish();
            sambad_server::exit_code(&error)
        }
    };
    // Not by returning, which would wait for threads that may be blocked for good, such as one that looks a name up.
    std::process::exit(code.into());
}
