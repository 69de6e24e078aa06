//! Multipart uploads as S3 answers them.

use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        self, AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, CompleteMultipartUploadInput,
        CompleteMultipartUploadOutput, CompletedPart, CopyPartResult, CreateMultipartUploadInput,
        CreateMultipartUploadOutput, ListPartsInput, ListPartsOutput, UploadPartCopyInput, UploadPartCopyOutput,
        UploadPartInput, UploadPartOutput,
    },
    s3_error,
};

use super::{
    arrived::Arrived,
    checksums::{self, Kind, fill_checksum},
    headers::quoted,
    payload::{Payload, check_locked_write, payload},
    percent::url_encode,
    service::Service,
    storage_class,
    upload::{Completion, Declared, ListedPart, Part},
};

impl Service {
    pub(super) fn begin_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        let mut template = self.template(&request.headers, input.metadata)?;
        if self.config.quirks.drop_upload_tags {
            template.tags.clear();
        }
        let type_name = input.checksum_type.as_ref().map(dto::ChecksumType::as_str);
        let declared = match &input.checksum_algorithm {
            Some(name) if !self.config.quirks.ignore_checksums => Some(Declared::parse(name.as_str(), type_name)?),
            _ => None,
        };
        let id = self.buckets.write().begin_upload(&input.bucket, &input.key, template, declared)?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            checksum_algorithm: declared.map(algorithm),
            checksum_type: declared.map(|declared| type_of(declared).to_owned().into()),
            key: Some(input.key),
            upload_id: Some(id),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    /// The kind of checksum that an upload's parts get; `None` if none are kept.
    fn kind_of_parts(&self, bucket: &str, key: &str, id: &str) -> S3Result<(Option<Kind>, Option<Declared>)> {
        let state = self.buckets.read();
        let declared = state.upload(bucket, key, id)?.declared;
        let kind = declared.map_or(Kind::Crc64Nvme, |declared| declared.kind);
        Ok(((!self.config.quirks.ignore_checksums).then_some(kind), declared))
    }

    fn locks_parts(&self, bucket: &str, key: &str, id: &str) -> S3Result<bool> {
        let state = self.buckets.read();
        let lock = &state.upload(bucket, key, id)?.template.lock;
        Ok(state.bucket(bucket)?.settings.locks_write(lock))
    }

    pub(super) async fn put_part(&self, request: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let arrived = Arrived::with(&request).clone();
        let input = request.input;
        check_number(input.part_number)?;
        let (kind, declared) = self.kind_of_parts(&input.bucket, &input.key, &input.upload_id)?;
        let locks = self.locks_parts(&input.bucket, &input.key, &input.upload_id)?;
        let payload = payload(&arrived, &request.headers, input.body, request.trailing_headers).await?;
        check_locked_write(locks, "Put Part", &request.headers, &payload)?;
        check_kind(&payload, kind, declared)?;
        let shows_checksum = payload.declared.is_some() || declared.is_some();
        let service = self.clone();
        let hashed = checksums::aside(payload.data.len(), move || {
            service.check(&payload, kind.unwrap_or(Kind::Crc64Nvme))?;
            let mut part = Part::new(vec![payload.data], kind);
            part.etag = service.etag(part.md5);
            Ok::<_, s3s::S3Error>(part)
        });
        let part = hashed.await?;
        let mut output = UploadPartOutput { e_tag: Some(quoted(&part.etag)), ..UploadPartOutput::default() };
        if let Some(checksum) = part.checksum.as_ref().filter(|_| shows_checksum) {
            fill_checksum!(output, checksum);
        }
        self.buckets.write().put_part(&input.bucket, &input.key, &input.upload_id, input.part_number, part)?;
        Ok(S3Response::new(output))
    }

    pub(super) async fn copy_part(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let input = request.input;
        check_number(input.part_number)?;
        let (kind, declared) = self.kind_of_parts(&input.bucket, &input.key, &input.upload_id)?;
        let (source, copy_source_version_id) = self.copy_source(&input.copy_source, &request.headers)?;
        let data = &source.content.as_ref().expect("only versions with content are found").data;
        let range = match &input.copy_source_range {
            None => 0..data.size,
            Some(text) => copy_range(text, data.size)?,
        };
        let segments = data.slice(&range);
        let size = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut part = checksums::aside(size, move || Part::new(segments, kind)).await;
        part.etag = self.etag(part.md5);
        let mut copied = CopyPartResult {
            e_tag: Some(quoted(&part.etag)),
            last_modified: Some(part.modified.into()),
            ..CopyPartResult::default()
        };
        if let Some(checksum) = part.checksum.as_ref().filter(|_| declared.is_some()) {
            fill_checksum!(copied, checksum);
        }
        self.buckets.write().put_part(&input.bucket, &input.key, &input.upload_id, input.part_number, part)?;
        Ok(S3Response::new(UploadPartCopyOutput {
            copy_part_result: Some(copied),
            copy_source_version_id,
            ..UploadPartCopyOutput::default()
        }))
    }

    pub(super) fn complete_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let condition = self.config.quirks.condition_of_completion(&request.headers)?;
        let quirks = self.config.quirks;
        let checksum = if quirks.ignore_checksums { None } else { checksums::declared(&request.headers)? };
        let input = request.input;
        let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let completion = Completion {
            parts: parts.into_iter().map(listed_part).collect::<S3Result<_>>()?,
            condition,
            checksum,
            size: input.mpu_object_size.and_then(|size| u64::try_from(size).ok()),
            part_size_min: self.config.part_size_min,
            etag: quirks.etag_not_md5.then(|| self.etag(checksums::md5(&[input.upload_id.clone().into()]))),
        };
        let mut state = self.buckets.write();
        let declared = state.upload(&input.bucket, &input.key, &input.upload_id)?.declared;
        let stored = state.complete_upload(&input.bucket, &input.key, &input.upload_id, &completion)?;
        let content = stored.content.as_ref().expect("content was just put");
        let mut output = CompleteMultipartUploadOutput {
            e_tag: Some(quoted(&content.etag)),
            location: Some(format!("/{}/{}", input.bucket, url_encode(&input.key))),
            version_id: state.bucket(&input.bucket)?.shown_version(&stored),
            bucket: Some(input.bucket),
            key: Some(input.key),
            ..CompleteMultipartUploadOutput::default()
        };
        if let Some(checksum) = content.checksum.as_ref().filter(|_| declared.is_some()) {
            fill_checksum!(output, checksum);
            output.checksum_type = Some(checksum.type_name().to_owned().into());
        }
        Ok(S3Response::new(output))
    }

    pub(super) fn abort_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = request.input;
        self.buckets.write().abort_upload(&input.bucket, &input.key, &input.upload_id)?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    pub(super) fn parts(&self, request: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        let input = request.input;
        let state = self.buckets.read();
        let upload = state.upload(&input.bucket, &input.key, &input.upload_id)?;
        let after = input.part_number_marker.unwrap_or(0);
        let max = input.max_parts.unwrap_or(1000).clamp(0, 1000);
        let mut following = upload.parts.range(after.saturating_add(1)..);
        let shown: Vec<dto::Part> = following
            .by_ref()
            .take(usize::try_from(max).unwrap_or(0))
            .map(|(number, part)| {
                let mut output = dto::Part {
                    e_tag: Some(quoted(&part.etag)),
                    last_modified: Some(part.modified.into()),
                    part_number: Some(*number),
                    size: i64::try_from(part.data.size).ok(),
                    ..dto::Part::default()
                };
                if let Some(checksum) = part.checksum.as_ref().filter(|_| upload.declared.is_some()) {
                    fill_checksum!(output, checksum);
                }
                output
            })
            .collect();
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(input.bucket),
            checksum_algorithm: upload.declared.map(algorithm),
            checksum_type: upload.declared.map(|declared| type_of(declared).to_owned().into()),
            is_truncated: Some(following.next().is_some()),
            key: Some(input.key),
            max_parts: Some(max),
            next_part_number_marker: shown.last().and_then(|part| part.part_number),
            owner: Some(self.owner()),
            part_number_marker: Some(after),
            parts: Some(shown),
            storage_class: Some(storage_class::shown(upload.template.storage_class.as_deref()).to_owned().into()),
            upload_id: Some(input.upload_id),
            ..ListPartsOutput::default()
        }))
    }
}

fn algorithm(declared: Declared) -> ChecksumAlgorithm {
    declared.kind.name().to_owned().into()
}

fn type_of(declared: Declared) -> &'static str {
    if declared.composite { "COMPOSITE" } else { "FULL_OBJECT" }
}

fn check_number(number: i32) -> S3Result<()> {
    if (1..=10_000).contains(&number) {
        return Ok(());
    }
    Err(s3_error!(InvalidArgument, "Part number must be an integer between 1 and 10000, inclusive"))
}

/// A part's checksum must be of the kind that the upload was begun with.
fn check_kind(payload: &Payload, kind: Option<Kind>, declared: Option<Declared>) -> S3Result<()> {
    match (&payload.declared, kind) {
        (Some((sent, _)), Some(kind)) if *sent != kind => {
            let expected = declared.map_or("null".to_owned(), |declared| declared.kind.name().to_ascii_lowercase());
            Err(s3_error!(
                InvalidRequest,
                "Checksum Type mismatch occurred, expected checksum Type: {expected}, actual checksum Type: {}",
                sent.name().to_ascii_lowercase()
            ))
        }
        _ => Ok(()),
    }
}

fn listed_part(part: CompletedPart) -> S3Result<ListedPart> {
    let missing = || s3_error!(MalformedXML, "A part lacks its number or its entity tag");
    let number = part.part_number.ok_or_else(missing)?;
    let etag = part.e_tag.ok_or_else(missing)?.into_value();
    let checksums = [
        (Kind::Crc32, part.checksum_crc32),
        (Kind::Crc32c, part.checksum_crc32c),
        (Kind::Crc64Nvme, part.checksum_crc64nvme),
        (Kind::Sha1, part.checksum_sha1),
        (Kind::Sha256, part.checksum_sha256),
    ];
    let checksum = checksums.into_iter().find_map(|(kind, text)| Some((kind, text?)));
    Ok(ListedPart { number, etag, checksum })
}

/// `bytes=first-last`, which must lie within the source.
fn copy_range(text: &str, size: u64) -> S3Result<std::ops::Range<u64>> {
    let invalid = || {
        s3_error!(
            InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the \
             zero-based offsets of the first and last bytes to copy"
        )
    };
    let (first, last) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-')).ok_or_else(invalid)?;
    let first: u64 = first.parse().map_err(|_| invalid())?;
    let last: u64 = last.parse().map_err(|_| invalid())?;
    if first > last || last >= size {
        return Err(s3_error!(InvalidArgument, "Range specified is not valid for source object of size: {size}"));
    }
    Ok(first..last + 1)
}
