//! The state directory of a migration: its place, its mode, and the lock of the process that drives it.
//!
//! It stands beside the plan file, so a plan that is run from two directories is one migration with one
//! lock. A plan file that is a symbolic link is followed first, for the same reason. `--state`, or else the
//! environment variable `MIGRATE_STATE`, names another place.
//!
//! The lock is the operating system's, on the file `lock`: it goes with the process, however that ends, so an
//! operator never has to break a stale lock. The text in the file only names the holder, and counts only while
//! the lock is held.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    clock,
    error::{Code, Failure, UNWRITABLE},
    operator,
    plan_file::Origin,
};
use migrate_core::model::PlanName;

/// The root of all state, beside the plan file, unless another one is named.
pub(super) const ROOT: &str = ".migrate";
/// The environment variable that names another root.
const VARIABLE: &str = "MIGRATE_STATE";
const LEDGER: &str = "ledger.sqlite";
const VERIFICATION: &str = "verification.sqlite";
const MODE: u32 = 0o700;
/// `status` takes the lock too, for an instant; a process that wants to keep it tries again.
const TRIES: u32 = 10;
const TRY_EVERY: Duration = Duration::from_millis(20);

/// The process that drives a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holder {
    /// Its process id.
    pub(super) pid: u32,
    /// The machine it runs on.
    pub(super) host: String,
    /// What was typed.
    pub(super) command: String,
    /// Since when, RFC 3339 in UTC.
    pub(super) since: String,
    /// The id of its run, as `migrate history` shows it.
    #[serde(default)]
    pub(super) run: Option<String>,
}

/// The state directory of one plan.
#[derive(Debug, Clone)]
pub(super) struct StateDir {
    path: PathBuf,
}

/// The right to drive the migration, for as long as this lives.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

/// The right to keep the progress of a verification, for as long as this lives. It is not the right to drive: a
/// verification beside a run costs the run nothing.
#[derive(Debug)]
pub(super) struct VerificationLock {
    _file: File,
}

/// Where all state of a command is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Root {
    /// The operator named it.
    Named(PathBuf),
    /// It is beside the plan file.
    BesidePlan(PathBuf),
}

impl Root {
    /// What `--state` names, else what the environment names, else the place beside the plan file.
    pub(super) fn find(flag: Option<&Path>, origin: &Origin) -> Result<Self, Failure> {
        match (Self::named_by(flag), origin.file()) {
            (Some(named), _) => Ok(named),
            (None, Some(file)) => Self::beside(file),
            (None, None) => Err(Failure::new(
                Code::Wrong,
                "a plan from standard input has no file, so its state has no place beside it",
            )
            .mended_by(format!("name a directory with --state DIR or {VARIABLE}, or keep the plan in a file"))),
        }
    }

    /// The same for a command that only looks: the state of a plan without a file is taken to be in the working
    /// directory, where its relative paths start.
    pub(super) fn find_to_look(flag: Option<&Path>, origin: &Origin) -> Result<Self, Failure> {
        let homeless = Self::named_by(flag).is_none() && origin.file().is_none();
        if homeless { Ok(Self::unused(flag)) } else { Self::find(flag, origin) }
    }

    /// The same for a rehearsal: that of a plan without a file is kept with the user's caches, so that trying the
    /// program leaves nothing in the directory where that was done.
    pub(super) fn find_to_rehearse(flag: Option<&Path>, origin: &Origin) -> Result<Self, Failure> {
        let homeless = Self::named_by(flag).is_none() && origin.file().is_none();
        if !homeless {
            return Self::find(flag, origin);
        }
        let of = |name| std::env::var_os(name).map(PathBuf::from).filter(|path: &PathBuf| path.is_absolute());
        let caches = of("XDG_CACHE_HOME").or_else(|| of("HOME").map(|home| home.join(".cache")));
        caches.map(|caches| Self::BesidePlan(caches.join("migrate"))).ok_or_else(|| {
            Failure::new(Code::Wrong, "there is no home directory in which a rehearsal could keep its state")
                .mended_by(format!("name a directory with --state DIR or {VARIABLE}"))
        })
    }

    /// A place that nothing looks at; what names it is kept for the next command.
    pub(super) fn unused(flag: Option<&Path>) -> Self {
        Self::named_by(flag).unwrap_or_else(|| Self::BesidePlan(PathBuf::from(ROOT)))
    }

    fn named_by(flag: Option<&Path>) -> Option<Self> {
        let variable = || std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        flag.map(Path::to_owned).or_else(variable).map(Self::Named)
    }

    fn beside(plan_file: &Path) -> Result<Self, Failure> {
        let unknown = |why: &str| {
            let message = format!("cannot tell where the state of {} is: {why}", plan_file.display());
            Failure::new(Code::Wrong, message)
                .mended_by(format!("name a directory with --state DIR or {VARIABLE}, or write the plan to a file"))
        };
        let is_link = fs::symlink_metadata(plan_file).is_ok_and(|found| found.is_symlink());
        let real = if is_link {
            fs::canonicalize(plan_file).map_err(|error| unknown(&error.to_string()))?
        } else {
            plan_file.to_owned()
        };
        if !real.is_file() {
            return Err(unknown("it is a stream and has no directory of its own"));
        }
        Ok(Self::BesidePlan(real.parent().unwrap_or(Path::new("")).join(ROOT)))
    }

    /// What to type to get there again, if anything.
    pub(super) fn named(&self) -> Option<&Path> {
        match self {
            Self::Named(root) => Some(root),
            Self::BesidePlan(_) => None,
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Named(root) | Self::BesidePlan(root) => root,
        }
    }
}

impl StateDir {
    /// Where the state of `plan` is; makes nothing.
    pub(super) fn new(root: &Root, plan: &PlanName) -> Self {
        Self { path: root.path().join(plan.as_str()) }
    }

    /// Where the rehearsals of `plan` are: beside the state of real plans, under a name that no plan can
    /// have.
    pub(super) fn rehearsal(root: &Root, plan: &PlanName) -> Self {
        Self { path: root.path().join(".rehearsal").join(plan.as_str()) }
    }

    /// A note about a state in the current directory, where earlier versions kept it, while there is none beside
    /// the plan file.
    pub(super) fn left_behind(&self, root: &Root, plan: &PlanName) -> Option<String> {
        let old = Path::new(ROOT).join(plan.as_str());
        if root.named().is_some() || self.is_there() || !old.join(LEDGER).is_file() {
            return None;
        }
        Some(format!(
            "note: {} is the state of a plan of this name, and is not used: state is beside the plan file now, and \
             {} is not there. If it is this plan's, move it there, or name it with --state {ROOT}",
            old.display(),
            self.path.display()
        ))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes all that an earlier rehearsal has left; the caller must hold the lock, which stays.
    pub(super) fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path == self.lock_file() {
                continue;
            }
            if fs::symlink_metadata(&path)?.is_dir() { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
        }
        Ok(())
    }

    /// The ledger's file.
    pub(super) fn ledger(&self) -> PathBuf {
        self.path.join(LEDGER)
    }

    /// The file in which a verification by itself keeps how far it is. It is no part of the migration: without it the
    /// next verification begins anew.
    pub(super) fn verification(&self) -> PathBuf {
        self.path.join(VERIFICATION)
    }

    /// Removes that file; the caller has the right to it.
    pub(super) fn forget_verification(&self) -> io::Result<()> {
        for suffix in ["", "-wal", "-shm"] {
            match fs::remove_file(self.path.join(format!("{VERIFICATION}{suffix}"))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes the right to that file, or says why not.
    pub(super) fn lock_verification(&self) -> Result<VerificationLock, String> {
        let path = self.path.join("verification.lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let failed = |error: &io::Error| format!("failed to lock {}: {error}", path.display());
        let file = options.open(&path).map_err(|error| failed(&error))?;
        match file.try_lock() {
            Ok(()) => Ok(VerificationLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err("another verification of this migration is under way".to_owned()),
            Err(TryLockError::Error(error)) => Err(failed(&error)),
        }
    }

    /// Whether something was begun here.
    pub(super) fn is_there(&self) -> bool {
        self.path.is_dir()
    }

    fn lock_file(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// Makes the directory, or takes other users' rights from one that exists.
    pub(super) fn prepare(&self) -> Result<(), Failure> {
        self.make().map_err(|error| {
            Failure::new(
                Code::Incomplete,
                format!("failed to prepare the state directory {}: {error}", self.path.display()),
            )
            .mended_by(UNWRITABLE)
            .coded("state_unusable")
        })
    }

    fn make(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(MODE).create(&self.path)?;
        let mode = fs::metadata(&self.path)?.permissions().mode() & 0o7777;
        if mode != MODE {
            fs::set_permissions(&self.path, fs::Permissions::from_mode(MODE))?;
        }
        Ok(())
    }

    /// Takes the lock, or names its holder.
    pub(super) fn lock(&self, command: &str) -> Result<Lock, Failure> {
        let failed = |error: &io::Error| {
            let mend = match error.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => UNWRITABLE,
                _ => "keep the state directory (--state) on a local disk",
            };
            Failure::new(Code::Incomplete, format!("failed to lock {}: {error}", self.lock_file().display()))
                .mended_by(mend)
                .coded("state_unusable")
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(self.lock_file()).map_err(|error| failed(&error))?;
        for tried in 1.. {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if tried < TRIES => std::thread::sleep(TRY_EVERY),
                Err(TryLockError::WouldBlock) => return Err(refused(self.read_holder().as_ref())),
                Err(TryLockError::Error(error)) => return Err(failed(&error)),
            }
        }
        write_holder(&mut file, &Holder::me(command)).map_err(|error| failed(&error))?;
        Ok(Lock { file })
    }

    /// The process that drives the migration now, if any.
    pub(super) fn holder(&self) -> Option<Holder> {
        let holder = self.read_holder()?;
        let file = File::open(self.lock_file()).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(holder),
            // The process that wrote it is gone.
            _ => None,
        }
    }

    fn read_holder(&self) -> Option<Holder> {
        serde_json::from_slice(&fs::read(self.lock_file()).ok()?).ok()
    }
}

impl Holder {
    fn me(command: &str) -> Self {
        Self {
            pid: std::process::id(),
            host: operator::host(),
            command: command.to_owned(),
            run: Some(clock::clock().run().to_owned()),
            since: clock::now().to_string(),
        }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { pid, host, command, since, .. } = self;
        write!(f, "`{command}` (process {pid} on {host}, since {since})")
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file ends the lock; an old name in it does no harm.
        let _unheard = self.file.set_len(0);
    }
}

fn write_holder(file: &mut File, holder: &Holder) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(&serde_json::to_vec(holder).expect("a holder is plain data"))?;
    file.flush()
}

fn refused(holder: Option<&Holder>) -> Failure {
    let message = match holder {
        Some(holder) => format!("another process drives this migration: {holder}"),
        None => "another process drives this migration".to_owned(),
    };
    let failure = Failure::new(Code::Incomplete, message).coded("driven");
    failure.mended_by("let it finish, or stop it; watch it with `migrate status`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(root: &Path) -> StateDir {
        StateDir::new(&Root::Named(root.to_owned()), &PlanName::new("p").unwrap())
    }

    #[test]
    fn the_state_is_beside_the_plan_file_and_beside_the_file_that_a_link_leads_to() {
        let root = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(root.path()).unwrap();
        fs::create_dir_all(root.join("real")).unwrap();
        fs::write(root.join("real/plan.toml"), "").unwrap();
        std::os::unix::fs::symlink("real/plan.toml", root.join("link.toml")).unwrap();
        let beside = Root::BesidePlan(root.join("real/.migrate"));
        assert_eq!(Root::beside(&root.join("real/plan.toml")).unwrap(), beside);
        assert_eq!(Root::beside(&root.join("link.toml")).unwrap(), beside);
        let stream = Root::beside(Path::new("/dev/null")).unwrap_err();
        assert_eq!(stream.code, Code::Wrong);
        assert!(stream.to_text().contains("help: name a directory with --state"), "{}", stream.to_text());
    }

    #[test]
    fn the_directory_is_its_owners_alone_even_where_it_was_not() {
        let root = tempfile::tempdir().unwrap();
        let state = state(root.path());
        let mode = || fs::metadata(root.path().join("p")).unwrap().permissions().mode() & 0o7777;
        state.prepare().unwrap();
        assert_eq!(mode(), 0o700);
        fs::set_permissions(root.path().join("p"), fs::Permissions::from_mode(0o755)).unwrap();
        state.prepare().unwrap();
        assert_eq!(mode(), 0o700);
    }

    #[test]
    fn one_at_a_time_and_the_second_hears_of_the_first() {
        let root = tempfile::tempdir().unwrap();
        let state = state(root.path());
        assert!(state.holder().is_none());
        state.prepare().unwrap();
        let lock = state.lock("migrate run plan.toml").unwrap();
        assert_eq!(state.holder().unwrap().command, "migrate run plan.toml");
        let refused = state.lock("migrate run plan.toml").unwrap_err();
        assert_eq!(refused.code, Code::Incomplete);
        assert!(refused.message.contains("migrate run plan.toml"), "{}", refused.message);
        drop(lock);
        assert!(state.holder().is_none());
        drop(state.lock("again").unwrap());
    }

    #[test]
    fn a_verification_takes_no_right_to_drive_and_no_two_keep_their_progress() {
        let root = tempfile::tempdir().unwrap();
        let state = state(root.path());
        state.prepare().unwrap();
        let lock = state.lock_verification().unwrap();
        assert!(state.lock_verification().unwrap_err().contains("another verification"));
        drop(state.lock("migrate run plan.toml").unwrap());
        drop(lock);
        state.lock_verification().unwrap();
    }

    #[test]
    fn a_name_left_by_a_crash_is_nobody() {
        let root = tempfile::tempdir().unwrap();
        let state = state(root.path());
        state.prepare().unwrap();
        fs::write(root.path().join("p/lock"), serde_json::to_vec(&Holder::me("gone")).unwrap()).unwrap();
        assert!(state.holder().is_none());
        drop(state.lock("next").unwrap());
    }
}
