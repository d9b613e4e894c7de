//! The floor: the least that any server can need for the same deliveries, to hold another server's figures against.
//!
//! One thread waits for sockets. A POST's body goes verbatim as one text frame to every WebSocket session, with one call
//! to the kernel for each, and then the POST is answered. Nothing is parsed, stored, counted or sent twice; a session
//! whose socket is full misses frames.

mod request;
mod subscriber;

use std::convert::Infallible;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;

use anyhow::Context as _;
use clap::Args;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use request::Request;
use subscriber::Subscriber;

/// What the listening socket is known by; connections count from 0.
const LISTENER: Token = Token(usize::MAX);
/// Sockets that are looked at between two calls to the kernel.
const EVENTS: usize = 1024;
/// Bytes read at a time: a whole request of the largest size but for its head.
const READ_BYTES: usize = request::BODY_BYTES_MAX;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"ok\":true}";

/// What the floor server is started with.
#[derive(Debug, Args)]
pub(crate) struct FloorArgs {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    pub(crate) listen: SocketAddr,
}

/// Runs the floor server in this thread until the process ends, as by SIGTERM.
///
/// It prints a line to stdout that ends in ` listening on http://ADDRESS:PORT`.
///
/// # Errors
/// When the address is taken, stdout is closed, or no descriptor is left for another connection.
pub(crate) fn run(listen: SocketAddr) -> anyhow::Result<()> {
    let (mut floor, address) = Floor::bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "Floor server listening on http://{address}")
        .and_then(|()| stdout.flush())
        .context("cannot write to stdout")?;
    drop(stdout);
    match floor.serve().context("cannot serve")? {}
}

/// All that the server knows.
#[derive(Debug)]
struct Floor {
    poll: Poll,
    listener: TcpListener,
    /// By token.
    places: Vec<Place>,
    /// Indices of places without a connection.
    free: Vec<usize>,
    /// Side by side and without gaps, as this is what every event goes through.
    subscribers: Vec<Subscriber>,
    /// The frame of the event at hand; its memory is used again.
    frame: Vec<u8>,
}

#[derive(Debug)]
enum Place {
    Free,
    /// A connection that sends requests.
    Open(Link),
    /// A session, by its index among the subscribers.
    Subscribed(usize),
}

/// A connection that sends requests.
#[derive(Debug)]
struct Link {
    stream: TcpStream,
    /// The first bytes of a request that has not arrived as a whole.
    rest: Vec<u8>,
}

/// What a connection is after a request.
enum Next {
    Open(Link),
    Subscribed(TcpStream),
    Ended,
}

impl Floor {
    fn bind(listen: SocketAddr) -> io::Result<(Self, SocketAddr)> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(listen)?;
        let address = listener.local_addr()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let floor = Self { poll, listener, places: Vec::new(), free: Vec::new(), subscribers: Vec::new(), frame: Vec::new() };
        Ok((floor, address))
    }

    fn serve(&mut self) -> io::Result<Infallible> {
        let mut events = Events::with_capacity(EVENTS);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.accept()?;
                    continue;
                }
                let id = event.token().0;
                if event.is_writable()
                    && let Place::Subscribed(index) = self.places[id]
                {
                    self.subscribers[index].finish();
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.read(id, &mut buffer);
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // That client has gone already.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            // Frames are whole messages: waiting for more to fill a segment only delays them. A socket that refuses is broken
            // and says so when it is read.
            let _ = stream.set_nodelay(true);
            let id = self.free.pop().unwrap_or_else(|| {
                self.places.push(Place::Free);
                self.places.len() - 1
            });
            // Both at once: being writable is only reported after a socket was full, and so nothing changes later.
            self.poll.registry().register(&mut stream, Token(id), Interest::READABLE | Interest::WRITABLE)?;
            self.places[id] = Place::Open(Link { stream, rest: Vec::new() });
        }
    }

    fn read(&mut self, id: usize, buffer: &mut [u8]) {
        match std::mem::replace(&mut self.places[id], Place::Free) {
            // It ended earlier in the same round.
            Place::Free => {}
            Place::Open(link) => match self.answer(link, buffer) {
                Next::Open(link) => self.places[id] = Place::Open(link),
                Next::Subscribed(stream) => {
                    self.places[id] = Place::Subscribed(self.subscribers.len());
                    self.subscribers.push(Subscriber::new(stream, id));
                }
                Next::Ended => self.free.push(id),
            },
            Place::Subscribed(index) if self.subscribers[index].read(buffer) => {
                self.places[id] = Place::Subscribed(index);
            }
            Place::Subscribed(index) => {
                self.subscribers.swap_remove(index);
                if let Some(moved) = self.subscribers.get(index) {
                    self.places[moved.id] = Place::Subscribed(index);
                }
                self.free.push(id);
            }
        }
    }

    /// Reads what has arrived and does what it asks for.
    fn answer(&mut self, mut link: Link, buffer: &mut [u8]) -> Next {
        loop {
            let read = match link.stream.read(buffer) {
                Ok(0) => return Next::Ended,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Next::Open(link),
                Err(_) => return Next::Ended,
            };
            // Nearly always a whole request, which then is never copied.
            let joined = (!link.rest.is_empty()).then(|| [link.rest.as_slice(), &buffer[..read]].concat());
            let mut bytes = joined.as_deref().unwrap_or(&buffer[..read]);
            loop {
                match request::first(bytes) {
                    Request::Incomplete => break,
                    Request::Upgrade(key) => return upgrade(link.stream, key),
                    Request::Publish(body) => {
                        self.publish(&bytes[body.clone()]);
                        bytes = &bytes[body.end..];
                        // A client that sends and reads no answers is none that a load generator is.
                        if !matches!(link.stream.write(ANSWER), Ok(taken) if taken == ANSWER.len()) {
                            return Next::Ended;
                        }
                    }
                    Request::Refused => return Next::Ended,
                }
            }
            link.rest = bytes.to_vec();
        }
    }

    fn publish(&mut self, body: &[u8]) {
        subscriber::encode(&mut self.frame, body);
        for subscriber in &mut self.subscribers {
            subscriber.send(&self.frame);
        }
    }
}

fn upgrade(mut stream: TcpStream, key: &[u8]) -> Next {
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key)
    );
    match stream.write(head.as_bytes()) {
        Ok(taken) if taken == head.len() => Next::Subscribed(stream),
        _ => Next::Ended,
    }
}

#[cfg(test)]
#[path = "floor_tests.rs"]
mod tests;
