//! Where metrics are to be had.

use std::net::SocketAddr;

use clap::Args;

/// Where metrics are to be had.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs and metrics")]
pub struct MetricsArgs {
    /// Address and port for /metrics, over plain HTTP and without authentication; default: /metrics is on the main address
    #[arg(long, env = "SAMBAD_METRICS_LISTEN", value_name = "ADDR")]
    pub metrics_listen: Option<SocketAddr>,
}
