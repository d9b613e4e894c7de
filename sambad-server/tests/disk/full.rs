//! A full disk: writes are refused and nothing else happens, and once there is room again, writes are taken again.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use crate::harness::{Api, audit};
use crate::layer::{Action, ENOSPC, FOR_EVER, Rule, op};
use crate::load::{self, Load};
use crate::readers::Readers;
use crate::rows;
use crate::world::{World, kill, seed};

/// Size of the disk, and of each of three files that can be deleted from it: more than the WAL grows to.
const DISK_MIB: usize = 44;
const BALLAST_MIB: usize = 10;
const WRITERS: u64 = 16;

/// A small disk: a tmpfs, or where none may be mounted the layer, which refuses to write any more.
enum Disk {
    Mounted { folder: TempDir },
    Layer,
}

impl Disk {
    fn mount() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={DISK_MIB}m"), "sambad-test"]).arg(folder.path());
        if mount.output().is_ok_and(|mounted| mounted.status.success()) {
            return Self::Mounted { folder };
        }
        println!("SKIPPED: a tmpfs cannot be mounted here; the layer answers ENOSPC instead");
        Self::Layer
    }

    fn world(&self) -> World {
        match self {
            Self::Mounted { folder } => World::in_folder(folder.path().canonicalize().unwrap(), false),
            Self::Layer => World::new(false),
        }
    }

    /// Takes room away, which by itself does not fill a real disk: that is for the writers to do.
    fn fill(&self, world: &World, name: &str) {
        match self {
            Self::Mounted { .. } => std::fs::write(ballast(world, name), vec![0; BALLAST_MIB << 20]).unwrap(),
            Self::Layer => {
                let rule = Rule::new(Action::Fail(ENOSPC), op::WRITE | op::CREATE, u64::MAX).skip(500).times(FOR_EVER);
                world.layer.arm(0, rule);
            }
        }
    }

    fn free(&self, world: &World, name: &str) {
        match self {
            Self::Mounted { .. } => std::fs::remove_file(ballast(world, name)).unwrap(),
            Self::Layer => world.layer.disarm(0),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Self::Mounted { folder } = self {
            // Lazily: a server that a failed test left may still have its files open.
            let _ = Command::new("umount").arg("--lazy").arg(folder.path()).status();
        }
    }
}

fn ballast(world: &World, name: &str) -> PathBuf {
    world.folder().join(name)
}

/// Goal: on a full disk writes are refused with 503 and Retry-After, reads, health checks and sessions go on, and with room
/// again writes are taken without a restart; nothing acknowledged is lost, nor by a kill while the disk is full. Method: a tmpfs
/// filled by writers, room made by deleting a file, filled again, a kill, room again, and the audits of the crash test.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_until_there_is_room() {
    let disk = Disk::mount();
    let world = Arc::new(disk.world());
    disk.fill(&world, "first");
    if matches!(disk, Disk::Mounted { .. }) {
        disk.fill(&world, "second");
        disk.fill(&world, "third");
    }
    let server = world.start().await;
    let readers = Readers::start(&world).await;
    let load = Load::start(&world, WRITERS, seed());

    full(&load).await;
    everything_else_works(&server.api).await;
    assert_eq!(readers.cuts(), 0, "a session was lost to a full disk");
    disk.free(&world, "first");
    load.acknowledged(100).await;
    assert_eq!(readers.cuts(), 0, "a session was lost to a full disk");

    if matches!(disk, Disk::Layer) {
        disk.fill(&world, "second");
    }
    full(&load).await;
    kill(server).await;
    disk.free(&world, "second");
    let server = world.start().await;
    load.acknowledged(100).await;
    let refused = load.answers().refused;
    if matches!(disk, Disk::Mounted { .. }) {
        // The writers may have filled it once more; what follows needs a little room.
        disk.free(&world, "third");
    }
    let writes = load.stop().await;
    let tally = load::audit(&readers.finish().await, &writes);
    audit(&server.api).await;
    server.terminate().await;
    assert_eq!(server.end().await.code(), Some(0));
    rows::check(&world.database()).await.unwrap();
    println!("{refused} answers 503, {tally:?}; 0 lost");
}

/// Waits until the disk is full: hardly anything is accepted any more.
async fn full(load: &Load) {
    let before = load.answers().refused;
    load.until("refusals", |answers| answers.refused >= before + 100).await;
}

/// What must go on while nothing can be written.
async fn everything_else_works(api: &Api) {
    let lists = ["/api/users", "/api/contacts", "/api/messages", "/api/admin/analytics", "/api/admin/activity"];
    for path in lists.into_iter().chain(["/api/events?after=0", "/livez", "/readyz", "/api/health"]) {
        let answer = api.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    assert_eq!(api.get("/api/health").await.json()["status"], "healthy");
}
