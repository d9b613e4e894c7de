//! Dashboards that come through nginx and live through everything, and what they saw.

use std::time::Duration;

use sambad_client::{
    After, Client, Error, Event, EventStreamOptions, Item, NewMessage, NewUser, Seq, State, Transport, Verifier,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::harness::{audit_shared as audit_counters, soon};
use crate::world::{Cluster, SERVERS, whole_log};
use crate::writers::{self, Writers};

/// Dashboards of each server.
const DASHBOARDS_EACH: usize = 2;
/// What the message says that ends the dashboards.
const LAST: &str = "the last one";
const PHONE: &str = "+15550000001";

/// Open dashboards.
#[derive(Debug)]
pub(crate) struct Dashboards(Vec<Dashboard>);

#[derive(Debug)]
struct Dashboard {
    task: JoinHandle<Vec<Event>>,
    standing: watch::Receiver<Standing>,
}

/// How far one is.
#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    last: u64,
    live: bool,
    /// How often it had to reconnect.
    cuts: u64,
}

impl Dashboards {
    /// Opens dashboards from the log's beginning on, and waits until each server has its share.
    pub(crate) async fn open(cluster: &Cluster) -> Self {
        let open = |_| {
            let (standing, watched) = watch::channel(Standing::default());
            Dashboard { task: tokio::spawn(read(cluster.client(), standing)), standing: watched }
        };
        let mut dashboards = Self((0..SERVERS * DASHBOARDS_EACH).map(open).collect());
        for dashboard in &mut dashboards.0 {
            soon("live dashboard", dashboard.standing.wait_for(|standing| standing.live)).await.unwrap();
        }
        for server in &cluster.servers {
            assert_ne!(server.sessions().await, 0, "nginx gave {} no dashboard", server.address);
        }
        dashboards
    }

    /// How often dashboards had to reconnect.
    pub(crate) fn cuts(&self) -> u64 {
        self.0.iter().map(|dashboard| dashboard.standing.borrow().cuts).sum()
    }

    /// Waits until every dashboard has seen all that one server has now.
    pub(crate) async fn caught_up(&mut self, client: &Client) {
        let head = soon("health", healthy(client)).await;
        for dashboard in &mut self.0 {
            soon("dashboard that catches up", dashboard.standing.wait_for(|standing| standing.last >= head)).await.unwrap();
        }
    }

    /// Ends writers and dashboards, all servers being well. Every dashboard must have seen the log, each event once and in
    /// order; every server must have the same log; and what was acknowledged must be in it.
    pub(crate) async fn finish(self, cluster: &Cluster, writers: Writers) {
        let messages = writers.stop().await;
        let client = cluster.servers[0].client();
        let user = client.login(&NewUser::new(PHONE)).await.unwrap().value.user.id;
        let last = client.send_message(&NewMessage::text(user, user, LAST)).await.unwrap().seq.unwrap();
        let log = whole_log(&client, last).await;
        assert_eq!(log.last().map(|event| event.seq), Some(last));
        for dashboard in self.0 {
            let seen = soon("end of a dashboard", dashboard.task).await.expect("dashboards do not panic");
            assert!(same(&seen, &log), "a dashboard did not see what is stored");
        }
        for server in &cluster.servers {
            assert!(same(&whole_log(&server.client(), last).await, &log), "{} has another log", server.address);
            audit_counters(&server.api).await;
        }
        let written: Vec<Event> = log.into_iter().filter(|event| !event.data.get().contains(LAST)).collect();
        writers::audit(&written, &messages);
    }
}

/// The head of the log as a server has it; a load balancer that has just lost a server may have to be asked again.
async fn healthy(client: &Client) -> u64 {
    loop {
        match client.health().await {
            Ok(answer) => return answer.cursor.expect("reads have a cursor").seq.0,
            Err(error) if error.is_transient() => {}
            Err(error) => panic!("health was answered {error}"),
        }
    }
}

async fn read(client: Client, standing: watch::Sender<Standing>) -> Vec<Event> {
    let options = EventStreamOptions {
        after: Some(After::Seq(Seq::ZERO)),
        transport: Transport::WebSocket,
        backoff_initial: Duration::from_millis(20),
        backoff_cap: Duration::from_millis(500),
        ..EventStreamOptions::default()
    };
    let (mut stream, mut verifier, mut seen) = (client.stream(options), Verifier::unfiltered(Seq::ZERO), Vec::new());
    loop {
        match stream.next().await.expect("the stream goes on").expect("the stream survives") {
            Item::Event(event) => {
                if let Err(anomaly) = verifier.check(event.seq) {
                    panic!("{anomaly}");
                }
                standing.send_modify(|standing| standing.last = event.seq.0);
                let is_last = event.data.get().contains(LAST);
                seen.push(event);
                if is_last {
                    return seen;
                }
            }
            Item::State(State::Live { .. }) => standing.send_modify(|standing| standing.live = true),
            Item::State(State::Reconnecting { why: Error::Anomaly(anomaly), .. }) => panic!("{anomaly}"),
            Item::State(State::Reconnecting { .. }) => standing.send_modify(|standing| {
                standing.live = false;
                standing.cuts += 1;
            }),
            Item::Resync(resync) => panic!("what a dashboard saw is not stored: {resync:?}"),
            Item::State(_) => {}
            other => panic!("a dashboard was told {other:?}"),
        }
    }
}

fn same(one: &[Event], other: &[Event]) -> bool {
    let facts = |event: &Event| (event.seq, event.event_type.clone(), event.timestamp, event.data.get().to_owned());
    one.iter().map(facts).eq(other.iter().map(facts))
}
