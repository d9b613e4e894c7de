//! Certificates of a test's own, and clients that trust them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::soon;

/// A certificate for 127.0.0.1 in two files.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) pem: String,
    der: CertificateDer<'static>,
    pub(crate) key: String,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate can be made");
        Self { pem: cert.pem(), der: cert.der().clone(), key: signing_key.serialize_pem() }
    }

    /// Writes both files into `directory`; gives their paths.
    pub(crate) fn write(&self, directory: &Path) -> (PathBuf, PathBuf) {
        let (cert, key) = (directory.join("cert.pem"), directory.join("key.pem"));
        std::fs::write(&cert, &self.pem).expect("the certificate can be written");
        std::fs::write(&key, &self.key).expect("the key can be written");
        (cert, key)
    }

    /// What a client is set up by that trusts this certificate alone, and asks for one protocol by ALPN.
    pub(crate) fn client(&self, protocol: &str) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).expect("a certificate is a root");
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = config.with_safe_default_protocol_versions().expect("the default versions are known");
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Arc::new(config)
    }

    /// Does a handshake; an error when the server shows another certificate.
    pub(crate) async fn connect(&self, address: SocketAddr, protocol: &str) -> std::io::Result<TlsStream<TcpStream>> {
        self.over(TcpStream::connect(address).await?, protocol).await
    }

    /// As `connect`, over a stream that is there.
    pub(crate) async fn over(&self, stream: TcpStream, protocol: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("127.0.0.1").expect("an address is a name");
        soon("TLS handshake", TlsConnector::from(self.client(protocol)).connect(name, stream)).await
    }

    /// Opens `/ws?query`; with a small receive buffer the server soon cannot write to a client that does not read.
    pub(crate) async fn dashboard(&self, address: SocketAddr, query: &str, small_buffer: bool) -> SecureDashboard {
        let socket = TcpSocket::new_v4().expect("there are sockets");
        if small_buffer {
            socket.set_recv_buffer_size(4096).expect("a receive buffer can be small");
        }
        let stream = socket.connect(address).await.expect("the server accepts");
        let stream = self.over(stream, "http/1.1").await.expect("the certificate is the server's");
        let opened = soon("upgrade", client_async(format!("wss://{address}/ws?{query}"), stream)).await;
        SecureDashboard(opened.expect("the server upgrades").0)
    }
}

/// An open `/ws` over TLS.
#[derive(Debug)]
pub(crate) struct SecureDashboard(WebSocketStream<TlsStream<TcpStream>>);

impl SecureDashboard {
    /// The next text frame; the code of the close frame at the end, or nothing without one.
    pub(crate) async fn frame(&mut self) -> Result<Value, Option<u16>> {
        loop {
            match soon("frame", self.0.next()).await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).expect("frames are JSON")),
                Some(Ok(Message::Close(frame))) => return Err(frame.map(|CloseFrame { code, .. }| code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// The seqs of the next `n` events, past control frames.
    pub(crate) async fn seqs(&mut self, n: usize) -> Vec<u64> {
        let mut seqs = Vec::with_capacity(n);
        while seqs.len() < n {
            seqs.extend(self.frame().await.expect("the session is open")["seq"].as_u64());
        }
        seqs
    }

    pub(crate) async fn send(&mut self, text: &str) {
        soon("room to send", self.0.send(Message::text(text))).await.expect("the server reads");
    }
}
