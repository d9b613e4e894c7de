//! A TCP link between one server and its Redis that can be cut, as a network does it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What a link does with what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Hands it on.
    Open,
    /// Keeps it, and says nothing: a cable that is unplugged. When the link opens again, it goes on.
    Silent,
    /// Ends connections, and takes no new ones.
    Closed,
}

/// Hands connections on to one address; ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Link {
    address: SocketAddr,
    state: watch::Sender<State>,
}

impl Link {
    /// Listens on a free port for connections to `target`.
    ///
    /// # Errors
    /// When the system has no port or no thread to give.
    pub(crate) fn to(target: SocketAddr) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).context("cannot find a free port")?;
        let address = listener.local_addr().context("the listener has no address")?;
        let (state, watched) = watch::channel(State::Open);
        std::thread::Builder::new()
            .name("link".to_owned())
            .spawn(move || runtime.block_on(serve(listener, target, watched)))
            .context("cannot start a thread for a link")?;
        Ok(Self { address, state })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, state: State) {
        self.state.send_replace(state);
    }
}

async fn serve(listener: TcpListener, target: SocketAddr, mut state: watch::Receiver<State>) {
    // Without descriptors there is nothing to be had until some are free.
    const PAUSE: Duration = Duration::from_millis(10);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // The link was dropped; its connections end with the runtime.
            changed = state.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        match accepted {
            // One that is dropped here is closed.
            Ok(_) if *state.borrow() == State::Closed => {}
            Ok((near, _)) => drop(tokio::spawn(connect(near, target, state.clone()))),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn connect(near: TcpStream, target: SocketAddr, mut state: watch::Receiver<State>) {
    if state.wait_for(|state| *state != State::Silent).await.is_err() {
        return;
    }
    let Ok(far) = TcpStream::connect(target).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    let mut closed = state.clone();
    tokio::select! {
        () = pass(near_read, far_write, state.clone()) => {}
        () = pass(far_read, near_write, state) => {}
        _ = closed.wait_for(|state| *state == State::Closed) => {}
    }
}

/// Hands one direction on until it ends.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>) {
    let mut bytes = vec![0; 16 << 10];
    loop {
        let Ok(length @ 1..) = from.read(&mut bytes).await else { return };
        if state.wait_for(|state| *state != State::Silent).await.is_err() || to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net;

    use super::*;

    fn pair(link: &Link, server: &net::TcpListener) -> (net::TcpStream, net::TcpStream) {
        let near = net::TcpStream::connect(link.address()).unwrap();
        let (far, _) = server.accept().unwrap();
        for stream in [&near, &far] {
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        }
        (near, far)
    }

    /// Goal: a silent link delays and a closed one ends. Method: bytes both ways in each state, and after it.
    #[test]
    fn links_are_cut() {
        let server = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let link = Link::to(server.local_addr().unwrap()).unwrap();
        let (mut near, mut far) = pair(&link, &server);
        let mut byte = [0; 1];
        near.write_all(b"a").unwrap();
        far.read_exact(&mut byte).unwrap();
        far.write_all(b"b").unwrap();
        near.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"b");
        link.set(State::Silent);
        far.write_all(b"c").unwrap();
        near.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert!(near.read(&mut byte).is_err(), "nothing comes");
        link.set(State::Open);
        near.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        near.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"c");
        link.set(State::Closed);
        assert!(matches!(near.read(&mut byte), Ok(0) | Err(_)) && matches!(far.read(&mut byte), Ok(0) | Err(_)));
        link.set(State::Open);
        let (mut near, mut far) = pair(&link, &server);
        near.write_all(b"d").unwrap();
        far.read_exact(&mut byte).unwrap();
        drop(link);
        assert!(matches!(near.read(&mut byte), Ok(0) | Err(_)), "its connections end with it");
    }
}
