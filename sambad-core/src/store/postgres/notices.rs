//! NOTIFY and LISTEN: how far the log reaches, told between servers.

use sqlx::postgres::{PgListener, PgPoolOptions};

use super::{Reader, bounded, failed};
use crate::cursor::{Epoch, Seq};
use crate::error::Error;

const NOTIFY: &str = "select pg_notify($1, $2)";

/// The channel of a log.
fn channel(epoch: Epoch) -> String {
    format!("sambad_{epoch}")
}

impl Reader {
    /// Tells all servers, this one included, that the log reaches to `head`.
    pub(crate) async fn notify(&self, epoch: Epoch, head: Seq) -> Result<(), Error> {
        let query = sqlx::query(NOTIFY).bind(channel(epoch)).bind(head.to_string());
        self.fetch(query).await.map(drop)
    }

    /// Hears what servers tell, over a connection beside those that read.
    pub(crate) async fn notices(&self, epoch: Epoch) -> Result<Notices, Error> {
        let connector = self.connector().clone().named("sambad notices");
        let options = connector.options().clone();
        let one = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let one = one.after_connect(move |connection, _| {
            let connector = connector.clone();
            Box::pin(async move { connector.set_up(connection).await })
        });
        let one = one.connect_lazy_with(options);
        let listening = async {
            let mut listener = PgListener::connect_with(&one).await?;
            listener.eager_reconnect(false);
            listener.listen(&channel(epoch)).await?;
            Ok(Notices(listener))
        };
        bounded(async { listening.await.map_err(failed) }).await
    }
}

/// What servers tell, as it comes in.
#[derive(Debug)]
pub(crate) struct Notices(PgListener);

impl Notices {
    /// Waits for the next one; `None` if it is not of a server's making.
    ///
    /// # Errors
    /// `Unavailable` when the connection has ended.
    ///
    /// # Cancel safety
    /// What is lost is a hint.
    pub(crate) async fn next(&mut self) -> Result<Option<Seq>, Error> {
        match self.0.try_recv().await.map_err(failed)? {
            Some(notice) => Ok(notice.payload().parse::<i64>().ok().and_then(|head| u64::try_from(head).ok()).map(Seq)),
            None => Err(Error::Unavailable(Some("the connection for notifications has closed".into()))),
        }
    }
}
