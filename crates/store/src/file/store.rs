//! [`FileStore`]: a directory as an object store.

use super::directory::Directory;
use super::directory::run_blocking;
use super::{disk, identity::Identity, path, walk};
use crate::{
    endpoint::EndpointId,
    error::{ErrorKind, StoreError},
    object::{BeforeSending, ByteRange, Head, Listing, ObjectStore, Part, Properties, Read, Result, Upload},
};
use async_trait::async_trait;
use migrate_core::{
    capability::{Capabilities, Condition, IfMatch, KeyRules, MetadataForm, PartRules, Proof, UploadTags},
    digest::Body,
    model::{Evidence, Key, KeyRange, Timestamp, Token},
};
use std::{
    collections::BTreeMap,
    fmt,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// A directory as an object store.
pub struct FileStore {
    pub(super) directory: Arc<Directory>,
    pub(super) identity: Identity,
    /// A probe saw that the file system replaces an existing name or cannot create a new one.
    pub(super) replaces: AtomicBool,
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("location", &self.directory.location).finish_non_exhaustive()
    }
}

impl FileStore {
    /// The abilities of a directory. A probe tests whether the file system really creates new names without
    /// replacing, which a route depends on.
    pub const CAPABILITIES: Capabilities = Capabilities {
        proof: Proof::Fsynced,
        put_if_absent: true,
        put_if_matches: IfMatch::Quoted,
        finish_if_absent: true,
        finish_if_matches: IfMatch::Quoted,
        delete_if_matches: IfMatch::Quoted,
        keeps_crc64nvme: false,
        dates_writes: false,
        properties: false,
        tags: false,
        tag_count: true,
        upload_tags: UploadTags::Lost,
        metadata: MetadataForm::Ascii,
        // Not the rules of this store: see `refuses`.
        keys: KeyRules::ALL,
        // Larger than any file (`off_t` is signed).
        parts: PartRules { size_min: 1, size_max: 1 << 62, count_max: 1_000_000 },
    };

    /// Opens an existing directory. `location` names it for people.
    ///
    /// Fails with [`ErrorKind::NoContainer`] if it does not exist or is no directory. Blocks for a few system calls.
    #[expect(clippy::needless_pass_by_value, reason = "the store is made of them")]
    pub fn open(root: PathBuf, location: String) -> Result<Self> {
        Self::open_at(&root, &location)
    }

    /// Opens a directory. Creates it and its parents if they are missing.
    #[expect(clippy::needless_pass_by_value, reason = "the store is made of them")]
    pub fn open_or_create(root: PathBuf, location: String) -> Result<Self> {
        create_durably(&root).map_err(|cause| open_error(&location, &root, cause))?;
        Self::open_at(&root, &location)
    }

    fn open_at(root: &Path, location: &str) -> Result<Self> {
        // The root itself may be a link, because the operator named it.
        let opened = std::fs::File::open(root).and_then(|file| {
            if file.metadata()?.is_dir() { Ok(file) } else { Err(std::io::ErrorKind::NotADirectory.into()) }
        });
        let file = opened.map_err(|cause| open_error(location, root, cause))?;
        let identity = Identity::of(&file).map_err(|cause| open_error(location, root, cause))?;
        Ok(Self {
            directory: Arc::new(Directory::new(file.into(), location.into())),
            identity,
            replaces: AtomicBool::new(false),
        })
    }

    /// Sorts names that do not fit into memory in files of this directory, not in the system's temporary one.
    #[must_use]
    pub fn sorting_in(mut self, directory: &Path) -> Self {
        if let Some(opened) = Arc::get_mut(&mut self.directory) {
            directory.clone_into(&mut opened.spill);
        }
        self
    }

    /// Lets listings remove, in passing, the leftovers of earlier processes of this tool: staged files without a
    /// writer, and files of no upload. For a directory that is written, never for one that is only looked at.
    #[must_use]
    pub fn sweeping(mut self) -> Self {
        if let Some(opened) = Arc::get_mut(&mut self.directory) {
            opened.sweeps = true;
        }
        self
    }

    /// The identity of the open directory.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Directory) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.write(operation, 0, work).await
    }

    /// The same for what writes so many bytes.
    async fn write<T: Send + 'static>(
        &self,
        operation: &'static str,
        bytes: u64,
        work: impl FnOnce(&Directory) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let directory = self.directory.clone();
        run_blocking(&self.directory, operation, bytes, move || work(&directory)).await
    }
}

/// Makes a directory and its parents and syncs each into the one above, even if it exists: its creator may have
/// died before the sync.
fn create_durably(path: &Path) -> std::io::Result<()> {
    use std::io::ErrorKind as Cause;

    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.is_dir() {
        let synced =
            std::fs::File::open(parent).and_then(|parent| Ok(disk::Disk::of(parent.metadata()?.dev()).sync(&parent)?));
        return match synced.as_ref().map_err(std::io::Error::kind) {
            // The directory belongs to another user, or its file system has nothing to sync: it is read-only, or
            // cannot sync at all.
            Err(Cause::PermissionDenied | Cause::ReadOnlyFilesystem | Cause::InvalidInput) => Ok(()),
            _ => synced,
        };
    }
    create_durably(parent)?;
    match std::fs::create_dir(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::AlreadyExists => return Err(cause),
        _ => {}
    }
    let parent = std::fs::File::open(parent)?;
    Ok(disk::Disk::of(parent.metadata()?.dev()).sync(&parent)?)
}

fn open_error(location: &str, root: &Path, cause: std::io::Error) -> StoreError {
    let (kind, why) = match cause.kind() {
        std::io::ErrorKind::NotFound => (ErrorKind::NoContainer, "is not there"),
        std::io::ErrorKind::NotADirectory => (ErrorKind::NoContainer, "is not a directory"),
        std::io::ErrorKind::PermissionDenied => (ErrorKind::Denied, "may not be opened or made by this user"),
        std::io::ErrorKind::ReadOnlyFilesystem => {
            (ErrorKind::Denied, "cannot be made: the file system is mounted read-only")
        }
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => (ErrorKind::Full, "has no room left"),
        _ => (ErrorKind::Other, "could not be opened"),
    };
    StoreError::new(kind, "open", location, format!("the directory {} {why}", root.display())).because(cause)
}

#[async_trait]
impl ObjectStore for FileStore {
    fn location(&self) -> &str {
        &self.directory.location
    }

    fn endpoint(&self) -> &EndpointId {
        &EndpointId::Files
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { put_if_absent: !self.replaces.load(Ordering::Relaxed), ..Self::CAPABILITIES }
    }

    async fn probe(&self) -> Result<Capabilities> {
        let refuses = self.run("probe", Directory::refuses_to_replace).await?;
        self.replaces.store(!refuses, Ordering::Relaxed);
        Ok(self.capabilities())
    }

    fn adopt(&self, _capabilities: Capabilities) {}

    fn list(&self, range: KeyRange) -> Box<dyn Listing> {
        Box::new(walk::FileListing::new(self.directory.clone(), range))
    }

    async fn head(&self, key: &Key) -> Result<Option<Head>> {
        let key = key.clone();
        self.run("look at", move |directory| directory.head(&key)).await
    }

    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>> {
        match self.head(key).await? {
            Some(_) => Ok(BTreeMap::new()),
            None => Err(self.directory.error(ErrorKind::NotFound, "read tags of", Some(key), "there is no such file")),
        }
    }

    async fn read(&self, key: &Key, range: Option<ByteRange>, pin: Option<&Token>) -> Result<Read> {
        let (key, pin) = (key.clone(), pin.cloned());
        self.run("read", move |directory| directory.read(&key, range, pin.as_ref())).await
    }

    async fn put(&self, key: &Key, body: &Body, _properties: &Properties, condition: &Condition) -> Result<Token> {
        let (key, body, condition) = (key.clone(), body.clone(), condition.clone());
        self.write("write", body.size(), move |directory| directory.put(&key, &body, &condition)).await
    }

    fn refuses(&self, key: &Key) -> Option<&'static str> {
        path::unholdable(key.as_str())
    }

    async fn begin_upload(&self, key: &Key, _properties: &Properties, before: &dyn BeforeSending) -> Result<Upload> {
        before.sending().await?;
        let key = key.clone();
        self.run("begin upload of", move |directory| directory.begin_upload(&key)).await
    }

    async fn put_part(&self, upload: &Upload, number: u32, offset: u64, body: &Body) -> Result<Part> {
        let (upload, body) = (upload.clone(), body.clone());
        self.write("write part of", body.size(), move |directory| directory.put_part(&upload, number, offset, &body))
            .await
    }

    async fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>> {
        let upload = upload.clone();
        self.run("list parts of", move |directory| directory.list_parts(&upload)).await
    }

    async fn finish_upload(
        &self,
        upload: &Upload,
        parts: &[Part],
        evidence: &Evidence,
        _properties: &Properties,
        condition: &Condition,
    ) -> Result<Token> {
        let (upload, parts, evidence, condition) =
            (upload.clone(), parts.to_vec(), evidence.clone(), condition.clone());
        self.run("finish upload of", move |directory| directory.finish_upload(&upload, &parts, &evidence, &condition))
            .await
    }

    async fn set_tags(&self, key: &Key, _tags: &BTreeMap<String, String>, _pin: &Token) -> Result<()> {
        Err(self.directory.error(ErrorKind::Unsupported, "set tags of", Some(key), "a directory keeps no tags"))
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<()> {
        let upload = upload.clone();
        self.run("abort upload of", move |directory| directory.abort_upload(&upload)).await
    }

    async fn list_uploads(&self, key: &Key) -> Result<Vec<(Upload, Option<Timestamp>)>> {
        let key = key.clone();
        self.run("list uploads of", move |directory| directory.list_uploads(&key)).await
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> Result<()> {
        let (key, condition) = (key.clone(), condition.clone());
        self.run("delete", move |directory| directory.delete(&key, &condition)).await
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bytes::Bytes;

    use super::*;

    fn store(root: &Path) -> FileStore {
        FileStore::open(root.to_path_buf(), "file://test".into()).unwrap()
    }

    fn body(text: &'static str) -> Body {
        Body::new(Bytes::from_static(text.as_bytes()))
    }

    async fn put(store: &FileStore, key: &str, text: &'static str, condition: Condition) -> Result<Token> {
        store.put(&key.into(), &body(text), &Properties::default(), &condition).await
    }

    #[test]
    fn a_directory_that_cannot_be_written_says_what_why_and_how() {
        for (cause, why) in [
            (std::io::ErrorKind::PermissionDenied, "the directory /srv/x may not be opened or made by this user"),
            (std::io::ErrorKind::ReadOnlyFilesystem, "the file system is mounted read-only"),
            (std::io::ErrorKind::NotFound, "the directory /srv/x is not there"),
        ] {
            let error = super::open_error("file://a/x", std::path::Path::new("/srv/x"), cause.into());
            assert!(error.to_string().contains("file://a/x") && error.to_string().contains(why), "{error}");
            assert!(error.kind().mend().is_some(), "{error}");
        }
    }

    #[test]
    fn a_source_must_be_there_and_a_target_is_made() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("x/y/z");
        let error = FileStore::open(deep.clone(), "file://test".into()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoContainer);
        FileStore::open_or_create(deep.clone(), "file://test".into()).unwrap();
        assert!(deep.is_dir());
        fs::write(root.path().join("file"), "x").unwrap();
        let error = FileStore::open(root.path().join("file"), "file://test".into()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoContainer);
    }

    #[tokio::test]
    async fn no_link_leads_out_of_the_root() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "secret").unwrap();
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("dir")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), root.path().join("file")).unwrap();
        let store = store(root.path());

        assert_eq!(store.head(&"dir/secret".into()).await.unwrap(), None);
        assert_eq!(store.read(&"dir/secret".into(), None, None).await.unwrap_err().kind(), ErrorKind::NotFound);
        let error = store.read(&"file".into(), None, None).await.unwrap_err();
        assert!(error.detail().contains("symbolic link"), "{error}");
        let error = put(&store, "dir/new", "x", Condition::None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyUnholdable);
        store.delete(&"dir/secret".into(), &Condition::None).await.unwrap();

        // Writing over a link replaces the link, not what it points to.
        put(&store, "file", "mine", Condition::None).await.unwrap();
        assert_eq!(fs::read(outside.path().join("secret")).unwrap(), b"secret");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_pipe_is_refused_and_does_not_hang() {
        let root = tempfile::tempdir().unwrap();
        let fd = fs::File::open(root.path()).unwrap();
        rustix::fs::mknodat(&fd, "pipe", rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0)
            .unwrap();
        let error = store(root.path()).read(&"pipe".into(), None, None).await.unwrap_err();
        assert!(error.detail().contains("named pipe"), "{error}");
    }

    #[tokio::test]
    async fn a_file_and_a_directory_cannot_share_a_name() {
        let root = tempfile::tempdir().unwrap();
        let store = store(root.path());
        put(&store, "a", "x", Condition::Absent).await.unwrap();
        let error = put(&store, "a/b", "x", Condition::Absent).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyUnholdable, "{error}");
        assert_eq!(store.head(&"a/b".into()).await.unwrap(), None);
    }
}
