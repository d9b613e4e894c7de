//! A TCP proxy: connections that a test cuts, and an address that stays when the server behind it moves.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) struct Proxy {
    url: String,
    /// Where new connections go; a change cuts the old ones.
    upstream: watch::Sender<String>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Begins to pass connections on to the server at `url`.
    pub(crate) async fn start(url: &str) -> Self {
        let upstream = watch::Sender::new(address(url));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let upstreams = upstream.clone();
        let task = tokio::spawn(async move {
            let mut links = tokio::task::JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let mut upstream = upstreams.subscribe();
                links.spawn(async move {
                    let address = upstream.borrow_and_update().clone();
                    let Ok(mut server) = TcpStream::connect(address).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = upstream.changed() => {}
                    }
                });
            }
        });
        Self { url, upstream, task }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Drops all connections there are; later ones are passed on.
    pub(crate) fn cut(&self) {
        self.upstream.send_modify(|_| {});
    }

    /// Passes later connections on to another server.
    pub(crate) fn retarget(&self, url: &str) {
        self.upstream.send_replace(address(url));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn address(url: &str) -> String {
    url.trim_start_matches("http://").into()
}
