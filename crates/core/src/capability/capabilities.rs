//! The abilities of an endpoint, from a probe.

use serde::{Deserialize, Serialize};

use super::{condition::Condition, keys::KeyRules, words::MetadataForm};

/// How a target shows that it holds the bytes that were sent, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// It refuses a body that does not match the SHA-256 in the signed request.
    SignedPayload,
    /// It refuses a body that does not match the CRC-64/NVME sent along.
    Checksum,
    /// The tag that comes back is the MD5 of what it stored.
    Md5Tag,
    /// None of these: every write is read back and hashed.
    ReadBack,
    /// A local file: the kernel took every byte, and syncing the file and its directory reported no error. Whether
    /// the disk keeps them is up to the disk.
    Fsynced,
}

/// How an endpoint understands `If-Match` with the tag of a version.
///
/// A probe tests both: a wrong tag must be refused, and the right one taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfMatch {
    /// In the form of HTTP: the tag in quotes.
    Quoted,
    /// The tag without its quotes; in quotes it is refused even if it matches (Ceph RGW 16.2).
    Bare,
    /// Unreliable in both forms. The store looks right before instead.
    Ignored,
}

impl IfMatch {
    /// Whether the endpoint itself keeps the condition.
    pub fn is_honoured(self) -> bool {
        self != Self::Ignored
    }
}

/// What happens to the tags of an object that is written in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadTags {
    /// The object gets the tags of the upload's begin.
    AtBegin,
    /// They are dropped (Ceph RGW), and can be set on the finished object.
    Afterwards,
    /// They are dropped, and cannot be set.
    Lost,
}

/// The conditions of one kind of write that an endpoint honours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Honoured {
    /// Whether `If-None-Match: *` is honoured.
    pub absent: bool,
    /// How `If-Match` is honoured.
    pub matches: IfMatch,
}

impl Honoured {
    /// Whether the endpoint itself keeps this condition.
    pub fn keeps(self, condition: &Condition) -> bool {
        match condition {
            Condition::None => true,
            Condition::Absent => self.absent,
            Condition::Matches(_) => self.matches.is_honoured(),
        }
    }
}

/// How the conditions of each kind of write are kept, for people and scripts: `native`, `bare tag`, or `look
/// before` if the endpoint does not keep them and a look at the object comes right before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Conditions {
    /// For a new object that is written whole.
    pub create: &'static str,
    /// For replacing an object by one written whole.
    pub replace: &'static str,
    /// For a new object made of parts.
    pub create_in_parts: &'static str,
    /// For replacing an object by one made of parts.
    pub replace_in_parts: &'static str,
    /// For deleting an object.
    pub delete: &'static str,
}

/// The abilities of an endpoint, from a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent answer of a probe")]
pub struct Capabilities {
    /// How the target shows that it holds a write's bytes.
    pub proof: Proof,
    /// `If-None-Match: *` on a write is honoured: taken without an object, refused over one.
    pub put_if_absent: bool,
    /// How `If-Match` on a write is honoured.
    pub put_if_matches: IfMatch,
    /// `If-None-Match: *` on the finish of an upload is honoured.
    pub finish_if_absent: bool,
    /// How `If-Match` on the finish of an upload is honoured.
    pub finish_if_matches: IfMatch,
    /// How `If-Match` on a delete is honoured.
    pub delete_if_matches: IfMatch,
    /// A CRC-64/NVME sent with a write is kept and shown again.
    pub keeps_crc64nvme: bool,
    /// The answer to a write is dated when the object is by a listing, or hardly later. So an object that was written
    /// over since is known by its time.
    pub dates_writes: bool,
    /// Headers and user metadata are kept.
    pub properties: bool,
    /// Tags are kept.
    pub tags: bool,
    /// A look at an object shows its number of tags, so that untagged objects need no second request.
    pub tag_count: bool,
    /// What happens to the tags of an object that is written in parts.
    pub upload_tags: UploadTags,
    /// What happens to user metadata that is not ASCII.
    pub metadata: MetadataForm,
    /// Which keys it holds under their own name.
    pub keys: KeyRules,
    /// Sizes and number of the parts of a multipart upload.
    pub parts: PartRules,
}

/// The limits on parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRules {
    /// Smallest part, in bytes; the last one may be smaller.
    pub size_min: u64,
    /// Largest part, in bytes; also the largest object that is written whole.
    pub size_max: u64,
    /// Most parts in one upload.
    pub count_max: u32,
}

impl PartRules {
    /// S3's limits: 5 MiB to 5 GiB, 10,000 parts.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
    pub const S3: Self = Self { size_min: 5 << 20, size_max: 5 << 30, count_max: 10_000 };
}

impl Capabilities {
    /// The conditions of whole writes.
    pub fn on_put(&self) -> Honoured {
        Honoured { absent: self.put_if_absent, matches: self.put_if_matches }
    }

    /// The conditions of the finish of an upload.
    pub fn on_finish(&self) -> Honoured {
        Honoured { absent: self.finish_if_absent, matches: self.finish_if_matches }
    }

    /// The conditions of deletes, which cannot use `If-None-Match`.
    pub fn on_delete(&self) -> Honoured {
        Honoured { absent: false, matches: self.delete_if_matches }
    }

    /// How the conditions of each kind of write are kept.
    pub fn conditions(&self) -> Conditions {
        let absent = |honoured| if honoured { "native" } else { "look before" };
        let matches = |form| match form {
            IfMatch::Quoted => "native",
            IfMatch::Bare => "bare tag",
            IfMatch::Ignored => "look before",
        };
        Conditions {
            create: absent(self.put_if_absent),
            replace: matches(self.put_if_matches),
            create_in_parts: absent(self.finish_if_absent),
            replace_in_parts: matches(self.finish_if_matches),
            delete: matches(self.delete_if_matches),
        }
    }

    /// The abilities of an unprobed endpoint: none that must be proved.
    pub const fn unproved() -> Self {
        Self {
            proof: Proof::ReadBack,
            put_if_absent: false,
            put_if_matches: IfMatch::Ignored,
            finish_if_absent: false,
            finish_if_matches: IfMatch::Ignored,
            delete_if_matches: IfMatch::Ignored,
            keeps_crc64nvme: false,
            dates_writes: false,
            properties: false,
            tags: false,
            tag_count: false,
            upload_tags: UploadTags::Lost,
            metadata: MetadataForm::Ascii,
            keys: KeyRules::ALL,
            parts: PartRules::S3,
        }
    }
}
