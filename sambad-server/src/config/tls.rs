//! Which certificate the server shows.

use std::path::PathBuf;

use clap::Args;

/// What TLS needs.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "TLS")]
pub struct TlsArgs {
    /// Certificate chain in PEM: with it and --tls-key the server speaks HTTPS alone; both files are read again on SIGHUP
    #[arg(long, env = "SAMBAD_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate in PEM
    #[arg(long, env = "SAMBAD_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Do not tell browsers to use HTTPS alone for this name from now on (Strict-Transport-Security)
    #[arg(long, env = "SAMBAD_NO_HSTS")]
    pub no_hsts: bool,
}
