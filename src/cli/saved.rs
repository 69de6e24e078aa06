//! Saved plans: what `migrate plan --out` keeps and `migrate run` carries out, exactly or not at all.
//!
//! The file is JSON. It begins with a marker and the number of its format, then says when it was made, by
//! which version and from which plan file, what it is bound to ([`Bindings`]), and what was shown. It holds
//! no secrets, since plans hold none; it is its owner's alone, since a preview may name keys.
//!
//! It is no copy of the plan: a run reads the plan file anew, and goes on only where the bindings say that
//! both mean the same. Nor is it sealed: a person with the right to write it may also run the plan without it.
//!
//! It is written beside its place, synced, and renamed, so a crash leaves the old file or the new one, and
//! it replaces nothing but another saved plan.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    clock,
    error::{Code, Failure},
    term,
};
use migrate_core::model::DatasetName;
use migrate_engine::survey::{Bindings, Preview};

/// The name of the marker, which is the first field and holds the format.
const MARKER: &str = "saved_plan";
/// The format that this build writes, and the only one that it reads.
const FORMAT: u64 = 2;
const MODE: u32 = 0o600;
/// How much of a file is read to see whether it is a saved plan.
const HEAD_BYTES: u64 = 256;

/// A saved plan.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedPlan {
    /// The marker: the number of this format.
    #[serde(rename = "saved_plan")]
    format: u64,
    /// When, RFC 3339 in UTC.
    made_at: String,
    /// By which version of this program.
    made_by: String,
    pub(super) plan: PlanPath,
    /// The datasets that it is for; all if empty.
    pub(super) datasets: Vec<DatasetName>,
    pub(super) bindings: Bindings,
    /// What was shown, for people that read the file.
    preview: Value,
}

/// Where the plan file is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanPath {
    /// As it was typed.
    file: String,
    /// From the root on, for a command in another directory.
    absolute: String,
}

impl PlanPath {
    fn of(file: &Path) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            Failure::new(Code::Wrong, format!("the path of the plan file {} cannot be saved: {why}", file.display()))
                .mended_by("move the plan file, or leave out --out")
        };
        let absolute = std::path::absolute(file).map_err(|error| wrong(&error.to_string()))?;
        let text = |path: &Path| path.to_str().map(str::to_owned).ok_or_else(|| wrong("it is not UTF-8"));
        Ok(Self { file: text(file)?, absolute: text(&absolute)? })
    }

    /// The plan file: as it was typed if that is still the same file, which reads best in what is shown; else from
    /// the root on; and if it has moved along with the saved plan, as it was typed again.
    pub(super) fn file(&self) -> PathBuf {
        let (typed, absolute) = (PathBuf::from(&self.file), PathBuf::from(&self.absolute));
        if !absolute.exists() || std::path::absolute(&typed).is_ok_and(|here| here == absolute) {
            return typed;
        }
        absolute
    }
}

/// Whether a text is, or was, a saved plan. The beginning tells, also if the rest was cut off.
pub(super) fn is_saved(text: &str) -> bool {
    if begins_as_saved(text) {
        return true;
    }
    text.trim_start().starts_with('{')
        && serde_json::from_str::<Value>(text).is_ok_and(|document| document.get(MARKER).is_some())
}

fn begins_as_saved(text: &str) -> bool {
    let inside = text.trim_start().strip_prefix('{').map(str::trim_start);
    let after = inside.and_then(|inside| inside.strip_prefix(&format!("\"{MARKER}\"")));
    after.is_some_and(|after| after.trim_start().starts_with(':'))
}

/// Refuses a saved plan in place of a plan file.
pub(super) fn only_run(file: &Path, text: &str) -> Failure {
    let failure = Failure::new(Code::Wrong, format!("{} is a saved plan, and only `run` takes one", file.display()));
    match SavedPlan::parse(text, file) {
        Ok(saved) => failure.mended_by(format!("name its plan file: {}", saved.plan.file().display())),
        Err(_) => failure.mended_by("name the plan file"),
    }
}

impl SavedPlan {
    /// Makes a saved plan of what was seen just now.
    pub(super) fn new(
        file: &Path,
        datasets: &[DatasetName],
        bindings: Bindings,
        preview: &Preview,
    ) -> Result<Self, Failure> {
        Ok(Self {
            format: FORMAT,
            made_at: clock::now().to_string(),
            made_by: format!("migrate {}", env!("MIGRATE_VERSION")),
            plan: PlanPath::of(file)?,
            datasets: datasets.to_vec(),
            bindings,
            preview: serde_json::to_value(preview).expect("a preview is plain data"),
        })
    }

    /// Reads the text of a saved plan.
    pub(super) fn parse(text: &str, file: &Path) -> Result<Self, Failure> {
        let damaged = |error: &serde_json::Error| {
            Failure::new(Code::Wrong, format!("the saved plan {} cannot be read: {error}", file.display()))
                .coded("saved_plan_invalid")
                .mended_by(format!("save it anew with `{}`", term::quoted(anew(file))))
        };
        let document: Value = serde_json::from_str(text).map_err(|error| damaged(&error))?;
        match document[MARKER].as_u64() {
            Some(FORMAT) => serde_json::from_value(document).map_err(|error| damaged(&error)),
            Some(newer) if newer > FORMAT => Err(Failure::new(
                Code::Wrong,
                format!(
                    "the saved plan {} was made by a newer migrate: it has format {newer}, and this one reads {FORMAT}",
                    file.display()
                ),
            )
            .coded("saved_plan_invalid")
            .mended_by("use the newer migrate, or save the plan anew with this one")),
            found => Err(Failure::new(
                Code::Wrong,
                match found {
                    Some(older @ 1..) => format!(
                        "the saved plan {} was made by an older migrate: it has format {older}, and this one reads {FORMAT}",
                        file.display()
                    ),
                    _ => format!("the saved plan {} has a format that no version of migrate writes", file.display()),
                },
            )
            .coded("saved_plan_invalid")
            .mended_by(format!("save it anew with `{}`", term::quoted(anew(file))))),
        }
    }

    /// Writes it, atomically.
    pub(super) fn write(&self, out: &Path) -> Result<(), Failure> {
        let mut text = serde_json::to_vec_pretty(self).expect("a saved plan is plain data");
        text.push(b'\n');
        let replaces = may_write(out)?;
        let failed = |error: &io::Error| {
            Failure::new(Code::Incomplete, format!("failed to write the saved plan {}: {error}", out.display()))
                .mended_by("make room, or name a file that you may write")
        };
        let staged = staged(out);
        let written = stage(&staged, &text).and_then(|()| place(&staged, out, replaces));
        if written.is_err() {
            // The rest of it is no saved plan.
            let _gone = fs::remove_file(&staged);
        }
        written.map_err(|error| failed(&error))
    }
}

fn anew(file: &Path) -> [&str; 5] {
    ["migrate", "plan", "PLAN", "--out", file.to_str().unwrap_or("SAVED")]
}

/// Whether there is a saved plan at `out` that may be replaced. Anything else there stays.
pub(super) fn may_write(out: &Path) -> Result<bool, Failure> {
    let wrong = |why: String| Failure::new(Code::Wrong, why).mended_by("name another file with --out");
    let shown = out.display();
    match fs::symlink_metadata(out) {
        Ok(found) if !found.is_file() => Err(wrong(format!("{shown} is not a file, and is left as it is"))),
        Ok(_) => match head(out) {
            Ok(head) if begins_as_saved(&head) => Ok(true),
            Ok(_) => Err(wrong(format!("{shown} is not a saved plan, and is left as it is"))),
            Err(error) => Err(wrong(format!("failed to read {shown}, which might not be a saved plan: {error}"))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => match folder(out) {
            folder if folder.is_dir() && out.file_name().is_some() => Ok(false),
            folder => Err(wrong(format!("{shown} cannot be written: {} is not a directory", folder.display()))),
        },
        Err(error) => Err(wrong(format!("failed to look at {shown}: {error}"))),
    }
}

fn head(file: &Path) -> io::Result<String> {
    let mut head = Vec::new();
    File::open(file)?.take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The directory that a file is in.
fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The name that a file has until it is whole.
fn staged(out: &Path) -> PathBuf {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    folder(out).join(format!(".{name}.{}.tmp", std::process::id()))
}

fn stage(staged: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(staged)?;
    file.write_all(text)?;
    file.sync_all()
}

/// Gives a staged file its name. If nothing was there before, it does not replace what came meanwhile.
fn place(staged: &Path, out: &Path, replaces: bool) -> io::Result<()> {
    if replaces {
        fs::rename(staged, out)?;
    } else {
        match renameat_with(CWD, staged, CWD, out, RenameFlags::NOREPLACE) {
            // Not every file system knows the flag. A hard link does not replace either.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                fs::hard_link(staged, out)?;
                fs::remove_file(staged)?;
            }
            renamed => renamed?,
        }
    }
    File::open(folder(out))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_plan_is_known_by_its_marker_even_where_it_was_cut_off() {
        assert!(is_saved("{\"saved_plan\": 1, \"bindings\""));
        assert!(is_saved(" {\n  \"saved_plan\" : 7"));
        assert!(is_saved("{\"bindings\": {}, \"saved_plan\": 1}"), "in another order");
        for other in ["", "{", "{\"saved_planet\": 1}", "{\"name\": \"saved_plan\"}", "saved_plan = 1", "[]"] {
            assert!(!is_saved(other), "{other}");
        }
    }

    #[test]
    fn what_came_meanwhile_is_not_replaced() {
        let root = tempfile::tempdir().unwrap();
        let (new, out) = (root.path().join("new"), root.path().join("out"));
        stage(&new, b"new").unwrap();
        fs::write(&out, "theirs").unwrap();
        assert_eq!(place(&new, &out, false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&out).unwrap(), b"theirs");
        place(&new, &out, true).unwrap();
        assert_eq!(fs::read(&out).unwrap(), b"new");
        assert!(!new.exists());
    }
}
