//! One session: a socket that is opened, read, and opened again when it is lost.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::bail;
use futures_util::{FutureExt as _, StreamExt as _};
use hyper::header::AUTHORIZATION;
use sambad_client::reconnect::{Backoff, Verdict, judge};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::judge::{Frame, Judge, Role};
use crate::exit::Exit;
use crate::load::clock::nanos;
use crate::load::plan::{Phase, Place, Shared, another};
use crate::load::recorder::Recorder;
use crate::report::LatencyKind;

/// How long a connection may take up to the first frame.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the target may be away while a session opens for the first time.
const AWAY_MAX: Duration = Duration::from_secs(15);
/// First and longest pause between attempts to come back.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// Bytes read from the kernel at once, a dozen events: the library clears the whole buffer before each read, which with its
/// 128 KiB would cost more than the read.
const READ_BUFFER_BYTES: usize = 4 << 10;
/// What a slow session reads: one event, then nothing for so long, from a kernel buffer that holds a few.
const SLOW_PAUSE: Duration = Duration::from_millis(100);
const SLOW_BUFFER_BYTES: u32 = 4 << 10;

/// What a thread's sessions share.
#[derive(Debug)]
pub(super) struct Sessions {
    pub(super) shared: Arc<Shared>,
    /// This thread's number among the watchers.
    pub(super) thread: u32,
    pub(super) judge: RefCell<Judge>,
    pub(super) recorder: Rc<RefCell<Recorder>>,
    /// Bounds the connections in the making, so that no queue of the kernel's overflows.
    pub(super) dialing: Semaphore,
    /// Sessions that have not been open yet.
    pub(super) unopened: Cell<usize>,
    pub(super) opened: tokio::sync::Notify,
}

type Socket = WebSocketStream<TcpStream>;

/// How a connection ended.
enum End {
    /// To be opened again, not before that time.
    Lost { after: Option<Duration>, why: String },
    /// For good.
    Final(String),
}

/// Opens session `index` after `delay` and keeps it; returns only when the server has ended it for good.
///
/// # Errors
/// When it cannot be opened.
pub(super) async fn run(sessions: Rc<Sessions>, index: usize, delay: Duration) -> anyhow::Result<()> {
    tokio::time::sleep(delay).await;
    let shared = &sessions.shared;
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
    let begun_ns = shared.clock.now_ns();
    let servers = shared.places.sessions.len();
    let mut server = sessions.judge.borrow().role(index).number() % servers;
    let mut lost_ns = None;
    let mut was_open = false;
    loop {
        let session = Session { sessions: &sessions, index, server, begun_ns, lost_ns };
        let mut is_open = false;
        let end = session.connect_and_read(&mut is_open).await;
        if is_open {
            backoff.reset();
            was_open = true;
            lost_ns = Some(shared.clock.now_ns());
            let tally = &mut sessions.recorder.borrow_mut().tally;
            tally.sessions_delta -= 1;
            tally.reconnects += 1;
        }
        match end {
            End::Final(why) if was_open => {
                sessions.judge.borrow().ended(index, &why, &mut sessions.recorder.borrow_mut().tally);
                return Ok(());
            }
            End::Final(why) => {
                let role = sessions.judge.borrow().role(index);
                return Err(Exit::Usage.because(format!("cannot open {role}: {why}")));
            }
            End::Lost { why, .. } if !was_open && shared.clock.now_ns() - begun_ns > nanos(AWAY_MAX) => {
                bail!("cannot open {}: {why}", sessions.judge.borrow().role(index));
            }
            End::Lost { after, .. } => {
                server = another(server, servers);
                let pause = after.unwrap_or_else(|| backoff.next(fastrand::f64()));
                tokio::time::sleep(pause).await;
            }
        }
    }
}

struct Session<'a> {
    sessions: &'a Sessions,
    index: usize,
    /// Where it connects.
    server: usize,
    /// When it was to be opened for the first time.
    begun_ns: u64,
    /// When its last connection was lost, if it had one.
    lost_ns: Option<u64>,
}

impl Session<'_> {
    async fn connect_and_read(&self, is_open: &mut bool) -> End {
        let sessions = self.sessions;
        let permit = sessions.dialing.acquire().await;
        let attempt_ns = sessions.shared.clock.now_ns();
        let role = sessions.judge.borrow().role(self.index);
        let opening = timeout(CONNECT_TIMEOUT, async {
            let mut socket = self.dial(role).await?;
            if sessions.shared.plan.dialect.has_log() {
                let first = read(&mut socket).await?;
                if self.receive(&first)? != Frame::Connected {
                    return Err(End::Final(format!("its first frame is not `connected`: {}", excerpt(&first))));
                }
            } else {
                sessions.judge.borrow_mut().connected_without_log(self.index);
            }
            Ok(socket)
        });
        let late = || End::Lost { after: None, why: format!("no session within {} s", CONNECT_TIMEOUT.as_secs()) };
        let mut socket = match opening.await.unwrap_or_else(|_| Err(late())) {
            Ok(socket) => socket,
            Err(end) => return end,
        };
        drop(permit);
        *is_open = true;
        self.note_open(attempt_ns);
        let slow = matches!(role, Role::SlowDashboard(_));
        loop {
            let outcome = match read(&mut socket).await {
                Ok(text) => self.receive(&text),
                Err(end) => return end,
            };
            if let Err(end) = outcome {
                return end;
            }
            if slow && sessions.shared.phase() < Phase::Draining {
                let _ = timeout(SLOW_PAUSE, sessions.shared.reached(Phase::Draining)).await;
            }
        }
    }

    fn note_open(&self, attempt_ns: u64) {
        let sessions = self.sessions;
        let now_ns = sessions.shared.clock.now_ns();
        let mut recorder = sessions.recorder.borrow_mut();
        recorder.tally.sessions_delta += 1;
        if let Some(lost_ns) = self.lost_ns {
            sessions.shared.progress(sessions.thread).returned.fetch_add(1, Ordering::Relaxed);
            recorder.record_ns(LatencyKind::Reconnect, now_ns - lost_ns);
            return;
        }
        recorder.tally.opened += 1;
        // A session that had to wait, or to try again, took from when it was to be opened.
        recorder.record_ns(LatencyKind::Connect, now_ns - self.begun_ns);
        recorder.record_ns(LatencyKind::ConnectService, now_ns - attempt_ns);
        sessions.unopened.set(sessions.unopened.get() - 1);
        if sessions.unopened.get() == 0 {
            sessions.opened.notify_one();
        }
    }

    fn receive(&self, text: &str) -> Result<Frame, End> {
        let now_ns = self.sessions.shared.clock.now_ns();
        let mut recorder = self.sessions.recorder.borrow_mut();
        self.sessions.judge.borrow_mut().receive(self.index, text, now_ns, &mut recorder).map_err(End::Final)
    }

    async fn dial(&self, role: Role) -> Result<Socket, End> {
        let shared = &self.sessions.shared;
        let lost = |error: std::io::Error| End::Lost { after: None, why: error.to_string() };
        let place = &shared.places.sessions[self.server];
        let tcp = if place.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(lost)?;
        let slow = matches!(role, Role::SlowDashboard(_));
        if slow {
            tcp.set_recv_buffer_size(SLOW_BUFFER_BYTES).map_err(lost)?;
        }
        let tcp = tcp.connect(place.address).await.map_err(lost)?;
        tcp.set_nodelay(true).map_err(lost)?;
        spare_acknowledgements(&tcp);
        let buffer = if slow { SLOW_BUFFER_BYTES as usize } else { READ_BUFFER_BYTES };
        let config = WebSocketConfig::default().read_buffer_size(buffer);
        let mut request = self.url(place, role).into_client_request().map_err(|error| End::Final(error.to_string()))?;
        request.headers_mut().extend(shared.plan.authorization.clone().map(|value| (AUTHORIZATION, value)));
        let socket = client_async_with_config(request, tcp, Some(config)).await;
        socket.map(|(socket, _)| socket).map_err(|error| match error {
            WsError::Http(response) if response.status().is_server_error() => {
                End::Lost { after: None, why: format!("status {}", response.status()) }
            }
            WsError::Http(response) => End::Final(format!("the target responds to /ws with status {}", response.status())),
            error => End::Lost { after: None, why: error.to_string() },
        })
    }

    fn url(&self, place: &Place, role: Role) -> String {
        let shared = &self.sessions.shared;
        let mut url = format!("ws://{}/ws", place.authority);
        let resume = self.sessions.judge.borrow().resume_from(self.index).map(|cursor| format!("after={cursor}"));
        let user = match role {
            Role::App(user) => shared.users.ids.get(user as usize).map(|id| format!("user={id}")),
            Role::Dashboard(_) | Role::SlowDashboard(_) => None,
        };
        for (separator, part) in ['?', '&'].into_iter().zip(resume.into_iter().chain(user)) {
            url.push(separator);
            url.push_str(&part);
        }
        url
    }
}

/// Has the kernel acknowledge what arrives by and by, as it does for a reader that also writes, and not each frame at
/// once: nobody waits for those packets, and without them 300,000 deliveries a second took 78 % of a core instead of 95.
fn spare_acknowledgements(tcp: &TcpStream) {
    // Where it cannot be done, deliveries cost more.
    #[cfg(target_os = "linux")]
    let _ = rustix::net::sockopt::set_tcp_quickack(tcp, false);
    #[cfg(not(target_os = "linux"))]
    let _ = tcp;
}

/// The next text frame.
async fn read(socket: &mut Socket) -> Result<Utf8Bytes, End> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text),
            Some(Ok(Message::Close(frame))) => {
                // One more poll writes the answer to the close frame.
                let _ = socket.next().now_or_never();
                let (code, reason) = frame.map_or((1005, String::new()), |frame| (frame.code.into(), frame.reason.to_string()));
                let why = format!("closed with {code} {reason}");
                return Err(match judge(code, &reason) {
                    Verdict::Reconnect { after } => End::Lost { after, why },
                    Verdict::Done | Verdict::Final => End::Final(why),
                });
            }
            // Pings are answered by the library with the next poll.
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(End::Lost { after: None, why: error.to_string() }),
            None => return Err(End::Lost { after: None, why: "the connection ended".to_owned() }),
        }
    }
}

fn excerpt(text: &str) -> String {
    const SHOWN_CHARS: usize = 120;
    text.chars().take(SHOWN_CHARS).collect()
}
