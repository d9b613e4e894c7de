//! How connections are opened: with settings of their own, by whatever lies between.
//!
//! **Invariant:** nothing but the name goes into a connection's startup message. Poolers refuse other parameters, or ignore them;
//! settings are made by a statement that also reads them back.

use std::fmt::Write as _;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};
use tokio::time::timeout;

use super::sqlstate;

/// How often two connections are compared. A pooler that gives out the connection used last, or first, as PgBouncer does, is found by
/// the first comparison; one that gives out any of several, or that others use meanwhile, may pass a few.
const COMPARISONS: usize = 5;
/// How long the other one may take to begin. A pool of sessions may have no place for it, and none is needed to serve.
const OTHER_TIMEOUT: Duration = Duration::from_secs(5);
const SHARED: &str = "the connection goes through a pooler in transaction or statement mode: set its mode to session \
    (PgBouncer: pool_mode = session), or connect to PostgreSQL directly";
const PROCESS: &str = "select pg_backend_pid()";
/// Where a pooler has a single connection, the other one waits for the end of this.
const HOLD_PROCESS: &str = "begin; set local idle_in_transaction_session_timeout = '4s'; select pg_backend_pid()";

/// Where to connect to, and by which settings.
#[derive(Clone)]
pub(super) struct Connector {
    options: PgConnectOptions,
    /// Values as PostgreSQL shows them: `2s`, not `2000`.
    settings: Vec<(&'static str, &'static str)>,
}

impl From<PgConnectOptions> for Connector {
    fn from(options: PgConnectOptions) -> Self {
        Self { options: options.extra_float_digits(None), settings: Vec::new() }
    }
}

impl Connector {
    /// Adds settings; one of the same name is replaced.
    pub(super) fn with(mut self, settings: impl IntoIterator<Item = (&'static str, &'static str)>) -> Self {
        for (name, value) in settings {
            self.settings.retain(|(other, _)| *other != name);
            self.settings.push((name, value));
        }
        self
    }

    /// Sets the name by which PostgreSQL shows the connections.
    pub(super) fn named(mut self, name: &str) -> Self {
        self.options = self.options.application_name(name);
        self
    }

    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// Connects, and makes the settings.
    pub(super) async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let mut connection = self.options.connect().await?;
        self.set_up(&mut connection).await?;
        Ok(connection)
    }

    /// As [`Connector::connect`], and refuses a pooler that gives the connection to others between transactions: settings, prepared
    /// statements, LISTEN and locks belong to a connection. It opens another one for a moment.
    ///
    /// # Errors
    /// `Configuration` for such a pooler. Nothing was set on a connection that others get.
    pub(super) async fn connect_checked(&self) -> Result<PgConnection, sqlx::Error> {
        let mut connection = self.options.connect().await?;
        if self.is_shared(&mut connection).await? {
            return Err(sqlx::Error::Configuration(SHARED.into()));
        }
        self.set_up(&mut connection).await?;
        Ok(connection)
    }

    /// Makes the settings on a new connection.
    ///
    /// # Errors
    /// `Configuration` when one of them is not as it was set.
    pub(super) async fn set_up(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let named = self.options.get_application_name().map(|name| ("application_name", name));
        let settings: Vec<(&str, &str)> = self.settings.iter().copied().chain(named).collect();
        if settings.is_empty() {
            return Ok(());
        }
        let mut statement = String::from("select ");
        for (n, (name, value)) in settings.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            // It gives the value as PostgreSQL has it afterwards.
            let _ = write!(statement, "{comma}set_config('{name}', '{}', false)", value.replace('\'', "''"));
        }
        let rows = sqlx::raw_sql(AssertSqlSafe(statement)).fetch_all(connection).await?;
        let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        for (n, (name, value)) in settings.iter().enumerate() {
            let found: &str = row.try_get(n)?;
            if found != *value {
                let what = format!("{name} was set to {value} but is {found}: a connection pooler does not forward settings");
                return Err(sqlx::Error::Configuration(what.into()));
            }
        }
        Ok(())
    }

    /// Finds out whether `connection`, which idles, loses its connection of PostgreSQL's while another one has a transaction open: a
    /// pooler that shares them gives the other one the same, and then this one another.
    async fn is_shared(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let own = process(connection, PROCESS).await?;
        let holding = async {
            let mut other = self.options.connect().await?;
            let process = process(&mut other, HOLD_PROCESS).await?;
            Ok((other, process))
        };
        let (mut other, mut others) = match timeout(OTHER_TIMEOUT, holding).await {
            Ok(Ok(held)) => held,
            Ok(Err(error)) if is_refused_transaction(&error) => return Ok(true),
            _ => {
                tracing::warn!("no second connection is available: not checked whether a pooler shares connections");
                return Ok(false);
            }
        };
        for _ in 0..COMPARISONS {
            if others == own || process(connection, PROCESS).await? != own {
                return Ok(true);
            }
            if other.execute("rollback").await.is_err() {
                // PostgreSQL ended it, on a machine that is slow; until then both were there.
                return Ok(false);
            }
            // What the other one used last is what a pooler gives out next.
            if process(connection, PROCESS).await? != own {
                return Ok(true);
            }
            others = process(&mut other, HOLD_PROCESS).await?;
        }
        // It changed nothing, so however it ends is fine.
        let _ = other.close().await;
        Ok(false)
    }
}

/// Runs statements of which the last gives the process that carries them out, by the simple protocol: prepared statements are what a
/// pooler may not keep.
async fn process(connection: &mut PgConnection, statements: &'static str) -> Result<i32, sqlx::Error> {
    let rows = sqlx::raw_sql(statements).fetch_all(connection).await?;
    rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)
}

/// Whether PgBouncer refused a transaction, as it does in its mode `statement`. It has one code for whatever it refuses.
fn is_refused_transaction(error: &sqlx::Error) -> bool {
    let message = error.as_database_error().map_or("", |error| error.message());
    sqlstate(error).as_deref() == Some("08P01") && message.contains("transaction blocks not allowed")
}
