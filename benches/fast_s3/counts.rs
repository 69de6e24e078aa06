//! What an endpoint was asked, for figures that only a server can know.

use std::{
    fmt::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use hyper::Method;

/// What was asked since the start, or since it was set to zero.
#[derive(Default)]
pub(crate) struct Counts {
    gets: AtomicU64,
    heads: AtomicU64,
    puts: AtomicU64,
    others: AtomicU64,
    lists: AtomicU64,
    /// Of bodies of objects and parts.
    pub(crate) bytes_read: AtomicU64,
    pub(crate) bytes_written: AtomicU64,
    /// Objects that were not there before.
    pub(crate) new_objects: AtomicU64,
    since: Mutex<Since>,
}

struct Since {
    start: Instant,
    /// When the first object was written that was not there before, in milliseconds.
    first_new_ms: Option<u128>,
}

impl Default for Since {
    fn default() -> Self {
        Self { start: Instant::now(), first_new_ms: None }
    }
}

impl Counts {
    /// Counts a request for an object, or of another kind.
    pub(crate) fn request(&self, method: &Method, is_list: bool) {
        let counter = match *method {
            _ if is_list => &self.lists,
            Method::GET => &self.gets,
            Method::HEAD => &self.heads,
            Method::PUT => &self.puts,
            _ => &self.others,
        };
        counter.fetch_add(1, Relaxed);
    }

    /// Counts a written object.
    pub(crate) fn object(&self, is_new: bool) {
        if is_new && self.new_objects.fetch_add(1, Relaxed) == 0 {
            let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
            since.first_new_ms = Some(since.start.elapsed().as_millis());
        }
    }

    /// Sets all to zero.
    pub(crate) fn reset(&self) {
        for (_, counter) in self.all() {
            counter.store(0, Relaxed);
        }
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Since::default();
    }

    fn all(&self) -> [(&'static str, &AtomicU64); 8] {
        [
            ("gets", &self.gets),
            ("heads", &self.heads),
            ("puts", &self.puts),
            ("others", &self.others),
            ("lists", &self.lists),
            ("bytes_read", &self.bytes_read),
            ("bytes_written", &self.bytes_written),
            ("new_objects", &self.new_objects),
        ]
    }

    /// All of it as JSON.
    pub(crate) fn json(&self) -> String {
        let mut text = String::from("{");
        for (name, counter) in self.all() {
            let _ = write!(text, "\"{name}\": {}, ", counter.load(Relaxed));
        }
        let first = self.since.lock().unwrap_or_else(PoisonError::into_inner).first_new_ms;
        let _ = writeln!(text, "\"first_new_ms\": {}}}", first.map_or("null".to_owned(), |ms| ms.to_string()));
        text
    }
}
