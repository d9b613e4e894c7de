//! A proxy between the program and a server, which does to frames and answers what a test says.
//!
//! It understands as much of HTTP/1.1 and RFC 6455 as a server's answers and its unmasked, unfragmented text frames need.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::proxy_http::{Message, Treatment, answer};

/// What happens to a text frame on its way from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    Pass,
    Drop,
    Twice,
    /// It comes after the one that follows it.
    AfterNext,
    /// It says this instead.
    As(String),
    /// The connection ends before it.
    CutBefore,
    /// The connection ends within it.
    CutWithin,
}

/// A text frame from the server.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    /// Its session's number among the connections of its kind, in the order in which they were made.
    pub(crate) session: usize,
    /// Whether that is an app session: one that asked for the events of a user.
    pub(crate) is_app: bool,
    /// Its place on the connection, from 0, which is `connected`; without a cursor in the address, `n` is the `n`th event.
    pub(crate) nth: u64,
    pub(crate) text: &'a str,
}

impl Frame<'_> {
    /// The event's seq.
    pub(crate) fn seq(&self) -> u64 {
        let frame: Value = serde_json::from_str(self.text).unwrap();
        frame["seq"].as_u64().unwrap_or_else(|| panic!("no event: {frame}"))
    }
}

type OnFrame = Box<dyn FnMut(&Frame<'_>) -> Fate + Send>;
type OnPost = Box<dyn FnMut(u64) -> Treatment + Send>;

/// What is done; a connection asks for each frame and each answer.
pub(crate) struct Script {
    frames: OnFrame,
    posts: OnPost,
}

impl Script {
    /// Passes everything on.
    pub(crate) fn honest() -> Self {
        Self { frames: Box::new(|_| Fate::Pass), posts: Box::new(|_| Treatment::Pass) }
    }

    pub(crate) fn frames(decide: impl FnMut(&Frame<'_>) -> Fate + Send + 'static) -> Self {
        Self { frames: Box::new(decide), ..Self::honest() }
    }

    /// Decides about messages and contacts by their number, from 1; logins pass.
    pub(crate) fn posts(decide: impl FnMut(u64) -> Treatment + Send + 'static) -> Self {
        Self { posts: Box::new(decide), ..Self::honest() }
    }
}

/// What all connections share.
struct Link {
    server: SocketAddr,
    script: Mutex<Script>,
    /// Connections so far: of dashboards, and of app sessions.
    sessions: Mutex<[usize; 2]>,
    /// Messages and contacts so far.
    posts: Mutex<u64>,
    /// The `seq` of the last answer that passed.
    last_seq: Mutex<u64>,
}

pub(crate) struct Proxy {
    pub(crate) url: String,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(server: SocketAddr, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let link = Arc::new(Link {
            server,
            script: Mutex::new(script),
            sessions: Mutex::default(),
            posts: Mutex::default(),
            last_seq: Mutex::default(),
        });
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let link = Arc::clone(&link);
                // Either side may hang up at any time: then the other hears of it, too.
                connections.spawn(async move { drop(link.serve(client).await) });
            }
        });
        Self { url, task }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Link {
    async fn serve(&self, client: TcpStream) -> std::io::Result<()> {
        let server = TcpStream::connect(self.server).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let ((client_read, mut client), (server_read, mut server)) = (client.into_split(), server.into_split());
        let (mut from_client, mut from_server) = (BufReader::new(client_read), BufReader::new(server_read));
        loop {
            let request = Message::read(&mut from_client).await?;
            if request.head.starts_with("GET /ws") {
                request.write(&mut server).await?;
                Message::read(&mut from_server).await?.write(&mut client).await?;
                let is_app = request.head.lines().next().is_some_and(|line| line.contains("user="));
                return tokio::select! {
                    copied = copy(&mut from_client, &mut server) => copied.map(drop),
                    relayed = self.relay(&mut from_server, &mut client, is_app) => relayed,
                };
            }
            let treatment = if request.is_load() { self.treat() } else { Treatment::Pass };
            let answered = if treatment.reaches_server() {
                request.write(&mut server).await?;
                Some(Message::read(&mut from_server).await?)
            } else {
                None
            };
            let mut last_seq = *self.last_seq.lock().unwrap();
            let answer = answer(treatment, answered, &mut last_seq);
            *self.last_seq.lock().unwrap() = last_seq;
            // Whoever gets no whole answer finds the connection closed.
            match answer {
                Some(answer) if answer.is_whole => answer.message.write(&mut client).await?,
                Some(part) => return part.message.write(&mut client).await,
                None => return Ok(()),
            }
        }
    }

    fn treat(&self) -> Treatment {
        let mut posts = self.posts.lock().unwrap();
        *posts += 1;
        (self.script.lock().unwrap().posts)(*posts)
    }

    fn number(&self, is_app: bool) -> usize {
        let so_far = &mut self.sessions.lock().unwrap()[usize::from(is_app)];
        *so_far += 1;
        *so_far - 1
    }

    async fn relay(
        &self,
        server: &mut BufReader<OwnedReadHalf>,
        client: &mut OwnedWriteHalf,
        is_app: bool,
    ) -> std::io::Result<()> {
        let session = self.number(is_app);
        let mut held: Option<Vec<u8>> = None;
        let mut nth = 0;
        loop {
            let (opcode, payload) = read_frame(server).await?;
            if opcode != TEXT {
                client.write_all(&frame(opcode, &payload)).await?;
                continue;
            }
            let text = std::str::from_utf8(&payload).expect("servers send UTF-8");
            let fate = (self.script.lock().unwrap().frames)(&Frame { session, is_app, nth, text });
            nth += 1;
            let whole = frame(TEXT, &payload);
            match fate {
                Fate::Pass => client.write_all(&whole).await?,
                Fate::Drop => {}
                Fate::Twice => client.write_all(&whole.repeat(2)).await?,
                Fate::AfterNext => {
                    held = Some(whole);
                    continue;
                }
                Fate::As(text) => client.write_all(&frame(TEXT, text.as_bytes())).await?,
                Fate::CutBefore => return Ok(()),
                Fate::CutWithin => return client.write_all(&whole[..whole.len() / 2]).await,
            }
            if let Some(held) = held.take() {
                client.write_all(&held).await?;
            }
        }
    }
}

const FIN: u8 = 0x80;
const TEXT: u8 = 1;

/// Reads a whole frame: its opcode and what it carries.
async fn read_frame(server: &mut BufReader<OwnedReadHalf>) -> std::io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    server.read_exact(&mut head).await?;
    assert!(head[0] & FIN != 0 && head[1] & 0x80 == 0, "a fragment, or masked: {head:?}");
    let length = match head[1] {
        126 => u64::from(server.read_u16().await?),
        127 => server.read_u64().await?,
        short => u64::from(short),
    };
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    server.read_exact(&mut payload).await?;
    Ok((head[0] & !FIN, payload))
}

fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![FIN | opcode];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ 0..126), _) => bytes.push(length),
        (_, Ok(length)) => {
            bytes.push(126);
            bytes.extend(length.to_be_bytes());
        }
        _ => {
            bytes.push(127);
            bytes.extend(u64::try_from(payload.len()).unwrap().to_be_bytes());
        }
    }
    bytes.extend(payload);
    bytes
}
