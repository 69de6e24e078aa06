//! Multipart uploads into a directory.
//!
//! An upload is two files in the reserved directory below the root: `<id>.data`, with every part at its own offset,
//! and `<id>.parts`, a journal with one JSON line for the upload and one for each part. A part's data is synced
//! before its line is written and synced, so after a crash the journal claims nothing that is not on disk. A line
//! that a crash tore does not parse and is skipped; every line also begins with a line feed, so a torn line spoils
//! no later one.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read as _, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::FileExt as _,
    },
    time::SystemTime,
};

use rand::{TryRngCore as _, rngs::OsRng};
use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags, fstat, ftruncate, mkdirat, openat, statat, unlinkat},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use super::{
    directory::{Directory, absent_is_none, open_directory},
    path,
    write::{lock_key, open_staged, sweep_staged},
};
use crate::{
    error::{ErrorKind, StoreError},
    object::{Part, Result, Upload},
};
use migrate_core::{
    capability::Condition,
    digest::Body,
    model::{Evidence, Key, Timestamp, Token},
    report,
};

/// A line of the journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Begun { key: Key, begun_ms: i64 },
    Part { number: u32, offset: u64, size: u64, sha256: String },
}

/// What a journal says.
struct Journal {
    key: Key,
    begun: Timestamp,
    /// Offset, size and tag of each part; of several lines with one number the last counts.
    parts: BTreeMap<u32, (u64, Part)>,
}

impl Directory {
    /// Begins an upload.
    pub(super) fn begin_upload(&self, key: &Key) -> Result<Upload> {
        self.must_be_trusted("begin upload of", key)?;
        self.check_key("begin upload of", key)?;
        let failed = |errno| self.failed("begin upload of", Some(key), errno);
        let mut bytes = [0; 16];
        OsRng.try_fill_bytes(&mut bytes).map_err(|cause| {
            self.error(ErrorKind::Unavailable, "begin upload of", Some(key), "the system gave no randomness")
                .because(cause)
        })?;
        let id = hex::encode(bytes);
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let begun_ms = i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX);
        let line = line_text(&Line::Begun { key: key.clone(), begun_ms });
        // The end of the last upload removes the directory; then this loop creates it again.
        for _ in 0..16 {
            match self.create_upload(&id, &line) {
                Ok(()) => return Ok(Upload { key: key.clone(), id }),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        Err(failed(Errno::AGAIN))
    }

    fn create_upload(&self, id: &str, line: &str) -> Result<(), Errno> {
        match mkdirat(&self.root, path::RESERVED, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        let uploads = open_directory(&self.root, path::RESERVED)?;
        self.disk.sync(&self.root)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Locked until the journal exists: an unlocked data file without a journal has no writer.
        let _data = open_staged(&uploads, &data_name(id))?;
        let mut journal: File = openat(&uploads, journal_name(id), flags, Mode::from_raw_mode(0o666))?.into();
        journal.write_all(line.as_bytes()).map_err(|cause| errno_of(&cause))?;
        self.disk.sync_data(&journal)?;
        self.disk.sync(&uploads)
    }

    /// Writes one part at its offset.
    pub(super) fn put_part(&self, upload: &Upload, number: u32, offset: u64, body: &Body) -> Result<Part> {
        self.must_be_trusted("write part of", &upload.key)?;
        let failed = |errno| self.failed("write part of", Some(&upload.key), errno);
        let uploads = self.uploads_of("write part of", upload)?;
        let data = self.open_data("write part of", &uploads, upload)?;
        data.write_all_at(body.bytes(), offset).map_err(|cause| failed(errno_of(&cause)))?;
        self.disk.sync_data(&data).map_err(failed)?;
        let part = Part { number, size: body.size(), tag: body.sha256().to_string() };
        let line = line_text(&Line::Part { number, offset, size: part.size, sha256: part.tag.clone() });
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let journal = absent_is_none(openat(&uploads, journal_name(&upload.id), flags, Mode::empty()));
        let journal = journal.map_err(failed)?.ok_or_else(|| self.no_upload("write part of", upload))?;
        // One write per line: lines of parts that end at the same time do not mix.
        let mut journal = File::from(journal);
        journal.write_all(line.as_bytes()).map_err(|cause| failed(errno_of(&cause)).with_unknown_outcome())?;
        self.disk.sync_data(&journal).map_err(|errno| failed(errno).with_unknown_outcome())?;
        Ok(part)
    }

    /// The parts that are on disk.
    pub(super) fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>> {
        let uploads = self.uploads_of("list parts of", upload)?;
        let data = self.open_data("list parts of", &uploads, upload)?;
        let size = self.size_of("list parts of", upload, &data)?;
        let journal = self.journal("list parts of", &uploads, upload)?;
        let whole = |(offset, part): &(u64, Part)| offset.checked_add(part.size).is_some_and(|end| end <= size);
        Ok(journal.parts.into_values().filter(whole).map(|(_, part)| part).collect())
    }

    /// Makes the file of its parts.
    pub(super) fn finish_upload(
        &self,
        upload: &Upload,
        parts: &[Part],
        evidence: &Evidence,
        condition: &Condition,
    ) -> Result<Token> {
        const OPERATION: &str = "finish upload of";
        let key = &upload.key;
        self.must_be_trusted(OPERATION, key)?;
        self.check_key(OPERATION, key)?;
        let failed = |errno| self.failed(OPERATION, Some(key), errno);
        let uploads = self.uploads_of(OPERATION, upload)?;
        let data = self.open_data(OPERATION, &uploads, upload)?;
        let journal = self.journal(OPERATION, &uploads, upload)?;
        let total = check_parts(&journal, parts, evidence)
            .map_err(|detail| self.error(ErrorKind::Other, OPERATION, Some(key), detail))?;
        let held = self.size_of(OPERATION, upload, &data)?;
        if held < total {
            let detail = format!("the parts make {}, but only {held} are on disk", report::bytes(total));
            return Err(self.error(ErrorKind::Other, OPERATION, Some(key), detail));
        }
        if held > total {
            ftruncate(&data, total).map_err(failed)?;
        }
        self.disk.sync(&data).map_err(failed)?;
        let _lock = lock_key(key);
        let (directory, name) = path::split(key.as_str());
        let target = self.make(directory).map_err(failed)?;
        self.name_staged(OPERATION, key, (&uploads, &data_name(&upload.id)), (&target, name), condition)?;
        let token = self.token_of_named(OPERATION, key, &data)?;
        // The journal is useless without its data. If it stays, an abort removes it.
        let _ = unlinkat(&uploads, journal_name(&upload.id), AtFlags::empty());
        self.drop_uploads_if_empty();
        Ok(token)
    }

    /// Drops an upload.
    pub(super) fn abort_upload(&self, upload: &Upload) -> Result<()> {
        self.must_be_trusted("abort upload of", &upload.key)?;
        let failed = |errno| self.failed("abort upload of", Some(&upload.key), errno);
        let uploads = match self.uploads_of("abort upload of", upload) {
            Ok(uploads) => uploads,
            Err(error) if error.kind() == ErrorKind::NoUpload => return Ok(()),
            Err(error) => return Err(error),
        };
        // The journal goes last: while it exists, the upload is still found and aborted again.
        for name in [data_name(&upload.id), journal_name(&upload.id)] {
            absent_is_none(unlinkat(&uploads, name, AtFlags::empty())).map_err(failed)?;
        }
        self.disk.sync(&uploads).map_err(failed)?;
        self.drop_uploads_if_empty();
        Ok(())
    }

    /// The unfinished uploads of a key.
    pub(super) fn list_uploads(&self, key: &Key) -> Result<Vec<(Upload, Option<Timestamp>)>> {
        let failed = |errno| self.failed("list uploads of", Some(key), errno);
        let opened = absent_is_none(open_directory(&self.root, path::RESERVED)).map_err(failed)?;
        let Some(uploads) = opened else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for entry in Dir::read_from(&uploads).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            let Some(id) = name.strip_suffix(".parts") else { continue };
            let upload = Upload { key: key.clone(), id: id.to_owned() };
            match self.journal("list uploads of", &uploads, &upload) {
                Ok(journal) => found.push((upload, Some(journal.begun))),
                // Of another key, torn at its creation, or just ended.
                Err(error) if error.kind() == ErrorKind::NoUpload => {}
                Err(error) => return Err(error),
            }
        }
        found.sort_by(|a, b| (a.1, &a.0.id).cmp(&(b.1, &b.0.id)));
        Ok(found)
    }

    /// Removes files that no upload can use: data without a journal, whose writer died at the start, and journals
    /// without data, of a finished or aborted upload. Uploads themselves stay: they outlive their process, and
    /// another migration may go on with them.
    pub(super) fn sweep_uploads(&self) {
        let Ok(uploads) = open_directory(&self.root, path::RESERVED) else { return };
        let Ok(entries) = Dir::read_from(&uploads) else { return };
        for entry in entries.filter_map(Result::ok) {
            let Ok(name) = entry.file_name().to_str() else { continue };
            let id = |suffix| name.strip_suffix(suffix).filter(|id| is_id(id));
            if let Some(id) = id(".parts") {
                let data = statat(&uploads, data_name(id), AtFlags::SYMLINK_NOFOLLOW);
                if data.is_err_and(|errno| errno == Errno::NOENT) {
                    let _ = unlinkat(&uploads, name, AtFlags::empty());
                }
            } else if let Some(id) = id(".data")
                && is_without_journal(&uploads, id)
                && sweep_staged(&uploads, name)
            {
                let _ = unlinkat(&uploads, journal_name(id), AtFlags::empty());
            }
        }
        self.drop_uploads_if_empty();
    }

    fn drop_uploads_if_empty(&self) {
        let _ = unlinkat(&self.root, path::RESERVED, AtFlags::REMOVEDIR);
    }

    fn no_upload(&self, operation: &'static str, upload: &Upload) -> StoreError {
        self.error(ErrorKind::NoUpload, operation, Some(&upload.key), format!("there is no upload {:?}", upload.id))
    }

    /// Opens the directory of uploads, if the id has the form of one.
    fn uploads_of(&self, operation: &'static str, upload: &Upload) -> Result<OwnedFd> {
        if upload.id.is_empty() || !upload.id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(self.no_upload(operation, upload));
        }
        absent_is_none(open_directory(&self.root, path::RESERVED))
            .map_err(|errno| self.failed(operation, Some(&upload.key), errno))?
            .ok_or_else(|| self.no_upload(operation, upload))
    }

    fn open_data(&self, operation: &'static str, uploads: &OwnedFd, upload: &Upload) -> Result<File> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = absent_is_none(openat(uploads, data_name(&upload.id), flags, Mode::empty()));
        let fd = opened.map_err(|errno| self.failed(operation, Some(&upload.key), errno))?;
        fd.map(File::from).ok_or_else(|| self.no_upload(operation, upload))
    }

    fn size_of(&self, operation: &'static str, upload: &Upload, data: &File) -> Result<u64> {
        let stat = fstat(data.as_fd()).map_err(|errno| self.failed(operation, Some(&upload.key), errno))?;
        Ok(u64::try_from(stat.st_size).unwrap_or(0))
    }

    /// Reads the journal of an upload of exactly this key.
    fn journal(&self, operation: &'static str, uploads: &OwnedFd, upload: &Upload) -> Result<Journal> {
        let failed = |errno| self.failed(operation, Some(&upload.key), errno);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = absent_is_none(openat(uploads, journal_name(&upload.id), flags, Mode::empty()));
        let fd = opened.map_err(failed)?.ok_or_else(|| self.no_upload(operation, upload))?;
        let mut bytes = Vec::new();
        File::from(fd).read_to_end(&mut bytes).map_err(|cause| failed(errno_of(&cause)))?;
        let journal = parse(&bytes).filter(|journal| journal.key == upload.key);
        journal.ok_or_else(|| self.no_upload(operation, upload))
    }
}

/// Checks that the parts match the journal and the evidence and tile the file; returns its size.
fn check_parts(journal: &Journal, parts: &[Part], evidence: &Evidence) -> Result<u64, String> {
    let mut end = 0_u64;
    for part in parts {
        let Some((offset, written)) = journal.parts.get(&part.number) else {
            return Err(format!("part {} was never written", part.number));
        };
        if written != part {
            return Err(format!("part {} is not the one that was written last", part.number));
        }
        if *offset != end {
            return Err(format!("part {} begins at {offset}, not at {end}: the parts do not tile", part.number));
        }
        end += part.size;
    }
    let proved = evidence.parts.iter().map(|(size, sha256)| (*size, sha256.to_string()));
    if !proved.eq(parts.iter().map(|part| (part.size, part.tag.clone()))) {
        return Err("the parts are not those of the evidence".to_owned());
    }
    Ok(end)
}

fn parse(bytes: &[u8]) -> Option<Journal> {
    let mut journal: Option<Journal> = None;
    for line in bytes.split(|byte| *byte == b'\n') {
        match (serde_json::from_slice(line), &mut journal) {
            (Ok(Line::Begun { key, begun_ms }), None) => {
                journal = Some(Journal { key, begun: Timestamp(begun_ms), parts: BTreeMap::new() });
            }
            (Ok(Line::Part { number, offset, size, sha256 }), Some(journal)) => {
                journal.parts.insert(number, (offset, Part { number, size, tag: sha256 }));
            }
            _ => {}
        }
    }
    journal
}

fn line_text(line: &Line) -> String {
    format!("\n{}\n", serde_json::to_string(line).expect("strings and numbers serialise"))
}

/// Whether there is no journal, or a journal that a crash tore in its first line.
fn is_without_journal(uploads: &OwnedFd, id: &str) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(uploads, journal_name(id), flags, Mode::empty()) {
        Err(errno) => errno == Errno::NOENT,
        Ok(fd) => {
            let mut bytes = Vec::new();
            File::from(fd).read_to_end(&mut bytes).is_ok() && parse(&bytes).is_none()
        }
    }
}

/// Whether a text can be the id of an upload: 32 hexadecimal digits.
fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn data_name(id: &str) -> String {
    format!("{id}.data")
}

fn journal_name(id: &str) -> String {
    format!("{id}.parts")
}

fn errno_of(cause: &std::io::Error) -> Errno {
    Errno::from_io_error(cause).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use migrate_core::digest::Parts;

    fn directory() -> (tempfile::TempDir, Directory) {
        let root = tempfile::tempdir().unwrap();
        let fd = File::open(root.path()).unwrap();
        (root, Directory::new(fd.into(), "test".into()))
    }

    fn body(text: &'static str) -> Body {
        Body::new(Bytes::from_static(text.as_bytes()))
    }

    fn evidence(bodies: &[&Body]) -> Evidence {
        let mut parts = Parts::default();
        for b in bodies {
            parts.push(b.size(), b.sha256(), b.crc64nvme());
        }
        parts.finish()
    }

    #[test]
    fn a_torn_line_is_passed_over_and_spoils_no_later_one() {
        let (root, store) = directory();
        let upload = store.begin_upload(&"k".into()).unwrap();
        let one = store.put_part(&upload, 1, 0, &body("abc")).unwrap();
        let path = root.path().join(path::RESERVED).join(journal_name(&upload.id));
        let mut journal = File::options().append(true).open(path).unwrap();
        journal.write_all(b"\n{\"number\":2,\"off").unwrap();
        assert_eq!(store.list_parts(&upload).unwrap(), std::slice::from_ref(&one));
        let two = store.put_part(&upload, 2, 3, &body("de")).unwrap();
        assert_eq!(store.list_parts(&upload).unwrap(), [one, two]);
    }

    #[test]
    fn a_part_whose_data_is_gone_is_not_listed() {
        let (root, store) = directory();
        let upload = store.begin_upload(&"k".into()).unwrap();
        store.put_part(&upload, 1, 0, &body("abc")).unwrap();
        let data = root.path().join(path::RESERVED).join(data_name(&upload.id));
        File::options().write(true).open(data).unwrap().set_len(1).unwrap();
        assert!(store.list_parts(&upload).unwrap().is_empty());
    }

    #[test]
    fn parts_that_do_not_tile_or_are_not_the_evidence_do_not_make_a_file() {
        let (root, store) = directory();
        let (a, b) = (body("abc"), body("de"));
        let upload = store.begin_upload(&"k".into()).unwrap();
        let one = store.put_part(&upload, 1, 0, &a).unwrap();
        let gap = store.put_part(&upload, 2, 4, &b).unwrap();
        let finish = |parts: &[Part], evidence| store.finish_upload(&upload, parts, &evidence, &Condition::None);
        let error = finish(&[one.clone(), gap.clone()], evidence(&[&a, &b])).unwrap_err();
        assert!(error.detail().contains("do not tile"), "{error}");
        let error = finish(std::slice::from_ref(&one), evidence(&[&b])).unwrap_err();
        assert!(error.detail().contains("evidence"), "{error}");
        let never = Part { number: 3, ..gap };
        assert!(finish(&[one.clone(), never], evidence(&[&a, &b])).unwrap_err().detail().contains("never written"));
        assert!(!root.path().join("k").exists());
        let two = store.put_part(&upload, 2, 3, &b).unwrap();
        finish(&[one, two], evidence(&[&a, &b])).unwrap();
        assert_eq!(std::fs::read(root.path().join("k")).unwrap(), b"abcde");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1, "nothing is left over");
    }

    #[test]
    fn what_no_upload_can_go_on_with_is_swept_and_uploads_stay() {
        let (root, store) = directory();
        let alive = store.begin_upload(&"k".into()).unwrap();
        store.put_part(&alive, 1, 0, &body("abc")).unwrap();
        let file = |id: &str, kind: &str| root.path().join(path::RESERVED).join(format!("{id}.{kind}"));
        let [unborn, torn, finished, birth] = ["0", "1", "2", "3"].map(|digit| digit.repeat(32));
        for data in [&unborn, &torn] {
            std::fs::write(file(data, "data"), "").unwrap();
        }
        std::fs::write(file(&torn, "parts"), "\n{\"key\":").unwrap();
        std::fs::copy(file(&alive.id, "parts"), file(&finished, "parts")).unwrap();
        std::fs::write(file("somebody's", "data"), "").unwrap();
        // An upload that is just being created.
        let writer = open_staged(&open_directory(&store.root, path::RESERVED).unwrap(), &data_name(&birth)).unwrap();
        store.sweep_uploads();
        let left = || std::fs::read_dir(root.path().join(path::RESERVED)).unwrap().count();
        assert_eq!(left(), 4, "the upload's two files, the one that is being born, and the one that is not ours");
        assert_eq!(store.list_parts(&alive).unwrap().len(), 1);
        drop(writer);
        store.sweep_uploads();
        assert_eq!(left(), 3);
    }

    #[test]
    fn an_id_that_is_a_path_reaches_nothing() {
        let (root, store) = directory();
        std::fs::write(root.path().join("victim.data"), "v").unwrap();
        store.begin_upload(&"k".into()).unwrap();
        for id in ["../victim", "", "..", "a/b"] {
            let upload = Upload { key: "k".into(), id: id.into() };
            assert_eq!(store.list_parts(&upload).unwrap_err().kind(), ErrorKind::NoUpload);
            store.abort_upload(&upload).unwrap();
        }
        assert!(root.path().join("victim.data").exists());
    }
}
