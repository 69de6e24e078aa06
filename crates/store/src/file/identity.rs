//! The identity of a directory: whether the directory at a path is the one that was there before.
//!
//! # What is compared, and why
//!
//! - The **type of the file system**. If a mount is missing, the directory below it shows, which is often on
//!   another kind of file system.
//! - The **inode number** and the **time of birth** of the directory. Both stay through a remount and a reboot. The
//!   root of a file system usually has the same number on every disk of one kind (2 on ext4), and numbers are given
//!   again; the time of birth tells those apart, if the file system keeps it.
//!
//! The device number is not compared: it depends on the order in which the kernel finds disks, changes with a
//! reboot, and says nothing. On file systems that invent inode numbers at each mount (FUSE, CIFS, 9p) only the type
//! is compared: an identity that changes without harm would stop every later run.

use std::{fmt, fs::File, os::unix::fs::MetadataExt as _, time::SystemTime};

use rustix::fs::fstatfs;
use serde::{Deserialize, Serialize};

/// Types of file systems whose inode numbers and times of birth do not outlive a mount: FUSE, CIFS, SMB 1,
/// SMB 2 and 9p (`linux/magic.h`, `fs/smb/client/cifsglob.h`).
const PASSING: [u64; 5] = [0x6573_5546, 0xff53_4d42, 0x517b, 0xfe53_4d42, 0x0102_1997];

/// The identity of a directory. Survives remounts and reboots, see the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Type of the file system, from `statfs`.
    pub kind: u64,
    /// Inode number of the directory, if it outlives a mount.
    pub inode: Option<u64>,
    /// Time of birth, in nanoseconds since 1970, if the file system keeps it.
    pub born_ns: Option<u64>,
}

impl Identity {
    /// The identity of an open directory.
    pub(super) fn of(directory: &File) -> std::io::Result<Self> {
        // `f_type` is signed on some machines; its magic numbers have 32 bits.
        #[expect(clippy::cast_sign_loss, reason = "it is cut to the bits of the number")]
        let kind = fstatfs(directory)?.f_type as u64 & 0xffff_ffff;
        if PASSING.contains(&kind) {
            return Ok(Self { kind, inode: None, born_ns: None });
        }
        let metadata = directory.metadata()?;
        let born = metadata.created().ok().and_then(|born| born.duration_since(SystemTime::UNIX_EPOCH).ok());
        let born_ns = born.and_then(|born| u64::try_from(born.as_nanos()).ok());
        Ok(Self { kind, inode: Some(metadata.ino()), born_ns })
    }

    /// Whether both can be one directory: they agree on every value that both know.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let agree = |a: Option<u64>, b: Option<u64>| a.zip(b).is_none_or(|(a, b)| a == b);
        self.kind == other.kind && agree(self.inode, other.inode) && agree(self.born_ns, other.born_ns)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(inode) = self.inode {
            write!(f, "inode {inode} ")?;
        }
        write!(f, "on a file system of type {:#x}", self.kind)?;
        let born = self.born_ns.and_then(|ns| jiff::Timestamp::from_nanosecond(ns.into()).ok());
        born.map_or(Ok(()), |born| write!(f, ", made at {born:.0}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_itself_and_no_other_that_takes_its_place() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        let identity = || Identity::of(&File::open(&path).unwrap()).unwrap();
        std::fs::create_dir(&path).unwrap();
        let first = identity();
        std::fs::write(path.join("file"), "x").unwrap();
        assert_eq!(identity(), first, "what is in it changes nothing");
        std::fs::rename(&path, root.path().join("away")).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(!identity().agrees_with(&first), "{first} and {}", identity());
        std::fs::remove_dir(&path).unwrap();
        std::fs::rename(root.path().join("away"), &path).unwrap();
        assert!(identity().agrees_with(&first), "it came back");
    }

    #[test]
    fn what_one_side_does_not_know_is_no_difference() {
        let known = Identity { kind: 1, inode: Some(2), born_ns: Some(3) };
        assert!(known.agrees_with(&Identity { born_ns: None, ..known.clone() }));
        assert!(known.agrees_with(&Identity { inode: None, ..known.clone() }));
        assert!(!known.agrees_with(&Identity { kind: 2, ..known.clone() }));
        assert!(!known.agrees_with(&Identity { born_ns: Some(4), ..known.clone() }));
        assert!(!known.agrees_with(&Identity { inode: Some(4), ..known.clone() }));
    }
}
