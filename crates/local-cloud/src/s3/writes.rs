//! Writes of whole objects.

use s3s::{
    S3Error, S3Request, S3Response, S3Result,
    dto::{PutObjectInput, PutObjectOutput},
};

use super::{
    arrived::Arrived,
    checksums::{self, Kind, fill_checksum},
    headers::quoted,
    objects::{Content, Data},
    payload::{check_locked_write, payload},
    service::Service,
};

impl Service {
    pub(super) async fn put(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let condition = self.config.quirks.condition(&request.headers)?;
        let arrived = Arrived::with(&request).clone();
        let input = request.input;
        let template = self.template(&request.headers, input.metadata)?;
        let locks = self.buckets.read().bucket(&input.bucket)?.settings.locks_write(&template.lock);
        let payload = payload(&arrived, &request.headers, input.body, request.trailing_headers).await?;
        check_locked_write(locks, "Put Object", &request.headers, &payload)?;
        let service = self.clone();
        let hashed = checksums::aside(payload.data.len(), move || {
            let checksum = service.check(&payload, Kind::Crc64Nvme)?;
            let segments = vec![payload.data];
            Ok::<_, S3Error>((service.etag(checksums::md5(&segments)), checksum, Data::new(segments)))
        });
        let (etag, checksum, data) = hashed.await?;
        let content = Content { data, etag, checksum, ..template };
        let (stored, version_id) = {
            let mut state = self.buckets.write();
            let stored = state.put(&input.bucket, &input.key, content, &condition)?;
            let version_id = state.bucket(&input.bucket)?.shown_version(&stored);
            (stored, version_id)
        };
        let content = stored.content.as_ref().expect("content was just put");
        let mut output =
            PutObjectOutput { e_tag: Some(quoted(&content.etag)), version_id, ..PutObjectOutput::default() };
        if let Some(checksum) = &content.checksum {
            fill_checksum!(output, checksum);
            output.checksum_type = Some(checksum.type_name().to_owned().into());
        }
        Ok(S3Response::new(output))
    }
}
