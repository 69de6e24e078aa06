//! One endpoint: its buckets, what it adds to a request, and what it has counted.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context as _;

use crate::{bucket::Bucket, counts::Counts, formula::Formula, signature::Keys};

/// One endpoint.
pub(crate) struct Endpoint {
    pub(crate) name: String,
    /// Whether written bodies are dropped.
    pub(crate) discards: bool,
    pub(crate) counts: Counts,
    pub(crate) keys: Keys,
    latency_ms: AtomicU64,
    formulas: Vec<(String, Formula)>,
    buckets: RwLock<HashMap<String, Arc<Bucket>>>,
}

impl Endpoint {
    /// Reads `NAME[:latency=MS][:discard][:BUCKET=COUNTxBYTES]...`.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut words = text.split(':');
        let mut made = Self {
            name: words.next().unwrap_or_default().to_owned(),
            discards: false,
            counts: Counts::default(),
            keys: Keys::default(),
            latency_ms: AtomicU64::default(),
            formulas: Vec::new(),
            buckets: RwLock::default(),
        };
        for word in words {
            match word.split_once('=') {
                None if word == "discard" => made.discards = true,
                Some(("latency", ms)) => made.set_latency(ms.parse().context("latency")?),
                Some((bucket, shape)) => made.formulas.push((bucket.to_owned(), Formula::parse(shape)?)),
                None => anyhow::bail!("{word} is no part of an endpoint"),
            }
        }
        made.empty();
        Ok(made)
    }

    /// Added to every request.
    pub(crate) fn latency(&self) -> Duration {
        Duration::from_millis(self.latency_ms.load(Relaxed))
    }

    /// Of the requests that come from now on.
    pub(crate) fn set_latency(&self, ms: u64) {
        self.latency_ms.store(ms, Relaxed);
    }

    /// A bucket, if it is there.
    pub(crate) fn bucket(&self, name: &str) -> Option<Arc<Bucket>> {
        self.buckets.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// A bucket, made if it is not there.
    pub(crate) fn made_bucket(&self, name: &str) -> Arc<Bucket> {
        if let Some(bucket) = self.bucket(name) {
            return bucket;
        }
        let mut buckets = self.buckets.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(buckets.entry(name.to_owned()).or_default())
    }

    /// The names of all buckets.
    pub(crate) fn bucket_names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.buckets.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        names.sort();
        names
    }

    /// Drops all that was written.
    pub(crate) fn empty(&self) {
        let by_formula = |(name, formula): &(String, Formula)| (name.clone(), Arc::new(Bucket::of(formula.clone())));
        let anew = self.formulas.iter().map(by_formula).collect();
        *self.buckets.write().unwrap_or_else(PoisonError::into_inner) = anew;
    }
}
