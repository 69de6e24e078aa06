//! [`Sides`]: the tables of one dataset, as copy and proof see them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{
    error::EngineError,
    shutdown::Shutdown,
    sink::Sink,
    sites::opening::DatasetStores,
    tables::{expiry::ExpiresBy, follower::Follower, union::UnionTable},
};
use migrate_core::{
    item::{Item, ItemKey, KeyNames},
    model::{Key, PlaceIndex},
    plan::Dataset,
    report::{EventKind, Redactor, TargetProgress},
    routing::Destination,
    table::Structure,
};
use migrate_store::{
    ErrorKind, StoreError,
    table::{ItemWrite, TableStore},
};

/// The lead and the followers of one table dataset.
pub(crate) struct Sides {
    pub(crate) dataset: Dataset,
    pub(crate) stores: Arc<DatasetStores<dyn TableStore>>,
    /// The places that lead; several if each leads its own part.
    pub(crate) leads: Arc<[PlaceIndex]>,
    /// What they hold together.
    pub(crate) led: Arc<dyn TableStore>,
    /// The names of the key attributes, at the lead.
    pub(crate) names: KeyNames,
    /// By what items expire at the places that lead and follow: the server of each may delete its own at any moment.
    pub(crate) expires_by: ExpiresBy,
    pub(crate) followers: Vec<Follower>,
    pub(crate) shutdown: Shutdown,
    pub(crate) sink: Sink,
    pub(crate) redactor: Redactor,
    pub(crate) counted: Counted,
}

/// How far a pass is, for the display.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// Bytes read from the lead.
    pub(crate) read: AtomicU64,
    /// Items that the lead holds, as its server estimates it.
    pub(crate) expected: AtomicU64,
    /// Items seen at the lead.
    pub(crate) seen: AtomicU64,
}

impl Sides {
    /// The tables of a dataset, as they were opened.
    pub(crate) async fn of(
        dataset: &Dataset,
        stores: &Arc<DatasetStores<dyn TableStore>>,
        structure: &Structure,
        shutdown: Shutdown,
        sink: &Sink,
        redactor: Redactor,
    ) -> Self {
        let follower = |place: &PlaceIndex| {
            Follower::new(*place, dataset.location(*place).to_string(), Arc::clone(stores.at(*place)))
        };
        let lead = stores.star.lead;
        let leads =
            if lead == PlaceIndex::SOURCE || !dataset.is_partitioned() { vec![lead] } else { dataset.new_leads() };
        let together: Arc<dyn TableStore> = match &leads[..] {
            [_] => Arc::clone(stores.lead()),
            _ => Arc::new(UnionTable::new(leads.iter().map(|place| Arc::clone(stores.at(*place))).collect())),
        };
        let places = leads.iter().chain(&*stores.star.followers).map(|place| (*place, &**stores.at(*place)));
        let expires_by = ExpiresBy::of(places).await;
        Self {
            dataset: dataset.clone(),
            stores: Arc::clone(stores),
            leads: leads.into(),
            led: together,
            names: structure.key_names(),
            expires_by,
            followers: stores.star.followers.iter().map(follower).collect(),
            shutdown,
            sink: sink.clone(),
            redactor,
            counted: Counted::default(),
        }
    }

    /// The store of the lead.
    pub(crate) fn lead(&self) -> &dyn TableStore {
        &*self.led
    }

    /// The followers that take part.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Follower> {
        self.followers.iter().filter(|follower| !follower.is_down())
    }

    /// Brings the followers into their final form, as the last thing that is done with them: a directory is then what
    /// others read.
    pub(crate) async fn close(&self) -> Result<(), EngineError> {
        for follower in self.open() {
            follower.store.close().await?;
        }
        Ok(())
    }

    /// The places of all followers, also of those that are down: they owe every change.
    pub(crate) fn places(&self) -> Vec<PlaceIndex> {
        self.followers.iter().map(|follower| follower.place).collect()
    }

    /// The follower at a place.
    pub(crate) fn follower(&self, place: PlaceIndex) -> Option<&Follower> {
        self.followers.iter().find(|follower| follower.place == place)
    }

    /// The lead and one other place, which need not be a follower.
    pub(crate) fn with_only(&self, place: PlaceIndex) -> Self {
        let store = Arc::clone(self.stores.at(place));
        Self {
            dataset: self.dataset.clone(),
            stores: Arc::clone(&self.stores),
            leads: Arc::clone(&self.leads),
            led: Arc::clone(&self.led),
            names: self.names.clone(),
            expires_by: self.expires_by.clone(),
            followers: vec![Follower::new(place, self.dataset.location(place).to_string(), store)],
            shutdown: self.shutdown.clone(),
            sink: self.sink.clone(),
            redactor: self.redactor,
            counted: Counted::default(),
        }
    }

    /// The key of an item that a store has shown.
    pub(crate) fn key_of(&self, at: &dyn TableStore, item: &Item) -> Result<ItemKey, EngineError> {
        self.names.key_of(item).ok_or_else(|| {
            let detail = "an item lacks a key attribute";
            StoreError::new(ErrorKind::Garbled, "scan", at.location(), detail).into()
        })
    }

    /// Where an item of the lead belongs.
    ///
    /// # Errors
    ///
    /// If an expression fails on it, or it matches no target or two: that ends the dataset, with the item's key.
    pub(crate) fn destination(&self, item: &Item) -> Result<Destination, EngineError> {
        if self.leads.len() > 1 {
            // Each leads its own part, and the old lead holds the whole.
            return Ok(Destination::Everywhere);
        }
        self.stores.routing.route(item).map_err(|misrouted| {
            let key = self.names.key_of(item).map(|key| self.redactor.key(&self.names.text(&key)));
            let key = key.map_or_else(String::new, |key| key.to_string());
            let reason = format!("where {key} belongs is not known: {misrouted}");
            EngineError::TableUnfit { dataset: self.dataset.name.clone(), reason }
        })
    }

    /// The texts of the keys of writes.
    pub(crate) fn texts(&self, at: &dyn TableStore, writes: &[ItemWrite]) -> Result<Vec<Key>, EngineError> {
        let text = |write: &ItemWrite| match write {
            ItemWrite::Put(item) => self.key_of(at, item).map(|key| self.names.text(&key)),
            ItemWrite::Delete(key) => Ok(self.names.text(key)),
        };
        writes.iter().map(text).collect()
    }

    /// The key that a text of the ledger names.
    pub(crate) fn read_key(&self, text: &Key) -> Result<ItemKey, EngineError> {
        self.names.read(text).map_err(|error| EngineError::TableUnfit {
            dataset: self.dataset.name.clone(),
            reason: format!("a key in the ledger fits the table no longer: {error}"),
        })
    }

    /// What the pass does after an item was seen at the lead.
    pub(crate) fn saw(&self, items: usize, bytes: u64) {
        self.counted.seen.fetch_add(items as u64, Relaxed);
        self.counted.read.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn warn(&self, message: String) {
        self.sink.tell(EventKind::Warning { dataset: Some(self.dataset.name.clone()), key: None, message });
    }

    /// Tells that a follower's table was missing, and was made.
    pub(crate) fn tell_made(&self, follower: &Follower) {
        let (dataset, target) = (self.dataset.name.clone(), follower.at.clone());
        self.sink.tell(EventKind::Made { dataset, target });
    }

    /// Tells that a cutover has brought over what was written meanwhile.
    pub(crate) fn tell_brought_over(&self, records: u64) {
        self.sink.tell(EventKind::BroughtOver { dataset: self.dataset.name.clone(), records });
    }

    /// How far the pass is at each follower.
    pub(crate) fn progress(&self) -> Vec<TargetProgress> {
        self.followers.iter().map(|follower| follower.progress(self.counted.seen.load(Relaxed))).collect()
    }

    /// Bytes read from the lead in this run.
    pub(crate) fn source_bytes_read(&self) -> u64 {
        self.counted.read.load(Relaxed)
    }
}
