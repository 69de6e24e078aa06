//! The server: an endpoint with its identities and tables.

use std::{fmt, io, sync::Arc};

use super::{
    access::Access, config::DynamoServerConfig, engine::Engine, faults::DynamoFaults, front::Front, stats::DynamoStats,
    tables::table_arn,
};
use crate::{identities::Identities, listener::Listener};

/// A `DynamoDB` endpoint in this process, with its identities and tables.
pub struct DynamoServer {
    front: Arc<Front>,
    listener: Listener,
}

impl DynamoServer {
    /// Binds a free port of 127.0.0.1 and serves it from the current tokio runtime. Fails if no port can be bound, or
    /// the identities of the configuration make no sense.
    pub async fn start(config: DynamoServerConfig) -> io::Result<Self> {
        let root = (&*config.access_key, &*config.secret_key);
        let identities = Identities::of(&config.account_id, root, &config.identities)?;
        let front = Arc::new(Front::new(config, Access::new(identities), Engine::in_memory()?));
        let answering = front.clone();
        let listener = Listener::start(move |request| {
            let front = answering.clone();
            async move { front.answer(request).await }
        });
        Ok(Self { listener: listener.await?, front })
    }

    /// The endpoint's URL: `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.listener.address)
    }

    /// Its configuration.
    pub fn config(&self) -> &DynamoServerConfig {
        &self.front.config
    }

    /// What it has seen so far.
    pub fn stats(&self) -> DynamoStats {
        self.front.stats()
    }

    /// Replaces the faults; their rules count from 1 again.
    pub fn set_faults(&self, faults: DynamoFaults) {
        self.front.set_faults(faults);
    }

    /// The ARN of a table here, as policies name it.
    pub fn table_arn(table: &str) -> String {
        table_arn(table)
    }

    /// Puts a policy on the table or stream with this ARN, or removes it. The error says why it is not taken: a part
    /// that is not understood is never ignored.
    pub fn set_policy(&self, arn: &str, policy: Option<&str>) -> Result<(), String> {
        let Some(policy) = policy else {
            self.front.access.remove_policy(arn);
            return Ok(());
        };
        self.front.access.set_policy(arn, policy)
    }

    /// Lets all iterators of streams that were given out expire, as AWS does after 15 minutes.
    pub fn expire_iterators(&self) {
        self.front.iterators.expire();
    }

    /// Takes no more connections, lets requests in flight finish and joins all tasks. Resumes the panic of a task.
    pub async fn stop(self) {
        self.listener.stop().await;
    }
}

impl fmt::Debug for DynamoServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoServer")
            .field("address", &self.listener.address)
            .field("config", &self.front.config)
            .finish_non_exhaustive()
    }
}
