//! Writers, readers of every list, and the comparison of what they were given with the log.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::harness::{Answer, Api, soon};

/// Writers of each server.
const WRITERS_EACH: usize = 2;
/// The pause before a server that does not answer is asked again.
const RETRY: Duration = Duration::from_millis(20);
/// Pages of one list that are read one after the other.
const PAGES_FOLLOWED: usize = 3;

/// A list, as it is asked for and as it is told from the log.
#[derive(Debug, Clone)]
struct List {
    path: String,
    /// The event that adds a row.
    added_by: &'static str,
    oldest_first: bool,
    /// Each of these pairs: one of the fields has this value.
    wants: Vec<([&'static str; 2], String)>,
}

/// A page as it was given.
#[derive(Debug)]
struct Page {
    list: List,
    limit: usize,
    /// The last row of the page before.
    after: Option<String>,
    /// Ids and instants.
    rows: Vec<(String, String)>,
    cursor: u64,
    more: bool,
}

/// What an acknowledged write was told: its seq, and the instant of its row.
type Told = (u64, String);

#[derive(Debug, Default)]
struct Found {
    pages: Mutex<Vec<Page>>,
    told: Mutex<Vec<Told>>,
    pages_read: watch::Sender<u64>,
    written: watch::Sender<u64>,
}

/// Writers and readers at work.
pub(crate) struct Load {
    found: Arc<Found>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

/// What was compared.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) pages: usize,
    /// Those of them that were not the first of their list.
    pub(crate) followed: usize,
    /// Events of each kind.
    pub(crate) kinds: BTreeMap<String, usize>,
    /// Answers to writes.
    pub(crate) answers: usize,
}

impl Load {
    /// Starts writers and a reader on each of `servers`.
    pub(crate) async fn start(servers: &[Api]) -> Self {
        let users = servers[0].users(3).await;
        let lists = lists(&users);
        let (found, stop, mut tasks) = (Arc::new(Found::default()), CancellationToken::new(), JoinSet::new());
        for number in 0..servers.len() {
            let mut servers = servers.to_vec();
            servers.rotate_left(number);
            tasks.spawn(read(servers[0].clone(), lists.clone(), Arc::clone(&found), stop.clone()));
            for writer in 0..WRITERS_EACH {
                let name = format!("{number}-{writer}");
                let (users, found) = (users.clone(), Arc::clone(&found));
                tasks.spawn(Writer { name, count: 0, servers: servers.clone(), users, found, stop: stop.clone() }.run());
            }
        }
        Self { found, tasks, stop }
    }

    pub(crate) fn pages(&self) -> watch::Receiver<u64> {
        self.found.pages_read.subscribe()
    }

    pub(crate) fn writes(&self) -> watch::Receiver<u64> {
        self.found.written.subscribe()
    }

    /// Lets each task end what it began.
    pub(crate) async fn stop(mut self) -> Self {
        self.stop.cancel();
        while let Some(ended) = soon("end of the load", self.tasks.join_next()).await {
            ended.expect("neither writers nor readers panic");
        }
        self
    }
}

/// Every list with every filter.
fn lists(users: &[String]) -> Vec<List> {
    let (a, b) = (&users[0], &users[1]);
    let list = |path: &str, added_by, wants: &[([&'static str; 2], &String)]| List {
        path: path.to_owned(),
        added_by,
        oldest_first: path.starts_with("/api/users"),
        wants: wants.iter().map(|(fields, user)| (*fields, (*user).clone())).collect(),
    };
    const PEOPLE: [&str; 2] = ["from_user_id", "to_user_id"];
    let of = |user| (PEOPLE, user);
    let mut to_oneself = list(&format!("/api/messages?userId={a}&withUserId={a}&"), "message_sent", &[]);
    to_oneself.wants = PEOPLE.map(|field| ([field, field], a.clone())).into();
    vec![
        list("/api/users?", "user_created", &[]),
        list("/api/admin/users?", "user_created", &[]),
        list("/api/contacts?", "contact_added", &[]),
        list(&format!("/api/contacts?userId={a}&"), "contact_added", &[(["user_id", "user_id"], a)]),
        list("/api/messages?", "message_sent", &[]),
        list(&format!("/api/messages?userId={a}&"), "message_sent", &[of(a)]),
        list(&format!("/api/messages?withUserId={b}&"), "message_sent", &[of(b)]),
        list(&format!("/api/messages?userId={a}&withUserId={b}&"), "message_sent", &[of(a), of(b)]),
        to_oneself,
    ]
}

/// Reads one list after the other, each as a page of one row and as one of twenty, and the pages that follow.
async fn read(server: Api, lists: Vec<List>, found: Arc<Found>, stop: CancellationToken) {
    for (list, limit) in lists.iter().cycle().flat_map(|list| [(list, 1), (list, 20)]) {
        if stop.is_cancelled() {
            return;
        }
        let (mut next, mut after) = (Some(format!("{}limit={limit}", list.path)), None);
        for _ in 0..PAGES_FOLLOWED {
            let Some(path) = next.take() else { break };
            let Some(answer) = ask(&server, Method::GET, &path, &[], None, &stop).await else { return };
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            let rows = answer.json();
            let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_else(|| panic!("no {name} in {row}")).to_owned();
            let rows: Vec<_> = rows.as_array().unwrap().iter().map(|row| (text(row, "id"), text(row, "created_at"))).collect();
            next = answer.header("link").map(|link| link[1..link.find('>').unwrap()].to_owned());
            let last = rows.last().map(|(id, _)| id.clone());
            let (cursor, more) = (answer.cursor_seq(), next.is_some());
            found.pages.lock().unwrap().push(Page { list: list.clone(), limit, after, rows, cursor, more });
            found.pages_read.send_modify(|n| *n += 1);
            after = last;
        }
    }
}

/// Asks until the server answers, which may be started anew meanwhile; `None` once nobody wants to know any more.
async fn ask(
    server: &Api,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
    stop: &CancellationToken,
) -> Option<Answer> {
    loop {
        match server.try_request(method.clone(), path, headers, body.map(ToString::to_string)).await {
            Ok(answer) if answer.status != 503 => return Some(answer),
            _ if stop.is_cancelled() => return None,
            _ => tokio::time::sleep(RETRY).await,
        }
    }
}

struct Writer {
    name: String,
    count: usize,
    /// The one that it writes to, and those that it asks whether they know of it.
    servers: Vec<Api>,
    users: Vec<String>,
    found: Arc<Found>,
    stop: CancellationToken,
}

impl Writer {
    async fn run(mut self) {
        while !self.stop.is_cancelled() {
            if self.step().await.is_none() {
                return;
            }
            self.count += 1;
        }
    }

    async fn step(&mut self) -> Option<()> {
        let (a, b, c) = (&self.users[0], &self.users[1], &self.users[2]);
        let content = format!("{} says {}", self.name, self.count);
        let message = |from: &str, to: &str| json!({ "fromUserId": from, "toUserId": to, "content": content });
        match self.count % 8 {
            0 => {
                let (number, writer) = (self.count, self.name.replace('-', ""));
                let user = self.write("/api/users/login", json!({ "phone": format!("+4420{writer}{number:06}") })).await?;
                let body = json!({ "userId": a, "contactUserId": user.text_at("id") });
                let contact = self.write("/api/contacts", body).await?;
                if number % 16 == 0 {
                    let id = contact.json()["contact"]["id"].as_str().unwrap().to_owned();
                    let path = format!("/api/contacts/{id}");
                    ask(&self.servers[0], Method::DELETE, &path, &[], None, &self.stop).await?;
                }
            }
            2 => drop(self.write("/api/messages", message(b, a)).await?),
            4 => drop(self.write("/api/messages", message(a, c)).await?),
            6 => drop(self.write("/api/messages", message(a, a)).await?),
            _ => drop(self.write("/api/messages", message(a, b)).await?),
        }
        Some(())
    }

    /// Writes under a key; every other time, each other server is asked again and must give the same answer.
    async fn write(&self, path: &str, body: Value) -> Option<Answer> {
        let key = format!("{}-{}-{}", self.name, self.count, path.len());
        let headers = [("content-type", "application/json"), ("idempotency-key", &*key)];
        let answer = ask(&self.servers[0], Method::POST, path, &headers, Some(&body), &self.stop).await?;
        let json = answer.json();
        let row = if json["contact"].is_object() { &json["contact"] } else { &json };
        let seq = answer.seq().unwrap_or_else(|| panic!("{path} {body} made nothing: {answer:?}"));
        self.found.told.lock().unwrap().push((seq, row["created_at"].as_str().unwrap().to_owned()));
        self.found.written.send_modify(|n| *n += 1);
        if self.count.is_multiple_of(2) {
            for other in &self.servers[1..] {
                let again = ask(other, Method::POST, path, &headers, Some(&body), &self.stop).await?;
                assert_eq!((again.status, &again.text), (answer.status, &answer.text), "the retry of a write is another answer");
            }
        }
        Some(answer)
    }
}

/// A row as the log tells it.
struct Row {
    id: String,
    at: String,
    added: u64,
    removed: Option<u64>,
    data: Value,
}

/// Compares what was read and told with the log, which is the same on all of `servers`.
pub(crate) async fn check_pages(load: Load, servers: &[Api]) -> Checked {
    let log = servers[0].whole_log().await;
    for other in &servers[1..] {
        // What another server wrote may be on its way.
        soon("the whole log", async {
            while other.whole_log().await.len() < log.len() {
                tokio::time::sleep(RETRY).await;
            }
        })
        .await;
        assert!(other.whole_log().await == log, "servers show different events");
    }
    let (mut checked, mut wrong_instants, mut wrong_pages) = (Checked::default(), Vec::new(), Vec::new());
    let rows = rows(&log, &mut checked.kinds);
    let told = std::mem::take(&mut *load.found.told.lock().unwrap());
    checked.answers = told.len();
    // Of rows as events tell them, and as the answers to writes did.
    let instants = rows.iter().map(|row| (row.added, row.at.clone())).chain(told);
    for (seq, at) in instants {
        let event = &log[usize::try_from(seq).unwrap() - 1];
        wrong_instants.extend((event["timestamp"] != *at).then(|| format!("{event}, and its row is of {at}")));
    }
    let places: HashMap<&str, usize> = rows.iter().enumerate().map(|(place, row)| (row.id.as_str(), place)).collect();
    for page in load.found.pages.lock().unwrap().iter() {
        checked.pages += 1;
        checked.followed += usize::from(page.after.is_some());
        wrong_pages.extend(compare(page, &rows, &places).err());
    }
    println!("{} wrong instants, {} wrong pages: {checked:?}", wrong_instants.len(), wrong_pages.len());
    for wrong in [wrong_instants, wrong_pages] {
        assert!(wrong.is_empty(), "{} are wrong, such as\n{}", wrong.len(), wrong[0]);
    }
    checked
}

/// The rows that the log made, in its order.
fn rows(log: &[Value], kinds: &mut BTreeMap<String, usize>) -> Vec<Row> {
    let (mut rows, mut places) = (Vec::<Row>::new(), HashMap::new());
    for (event, seq) in log.iter().zip(1..) {
        assert_eq!(event["seq"], seq, "the log has a hole");
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{event}")).to_owned();
        let (kind, data) = (text(&event["type"]), &event["data"]);
        let (id, at) = (text(&data["id"]), text(&data["created_at"]));
        if kind == "contact_removed" {
            let row: &mut Row = &mut rows[places[&id]];
            assert_eq!(row.at, at, "{event} has another row than its addition");
            row.removed = Some(seq);
        } else {
            places.insert(id.clone(), rows.len());
            let mut data = data.clone();
            data["type"] = Value::from(kind.as_str());
            rows.push(Row { id, at, added: seq, removed: None, data });
        }
        *kinds.entry(kind).or_default() += 1;
    }
    rows
}

/// A page has the rows that there were at its cursor, from the last of the page before on.
fn compare(page: &Page, rows: &[Row], places: &HashMap<&str, usize>) -> Result<(), String> {
    let Page { list, limit, after, cursor, .. } = page;
    let after = after.as_ref().map(|id| rows[places[id.as_str()]].added);
    let is_there = |row: &&Row| {
        let wanted = list.wants.iter().all(|(fields, user)| fields.iter().any(|field| row.data[*field] == **user));
        let follows = after.is_none_or(|after| if list.oldest_first { row.added > after } else { row.added < after });
        let stored = row.added <= *cursor && row.removed.is_none_or(|removed| removed > *cursor);
        row.data["type"] == list.added_by && wanted && follows && stored
    };
    let mut expected: Vec<&Row> = rows.iter().filter(is_there).collect();
    if !list.oldest_first {
        expected.reverse();
    }
    let more = expected.len() > *limit;
    expected.truncate(*limit);
    let expected: Vec<_> = expected.iter().map(|row| (row.id.clone(), row.at.clone())).collect();
    if (&expected, more) == (&page.rows, page.more) {
        return Ok(());
    }
    Err(format!("{}limit={limit} after {after:?} at {cursor}: {:#?}\ninstead of {expected:#?}", list.path, page.rows))
}
