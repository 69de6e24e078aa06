//! Memory for large bodies, used again and again.
//!
//! Memory that large comes from the system page by page and goes back to it, and each page is cleared when it is first
//! touched: half as much CPU as the SHA-256 of the same bytes. So a body that is done leaves its memory to the next one.
//! What waits for one is bounded, and beside the budget of bodies in flight.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

/// The least number of bytes that are kept for another body; smaller memory the allocator keeps itself.
const KEPT_MIN: usize = 1 << 20;
/// Most bytes that wait for a body, in the whole process.
const IDLE_MAX: usize = 32 << 20;

/// What waits in this process.
static WAITING: Waiting = Waiting(Mutex::new(Vec::new()));

/// Memory that waits for the next body, the last that was used at the end.
struct Waiting(Mutex<Vec<Vec<u8>>>);

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&'static self, size: usize) -> Buffer {
        let found = if size < KEPT_MIN { None } else { self.find(size) };
        Buffer { bytes: found.unwrap_or_else(|| Vec::with_capacity(size)), waiting: self }
    }

    /// The last that was used of those that fit: parts of one object have one size, and memory much larger than its
    /// body would be held beside the budget.
    fn find(&self, size: usize) -> Option<Vec<u8>> {
        let mut waiting = self.lock();
        let position = waiting.iter().rposition(|free| (size..=size + size / 8).contains(&free.capacity()))?;
        Some(waiting.remove(position))
    }

    fn give_back(&self, mut free: Vec<u8>) {
        if !(KEPT_MIN..=IDLE_MAX).contains(&free.capacity()) {
            return;
        }
        free.clear();
        let mut waiting = self.lock();
        waiting.push(free);
        // Those of a size that is no longer asked for are the oldest.
        while waiting.iter().map(Vec::capacity).sum::<usize>() > IDLE_MAX {
            waiting.remove(0);
        }
    }
}

/// Bytes that are being collected.
pub struct Buffer {
    bytes: Vec<u8>,
    waiting: &'static Waiting,
}

impl Buffer {
    /// An empty one with room for so many bytes.
    pub fn with_capacity(size: usize) -> Self {
        WAITING.take(size)
    }

    /// The bytes. Their memory waits for the next body once nothing holds them any more.
    pub fn freeze(mut self) -> Bytes {
        if self.bytes.capacity() < KEPT_MIN {
            Bytes::from(std::mem::take(&mut self.bytes))
        } else {
            Bytes::from_owner(self)
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.waiting.give_back(std::mem::take(&mut self.bytes));
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_waits_for_the_next_body_and_is_bounded() {
        static OWN: Waiting = Waiting(Mutex::new(Vec::new()));
        const SIZE: usize = 3 << 20;
        let filled = |size: usize, byte: u8| {
            let mut buffer = OWN.take(size);
            buffer.resize(size, byte);
            buffer.freeze()
        };
        let first = filled(SIZE, 1);
        let (at, part) = (first.as_ptr(), first.slice(SIZE - 2..));
        drop(first);
        let second = filled(SIZE, 2);
        assert_eq!(part, [1, 1][..], "what is held is not used again");
        assert_ne!(second.as_ptr(), at);
        drop(part);
        let third = filled(SIZE - SIZE / 16, 3);
        assert_eq!(third.as_ptr(), at, "about as large");
        assert!(third.iter().all(|byte| *byte == 3) && second.iter().all(|byte| *byte == 2));
        let waiting = || OWN.lock().iter().map(Vec::capacity).sum::<usize>();
        drop(third);
        assert_eq!(waiting(), SIZE);
        drop([filled(SIZE / 2, 4), filled(2 * SIZE, 4)]);
        assert_eq!(waiting(), SIZE + SIZE / 2 + 2 * SIZE, "neither fits");
        let many: Vec<_> = (0..2 * IDLE_MAX / SIZE).map(|_| filled(SIZE, 5)).collect();
        drop((many, second));
        assert_eq!(waiting(), IDLE_MAX / SIZE * SIZE, "the oldest went");
        drop(filled(IDLE_MAX + 1, 6));
        drop(filled(KEPT_MIN - 1, 7));
        assert_eq!(waiting(), IDLE_MAX / SIZE * SIZE);
    }
}
