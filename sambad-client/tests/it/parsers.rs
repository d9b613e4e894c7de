//! Every parser that faces the network, on both sides: what must hold is said once, in `testing::parsers` of the two crates,
//! and `fuzz/` tries the same for longer.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use sambad_client::testing::parsers as client;
use sambad_server::testing::parsers as server;

/// A seed that was changed in at most this many places.
const CHANGES_MAX: usize = 8;
/// What parsers trip over: put into seeds, and strung together.
const TELLING: [&str; 40] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\\",
    "\\u0000",
    "\\ud800",
    "null",
    "-1",
    "1e999",
    "0",
    "00",
    "18446744073709551615",
    "9223372036854775807",
    "+",
    "+91",
    "-",
    "(",
    " ",
    "\t",
    "\r",
    "\n",
    "\r\n",
    "\0",
    "&",
    "=",
    "%",
    "%00",
    "\u{feff}",
    "é",
    "९",
    "type",
    "data: ",
    "id: ",
    "retry: ",
    "9f3a01c7-",
    "0198f0c4-7b1e-7000-8000-00000000000a",
];

fn targets() -> impl Iterator<Item = (&'static str, fn(&[u8]))> {
    server::TARGETS.into_iter().chain(client::TARGETS)
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// The seeds of a target, each with its name.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = fuzz().join("seeds").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut seeds: Vec<_> = entries
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap()))
        .collect();
    seeds.sort();
    seeds
}

static SEEDS: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| targets().flat_map(|(target, _)| seeds(target)).map(|(_, bytes)| bytes).collect());

fn check_all(bytes: &[u8]) {
    for (target, check) in targets() {
        let held = catch_unwind(AssertUnwindSafe(|| check(bytes)));
        assert!(held.is_ok(), "{target} does not hold for {:?}", String::from_utf8_lossy(bytes));
    }
}

/// One change to a text: bytes replaced, put in, taken out, or said twice.
#[derive(Debug, Clone)]
enum Change {
    Replace(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let put_in = prop_oneof![
        select(&TELLING[..]).prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 1..4),
        (select(&b"[{\" 9x+"[..]), 1..700_usize).prop_map(|(byte, times)| vec![byte; times]),
    ];
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Replace(at, byte)),
        (any::<Index>(), put_in).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (any::<Index>(), 1..20_usize).prop_map(|(at, length)| Change::Remove(at, length)),
        (any::<Index>(), 1..40_usize).prop_map(|(at, length)| Change::Repeat(at, length)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: Change) {
    let place = |at: Index, bytes: &[u8]| at.index(bytes.len() + 1);
    match change {
        Change::Replace(at, byte) => {
            let at = place(at, bytes);
            if let Some(found) = bytes.get_mut(at) {
                *found = byte;
            }
        }
        Change::Insert(at, new) => {
            let at = place(at, bytes);
            bytes.splice(at..at, new);
        }
        Change::Remove(at, length) => {
            let at = place(at, bytes);
            bytes.drain(at..(at + length).min(bytes.len()));
        }
        Change::Repeat(at, length) => {
            let at = place(at, bytes);
            let again = bytes[at..(at + length).min(bytes.len())].to_vec();
            bytes.splice(at..at, again);
        }
    }
}

/// Goal: the seeds of the fuzz targets do not rot. Method: every check on each of its seeds; targets, files, manifest and
/// folders of seeds are the same set.
#[test]
fn every_seed_holds() {
    let (mut targets_seen, mut complaints) = (BTreeSet::new(), Vec::new());
    for (target, check) in targets() {
        targets_seen.insert(target.to_owned());
        let seeds = seeds(target);
        assert!(seeds.len() >= 10, "{target} has {} seeds", seeds.len());
        for (name, bytes) in seeds {
            let held = catch_unwind(AssertUnwindSafe(|| check(&bytes)));
            complaints.extend(held.is_err().then(|| format!("{target} does not hold for its seed {name}")));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    let names = |folder: &str, ending: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(fuzz().join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.to_string_lossy().trim_end_matches(ending).to_owned()).collect()
    };
    assert_eq!(names("seeds", ""), targets_seen);
    assert_eq!(names("fuzz_targets", ".rs"), targets_seen);
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for target in &targets_seen {
        assert!(manifest.contains(&format!("name = \"{target}\"\npath = \"fuzz_targets/{target}.rs\"\n")), "{target}");
        let text = fs::read_to_string(fuzz().join(format!("fuzz_targets/{target}.rs"))).unwrap();
        assert!(text.contains(&format!("testing::parsers::{target}(bytes)")), "{target} calls another check");
    }
}

/// Goal: size alone breaks nothing. Method: nesting, numbers, texts and lists beyond every bound, given to every check.
#[test]
fn extremes_hold() {
    let many = |text: &str, times: usize| text.repeat(times);
    let id = "0198f0c4-7b1e-7000-8000-00000000000a";
    for text in [
        many("[", 100_000),
        many("{\"a\":", 100_000),
        format!(r#"{{"type":"ping","x":{}{}}}"#, many("[", 8_000), many("]", 8_000)),
        format!(r#"{{"type":"x","data":{}{},"timestamp":"2025-01-15T12:00:00Z","seq":1}}"#, many("[", 50_000), many("]", 50_000)),
        many("9", 100_000),
        format!("{{\"type\":\"ping\",\"x\":{}}}", many("9", 10_000)),
        format!("{{\"type\":\"{}\"}}", many("\\u0001", 2_500)),
        format!("{{\"phone\":\"+91{}\"}}", many(" ", 60_000)),
        format!(r#"{{"fromId":"{id}","toId":"9{}8","content":"x"}}"#, many(" ", 60_000)),
        format!(r#"{{"fromId":"{id}","toId":"{id}","content":"{}"}}"#, many("é", 4097)),
        format!("{{\"contacts\":[{}{{}}]}}", many("{\"phone\":\"9876543210\"},", 5_000)),
        format!("{{\"contacts\":\"{}\"}}", many("\u{e0001}", 60_000)),
        format!("types={}user_created", many("user_created,", 10_000)),
        many("types=", 10_000),
        many("data: x\n", 20_000),
        many("\r", 100_000),
        many("id\n\n", 20_000),
    ] {
        check_all(text.as_bytes());
    }
}

/// Goal: the bound on a client's message holds at its edge, whole or in fragments. Method: one byte below, at and beyond it.
#[test]
fn the_longest_message_holds() {
    const MAX: usize = 16 << 10;
    for length in [MAX - 1, MAX, MAX + 1, 65_535, 65_536] {
        let head = |first: u8, length: usize| match u16::try_from(length) {
            Ok(short) => [&[first, 0xfe][..], &short.to_be_bytes(), &[0; 4]].concat(),
            Err(_) => [&[first, 0xff][..], &u64::try_from(length).unwrap().to_be_bytes(), &[0; 4]].concat(),
        };
        let body = vec![b' '; length];
        server::socket(&[head(0x81, length), body.clone()].concat());
        let (one, two) = body.split_at(length / 2);
        server::socket(&[&head(0x01, one.len())[..], one, &head(0x80, two.len())[..], two].concat());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Goal: what holds for the seeds holds for what is almost one. Method: a seed of any target, changed in a few places,
    /// given to every check.
    #[test]
    fn changed_seeds_hold(seed in select(&SEEDS[..]), changes in prop::collection::vec(change(), 0..CHANGES_MAX)) {
        let mut bytes = seed;
        changes.into_iter().for_each(|change| apply(&mut bytes, change));
        check_all(&bytes);
    }

    /// Goal: as above, for what nobody thought of. Method: telling words in any order, among any bytes.
    #[test]
    fn anything_holds(parts in prop::collection::vec(
        prop_oneof![
            3 => select(&TELLING[..]).prop_map(|text| text.as_bytes().to_vec()),
            1 => ".{0,12}".prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 0..12),
        ],
        0..24,
    )) {
        check_all(&parts.concat());
    }
}
