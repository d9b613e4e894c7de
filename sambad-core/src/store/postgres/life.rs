//! Which life of PostgreSQL the log is in: a restored dump, a standby that took over and a return to an earlier moment may lack
//! events that readers have seen, under numbers that will come again. The epoch tells readers, who then reload; here is found
//! out when it has to change.

use sqlx::Row as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::{Reader, bounded, failed, identity, rows, sqlstate};
use crate::cursor::LogBounds;
use crate::error::Error;
use crate::store::LogSecret;

/// The cluster, and its timeline: another one after each failover and each return to an earlier moment.
const CLUSTER: &str = "select (select system_identifier from pg_control_system()) || '/'
    || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)";
/// As [`CLUSTER`], beside the log's bounds.
const LOOK: &str = "select epoch, head, first, $1 = (select system_identifier from pg_control_system()) || '/'
    || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) from log";
/// Gives the log of another life a new epoch; one server does, the others find it done.
const BEGIN_LIFE: &str = "update log set cluster = $1, secret = default,
        epoch = case when cluster is null then epoch else (epoch + 1 + floor(random() * 2147483648)::bigint) & 4294967295 end
    where cluster is distinct from $1 returning epoch";
/// As that, for a log that went back within its life: a disk was restored.
const END_LIFE: &str = "update log set secret = default, epoch = (epoch + 1 + floor(random() * 2147483648)::bigint) & 4294967295
    where epoch = $1 and head < $2 returning epoch";
/// The secret, and what tells this log from a copy of it on the same PostgreSQL: a copied database has an id of its own, and a
/// copied table within one.
const SECRET: &str = "select secret, (select oid from pg_database where datname = current_database())::text
    || '/' || 'log'::regclass::oid::text from log";

const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// Notes the life that the log is in, and gives it a new epoch if that is another than the last; `None` where this user may not
/// ask, and whoever restores or fails over has to renew the epoch.
pub(super) async fn begin(connection: &mut PgConnection, options: &PgConnectOptions) -> Result<Option<String>, Error> {
    let cluster: String = match sqlx::query_scalar(CLUSTER).fetch_one(&mut *connection).await {
        Ok(cluster) => cluster,
        Err(error) if sqlstate(&error).as_deref() == Some(INSUFFICIENT_PRIVILEGE) => {
            tracing::warn!(
                "this user has no right to call pg_control_system(): run `sambad-server epoch --renew` after a failover or \
                 a restore, and before a copy of this database uses the same Redis"
            );
            return Ok(None);
        }
        Err(error) => return Err(identity::cannot_open(options, error)),
    };
    if let Some(row) = sqlx::query(BEGIN_LIFE).bind(&cluster).fetch_optional(connection).await.map_err(failed)? {
        let epoch = rows::epoch(&row, 0).map_err(failed)?.to_string();
        tracing::info!(cluster, epoch, "the log is bound to this PostgreSQL server from now on");
    }
    Ok(Some(cluster))
}

impl Reader {
    /// Reads the log's secret, and where the log lies.
    pub(crate) async fn secret(&self) -> Result<LogSecret, Error> {
        let found = self.fetch(sqlx::query(SECRET)).await?;
        let row = found.first().ok_or(sqlx::Error::RowNotFound).map_err(failed)?;
        let table: String = row.try_get(1).map_err(failed)?;
        // The timeline changes with the epoch.
        let system = self.cluster().and_then(|cluster| cluster.split_once('/')).map_or("", |(system, _)| system);
        Ok(LogSecret { secret: row.try_get(0).map_err(failed)?, place: format!("{system}/{table}") })
    }

    /// Reads the bounds, and sees to it that a log of another life, or one that has become shorter than `before`, has another
    /// epoch than `before` when this returns.
    pub(crate) async fn look(&self, before: LogBounds) -> Result<LogBounds, Error> {
        let (bounds, same_life) = match self.cluster() {
            Some(cluster) => {
                let found = self.fetch(sqlx::query(LOOK).bind(cluster)).await?;
                let row = found.first().ok_or(sqlx::Error::RowNotFound).map_err(failed)?;
                (rows::bounds(row, 0).map_err(failed)?, row.try_get(3).map_err(failed)?)
            }
            None => (self.bounds().await?, true),
        };
        if same_life && (bounds.epoch != before.epoch || bounds.head >= before.head) {
            return Ok(bounds);
        }
        let renewed = async {
            let writing = self.connector().clone().with([("default_transaction_read_only", "off")]);
            let mut connection = writing.connect().await.map_err(failed)?;
            if !same_life {
                begin(&mut connection, writing.options()).await?;
            }
            let end = sqlx::query(END_LIFE).bind(i64::from(before.epoch.0)).bind(before.head.0.cast_signed());
            end.execute(&mut connection).await.map(drop).map_err(failed)
        };
        bounded(renewed).await?;
        self.bounds().await
    }
}
