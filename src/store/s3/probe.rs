//! Finds out what an endpoint really does, in one scratch object that is removed again.
//!
//! Servers were seen that accept a condition and ignore it, that accept a wrong checksum without
//! complaint, and that do not check a signed body. So each ability is tried with a request that
//! must fail where the ability is there.
//!
//! A passing failure must not be taken for an answer: what is found here holds for a day. So an error
//! that could be either is asked about twice.
//!
//! The layer above repeats a probe as a whole. A probe is twenty requests, though, and where one of
//! twenty fails it would never come to its end; so each request is also asked again right here, a few
//! times. It is the one exception to the rule that only `store::retry` retries.
//!
//! All probes of a store share one scratch key, so that a repeated one also removes what a failed one
//! had to leave: left there, it would be an extra record of the target.

use aws_sdk_s3::{operation::head_object::HeadObjectOutput, types::ChecksumMode};
use bytes::Bytes;
use rand::{RngCore as _, SeedableRng as _};

use super::{
    convert::{head_of, md5_of_tag, quoted, tagging_header},
    wire::{Got, Wire, within},
};
use crate::{
    digest::{Body, md5, sha256},
    model::{Key, Token},
    store::{Capabilities, Condition, ErrorKind, Header, PartRules, Proof, Properties, Result, Retry, StoreError},
};

const CONTENT: &[u8] = b"A scratch object of `migrate`, which asks what this endpoint can do. Safe to delete.\n";
/// An `ETag` that no object has.
const NO_TAG: &str = "00000000000000000000000000000000";

/// How often one request is sent where it fails in passing.
const TRIES_MAX: u32 = 4;
/// How often a refusal that may be a passing failure must come before it is believed.
const REFUSALS_MIN: u32 = 2;

/// How the names of scratch objects begin; 16 hexadecimal digits follow.
const SCRATCH: &str = ".migrate-probe-";

/// A key for a store's scratch object. Two stores that are probed at once must not meet.
pub(super) fn scratch_key() -> Key {
    let unique = rand::rngs::StdRng::from_os_rng().next_u64();
    Key::new(format!("{SCRATCH}{unique:016x}"))
}

/// Whether a key is, or lies below, that of a scratch object. Such names are reserved: they are in no listing, so
/// that one which had to be left counts as no record.
pub(super) fn is_scratch(key: &Key) -> bool {
    let of_scratch = |segment: &str| {
        segment
            .strip_prefix(SCRATCH)
            .and_then(|rest| rest.get(..16))
            .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)))
    };
    key.as_str().split('/').any(of_scratch)
}

impl super::S3Store {
    /// Derives the scratch key from the name of the migration, which one process drives at a time, and from the
    /// place: a later probe then removes what one that was killed had to leave.
    #[must_use]
    pub fn probing_for(mut self, name: &str) -> Self {
        let digest = sha256(format!("{name} {}", self.wire.location).as_bytes()).to_string();
        self.scratch = Key::new(format!("{SCRATCH}{}", &digest[..16]));
        self
    }
}

/// Tries everything, then removes the scratch object whatever came of it.
pub(super) async fn probe(wire: &Wire, key: &Key) -> Result<Capabilities> {
    let probe = Probe { wire, key: key.clone(), body: Body::new(Bytes::from_static(CONTENT)) };
    let found = probe.ask().await;
    let removed = probe.remove().await;
    let found = found?;
    removed?;
    Ok(found)
}

struct Probe<'a> {
    wire: &'a Wire,
    key: Key,
    body: Body,
}

impl Probe<'_> {
    async fn ask(&self) -> Result<Capabilities> {
        // The first write takes nothing special: if it fails, the target cannot be written at all.
        let plain = Properties {
            headers: [(Header::ContentType, "text/x-migrate-probe".to_owned())].into(),
            metadata: [("migrate-probe".to_owned(), "1".to_owned())].into(),
            tags: [].into(),
        };
        let tag = self.write(&self.body, &plain, &Condition::None, false, &[]).await?;
        // Looked at before anything else is written, which may carry less.
        let head = self.head().await?;
        let tags = self.keeps_tags().await?;
        let (crc_kept, wrong_crc_refused) = self.checksums(&plain).await?;
        let tag_is_md5 = tag.as_deref().and_then(|tag| md5_of_tag(tag.trim_matches('"'))) == Some(md5(CONTENT));
        let proof = if self.refuses_wrong_body().await? {
            Proof::SignedPayload
        } else if wrong_crc_refused {
            Proof::Checksum
        } else if tag_is_md5 {
            Proof::Md5Tag
        } else {
            Proof::ReadBack
        };
        let elsewhere = Condition::Matches(Token { size: 0, tag: NO_TAG.into(), modified_s: None });
        Ok(Capabilities {
            proof,
            put_if_absent: self.refuses_write(&Condition::Absent).await?,
            put_if_matches: self.refuses_write(&elsewhere).await?,
            delete_if_matches: self.refuses_delete().await?,
            keeps_crc64nvme: crc_kept,
            properties: head == plain,
            tags: tags.is_some(),
            tag_count: tags.unwrap_or(false),
            parts: PartRules::S3,
        })
    }

    /// A condition that does not hold must be refused as such. A server that does not know it at
    /// all says so in its own way.
    async fn refuses_write(&self, condition: &Condition) -> Result<bool> {
        let refusals = [ErrorKind::Precondition];
        let answer = self.write(&self.body, &Properties::default(), condition, false, &refusals).await;
        refused(answer.map(drop), &refusals)
    }

    /// Writes the scratch object; returns its tag.
    async fn write(
        &self,
        body: &Body,
        properties: &Properties,
        condition: &Condition,
        with_crc: bool,
        refusals: &[ErrorKind],
    ) -> Result<Option<String>> {
        patiently(refusals, || self.wire.put(&self.key, body, properties, condition, with_crc)).await
    }

    /// Asked last: where the condition is ignored, the object is gone.
    async fn refuses_delete(&self) -> Result<bool> {
        let request = || {
            let request = self
                .wire
                .client
                .delete_object()
                .bucket(&*self.wire.bucket)
                .key(self.wire.full_key(&self.key))
                .set_expected_bucket_owner(self.wire.owner.clone())
                .if_match(quoted(NO_TAG));
            within(self.wire.writes("delete"), 0, request.send())
        };
        let answer = patiently(&[ErrorKind::Precondition], request).await;
        Ok(refused(answer.map(drop), &[ErrorKind::Precondition])? && self.is_there().await?)
    }

    /// A body that is not the one that was signed must be refused.
    async fn refuses_wrong_body(&self) -> Result<bool> {
        let wrong = self.body.with_bytes_damaged();
        // Credentials that expire just now look like a signature that does not match.
        let refusals = [ErrorKind::Corrupt, ErrorKind::Credentials, ErrorKind::Other];
        self.refuses_each_time(&wrong, &Properties::default(), false, &refusals).await
    }

    /// Whether a write is refused, each time it is asked: damage on the way is refused, too, but not
    /// every time. One that is accepted settles it.
    async fn refuses_each_time(
        &self,
        body: &Body,
        properties: &Properties,
        with_crc: bool,
        refusals: &[ErrorKind],
    ) -> Result<bool> {
        for _ in 0..REFUSALS_MIN {
            let answer = self.write(body, properties, &Condition::None, with_crc, refusals).await;
            if !refused(answer.map(drop), refusals)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a CRC-64/NVME is shown again, and whether a wrong one is refused.
    async fn checksums(&self, properties: &Properties) -> Result<(bool, bool)> {
        let refusals = [ErrorKind::Corrupt, ErrorKind::Other, ErrorKind::Unsupported];
        if self.refuses_each_time(&self.body, properties, true, &refusals).await? {
            return Ok((false, false));
        }
        let output = self.looked_at().await?;
        let kept = head_of(&output).checksums.crc64nvme == Some(self.body.crc64nvme());
        let wrong = self.body.with_crc_damaged();
        let wrong_refused =
            self.refuses_each_time(&wrong, properties, true, &[ErrorKind::Corrupt, ErrorKind::Other]).await?;
        Ok((kept && wrong_refused, wrong_refused))
    }

    /// Whether tags come back; and if so, whether HEAD and GET say how many there are.
    async fn keeps_tags(&self) -> Result<Option<bool>> {
        let tagged = Properties { tags: [("migrate-probe".to_owned(), "a b".to_owned())].into(), ..Default::default() };
        debug_assert!(tagging_header(&tagged.tags).is_some());
        // An identity may lack the right to tag, which comes to the same.
        let unable = [ErrorKind::Unsupported, ErrorKind::Other, ErrorKind::Denied];
        let answer = self.write(&self.body, &tagged, &Condition::None, false, &unable).await;
        if refused(answer.map(drop), &unable)? {
            return Ok(None);
        }
        let request = || {
            let request = self
                .wire
                .client
                .get_object_tagging()
                .bucket(&*self.wire.bucket)
                .key(self.wire.full_key(&self.key))
                .set_expected_bucket_owner(self.wire.owner.clone());
            within(self.wire.reads("read tags of"), 0, request.send())
        };
        match patiently(&unable, request).await {
            Ok(output) if output.tag_set().iter().any(|tag| tag.key() == "migrate-probe" && tag.value() == "a b") => {}
            Ok(_) => return Ok(None),
            Err(error) if unable.contains(&error.kind()) || error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        let (output, _) = self.read().await?;
        // Some servers count on GET alone.
        Ok(Some(output.tag_count() == Some(1) && self.looked_at().await?.tag_count() == Some(1)))
    }

    async fn looked_at(&self) -> Result<HeadObjectOutput> {
        let request = || {
            let request = self
                .wire
                .client
                .head_object()
                .bucket(&*self.wire.bucket)
                .key(self.wire.full_key(&self.key))
                .set_expected_bucket_owner(self.wire.owner.clone())
                .checksum_mode(ChecksumMode::Enabled);
            within(self.wire.reads("look at"), 0, request.send())
        };
        patiently(&[], request).await
    }

    async fn head(&self) -> Result<Properties> {
        let (output, _) = self.read().await?;
        let mut properties = super::head_of_get(&output, CONTENT.len() as u64).properties;
        // Some servers add headers of their own accord; what counts is that ours survived.
        properties.headers.retain(|header, _| *header == Header::ContentType);
        Ok(properties)
    }

    async fn read(&self) -> Result<Got> {
        patiently(&[], || self.wire.get(&self.key, None, None)).await
    }

    async fn is_there(&self) -> Result<bool> {
        match self.read().await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the scratch object; in a versioned bucket each of its versions and markers.
    async fn remove(&self) -> Result<()> {
        let full_key = self.wire.full_key(&self.key);
        let delete = async |version: Option<String>| {
            let request = || {
                let request = self
                    .wire
                    .client
                    .delete_object()
                    .bucket(&*self.wire.bucket)
                    .key(&full_key)
                    .set_expected_bucket_owner(self.wire.owner.clone())
                    .set_version_id(version.clone());
                within(self.wire.writes("delete"), 0, request.send())
            };
            patiently(&[], request).await
        };
        let output = match delete(None).await {
            Ok(output) => output,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.on(&self.key)),
        };
        if output.version_id().is_none() {
            return Ok(());
        }
        let request = || {
            let request = self
                .wire
                .client
                .list_object_versions()
                .bucket(&*self.wire.bucket)
                .prefix(&full_key)
                .set_expected_bucket_owner(self.wire.owner.clone());
            within(self.wire.reads("list versions of"), 0, request.send())
        };
        let output = patiently(&[], request).await?;
        let versions = output.versions().iter().filter_map(|version| version.version_id());
        let markers = output.delete_markers().iter().filter_map(|marker| marker.version_id());
        for version in versions.chain(markers) {
            delete(Some(version.to_owned())).await.map_err(|error| error.on(&self.key))?;
        }
        Ok(())
    }
}

/// Sends a request again where it fails in passing, unless the failure is one of the `refusals` that are
/// an answer here.
async fn patiently<T, F: Future<Output = Result<T>>>(refusals: &[ErrorKind], send: impl Fn() -> F) -> Result<T> {
    let mut tries = 1;
    loop {
        match send().await {
            Err(error)
                if error.kind().retry() != Retry::Permanent
                    && !refusals.contains(&error.kind())
                    && tries < TRIES_MAX =>
            {
                tries += 1;
            }
            answer => return answer,
        }
    }
}

/// `true` where the answer is a refusal of an expected kind, `false` where there is none; other
/// errors stay errors, for they tell nothing about the ability.
fn refused(answer: Result<()>, expected: &[ErrorKind]) -> Result<bool, StoreError> {
    match answer {
        Ok(()) => Ok(false),
        Err(error) if expected.contains(&error.kind()) => Ok(true),
        // An endpoint that does not know conditions or checksums does not have the ability.
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(false),
        Err(error) => Err(error),
    }
}
