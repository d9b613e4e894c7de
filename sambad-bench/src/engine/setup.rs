//! Before the load: is the target there and what it claims to be, and do the users exist.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use hyper::Uri;
use sambad_client::{Client, Error};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::{JoinSet, LocalSet};

use super::target::Urls;
use crate::exit::Exit;
use crate::load::dialect::Dialect;
use crate::load::plan::{Place, Places, Plan, Users};
use crate::load::wire::{SEQ_MAX, WriteAnswer};
use crate::load::workload::{RUNS, Workload};
use crate::writer::{Connection, LOGIN, PostError, login};

/// Users that log in at a time.
const LOGINS_AT_A_TIME: u32 = 64;
/// Attempts to find a number of a run that the target has not seen.
const ATTEMPTS_MAX: u32 = 10;

/// What the threads start from.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) places: Places,
    pub(super) workload: Workload,
    pub(super) users: Users,
}

/// Checks the target and creates the users.
///
/// # Errors
/// Usage, when the target is not there or not what the dialect says.
pub(super) fn prepare(urls: &Urls, plan: &Plan) -> anyhow::Result<Prepared> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let prepared = LocalSet::new().block_on(&runtime, async {
        let places =
            Places { writers: locate_all(&urls.writers, plan).await?, sessions: locate_all(&urls.sessions, plan).await? };
        let first = places.writers.first().context("there is no server to write to")?;
        for _ in 0..ATTEMPTS_MAX {
            let run = fastrand::u32(..RUNS);
            let workload = Workload::new(plan.mix.clone(), plan.seed, run, u64::from(plan.users));
            if let Some(users) = create_users(first, plan, &workload).await? {
                return Ok(Prepared { places, workload, users });
            }
        }
        let known = format!("the target has the users of {ATTEMPTS_MAX} runs already: use an empty database");
        Err(Exit::Usage.because(known))
    });
    runtime.shutdown_background();
    prepared
}

/// Looks the servers up and makes sure that each is what it should be.
async fn locate_all(urls: &[String], plan: &Plan) -> anyhow::Result<Vec<Place>> {
    let mut places = Vec::new();
    for url in urls {
        places.push(locate(url).await?);
        if plan.dialect == Dialect::Sambad {
            check(url).await?;
        }
    }
    Ok(places)
}

async fn locate(url: &str) -> anyhow::Result<Place> {
    let expected =
        |what: &str| Exit::Usage.because(format!("target {url:?}: {what}; expected a URL such as http://127.0.0.1:4000"));
    let uri: Uri = url.parse().map_err(|error| expected(&format!("{error}")))?;
    if uri.scheme_str() != Some("http") {
        return Err(expected("it is not an http:// URL (TLS is not built in)"));
    }
    let (Some(host), "/" | "") = (uri.host(), uri.path()) else {
        return Err(expected("a path is not supported"));
    };
    let port = uri.port_u16().unwrap_or(80);
    let host_name = host.trim_start_matches('[').trim_end_matches(']');
    let unknown = |why: &dyn std::fmt::Display| Exit::Usage.because(format!("target {url}: {why}"));
    let addresses: Vec<SocketAddr> = lookup_host((host_name, port)).await.map_err(|error| unknown(&error))?.collect();
    // A name may have addresses at which nobody listens, as `localhost` has.
    let mut address = *addresses.first().ok_or_else(|| unknown(&"its name has no address"))?;
    for candidate in addresses {
        if TcpStream::connect(candidate).await.is_ok() {
            address = candidate;
            break;
        }
    }
    Ok(Place { address, authority: format!("{host}:{port}") })
}

async fn check(url: &str) -> anyhow::Result<()> {
    let refused = |why: String| Exit::Usage.because(why);
    let client = Client::new(url).map_err(|error| refused(error.to_string()))?;
    match client.health().await {
        Ok(health) if health.value.is_healthy() => Ok(()),
        Ok(health) => Err(refused(format!("{url} reports status {}: {}", health.value.status, health.value.database))),
        Err(error @ Error::Connect { .. }) => {
            Err(refused(format!("{error}: is a server running there? Without --target, sambad-bench starts one")))
        }
        Err(error) => Err(refused(format!("{url} is not a Sambad server: {error}"))),
    }
}

/// Creates the users; `None` when one of them exists already.
async fn create_users(place: &Place, plan: &Plan, workload: &Workload) -> anyhow::Result<Option<Users>> {
    let users = workload.users();
    if plan.dialect == Dialect::Floor {
        // The floor knows no users.
        return Ok(Some(Users::default()));
    }
    let next = Arc::new(AtomicU64::new(0));
    let mut lanes = JoinSet::new();
    for _ in 0..LOGINS_AT_A_TIME.min(plan.users) {
        let (next, workload, place) = (Arc::clone(&next), workload.clone(), place.clone());
        let authorization = plan.authorization.clone();
        lanes.spawn_local(async move {
            let mut connection = Connection::open(&place, authorization).await.map_err(|error| {
                Exit::Usage.because(format!("cannot connect to {}: {error}: is a server running there?", place.authority))
            })?;
            let mut ids = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= users {
                    return Ok::<_, anyhow::Error>(Some(ids));
                }
                let Some(id) = create_user(&mut connection, &workload, index).await? else { return Ok(None) };
                ids.push((index, id));
            }
        });
    }
    let mut ids = Vec::new();
    while let Some(lane) = lanes.join_next().await {
        let Some(some) = lane?? else { return Ok(None) };
        ids.extend(some);
    }
    ids.sort_unstable_by_key(|(index, _)| *index);
    let head = ids.iter().map(|(_, (_, seq))| *seq).max().unwrap_or_default();
    Ok(Some(Users { ids: ids.into_iter().map(|(_, (id, _))| id).collect(), head }))
}

/// Logs one user in for the first time, and gives its id and its event's seq, 0 where there is none; `None` when it was there.
async fn create_user(connection: &mut Connection, workload: &Workload, index: u64) -> anyhow::Result<Option<(String, u64)>> {
    let answer = connection.post(LOGIN, login(workload.phone(index)), None).await.map_err(|error| {
        let why = match error {
            PostError::NotSent => "the connection was closed".to_owned(),
            PostError::TimedOut => "there was no response in time".to_owned(),
            PostError::Unknown(why) => why,
        };
        Exit::Usage.because(format!("cannot create a user: {why}"))
    })?;
    let text = String::from_utf8_lossy(&answer.body);
    let excerpt: String = text.chars().take(200).collect();
    if !answer.status.is_success() {
        let advice = match answer.status.as_u16() {
            401 | 403 => "; --token must name a token with the roles service and admin",
            _ => "",
        };
        return Err(Exit::Usage.because(format!("cannot create a user: {}: {excerpt}{advice}", answer.status)));
    }
    match serde_json::from_str::<WriteAnswer>(&text) {
        Ok(WriteAnswer { created: Some(false), .. }) => Ok(None),
        Ok(WriteAnswer { id: Some(id), seq, .. }) => {
            Ok(Some((id, seq.flatten().filter(|seq| *seq <= SEQ_MAX).unwrap_or_default())))
        }
        Ok(_) | Err(_) => {
            Err(Exit::Usage.because(format!("the response to a login has no id: is this the right target? {excerpt}")))
        }
    }
}
