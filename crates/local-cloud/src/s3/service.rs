//! The service that carries operations out: the state, with the settings that shape its answers.

use std::sync::Arc;

use s3s::dto::Owner;

use super::{access::Access, config::S3ServerConfig, state::Buckets};

/// The state with the settings that shape its answers. Each file of operations adds its methods.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) buckets: Arc<Buckets>,
    pub(super) config: Arc<S3ServerConfig>,
    pub(super) access: Arc<Access>,
}

impl Service {
    /// The owner of all buckets and objects, as answers show it.
    pub(super) fn owner(&self) -> Owner {
        Owner { id: Some(self.config.account_id.clone()), display_name: None }
    }
}
