//! The loop of `watch`: takes what comes, prints it, and knows when to stop.

use std::time::Duration;

use futures_util::FutureExt;
use sambad_client::{Client, Error, Event, EventStream, EventStreamOptions, Item, State, Transport};
use tokio::time::{Instant, sleep_until};

use super::WatchArgs;
use super::field::Shown;
use super::format::Format;
use super::progress::Progress;
use super::resume::Resume;
use crate::commands::interrupts::Interrupts;
use crate::exit::Exit;
use crate::output::{Output, Role};
use crate::text::Local;

/// Items handled in a row before the clock, the signals and the reader of stdout get their turn.
const BURST_MAX: u32 = 256;

#[derive(Debug)]
pub(super) struct Session {
    stream: EventStream,
    url: String,
    format: Format,
    show_latency: bool,
    verify: bool,
    progress: Progress,
    resume: Option<Resume>,
    ends_at: Option<Instant>,
    idle: Option<Duration>,
    last_event: Instant,
    was_connected: bool,
    live: bool,
    /// What `--transport` says.
    asked: Transport,
    /// The transport of the attempt under way.
    tried: Transport,
}

/// What woke the loop.
enum Wake {
    Item(Option<Result<Item, Error>>),
    /// The resume file is behind.
    SaveDue,
    /// `--for` or `--idle` ran out, or somebody wants us to stop.
    Stop,
}

/// Whether to go on.
type Step = anyhow::Result<Option<Exit>>;

impl Session {
    pub(super) fn new(args: WatchArgs, client: &Client, options: EventStreamOptions, resume: Option<Resume>) -> Self {
        let progress = Progress::new(args.count.map(Into::into), args.expect);
        let now = Instant::now();
        Self {
            stream: client.stream(options),
            url: client.url().into(),
            format: args.format,
            show_latency: args.latency,
            verify: args.verify,
            progress,
            resume,
            ends_at: args.time.map(|time| now + time),
            idle: args.idle,
            last_event: now,
            was_connected: false,
            live: false,
            asked: args.transport,
            tried: args.transport,
        }
    }

    pub(super) async fn run(mut self, output: &mut Output) -> anyhow::Result<Exit> {
        let mut interrupts = Interrupts::listen()?;
        let outcome = self.watch(output, &mut interrupts).await;
        if outcome.is_ok() {
            self.settle(output)?;
        }
        // After a failure, too: what has reached stdout must not come again.
        if let Some(resume) = &mut self.resume {
            resume.save()?;
        }
        let exit = outcome?;
        if self.show_latency
            && let Some(summary) = self.progress.latency().summary()
        {
            output.note(Role::Aside, summary);
        }
        // Interruptible, since a server that is stuck would hold us for a second.
        tokio::select! {
            () = self.stream.close() => {}
            () = interrupts.next() => {}
        }
        Ok(exit)
    }

    /// Handles items until there is a reason to stop; hands output on whenever nothing more is ready.
    async fn watch(&mut self, output: &mut Output, interrupts: &mut Interrupts) -> anyhow::Result<Exit> {
        let mut burst = 0;
        loop {
            let ready = if burst < BURST_MAX { self.stream.next().now_or_never() } else { None };
            let wake = match ready {
                Some(item) => {
                    burst += 1;
                    Wake::Item(item)
                }
                None => {
                    burst = 0;
                    self.settle(output)?;
                    self.wait(interrupts).await
                }
            };
            let exit = match wake {
                Wake::Item(Some(item)) => self.item(item?, output)?,
                Wake::Item(None) | Wake::Stop => Some(self.verdict(output)),
                Wake::SaveDue => {
                    self.resume.as_mut().map_or(Ok(()), Resume::save)?;
                    None
                }
            };
            if let Some(exit) = exit {
                return Ok(exit);
            }
        }
    }

    async fn wait(&mut self, interrupts: &mut Interrupts) -> Wake {
        let idle_at = self.idle.map(|idle| self.last_event + idle);
        let stop_at = [self.ends_at, idle_at].into_iter().flatten().min();
        let save_at = self.resume.as_ref().map(Resume::next_look);
        tokio::select! {
            // In this order: a flood of events must neither outrun the clock nor drown a Ctrl-C.
            biased;
            () = interrupts.next() => Wake::Stop,
            () = at(stop_at) => Wake::Stop,
            () = at(save_at) => Wake::SaveDue,
            item = self.stream.next() => Wake::Item(item),
        }
    }

    fn item(&mut self, item: Item, output: &mut Output) -> Step {
        match item {
            Item::Event(event) => self.event(&event, output),
            Item::State(state) => self.state(state, output),
            Item::Resync(resync) => {
                let text = format!("resync: {}; continuing after {}", resync.reason.as_str(), resync.cursor);
                output.note(Role::Warning, text);
                if self.verify {
                    output.note(Role::Bad, "verification failed: events before the resync are not available");
                    return Ok(Some(Exit::Verification));
                }
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn event(&mut self, event: &Event, output: &mut Output) -> Step {
        let shown = Shown::now(event);
        self.last_event = Instant::now();
        let line = self.format.line(&shown, self.show_latency, output)?;
        output.line(line)?;
        self.progress.saw(&shown, self.live);
        Ok(self.progress.is_complete().then(|| self.verdict(output)))
    }

    fn state(&mut self, state: State, output: &mut Output) -> Step {
        match state {
            State::Connecting { transport, .. } => self.tried = transport,
            State::Replaying { cursor, head, transport } => {
                self.connected();
                let (url, by) = (&self.url, by(transport));
                output.note(Role::Aside, format_args!("connected to {url}{by}, replaying from {cursor} to seq {head}"));
            }
            State::Live { cursor, transport } => {
                self.connected();
                self.live = true;
                output.note(Role::Aside, format_args!("live at {}{}, after {cursor}", self.url, by(transport)));
            }
            // The stream reconnects and fills the hole, but the server has broken the promise all the same.
            State::Reconnecting { why: Error::Anomaly(anomaly), .. } if self.verify => {
                output.flush()?;
                output.note(Role::Bad, format_args!("verification failed: {anomaly}"));
                return Ok(Some(Exit::Verification));
            }
            // Whoever mistyped the address, or forgot to start the server, wants to hear it, not to wait.
            State::Reconnecting { why, .. } if self.is_hopeless(&why) => return Err(why.into()),
            // A close frame of the server's own, such as that of a drain, arrived: the transport works.
            State::Reconnecting { delay, why }
                if delay.is_zero()
                    && self.asked == Transport::Auto
                    && !matches!(why, Error::Closed { code: 4000..=4499, .. }) =>
            {
                self.live = false;
                output.note(Role::Aside, format_args!("{} failed, trying the next transport: {why}", self.tried));
            }
            State::Reconnecting { delay, why } => {
                self.live = false;
                output.note(Role::Warning, format_args!("disconnected: {why}; reconnecting in {:.1} s", delay.as_secs_f32()));
            }
            State::TokenExpiring { at, why } => {
                let at = at.map_or_else(|| "soon".into(), |at| format!("at {}", Local::of(at).date_time()));
                output.note(Role::Warning, format_args!("the token expires {at}: {why}"));
            }
            State::Closed => output.note(Role::Warning, "the server closed the stream"),
            _ => {}
        }
        Ok(None)
    }

    /// Whether a stream that was never connected had better be given up: nobody is there, or no transport is left to try.
    fn is_hopeless(&self, why: &Error) -> bool {
        let last = self.asked != Transport::Auto || self.tried == Transport::Poll;
        let in_vain = matches!(why, Error::Timeout { .. }) || !why.is_transient();
        !self.was_connected && (matches!(why, Error::Connect { .. }) || (last && in_vain))
    }

    fn connected(&mut self) {
        if !std::mem::replace(&mut self.was_connected, true) {
            // Idle time counts from when events could come.
            self.last_event = Instant::now();
        }
    }

    /// Hands what is printed to its reader, and only then takes note of it as done.
    fn settle(&mut self, output: &mut Output) -> anyhow::Result<()> {
        output.flush()?;
        if let Some(resume) = &mut self.resume {
            resume.note(self.stream.cursor());
        }
        Ok(())
    }

    /// How a watch ends that ends without a failure.
    fn verdict(&self, output: &Output) -> Exit {
        for expectation in self.progress.unmet() {
            output.note(Role::Bad, format_args!("no match in {} events: {expectation}", self.progress.count()));
        }
        if self.progress.unmet().is_empty() { Exit::Success } else { Exit::Failure }
    }
}

/// How a transport is told where it is not the usual one.
fn by(transport: Transport) -> String {
    if transport == Transport::WebSocket { String::new() } else { format!(" over {transport}") }
}

/// Waits for an instant; for ever, if there is none.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
