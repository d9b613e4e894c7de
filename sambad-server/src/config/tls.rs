//! Which certificate the server shows.

use std::path::PathBuf;

use clap::Args;

/// What TLS needs.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "TLS")]
pub struct TlsArgs {
    /// Certificate chain in PEM; with --tls-key, the server accepts only HTTPS. SIGHUP reloads both files
    #[arg(long, env = "SAMBAD_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate in PEM
    #[arg(long, env = "SAMBAD_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Do not send Strict-Transport-Security, which makes browsers use only HTTPS for this name
    #[arg(long, env = "SAMBAD_NO_HSTS")]
    pub no_hsts: bool,
}
