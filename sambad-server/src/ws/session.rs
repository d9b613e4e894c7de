//! One socket: a subscription on one side, a client on the other.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use sambad_core::{Delivery, Event, Filter, Subscription};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::close::CloseReason;
use super::frames::{BadFrame, ClientFrame, ServerFrame};
use crate::config::ServerConfig;

/// Bad frames after which a client is beyond help.
const BAD_FRAMES_MAX: u32 = 5;
/// How long a client may take to answer a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes that a closed client may still send before the socket is dropped on it.
const CLOSE_DRAIN_BYTES_MAX: u64 = 4 << 20;

/// One open socket.
pub(crate) struct Session<S> {
    socket: WebSocketStream<S>,
    subscription: Subscription,
    filter: Filter,
    config: Arc<ServerConfig>,
    bad_frames: u32,
    next_ping: Instant,
    /// Set by a ping, cleared by anything that arrives.
    heard_by: Option<Instant>,
}

/// What a session waits for.
enum Input {
    Message(Option<Result<Message, WsError>>),
    Delivery(Result<Delivery, sambad_core::Error>),
    Timer,
    Drain,
}

/// How a session ends.
enum End {
    /// The server says why.
    Close(CloseReason),
    /// The client said goodbye; the answer is on its way.
    Closed,
    /// The connection broke.
    Gone,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    pub(crate) fn new(socket: WebSocketStream<S>, subscription: Subscription, filter: Filter, config: Arc<ServerConfig>) -> Self {
        let next_ping = Instant::now() + config.heartbeat;
        Self { socket, subscription, filter, config, bad_frames: 0, next_ping, heard_by: None }
    }

    /// Serves the socket until either side ends it.
    pub(crate) async fn run(mut self, draining: CancellationToken) {
        let id = Uuid::now_v7();
        tracing::debug!(session = %id, cursor = %self.subscription.cursor(), "session opened");
        let end = self.serve(id, &draining).await;
        match end {
            End::Close(reason) => {
                tracing::debug!(session = %id, code = reason.code(), reason = reason.reason(), "session closed");
                self.close(reason.frame()).await;
            }
            End::Closed => {
                // The close frame that answers the client's is flushed by one more read.
                let _ = timeout(CLOSE_TIMEOUT, self.socket.next()).await;
                tracing::debug!(session = %id, "session closed by client");
            }
            End::Gone => tracing::debug!(session = %id, "session gone"),
        }
    }

    async fn serve(&mut self, id: Uuid, draining: &CancellationToken) -> End {
        let connected =
            ServerFrame::connected(id, self.subscription.cursor(), self.subscription.start(), self.config.heartbeat.as_secs());
        if let Err(end) = self.send(&connected).await {
            return end;
        }
        loop {
            let timer = self.heard_by.map_or(self.next_ping, |heard_by| heard_by.min(self.next_ping));
            // Any order would be right: nothing is lost by a branch that is not taken, as each is cancel safe.
            let input = tokio::select! {
                message = self.socket.next() => Input::Message(message),
                delivery = self.subscription.next() => Input::Delivery(delivery),
                () = sleep_until(timer) => Input::Timer,
                () = draining.cancelled() => Input::Drain,
            };
            if let Err(end) = self.handle(input).await {
                return end;
            }
        }
    }

    async fn handle(&mut self, input: Input) -> Result<(), End> {
        match input {
            Input::Delivery(Ok(Delivery::Events(events))) => self.send_events(&events).await,
            Input::Delivery(Ok(Delivery::Live(cursor))) => self.send(&ServerFrame::live(cursor)).await,
            Input::Delivery(Ok(Delivery::Resync { reason, cursor })) => self.send(&ServerFrame::resync(reason, cursor)).await,
            Input::Delivery(Err(error)) => {
                // The client reconnects from its cursor, after its own backoff.
                tracing::error!(error = &error as &dyn std::error::Error, "reading the log failed");
                Err(End::Close(CloseReason::Drain { reconnect_after: self.config.drain_window }))
            }
            Input::Message(None) => Err(End::Gone),
            Input::Message(Some(Ok(message))) => {
                self.heard_by = None;
                self.receive(message).await
            }
            Input::Message(Some(Err(error))) => self.refuse_stream(error).await,
            Input::Timer => self.tick().await,
            Input::Drain => {
                let window = u64::try_from(self.config.drain_window.as_millis()).unwrap_or(u64::MAX);
                let reconnect_after = Duration::from_millis(spread(window));
                Err(End::Close(CloseReason::Drain { reconnect_after }))
            }
        }
    }

    /// Pings when it is time to; a client that was pinged and stayed silent is given up.
    async fn tick(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if self.heard_by.is_some_and(|heard_by| heard_by <= now) {
            return Err(End::Close(CloseReason::Idle));
        }
        if self.next_ping <= now {
            self.next_ping = now + self.config.heartbeat;
            self.heard_by.get_or_insert(now + self.config.pong_grace);
            self.write(Message::Ping(Vec::new().into())).await?;
        }
        Ok(())
    }

    async fn receive(&mut self, message: Message) -> Result<(), End> {
        let frame = match message {
            Message::Text(text) => ClientFrame::parse(&text),
            Message::Binary(_) => Err(BadFrame::new("binary_frame", "expected a text frame")),
            Message::Close(_) => return Err(End::Closed),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Ok(()),
        };
        match frame {
            Ok(ClientFrame::Ping) => self.send(&ServerFrame::Pong).await,
            Ok(ClientFrame::Subscribe(filter)) => {
                self.filter = filter;
                self.subscription.set_filter(filter);
                self.send(&ServerFrame::subscribed(&self.filter, self.subscription.cursor())).await
            }
            Err(bad) => {
                self.bad_frames += 1;
                self.send(&ServerFrame::error(bad)).await?;
                if self.bad_frames >= BAD_FRAMES_MAX { Err(End::Close(CloseReason::BadFrames)) } else { Ok(()) }
            }
        }
    }

    /// After a protocol error the next frame cannot be found: the client is told what was wrong, then closed.
    async fn refuse_stream(&mut self, error: WsError) -> Result<(), End> {
        let bad = match error {
            WsError::Capacity(_) => {
                BadFrame::new("frame_too_large", format!("expected at most {} bytes", super::FRAME_BYTES_MAX))
            }
            WsError::Utf8(_) => BadFrame::new("invalid_utf8", "expected UTF-8"),
            WsError::Protocol(error) => BadFrame::new("invalid_frame", error.to_string()),
            _ => return Err(End::Gone),
        };
        self.send(&ServerFrame::error(bad)).await?;
        Err(End::Close(CloseReason::BadFrames))
    }

    async fn send(&mut self, frame: &ServerFrame) -> Result<(), End> {
        self.write(Message::text(frame.to_json())).await
    }

    async fn write(&mut self, message: Message) -> Result<(), End> {
        let sent = timeout(self.config.stall_timeout, self.socket.send(message)).await;
        written(sent)
    }

    /// Hands over events one by one: each may take as long as a stalled socket is waited for.
    async fn send_events(&mut self, events: &[Event]) -> Result<(), End> {
        for event in events {
            let text = Utf8Bytes::try_from(event.json()).map_err(|_| End::Gone)?;
            written(timeout(self.config.stall_timeout, self.socket.feed(Message::Text(text))).await)?;
        }
        written(timeout(self.config.stall_timeout, self.socket.flush()).await)
    }

    /// Closes, then reads what the client still sends: a socket dropped with unread bytes would be reset, and the
    /// client would never see the reason.
    async fn close(mut self, frame: CloseFrame) {
        let goodbye = async {
            if self.socket.close(Some(frame)).await.is_err() {
                return;
            }
            let stream = self.socket.get_mut();
            let _ = tokio::io::copy(&mut stream.take(CLOSE_DRAIN_BYTES_MAX), &mut tokio::io::sink()).await;
        };
        let _ = timeout(CLOSE_TIMEOUT, goodbye).await;
    }
}

fn written(sent: Result<Result<(), WsError>, tokio::time::error::Elapsed>) -> Result<(), End> {
    match sent {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Gone),
        Err(_) => Err(End::Close(CloseReason::Stalled)),
    }
}

/// A number below `window`, spread evenly over those who ask: the random bits of a fresh UUID.
fn spread(window: u64) -> u64 {
    let (_, low) = Uuid::now_v7().as_u64_pair();
    low % window.max(1)
}
