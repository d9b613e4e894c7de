//! One socket's reading half: what the client says, whether it is still there, and how it ends.
//!
//! tungstenite does both the reading and the writing of control frames; the bytes it writes go to the shard, which puts
//! them between events. This half never touches an event.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use sambad_core::{Cursor, Epoch, Filter, LogBounds, ResyncReason, Seq};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::close::CloseReason;
use super::frames::{BadFrame, ClientFrame, ServerFrame};
use super::heard::Heard;
use super::inbound::{Inbound, Until};
use super::shard::{Farewell, Opening, ShardHandle, SocketWriteHalf, WriteHalf};
use crate::auth::{Notice, Pass};
use crate::config::ServerConfig;
use crate::drain::Drain;
use crate::limits::Pace;
use crate::metrics::{SESSION, SessionEnd};
use crate::router::AppState;
use crate::sessions::{About, Transport};

/// What the first frame says to people.
const GREETING: &str = "WebSocket connected successfully";
/// Bad frames after which a client is beyond help.
const BAD_FRAMES_MAX: u32 = 5;
/// How long a client may take to read what is left for it and to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// The same from when the server drains on: with the next, below the time that a drain leaves to sessions.
const CLOSE_TIMEOUT_DRAINING: Duration = Duration::from_secs(2);
/// How long a client may take to end the connection once the server has.
const LINGER: Duration = Duration::from_secs(1);

/// Where a session begins.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) about: About,
    /// The position after which it continues, or why the one asked for cannot be served.
    pub(super) at: Result<Seq, ResyncReason>,
    pub(super) bounds: LogBounds,
    pub(super) filter: Filter,
    /// By what right it goes on.
    pub(super) pass: Pass,
    /// Whether a position was asked for.
    pub(super) replaying: bool,
}

/// One open socket, seen from its reading half.
pub(super) struct Session {
    about: About,
    epoch: Epoch,
    begun: Instant,
    socket: WebSocketStream<Inbound>,
    write: WriteHalf,
    /// Resolves when the shard gives the session up.
    given_up: oneshot::Receiver<CloseReason>,
    config: Arc<ServerConfig>,
    pass: Pass,
    bad_frames: u32,
    /// How often it may still speak.
    pace: Pace,
    next_ping: Instant,
    /// Set by a ping, cleared by anything that arrives.
    heard_by: Option<Instant>,
}

/// What a session waits for.
enum Input {
    Heard(Heard),
    /// The shard gave the session up, for a reason that the client is told, or because the socket broke.
    GivenUp(Option<CloseReason>),
    Timer,
    Pass(Notice),
    /// The server goes: come back after this time.
    Drain(Duration),
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

impl Session {
    /// Greets the client and hands the write half to the shard; `None` when the server is gone.
    pub(super) async fn begin(
        mut socket: WebSocketStream<Inbound>,
        write: SocketWriteHalf,
        start: Start,
        config: Arc<ServerConfig>,
        shard: ShardHandle,
    ) -> Option<Self> {
        let about = start.about;
        let seq = start.at.unwrap_or(start.bounds.head);
        let cursor = Cursor { epoch: start.bounds.epoch, seq };
        tracing::debug!(target: SESSION, session = %about.id, client = %about.remote, %cursor, "session opened");
        let connected = ServerFrame::connected(GREETING, about.id, cursor, start.bounds, config.heartbeat.as_secs());
        let resync = start.at.err().map(|reason| ServerFrame::resync(reason, cursor));
        for frame in std::iter::once(connected).chain(resync) {
            // Writing into memory cannot fail.
            let _ = socket.send(Message::text(frame.to_json())).await;
        }
        let (notice, given_up) = oneshot::channel();
        let opening = Opening {
            about,
            socket: write,
            greeting: socket.get_mut().take_written(),
            cursor: seq,
            filter: start.filter,
            replaying: start.replaying && start.at.is_ok(),
            notice,
        };
        let write = shard.open(opening).await?;
        let begun = Instant::now();
        let (epoch, next_ping) = (start.bounds.epoch, begun + config.heartbeat);
        let pace = Pace::per_second(config.clients.session_frames_per_s);
        Some(Self {
            about,
            epoch,
            begun,
            socket,
            write,
            given_up,
            config,
            pass: start.pass,
            bad_frames: 0,
            pace,
            next_ping,
            heard_by: None,
        })
    }

    /// Serves the socket until either side ends it, then says how that was.
    pub(super) async fn run(mut self, state: &AppState) {
        let (code, reason) = match self.serve(&state.drain).await {
            End::Close(reason) => {
                // In a box, so that no session pays for its end while it lives.
                Box::pin(self.part(Some(reason.frame()), &state.drain)).await;
                (Some(reason.code()), reason.key().to_owned())
            }
            End::Closed => {
                Box::pin(self.part(None, &state.drain)).await;
                (None, "client_closed".to_owned())
            }
            End::Gone => (None, "connection_lost".to_owned()),
        };
        let is_lost = reason == "connection_lost";
        let Self { about, epoch, begun, write, mut socket, .. } = self;
        // Nothing only if the shard has ended before.
        let Some(Farewell { filter, cursor, events }) = write.end().await else { return };
        state.metrics.sessions.ended(SessionEnd {
            id: about.id,
            transport: Transport::WebSocket,
            client: about.remote,
            user: filter.user,
            lived: begun.elapsed(),
            events,
            cursor: Cursor { epoch, seq: cursor },
            code,
            reason,
        });
        if !is_lost {
            // A socket dropped with unread bytes would be reset, and the client might never see the close frame.
            let _ = timeout(LINGER, socket.get_mut().discard(Until::End)).await;
        }
    }

    async fn serve(&mut self, drain: &Drain) -> End {
        loop {
            let timer = self.heard_by.map_or(self.next_ping, |heard_by| heard_by.min(self.next_ping));
            // Any order would be right: nothing is lost by a branch that is not taken, as each is cancel safe.
            let input = tokio::select! {
                message = self.socket.next() => Input::Heard(message.map_or(Heard::Gone, Heard::from)),
                reason = &mut self.given_up => Input::GivenUp(reason.ok()),
                () = sleep_until(timer) => Input::Timer,
                notice = self.pass.notice() => Input::Pass(notice),
                () = drain.begins() => Input::Drain(drain.reconnect_after()),
            };
            if let Err(end) = self.handle(input).await {
                return end;
            }
        }
    }

    async fn handle(&mut self, input: Input) -> Result<(), End> {
        match input {
            Input::GivenUp(None) => Err(End::Gone),
            Input::GivenUp(Some(reason)) => Err(End::Close(reason)),
            Input::Heard(heard) => self.receive(heard).await,
            Input::Timer => self.tick().await,
            Input::Pass(Notice::Expiring(at)) => self.send(&ServerFrame::token_expiring(at)).await,
            Input::Pass(Notice::Ended) => Err(End::Close(CloseReason::Unauthorized)),
            Input::Drain(reconnect_after) => Err(End::Close(CloseReason::Drain { reconnect_after })),
        }
    }

    /// Pings when it is time to; of a client that was pinged and stayed silent, the shard decides whether it is to blame.
    async fn tick(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if self.heard_by.is_some_and(|heard_by| heard_by <= now) {
            self.heard_by = Some(now + self.config.pong_grace);
            self.write.silence().await;
        }
        if self.next_ping <= now {
            self.next_ping = now + self.config.heartbeat;
            self.heard_by.get_or_insert(now + self.config.pong_grace);
            // Into memory: it fails only once the session is closing.
            self.socket.send(Message::Ping(Vec::new().into())).await.map_err(|_| End::Gone)?;
            let ping = self.socket.get_mut().take_written();
            self.write.heartbeat(ping).await;
        }
        Ok(())
    }

    async fn receive(&mut self, heard: Heard) -> Result<(), End> {
        self.heard_by = None;
        if matches!(heard, Heard::Ping) {
            // tungstenite would write the pong with its next read, which ends when the client says something else: after a
            // close frame, if this frame is one too many.
            self.socket.flush().await.map_err(|_| End::Gone)?;
        }
        if !self.pace.take() {
            return Err(End::Close(CloseReason::RateLimited));
        }
        match heard {
            Heard::Frame(ClientFrame::Ping) => self.send(&ServerFrame::Pong).await,
            Heard::Frame(ClientFrame::Subscribe(filter)) => {
                // A user is confined to what is theirs, whatever they ask for.
                self.write.filter(Filter { user: self.pass.user().or(filter.user), ..filter }).await;
                Ok(())
            }
            Heard::Frame(ClientFrame::Auth(token)) => match self.pass.renew(&token).await {
                Ok(expires_at) => self.send(&ServerFrame::authenticated(expires_at)).await,
                Err(error) => self.bad_frame(BadFrame::new(error.code(), error.message())).await,
            },
            Heard::Bad(bad) => self.bad_frame(bad).await,
            Heard::Ping => {
                self.hand_over().await;
                Ok(())
            }
            Heard::Life => Ok(()),
            Heard::Goodbye => Err(End::Closed),
            Heard::Broken(bad) => {
                self.refuse(bad).await?;
                Err(End::Close(CloseReason::BadFrames))
            }
            Heard::Gone => Err(End::Gone),
        }
    }

    /// Refuses a frame; too many end the session.
    async fn bad_frame(&mut self, bad: BadFrame) -> Result<(), End> {
        self.bad_frames += 1;
        self.refuse(bad).await?;
        if self.bad_frames >= BAD_FRAMES_MAX { Err(End::Close(CloseReason::BadFrames)) } else { Ok(()) }
    }

    async fn refuse(&mut self, bad: BadFrame) -> Result<(), End> {
        self.send(&ServerFrame::error(bad)).await
    }

    async fn send(&mut self, frame: &ServerFrame) -> Result<(), End> {
        self.write_frame(Message::text(frame.to_json())).await
    }

    async fn write_frame(&mut self, message: Message) -> Result<(), End> {
        // Into memory: it fails only once the session is closing.
        self.socket.send(message).await.map_err(|_| End::Gone)?;
        self.hand_over().await;
        Ok(())
    }

    /// Gives the shard what tungstenite wrote. Waits when the shard has much to do: the client is not read meanwhile.
    async fn hand_over(&mut self) {
        let frames = self.socket.get_mut().take_written();
        self.write.answer(frames).await;
    }

    /// Gives the shard what tungstenite wrote last, with the close frame at its end: in one request, as an event between the
    /// two would follow the close frame.
    async fn hand_over_last(&mut self) {
        let frames = self.socket.get_mut().take_written();
        self.write.close(frames).await;
    }

    /// Closes the session with `frame`, or answers the client's close frame: the closing handshake, as far as a client takes part in
    /// it in time. The server is the one that ends the connection then, as clients expect it to be.
    ///
    /// Source: RFC 6455, 5.5.1 and 7.1.1.
    async fn part(&mut self, frame: Option<CloseFrame>, drain: &Drain) {
        let handshake = async {
            if let Some(frame) = frame {
                // The client resumes from its cursor, and by then the log may have been trimmed beyond an old one.
                self.write.heartbeat(Vec::new()).await;
                // Into memory: it fails only if the client's close frame was answered already.
                let _ = self.socket.close(Some(frame)).await;
                self.hand_over_last().await;
                self.socket.get_mut().discard(Until::Close).await;
            } else {
                // The close frame that answers the client's is written by one more read.
                let _ = self.socket.next().await;
                self.hand_over_last().await;
            }
            self.write.hang_up().await;
        };
        let drained = async {
            drain.begins().await;
            sleep(CLOSE_TIMEOUT_DRAINING).await;
        };
        // In any order: when the time is over, it does not matter which half was too slow.
        tokio::select! {
            () = handshake => {}
            () = sleep(CLOSE_TIMEOUT) => {}
            () = drained => {}
        }
    }
}
