//! A page under load.

use std::time::Duration;

use sambad_core::Sambad;
use sambad_core::command::{Command, UserRef};
use sambad_server::testing::TestServer;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::browser::Watched;
use crate::page::Page;
use crate::people::{People, Somebody};
use crate::processor::Processor;

const RATE: u64 = 500;
const SECONDS: u64 = 10;
/// What a person feels as a hitch.
const LONG_TASK_MS: f64 = 100.0;
const FLOODS: u64 = 2;
const ROWS_MAX: usize = 1_500;
const HEAP_MAX: u64 = 96 << 20;
const HEAP_GROWTH_MAX: u64 = 16 << 20;

/// Writes `RATE` events a second for `SECONDS`, as planned: a late one does not delay those after it.
///
/// Gives the time that it took: a machine that others use may be late, and the page then has less to bear at a time.
///
/// Past HTTP, whose 500 requests a second would take from the page what they cost here, in a test build.
async fn flood(sambad: &Sambad, users: &[Somebody]) -> Duration {
    let begun = Instant::now();
    let mut writes = JoinSet::new();
    for n in 0..RATE * SECONDS {
        tokio::time::sleep_until(begun + Duration::from_micros(n * 1_000_000 / RATE)).await;
        let one = users[usize::try_from(n).unwrap() % users.len()];
        let other = users[usize::try_from(n + 1).unwrap() % users.len()];
        let message = Command::SendMessage {
            from: UserRef::Id(one.id),
            to: UserRef::Id(other.id),
            content: format!("message {n} of a flood"),
            message_type: "text".into(),
        };
        let sambad = sambad.clone();
        writes.spawn(async move { sambad.execute(message, None).await });
    }
    while let Some(ended) = writes.join_next().await {
        ended.unwrap().unwrap();
    }
    begun.elapsed()
}

/// Bytes of live objects.
async fn heap(page: &Page) -> u64 {
    page.browser.cdp("HeapProfiler.collectGarbage", serde_json::json!({})).await;
    page.browser.cdp("Runtime.getHeapUsage", serde_json::json!({})).await["usedSize"].as_f64().unwrap() as u64
}

/// Goal: 500 events a second for ten seconds leave the page responsive (no task that computes for 100 ms) and bounded (rows,
/// elements, live memory), and the last of them is shown at once. Method: the browser's own list of long tasks, each judged by what
/// the page's thread had of the processor meanwhile, as other programs of the machine would else be judged with it; in a group that
/// runs alone; a second flood tells whether memory grows with each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_leaves_the_page_responsive() {
    let server = TestServer::start().await;
    let mut people = People::at(server.url());
    let users = people.users(1, 50).await;
    let page = Page::open_watched(server.url(), "", Watched::Console).await;
    page.shows(people.head).await;
    page.js("window.watcher.watches = false").await;
    page.js("(window.frames_seen = 0, function frame() { window.frames_seen += 1; requestAnimationFrame(frame); }())").await;
    let mut heaps = Vec::new();
    for round in 1..=FLOODS {
        page.js("(window.watcher.tasks.length = 0, window.frames_seen = 0)").await;
        let processor = Processor::follow(page.browser.process());
        let took = flood(server.sambad(), &users).await;
        let events = round * RATE * SECONDS;
        page.until_within(5_000, &format!("Number(document.documentElement.dataset.lastSeq) === {}", 50 + events)).await;
        let computed = processor.stop();
        page.card_shows("messages", events).await;

        let tasks = page.js("window.watcher.tasks.map(([at, ms]) => [performance.timeOrigin + at, ms])").await;
        let tasks: Vec<(f64, f64)> = serde_json::from_value(tasks).unwrap();
        let longest = tasks.iter().map(|(_, ms)| *ms).fold(0.0, f64::max);
        let hardest = tasks.iter().map(|(at, ms)| computed.within(*at, at + ms)).fold(0.0, f64::max);
        let [frames, nodes] = ["window.frames_seen", "document.querySelectorAll('*').length"];
        let (frames, nodes) = (page.js(frames).await, page.js(nodes).await.as_u64().unwrap());
        let rows = page.rows().await.len();
        let heap = heap(&page).await;
        println!(
            "flood {round}, in {took:.1?}: {} tasks above 50 ms, the longest {longest} ms with {hardest:.0} ms of processor; {:.0} ms of processor \
             in all; {frames} frames; {rows} rows, {nodes} elements; {} KiB",
            tasks.len(),
            computed.total(),
            heap >> 10
        );
        assert!(hardest < LONG_TASK_MS, "a task computed for {hardest} ms");
        assert!(rows > 0 && rows <= ROWS_MAX && nodes < 30 * ROWS_MAX as u64, "{rows} rows, {nodes} elements");
        heaps.push(heap);
    }
    assert!(heaps.iter().all(|heap| *heap < HEAP_MAX), "{heaps:?}");
    let growth = heaps[heaps.len() - 1].saturating_sub(heaps[0]);
    assert!(growth < HEAP_GROWTH_MAX, "{growth} bytes more after another flood: {heaps:?}");
    page.finish().await;
    server.stop().await;
}
