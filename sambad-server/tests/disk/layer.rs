//! The test's side of `layer.c`: builds it, tells it what to do, and reads what it recorded.

use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::harness::soon;

const SOURCE: &str = include_str!("layer.c");

/// Operations, as bits; `OPEN` is opening for writing what exists.
pub(crate) mod op {
    pub(crate) const CREATE: u64 = 1;
    pub(crate) const WRITE: u64 = 2;
    pub(crate) const TRUNCATE: u64 = 4;
    pub(crate) const UNLINK: u64 = 8;
    pub(crate) const SYNC: u64 = 16;
    pub(crate) const OPEN: u64 = 32;
    pub(crate) const FAILED_SYNC: u64 = 64;
}

/// Files, as bits: the database, its write-ahead log, its rollback journal, the index of the log, the folder.
pub(crate) mod file {
    pub(crate) const MAIN: u64 = 1;
    pub(crate) const WAL: u64 = 2;
    pub(crate) const JOURNAL: u64 = 4;
    pub(crate) const SHM: u64 = 8;
    pub(crate) const FOLDER: u64 = 16;
}

pub(crate) const FOR_EVER: u64 = u64::MAX;
pub(crate) const EIO: u64 = 5;
pub(crate) const ENOSPC: u64 = 28;
pub(crate) const EROFS: u64 = 30;

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// SIGKILL to the server in place of the operation.
    KillBefore,
    /// SIGKILL right after it, before SQLite hears of it.
    KillAfter,
    /// The operation is refused with this `errno`.
    Fail(u64),
    /// Half of a write is written.
    Shorten,
    /// The operation takes so many milliseconds longer.
    Delay(u64),
    /// An fsync is answered and not done.
    Lie,
}

/// Does `action` to operations `ops` on `files`: lets `skip` of them pass, then hits `times`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) action: Action,
    pub(crate) ops: u64,
    pub(crate) files: u64,
    pub(crate) skip: u64,
    pub(crate) times: u64,
}

impl Rule {
    pub(crate) fn new(action: Action, ops: u64, files: u64) -> Self {
        Self { action, ops, files, skip: 0, times: 1 }
    }

    pub(crate) fn skip(self, skip: u64) -> Self {
        Self { skip, ..self }
    }

    pub(crate) fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }
}

/// Bytes of `struct rule`, and how many there are.
const RULE_BYTES: u64 = 64;
const RULES: u64 = 4;
/// Where a rule counts its hits.
const HITS_AT: u64 = 48;

/// The layer of one database.
#[derive(Debug)]
pub(crate) struct Layer {
    control: File,
    control_path: PathBuf,
    log: Option<PathBuf>,
}

impl Layer {
    /// A layer without rules; its files lie in `folder`, which must not be on the disk that is to fail.
    pub(crate) fn new(folder: &Path, records: bool) -> Self {
        let control_path = folder.join("control");
        let control = File::options().create(true).truncate(true).read(true).write(true).open(&control_path).unwrap();
        control.set_len(RULE_BYTES * RULES).unwrap();
        Self { control, control_path, log: records.then(|| folder.join("log")) }
    }

    /// What the server's environment must hold for the layer to be there.
    pub(crate) fn env(&self, database: &Path) -> Vec<(&'static str, String)> {
        let text = |path: &Path| path.to_str().expect("temporary paths are UTF-8").to_owned();
        let mut env = vec![
            ("LD_PRELOAD", text(&library())),
            ("SAMBAD_DISK_DATABASE", text(database)),
            ("SAMBAD_DISK_CONTROL", text(&self.control_path)),
        ];
        env.extend(self.log.iter().map(|log| ("SAMBAD_DISK_LOG", text(log))));
        env
    }

    /// Puts `rule` into force as number `slot`.
    pub(crate) fn arm(&self, slot: u64, rule: Rule) {
        self.disarm(slot);
        let (action, argument): (u64, u64) = match rule.action {
            Action::KillBefore => (1, 0),
            Action::KillAfter => (2, 0),
            Action::Fail(errno) => (3, errno),
            Action::Shorten => (4, 0),
            Action::Delay(ms) => (5, ms),
            Action::Lie => (6, 0),
        };
        // All but the action first: the layer reads a rule only once it has one.
        for (place, word) in (1..).zip([rule.ops, rule.files, rule.skip, rule.times, argument, 0]) {
            self.write(slot, place, word);
        }
        self.write(slot, 0, action);
    }

    /// Puts `rules` into force, and no others.
    pub(crate) fn arm_all(&self, rules: &[Rule]) {
        (0..RULES).for_each(|slot| self.disarm(slot));
        (0..).zip(rules).for_each(|(slot, rule)| self.arm(slot, *rule));
    }

    /// Takes rule `slot` out of force.
    pub(crate) fn disarm(&self, slot: u64) {
        self.write(slot, 0, 0);
    }

    /// How many operations rule `slot` has hit since it was armed.
    pub(crate) fn hits(&self, slot: u64) -> u64 {
        let mut word = [0; 8];
        self.control.read_exact_at(&mut word, slot * RULE_BYTES + HITS_AT).unwrap();
        u64::from_ne_bytes(word)
    }

    /// Waits until rule `slot` has hit so often.
    pub(crate) async fn until_hit(&self, slot: u64, hits: u64) {
        soon("operation that the rule is for", async {
            while self.hits(slot) < hits {
                // Nothing tells when the layer's counter moves.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }

    /// The log, if one is kept.
    pub(crate) fn log(&self) -> Option<&Path> {
        self.log.as_deref()
    }

    fn write(&self, slot: u64, place: u64, word: u64) {
        assert!(slot < RULES);
        self.control.write_all_at(&word.to_ne_bytes(), slot * RULE_BYTES + place * 8).unwrap();
    }
}

/// One operation of the log.
#[derive(Debug, Clone)]
pub(crate) struct Op {
    pub(crate) op: u64,
    pub(crate) file: u64,
    pub(crate) offset: u64,
    /// Written bytes.
    pub(crate) data: Vec<u8>,
    /// How long the log was once this was in it.
    pub(crate) end: u64,
}

/// Reads a log. A record cut short, by a kill in the middle of it, ends it.
pub(crate) fn read_log(path: &Path) -> Vec<Op> {
    const HEAD_BYTES: usize = 32;
    let bytes = std::fs::read(path).unwrap();
    let (mut ops, mut at) = (Vec::new(), 0);
    while let Some(head) = bytes.get(at..at + HEAD_BYTES) {
        let word = |i: usize| u64::from_ne_bytes(head[i * 8..i * 8 + 8].try_into().unwrap());
        let length = usize::try_from(word(3)).unwrap();
        let Some(data) = bytes.get(at + HEAD_BYTES..at + HEAD_BYTES + length) else { break };
        at += HEAD_BYTES + length;
        ops.push(Op { op: word(0), file: word(1), offset: word(2), data: data.to_vec(), end: at as u64 });
    }
    ops
}

/// The compiled layer; compiled once for each state of its source.
fn library() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    SOURCE.hash(&mut hasher);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let library = folder.join(format!("disk-layer-{:016x}.so", hasher.finish()));
    if !library.exists() {
        // Several tests may build it at once: each under a name of its own, and the last rename wins.
        let unfinished = folder.join(format!("disk-layer-{}.so", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/disk/layer.c");
        let mut compiler = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".into()));
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&unfinished).arg(&source).arg("-ldl");
        let built = compiler.output().expect("a C compiler, which building SQLite needs as well");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        std::fs::rename(&unfinished, &library).unwrap();
    }
    library
}
