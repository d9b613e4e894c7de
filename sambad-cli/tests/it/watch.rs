//! `watch`: what it shows.

use futures_util::future::join_all;
use sambad_client::{Client, NewMessage, UserRef};
use sambad_server::testing::TestServer;

use crate::harness::{ASHA, RAVI, Watch, contact, run, user};

/// Without the time, which no test can know.
fn timeless(line: &str) -> &str {
    line.split_once("  ").expect("a line begins with the time").1
}

/// Goal: what happens is shown as it happens, one line each. Method: read each line before the next write.
#[tokio::test]
async fn shows_events_as_they_happen() {
    let server = TestServer::start().await;
    let mut watch = Watch::start(server.url(), &["-n", "5", "--verify"]).await;
    contact(server.url()).await;
    assert_eq!(timeless(&watch.line().await), format!("#1      user_created     {ASHA} joined"));
    assert_eq!(timeless(&watch.line().await), format!("#2      user_created     {RAVI} joined"));
    assert_eq!(timeless(&watch.line().await), format!("#3      contact_added    {ASHA} added {RAVI}"));
    let client = Client::new(server.url()).unwrap();
    let [asha, ravi] = [ASHA, RAVI].map(|phone| phone.parse::<UserRef>().unwrap());
    client.send_message(&NewMessage::text(asha, ravi, "hi")).await.unwrap();
    assert_eq!(timeless(&watch.line().await), format!("#4      message_sent     {ASHA} to {RAVI}: hi"));
    run(server.url(), &["contact", "remove", ASHA, RAVI]).await.ok();
    assert_eq!(timeless(&watch.line().await), format!("#5      contact_removed  {ASHA} removed {RAVI}"));
    assert_eq!(watch.end().await.ok(), "");
}

/// Goal: each format prints what it promises. Method: the same events in each.
#[tokio::test]
async fn formats() {
    let server = TestServer::start().await;
    contact(server.url()).await;
    let watch =
        async |args: &[&str]| run(server.url(), &[&["watch", "--after", "beginning", "-n", "3"], args].concat()).await.ok();
    let json = watch(&["--format", "json"]).await;
    assert_eq!(json, watch(&["--json"]).await);
    let served = Client::new(server.url()).unwrap().activity(None).await.unwrap().value;
    for (line, activity) in json.lines().zip(served.iter().rev()) {
        let (event_type, data, time, seq) = (&activity.event_type, &activity.data, activity.time, activity.seq);
        assert_eq!(line, format!(r#"{{"type":"{event_type}","data":{data},"timestamp":"{time}","seq":{seq}}}"#));
    }
    let template = watch(&["--format", r"{seq}\t{type} {data.user_username}{{}}"]).await;
    assert_eq!(template, format!("1\tuser_created {{}}\n2\tuser_created {{}}\n3\tcontact_added {ASHA}{{}}\n"));
    let number = |text: &str| text.parse::<f64>().is_ok_and(|ms| ms >= 0.0);
    assert!(watch(&["--format", "{latency_ms}"]).await.lines().all(number));
    assert!(watch(&["--latency", "--format", "{seq}"]).await.lines().all(|line| number(line.split(' ').nth(1).unwrap())));
    assert!(watch(&["--latency"]).await.lines().all(|line| line.ends_with(" ms")));
    let with_latency = watch(&["--latency", "--json"]).await;
    assert!(
        with_latency.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["latency_ms"].is_f64()),
        "{with_latency}"
    );
}

/// Goal: filters and positions choose. Method: each way to choose, over the same four events.
#[tokio::test]
async fn filters_and_positions() {
    let server = TestServer::start().await;
    contact(server.url()).await;
    let ravi = user(server.url(), RAVI).await.to_string();
    user(server.url(), "+919876543212").await;
    let head = Client::new(server.url()).unwrap().analytics().await.unwrap().cursor.unwrap();
    let second = format!("{}-2", head.epoch);
    let cases = [
        (&["--after", "beginning"][..], "1 2 3 4"),
        (&["--after", "2"], "3 4"),
        (&["--after", &second], "3 4"),
        (&["--after", "0", "--type", "contact_added"], "3"),
        (&["--after", "0", "--type", "contact_added,message_sent"], "3"),
        (&["--after", "0", "--type", "contact_added", "--type", "user_created"], "1 2 3 4"),
        (&["--after", "0", "--user", RAVI], "2 3"),
        (&["--after", "0", "--user", &ravi, "--type", "user_created"], "2"),
        (&[], ""),
    ];
    join_all(cases.map(async |(args, seqs)| {
        let shown = run(server.url(), &[&["watch", "--idle", "2s", "--format", "{seq}"], args].concat()).await.ok();
        assert_eq!(shown.lines().collect::<Vec<_>>().join(" "), seqs, "{args:?}");
    }))
    .await;
    run(server.url(), &["watch", "--user", "+919000000000"]).await.failed(1, "find user +919000000000: User not found");
}

/// Goal: a position that cannot be served is told. Method: one beyond the head, one of another database.
#[tokio::test]
async fn says_when_it_cannot_resume() {
    let server = TestServer::start().await;
    for (after, reason) in [("99", "resync: cursor_ahead"), ("00000000-0", "resync: epoch_changed")] {
        let ran = run(server.url(), &["watch", "--idle", "1s", "--after", after]).await;
        assert!(ran.code == 0 && ran.stderr.contains(reason), "{ran:?}");
    }
}
