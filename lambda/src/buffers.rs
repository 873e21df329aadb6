//! Memory that is kept from one strip to the next.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most buffers that are kept.
const MOST: usize = 4;
/// The largest buffer that is kept, in bytes: the strip of sixteen ages takes 54 MB.
const LARGEST: usize = 64 << 20;

/// Buffers that are used again. Memory that is new to a process costs more than the bytes that are copied into it: the kernel has to
/// find and clear each page.
#[derive(Debug, Default)]
pub(crate) struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    /// A buffer that was given back, with its bytes; an empty one if none is kept.
    pub(crate) fn take(&self) -> Vec<u8> {
        self.kept().pop().unwrap_or_default()
    }

    /// Keeps `count` buffers of at least this capacity in bytes, whose memory has been written to.
    pub(crate) fn prepare(&self, count: usize, capacity: usize) {
        for _ in self.ready(capacity)..count.min(MOST) {
            // Zeros would not be written before they are needed.
            let buffer = vec![1; capacity];
            self.kept().retain(|kept| kept.capacity() >= capacity);
            self.give_back(buffer);
        }
    }

    /// The number of kept buffers of at least this capacity in bytes.
    pub(crate) fn ready(&self, capacity: usize) -> usize {
        self.kept().iter().filter(|buffer| buffer.capacity() >= capacity).count()
    }

    /// Keeps a buffer, and its bytes: to fill it with zeros would take as long as the next strip.
    pub(crate) fn give_back(&self, buffer: Vec<u8>) {
        let mut kept = self.kept();
        if kept.len() < MOST && (1..=LARGEST).contains(&buffer.capacity()) {
            kept.push(buffer);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_prepared_once_and_replace_smaller_ones() {
        let buffers = Buffers::default();
        buffers.give_back(Vec::with_capacity(10));
        buffers.prepare(2, 1000);
        let addresses = || buffers.kept().iter().map(|buffer| buffer.as_ptr()).collect::<Vec<_>>();
        let prepared = addresses();
        assert_eq!(prepared.len(), 2, "the smaller one is gone");
        buffers.prepare(2, 999);
        assert_eq!(addresses(), prepared);
    }

    #[test]
    fn a_buffer_is_used_again_and_only_some_are_kept() {
        let buffers = Buffers::default();
        buffers.give_back(vec![7; 1000]);
        let again = buffers.take();
        assert_eq!((again.len(), again.capacity()), (1000, 1000));
        assert_eq!(buffers.take().capacity(), 0);
        buffers.give_back(Vec::with_capacity(LARGEST + 1));
        assert_eq!(buffers.take().capacity(), 0, "it is too large to be kept");
        (0..MOST + 3).for_each(|_| buffers.give_back(vec![0; 10]));
        assert_eq!(buffers.kept().len(), MOST);
    }
}
