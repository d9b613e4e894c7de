//! A TCP proxy whose link a test cuts, holds up, slows down, or breaks at a chosen moment.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Bytes that are passed on at a time.
const CHUNK_BYTES: usize = 16 << 10;

/// How the link is.
#[derive(Debug, Clone, Default)]
enum Link {
    /// Passes on what comes.
    #[default]
    Whole,
    /// Has no connection, and ends each new one at once.
    Cut,
    /// Keeps its connections, and passes nothing on.
    Frozen,
    /// Passes on what comes, each chunk so much later.
    Slow(Duration),
    /// Ends the connection over which a client first says these bytes.
    Breaking(Arc<[u8]>, Loses),
}

/// What is lost when a link breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loses {
    /// What the client said: the server never sees it.
    Question,
    /// What the server said to it: the server has done it.
    Answer,
}

/// What becomes of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    PassedOn,
    /// And the connection breaks before an answer.
    LastPassedOn,
    /// And the connection breaks.
    LastLost,
}

/// A proxy on a free port of the loopback interface, in front of one address.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    link: Arc<watch::Sender<Link>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy that passes on what comes to `upstream`.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback interface has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let link = Arc::new(watch::Sender::new(Link::default()));
        let task = tokio::spawn(accept(listener, upstream, Arc::clone(&link)));
        Self { address, link, task }
    }

    /// As [`Proxy::start`], to a port of the loopback interface.
    ///
    /// # Panics
    /// As [`Proxy::start`].
    pub async fn to_port(port: u16) -> Self {
        Self::start(SocketAddr::from(([127, 0, 0, 1], port))).await
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all connections, and each new one at once, until [`Proxy::heal`].
    pub fn cut(&self) {
        self.link.send_replace(Link::Cut);
    }

    /// Passes nothing on until [`Proxy::heal`]; connections stay, as when a network loses every packet.
    pub fn freeze(&self) {
        self.link.send_replace(Link::Frozen);
    }

    /// Passes on each chunk so much later.
    pub fn delay(&self, by: Duration) {
        self.link.send_replace(Link::Slow(by));
    }

    /// Ends the next connection over which a client says `bytes`, which must be sent in one piece, and `loses` a side of it;
    /// after that the link is whole.
    pub fn break_at(&self, bytes: &[u8], loses: Loses) {
        self.link.send_replace(Link::Breaking(bytes.into(), loses));
    }

    /// Resolves when the link is whole: after [`Proxy::break_at`], when a client has said that.
    ///
    /// # Panics
    /// Never: the proxy holds the link.
    pub async fn broken(&self) {
        let mut link = self.link.subscribe();
        link.wait_for(|link| matches!(link, Link::Whole)).await.expect("the proxy holds the link");
    }

    /// Passes on what comes.
    pub fn heal(&self) {
        self.link.send_replace(Link::Whole);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, link: Arc<watch::Sender<Link>>) {
    // Connections end with this.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(carry(client, upstream, Arc::clone(&link)));
    }
}

/// Carries one connection to its end.
async fn carry(client: TcpStream, upstream: SocketAddr, link: Arc<watch::Sender<Link>>) {
    let mut cut = link.subscribe();
    if matches!(*cut.borrow(), Link::Cut) {
        return;
    }
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    let (Ok(()), Ok(())) = (client.set_nodelay(true), server.set_nodelay(true)) else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    // Set before the question is passed on, and so before there can be an answer: any ordering will do.
    let unanswered = AtomicBool::new(false);
    let there = pass(from_client, to_server, &link, |said, link| {
        let Link::Breaking(bytes, loses) = link else { return Fate::PassedOn };
        if !said.windows(bytes.len()).any(|window| window == &**bytes) {
            return Fate::PassedOn;
        }
        unanswered.store(true, Ordering::Relaxed);
        if *loses == Loses::Question { Fate::LastLost } else { Fate::LastPassedOn }
    });
    let back =
        pass(
            from_server,
            to_client,
            &link,
            |_, _| {
                if unanswered.load(Ordering::Relaxed) { Fate::LastLost } else { Fate::PassedOn }
            },
        );
    // Whichever comes first, all that there is of the connection goes with it.
    tokio::select! {
        _ = cut.wait_for(|link| matches!(link, Link::Cut)) => {}
        _ = async { tokio::try_join!(there, back) } => {}
    }
}

/// Passes on one direction up to its end; an error is the end of both.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    link: &watch::Sender<Link>,
    judge: impl Fn(&[u8], &Link) -> Fate,
) -> io::Result<()> {
    let (mut links, mut chunk) = (link.subscribe(), vec![0; CHUNK_BYTES]);
    loop {
        let bytes = from.read(&mut chunk).await?;
        if bytes == 0 {
            return to.shutdown().await;
        }
        let link_now = links.wait_for(|link| !matches!(link, Link::Frozen)).await.map_err(io::Error::other)?.clone();
        match link_now {
            // The connection ends also for whoever cut it; until then nothing may slip through.
            Link::Cut => return Err(io::ErrorKind::ConnectionAborted.into()),
            Link::Slow(by) => tokio::time::sleep(by).await,
            _ => {}
        }
        match judge(&chunk[..bytes], &link_now) {
            Fate::PassedOn => to.write_all(&chunk[..bytes]).await?,
            Fate::LastPassedOn => {
                link.send_replace(Link::Whole);
                to.write_all(&chunk[..bytes]).await?;
            }
            Fate::LastLost => {
                link.send_replace(Link::Whole);
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
    }
}
