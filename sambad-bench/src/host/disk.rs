//! Where a database lies: on a disk, or in memory that looks like one.

use std::path::Path;

/// Whether `folder` is in memory, where an fsync costs nothing and a durable write seems free.
#[cfg(target_os = "linux")]
pub(crate) fn is_memory(folder: &Path) -> bool {
    /// `TMPFS_MAGIC` and `RAMFS_MAGIC` of linux/magic.h.
    const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];
    rustix::fs::statfs(folder).is_ok_and(|system| IN_MEMORY.iter().any(|magic| u64::try_from(system.f_type) == Ok(*magic)))
}

/// Elsewhere nobody says.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_memory(_folder: &Path) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Goal: memory is told from a disk. Method: two file systems that every Linux has, one of each sort.
    #[test]
    fn tells_memory_from_a_disk() {
        assert!(is_memory(Path::new("/dev/shm")));
        assert!(!is_memory(Path::new("/proc")));
        assert!(!is_memory(Path::new("/there/is/no/such/folder")));
    }
}
