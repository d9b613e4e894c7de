//! An HTTP proxy that meddles: what stands between clients and servers in offices, hotels and clouds.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What becomes of WebSocket handshakes, and of event streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They pass.
    Passes,
    /// The headers that ask for the upgrade do not.
    LosesItsUpgrade,
    /// The proxy answers itself.
    Answered(&'static str),
    /// The connection is cut when the request has been read.
    IsCut,
    /// The request is read, and nothing follows.
    IsSwallowed,
    /// The request passes, and of the answer nothing comes back after its head.
    LosesItsBody,
    /// The answer comes back when it is complete.
    IsBuffered,
    /// The first answer is kept, and given to every later request, whatever it asks.
    IsStale,
}

pub(crate) const FORBIDDEN: Fate = Fate::Answered(
    "HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 9\r\nConnection: close\r\n\r\n<p>no</p>",
);
pub(crate) const BAD_GATEWAY: Fate = Fate::Answered("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
pub(crate) const PORTAL: Fate =
    Fate::Answered("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\nConnection: close\r\n\r\n<p>hi</p>");

/// What happens to each sort of request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fates {
    pub(crate) upgrades: Fate,
    pub(crate) streams: Fate,
    pub(crate) polls: Fate,
}

pub(crate) const ALL_PASS: Fates = Fates { upgrades: Fate::Passes, streams: Fate::Passes, polls: Fate::Passes };

/// Requests of each sort so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) upgrades: AtomicU32,
    pub(crate) streams: AtomicU32,
    pub(crate) polls: AtomicU32,
    /// The answer that is kept.
    stale: Mutex<Option<Vec<u8>>>,
}

pub(crate) struct Meddler {
    pub(crate) url: String,
    pub(crate) seen: Arc<Seen>,
    /// A change cuts the connections there are.
    fates: watch::Sender<Fates>,
    task: JoinHandle<()>,
}

impl Meddler {
    pub(crate) async fn start(server: &str, fates: Fates) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (fates, seen) = (watch::Sender::new(fates), Arc::<Seen>::default());
        let (server, counted, watched) = (server.trim_start_matches("http://").to_owned(), Arc::clone(&seen), fates.clone());
        let task = tokio::spawn(async move {
            let mut links = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (server, seen, mut fates) = (server.clone(), Arc::clone(&counted), watched.subscribe());
                links.spawn(async move {
                    let now = *fates.borrow_and_update();
                    tokio::select! {
                        _ = meddle(client, &server, now, &seen) => {}
                        _ = fates.changed() => {}
                    }
                });
            }
        });
        Self { url, seen, fates, task }
    }

    /// Changes what happens, and cuts all connections there are.
    pub(crate) fn change(&self, fates: Fates) {
        self.fates.send_replace(fates);
    }

    /// Cuts all connections there are.
    pub(crate) fn cut(&self) {
        self.fates.send_modify(|_| {});
    }

    /// Requests so far: upgrades, streams, polls.
    pub(crate) fn counts(&self) -> [u32; 3] {
        [&self.seen.upgrades, &self.seen.streams, &self.seen.polls].map(|count| count.load(Ordering::SeqCst))
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves one connection, which carries one request.
async fn meddle(mut client: TcpStream, server: &str, fates: Fates, seen: &Seen) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let upgrade = head.to_lowercase().contains("upgrade: websocket");
    let (fate, count) = if upgrade {
        (fates.upgrades, &seen.upgrades)
    } else if head.contains("/api/events/stream") {
        (fates.streams, &seen.streams)
    } else {
        (fates.polls, &seen.polls)
    };
    count.fetch_add(1, Ordering::SeqCst);
    match fate {
        Fate::Answered(answer) => return client.write_all(answer.as_bytes()).await,
        Fate::IsCut => return Ok(()),
        Fate::IsSwallowed => std::future::pending().await,
        Fate::IsStale => {
            let kept = seen.stale.lock().unwrap().clone();
            if let Some(kept) = kept {
                return client.write_all(&kept).await;
            }
        }
        _ => {}
    }
    let mut upstream = TcpStream::connect(server).await?;
    upstream.write_all(passed_on(&head, upgrade && fate == Fate::Passes || fate == Fate::LosesItsBody).as_bytes()).await?;
    match fate {
        Fate::LosesItsBody => {
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n") {
                answer.push(upstream.read_u8().await?);
            }
            client.write_all(&answer).await?;
            std::future::pending().await
        }
        Fate::IsBuffered | Fate::IsStale => {
            let mut answer = Vec::new();
            upstream.read_to_end(&mut answer).await?;
            if fate == Fate::IsStale {
                *seen.stale.lock().unwrap() = Some(answer.clone());
            }
            client.write_all(&answer).await
        }
        _ => copy_bidirectional(&mut client, &mut upstream).await.map(drop),
    }
}

/// The head of the request as the server gets it: with its upgrade, or as the only request of its connection.
fn passed_on(head: &str, upgrade: bool) -> String {
    if upgrade {
        return head.to_owned();
    }
    let hop = ["connection:", "upgrade:"];
    let lines = head.trim_end().split("\r\n").filter(|line| !hop.iter().any(|name| line.to_lowercase().starts_with(name)));
    lines.chain(["connection: close\r\n\r\n"]).collect::<Vec<_>>().join("\r\n")
}
