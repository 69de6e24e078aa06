//! One bucket at one server, and the way that its requests take.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    direct::{self, requests::Direct, sending::Connection},
    plain::{Carried, Got, Guard, Listed, ListedObject, Shown, Written},
    sdk::{
        connect,
        requests::{self as sdk, Sdk},
    },
};
use crate::{
    failed::{Cause, Failed},
    s3::client::{S3Config, S3Wire},
};
use migrate_core::digest::Body;
use migrate_store::{ByteRange, Result as StoreResult};

/// Connections to an endpoint as one identity; cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::s3) struct Connected {
    sdk: connect::Connected,
    direct: Option<Connection>,
}

impl Connected {
    /// Prepares them. Sends nothing to S3 yet; a role fetches its keys at the first use.
    pub(in crate::s3) async fn new(config: &S3Config, wire: S3Wire) -> StoreResult<Self> {
        let (sdk, direct) = connect::connect(config).await?;
        Ok(Self { sdk, direct: (wire == S3Wire::Own).then_some(direct) })
    }

    /// A bucket there.
    pub(in crate::s3) fn bucket(&self, config: &S3Config, bucket: &str) -> Server {
        let sdk = Sdk::new(self.sdk.clone(), bucket, config.expected_bucket_owner.clone());
        let connection = self.direct.clone();
        Server { sdk, direct: connection.and_then(|connection| Direct::new(connection, config, bucket)) }
    }
}

/// One bucket at one endpoint. The hot requests take the direct way if there is one, all others the SDK's, whose futures
/// have memory of their own: they are ten times as large.
#[derive(Debug, Clone)]
pub(in crate::s3) struct Server {
    sdk: Sdk,
    direct: Option<Direct>,
}

/// The body of an answer that streams.
#[derive(Debug)]
pub(in crate::s3) enum Stream {
    /// From the SDK.
    Sdk(sdk::Stream),
    /// From the direct way.
    Direct(direct::requests::Stream),
}

impl Stream {
    /// The next bytes; `None` at the end, where the checksum of the answer, if any, was found right.
    pub(in crate::s3) async fn next(&mut self) -> Result<Option<Bytes>, Cause> {
        match self {
            Self::Sdk(stream) => stream.next().await,
            Self::Direct(stream) => stream.next().await,
        }
    }
}

impl Server {
    /// The requests that are few.
    pub(in crate::s3) fn cold(&self) -> &Sdk {
        &self.sdk
    }

    /// Reads an object, or a range of it. A whole one comes with its checksum, if the server has one.
    pub(in crate::s3) async fn get(
        &self,
        key: String,
        range: Option<ByteRange>,
        if_match: Option<String>,
    ) -> Result<Got<Stream>, Failed> {
        Ok(match &self.direct {
            Some(direct) => direct.get(&key, range, if_match).await?.map(Stream::Direct),
            None => Box::pin(self.sdk.get(key, range, if_match)).await?.map(Stream::Sdk),
        })
    }

    /// Looks at an object, or at a part of it.
    pub(in crate::s3) async fn head(
        &self,
        key: String,
        part: Option<i32>,
        with_checksums: bool,
    ) -> Result<Shown, Failed> {
        match &self.direct {
            Some(direct) => direct.head(&key, part, with_checksums).await,
            None => Box::pin(self.sdk.head(key, part, with_checksums)).await,
        }
    }

    /// Writes a whole object, if asked with the CRC-64/NVME of its body.
    pub(in crate::s3) async fn put(
        &self,
        key: String,
        body: &Body,
        carried: Carried<'_>,
        guard: Guard,
        with_crc: bool,
    ) -> Result<Written, Failed> {
        match &self.direct {
            Some(direct) => direct.put(&key, body, carried, guard, with_crc).await,
            None => Box::pin(self.sdk.put(key, body, carried, guard, with_crc)).await,
        }
    }

    /// Writes a part, if asked with the CRC-64/NVME of its body.
    pub(in crate::s3) async fn put_part(
        &self,
        key: String,
        upload: &str,
        number: u32,
        body: &Body,
        with_crc: bool,
    ) -> Result<Written, Failed> {
        match &self.direct {
            Some(direct) => direct.put_part(&key, upload, number, body, with_crc).await,
            None => Box::pin(self.sdk.put_part(key, upload, number, body, with_crc)).await,
        }
    }

    /// The tags of an object.
    pub(in crate::s3) async fn tags(&self, key: String) -> Result<BTreeMap<String, String>, Failed> {
        match &self.direct {
            Some(direct) => direct.tags(&key).await,
            None => Box::pin(self.sdk.tags(key)).await,
        }
    }

    /// Lists a page of objects, after a key or at the start that an earlier page told, of at most so many keys.
    pub(in crate::s3) async fn list(
        &self,
        prefix: &str,
        after: Option<String>,
        token: Option<String>,
        most: Option<u16>,
    ) -> Result<Listed<ListedObject>, Failed> {
        match &self.direct {
            Some(direct) => direct.list(prefix, after, token, most).await,
            None => Box::pin(self.sdk.list(prefix, after, token, most)).await,
        }
    }
}
