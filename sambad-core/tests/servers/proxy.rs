//! A TCP proxy in front of PostgreSQL that loses what a test tells it to lose.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How late a COMMIT may be: long enough to be looked up before it arrives.
const LATE: Duration = Duration::from_millis(500);

/// What becomes of a COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It passes.
    None,
    /// The connection ends before it arrives.
    Request,
    /// It arrives, and the connection ends before the answer does.
    Answer,
    /// The connection ends, and it arrives a while later.
    Late,
    /// It arrives, and neither an answer nor an end of the connection ever comes back.
    Silence,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    plan: Arc<Plan>,
}

struct Plan {
    next: Mutex<Loss>,
    lost: AtomicUsize,
}

impl Proxy {
    pub(crate) async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let plan = Arc::new(Plan { next: Mutex::new(Loss::None), lost: AtomicUsize::new(0) });
        let shared = Arc::clone(&plan);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, to, Arc::clone(&shared)));
            }
        });
        Self { address, plan }
    }

    /// Loses the next COMMIT so, and passes those after it.
    pub(crate) fn lose_next(&self, loss: Loss) {
        *self.plan.next.lock().unwrap() = loss;
    }

    /// How many were lost.
    pub(crate) fn lost(&self) -> usize {
        self.plan.lost.load(Ordering::SeqCst)
    }
}

impl Plan {
    /// What becomes of a chunk from the client. A COMMIT is a simple query: `Q`, its length, the text, a zero.
    fn loss(&self, chunk: &[u8]) -> Loss {
        if !chunk.ends_with(b"commit\0") {
            return Loss::None;
        }
        let loss = std::mem::replace(&mut *self.next.lock().unwrap(), Loss::None);
        self.lost.fetch_add(usize::from(loss != Loss::None), Ordering::SeqCst);
        loss
    }
}

async fn pass(mut client: TcpStream, to: SocketAddr, plan: Arc<Plan>) -> std::io::Result<()> {
    let mut server = TcpStream::connect(to).await?;
    let (mut out, mut back) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            read = client.read(&mut out) => {
                let chunk = &out[..read?];
                let loss = plan.loss(chunk);
                if chunk.is_empty() || loss == Loss::Request {
                    return Ok(());
                }
                if loss == Loss::Late {
                    drop(client);
                    tokio::time::sleep(LATE).await;
                    return server.write_all(chunk).await;
                }
                server.write_all(chunk).await?;
                match loss {
                    Loss::None => {}
                    // The answer is there before the connection ends, so that the COMMIT has taken effect.
                    Loss::Request | Loss::Late | Loss::Answer => return server.read(&mut back).await.map(drop),
                    Loss::Silence => std::future::pending().await,
                }
            }
            read = server.read(&mut back) => {
                let chunk = &back[..read?];
                if chunk.is_empty() {
                    return Ok(());
                }
                client.write_all(chunk).await?;
            }
        }
    }
}
