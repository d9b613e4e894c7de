//! A model of a disk whose power is cut: what it may hold then, given all that was done to it.
//!
//! Up to a file's last fsync everything is there. Of what came later any part may be there and any part not, sector by sector,
//! whatever the order in which it was written; the same goes for the names of files since the last fsync of their folder.
//! What no operation touched keeps its bytes (SQLite's "powersafe overwrite", which it assumes of disks by default).
//!
//! Source: SQLite, "Atomic Commit", section 2 (what it assumes of hardware); Pillai et al., "All File Systems Are Not Created
//! Equal", OSDI 2014 (states between fsyncs).

use std::collections::BTreeMap;
use std::path::Path;

use crate::layer::{Op, file, op};

/// What a disk writes wholly or not at all.
const SECTOR_BYTES: u64 = 512;

/// How much of what was not fsynced is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Survives {
    Nothing,
    Everything,
    /// The operations up to some one, that one in part.
    Prefix,
    /// Any of the operations.
    AnyOperations,
    /// Any of their sectors.
    AnySectors,
}

impl Survives {
    pub(crate) const ALL: [Self; 5] = [Self::Nothing, Self::Everything, Self::Prefix, Self::AnyOperations, Self::AnySectors];
}

/// What one operation leaves behind.
enum Part {
    None,
    All,
    Sectors,
}

/// A file, under whatever name.
#[derive(Debug, Default, Clone)]
struct Inode {
    /// As of its last fsync.
    durable: Vec<u8>,
    /// What was done since, as places in the list of operations.
    since: Vec<usize>,
}

/// The disk after some operations.
#[derive(Debug, Default)]
pub(crate) struct Platter {
    inodes: Vec<Inode>,
    /// Which inode a name stands for, now and as of the folder's last fsync.
    names: BTreeMap<u64, usize>,
    durable_names: BTreeMap<u64, usize>,
    /// Creations (an inode) and removals (none) since then.
    renamed: Vec<(u64, Option<usize>)>,
}

/// What a disk holds: the bytes of each file that is there.
#[derive(Debug, Default)]
pub(crate) struct State {
    files: BTreeMap<u64, Vec<u8>>,
    /// Writes of which some sectors are there and some not.
    pub(crate) torn: u64,
}

impl Platter {
    /// Does the operation at place `i` of `ops`.
    pub(crate) fn apply(&mut self, ops: &[Op], i: usize) {
        let done = &ops[i];
        match done.op {
            // The index of the log is memory that happens to have a name: it is made anew.
            _ if done.file == file::SHM => {}
            op::CREATE => {
                self.inodes.push(Inode::default());
                self.names.insert(done.file, self.inodes.len() - 1);
                self.renamed.push((done.file, Some(self.inodes.len() - 1)));
            }
            op::UNLINK => {
                self.names.remove(&done.file);
                self.renamed.push((done.file, None));
            }
            op::SYNC if done.file == file::FOLDER => {
                self.durable_names = self.names.clone();
                self.renamed.clear();
            }
            op::SYNC => {
                let inode = self.inode(done.file);
                for i in std::mem::take(&mut inode.since) {
                    perform(&mut inode.durable, &ops[i], |_| true);
                }
            }
            // The worst that a kernel does: it calls clean what it could not write, and the next fsync succeeds without it.
            op::FAILED_SYNC => self.inode(done.file).since.clear(),
            op::WRITE | op::TRUNCATE => self.inode(done.file).since.push(i),
            _ => {}
        }
    }

    fn inode(&mut self, file: u64) -> &mut Inode {
        &mut self.inodes[self.names[&file]]
    }

    /// Cuts the power.
    pub(crate) fn cut(&self, ops: &[Op], survives: Survives, rng: &mut fastrand::Rng) -> State {
        // A prefix is one of the whole disk's operations, not of each file's.
        let pending: Vec<usize> = self.names.values().flat_map(|inode| &self.inodes[*inode].since).copied().collect();
        let end = if pending.is_empty() { 0 } else { pending[rng.usize(..pending.len())] };
        let mut torn = 0;
        let part = |i: usize, rng: &mut fastrand::Rng| match survives {
            Survives::Nothing => Part::None,
            Survives::Everything => Part::All,
            Survives::Prefix if i == end => Part::Sectors,
            Survives::Prefix => {
                if i < end {
                    Part::All
                } else {
                    Part::None
                }
            }
            Survives::AnyOperations => {
                if rng.bool() {
                    Part::All
                } else {
                    Part::None
                }
            }
            Survives::AnySectors => Part::Sectors,
        };
        let mut names = self.durable_names.clone();
        for (name, inode) in &self.renamed {
            if matches!(survives, Survives::Everything) || (!matches!(survives, Survives::Nothing) && rng.bool()) {
                match inode {
                    Some(inode) => drop(names.insert(*name, *inode)),
                    None => drop(names.remove(name)),
                }
            }
        }
        let mut files = BTreeMap::new();
        for (name, inode) in names {
            let mut bytes = self.inodes[inode].durable.clone();
            for &i in &self.inodes[inode].since {
                match part(i, rng) {
                    Part::None => {}
                    Part::All => drop(perform(&mut bytes, &ops[i], |_| true)),
                    Part::Sectors => torn += u64::from(perform(&mut bytes, &ops[i], |_| rng.bool())),
                }
            }
            files.insert(name, bytes);
        }
        State { files, torn }
    }

    /// What the files hold now, with no power cut.
    pub(crate) fn now(&self, ops: &[Op]) -> State {
        self.cut(ops, Survives::Everything, &mut fastrand::Rng::with_seed(0))
    }
}

/// Does a write, but for the sectors that `kept` refuses, or a change of length. Tells whether some were kept and some not.
fn perform(bytes: &mut Vec<u8>, done: &Op, mut kept: impl FnMut(u64) -> bool) -> bool {
    if done.op == op::TRUNCATE {
        if kept(0) {
            bytes.resize(usize::try_from(done.offset).unwrap(), 0);
        }
        return false;
    }
    let (mut at, end) = (done.offset, done.offset + done.data.len() as u64);
    let (mut some, mut all) = (false, true);
    while at < end {
        let next = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES).min(end);
        if kept(at / SECTOR_BYTES) {
            let place = |at: u64| usize::try_from(at).unwrap();
            if bytes.len() < place(next) {
                bytes.resize(place(next), 0);
            }
            bytes[place(at)..place(next)].copy_from_slice(&done.data[place(at - done.offset)..place(next - done.offset)]);
            some = true;
        } else {
            all = false;
        }
        at = next;
    }
    some && !all
}

impl State {
    /// Writes the files into `folder`, for SQLite to find.
    pub(crate) fn write(&self, folder: &Path) {
        for (file, bytes) in &self.files {
            let name = match *file {
                file::MAIN => "sambad.db",
                file::WAL => "sambad.db-wal",
                file::JOURNAL => "sambad.db-journal",
                other => panic!("no such file {other}"),
            };
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }

    /// The bytes of a file, if it is there.
    pub(crate) fn file(&self, file: u64) -> Option<&[u8]> {
        self.files.get(&file).map(Vec::as_slice)
    }
}
