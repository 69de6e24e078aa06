//! [`DynamoStream`]: the changes of a table, as keys.

use async_trait::async_trait;

use super::wire::table::Wire;
use migrate_core::table::StreamView;
use migrate_store::{
    ErrorKind, Result, StoreError,
    table::{ChangeStream, Changes, Position, StreamIterator, StreamShard, TableState},
};

/// The stream of one table.
#[derive(Debug)]
pub(super) struct DynamoStream {
    pub(super) wire: Wire,
}

/// A stream that is gone, or a shard of it, is no missing table.
fn of_stream(error: StoreError) -> StoreError {
    match error.kind() {
        ErrorKind::NoContainer => error.of_kind(ErrorKind::NotFound),
        _ => error,
    }
}

impl DynamoStream {
    /// Whether a name is that of the stream that was shown. Servers were seen that answer for the name of a stream
    /// that was disabled since, with the records of the one there now (`dynoxide` 3.2): what lies between is lost.
    fn is_named(stream: &str, label: Option<&str>) -> bool {
        label.is_none_or(|label| label.is_empty() || stream.ends_with(&format!("/{label}")))
    }

    async fn all_shards(&self, stream: &str) -> Result<(Vec<StreamShard>, bool)> {
        let (mut found, mut after): (Vec<StreamShard>, Option<String>) = (Vec::new(), None);
        loop {
            let request = self.wire.server.shards(stream, after.clone());
            let page = self.wire.read("list the shards of the stream", request).await.map_err(of_stream)?;
            if !Self::is_named(stream, page.label.as_deref()) {
                let detail = "the table has another stream by now";
                return Err(self.wire.reads("list the shards of the stream").error(ErrorKind::NotFound, detail));
            }
            found.extend(page.found);
            match page.next.filter(|next| !next.is_empty()) {
                None => return Ok((found, page.enabled)),
                Some(next) if after.as_ref() == Some(&next) => {
                    let detail = "a list of shards does not end";
                    return Err(self.wire.reads("list the shards of the stream").error(ErrorKind::Garbled, detail));
                }
                next => after = next,
            }
        }
    }

    /// Waits until the stream shows what is changed from now on.
    async fn enabled(&self, stream: &str) -> Result<()> {
        let look = || async {
            match self.all_shards(stream).await {
                Ok((shards, true)) if !shards.is_empty() => Ok(Some(())),
                Ok(_) => Ok(None),
                // Streams and tables are two services: the one may know of it later.
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.wire.until("enable the stream", look).await
    }
}

#[async_trait]
impl ChangeStream for DynamoStream {
    async fn enable(&self) -> Result<(String, bool)> {
        const ENABLE: &str = "enable the stream";
        let (described, _) = self.wire.describe().await?.ok_or_else(|| self.wire.missing(ENABLE))?;
        if let Some(stream) = described.stream {
            self.enabled(&stream).await?;
            return Ok((stream, false));
        }
        if let Err(error) = self.wire.change(ENABLE, self.wire.server.set_stream(Some(StreamView::Keys))).await {
            // Somebody else may have enabled it since the look.
            return match self.wire.describe().await? {
                Some((now, _)) if now.stream.is_some() && !error.outcome_unknown() => {
                    let stream = now.stream.unwrap_or_default();
                    self.enabled(&stream).await?;
                    Ok((stream, false))
                }
                _ => Err(error),
            };
        }
        let look = || async {
            let described = self.wire.describe().await?;
            Ok(described.filter(|(now, _)| now.state == TableState::Active).and_then(|(now, _)| now.stream))
        };
        let stream = self.wire.until(ENABLE, look).await?;
        self.enabled(&stream).await?;
        Ok((stream, true))
    }

    async fn disable(&self, stream: &str) -> Result<()> {
        const DISABLE: &str = "disable the stream";
        let Some((described, _)) = self.wire.describe().await? else { return Ok(()) };
        if described.stream.as_deref() != Some(stream) {
            return Ok(());
        }
        self.wire.change(DISABLE, self.wire.server.set_stream(None)).await?;
        let look = || async {
            let described = self.wire.describe().await?;
            Ok(described.is_none_or(|(now, _)| now.stream.as_deref() != Some(stream)).then_some(()))
        };
        self.wire.until(DISABLE, look).await
    }

    async fn shards(&self, stream: &str) -> Result<Vec<StreamShard>> {
        Ok(self.all_shards(stream).await?.0)
    }

    async fn iterator(&self, stream: &str, shard: &str, from: &Position) -> Result<StreamIterator> {
        let request = self.wire.server.iterator(stream, shard, from);
        self.wire.read("read the stream", request).await.map_err(of_stream)
    }

    async fn read(&self, iterator: StreamIterator) -> Result<Changes> {
        let keys = self.wire.keys().await?;
        let request = self.wire.server.records(&keys.names, iterator);
        self.wire.read("read the stream", request).await.map_err(of_stream)
    }
}
