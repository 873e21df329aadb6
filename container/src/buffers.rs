//! The memory of answers that have been sent, for the next answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;

/// The most buffers that are kept: one for the answer that is sent, and one for the answer that is made meanwhile.
const MOST: usize = 2;
/// Buffers of other sizes, in bytes, are not kept: small ones gain nothing. The largest strip takes 54 MB.
const SIZES: std::ops::RangeInclusive<usize> = 1 << 20..=64 << 20;

/// Keeps large buffers of one answer for the next. Memory that is new to a process costs more than the pixels that are written into it:
/// the kernel has to find and clear each page.
#[derive(Clone, Debug, Default)]
pub struct Buffers(Arc<Kept>);

#[derive(Debug, Default)]
struct Kept {
    buffers: Mutex<Vec<Vec<u8>>>,
    /// Whether one was taken since [`Buffers::free_if_idle`] last asked.
    used: AtomicBool,
}

/// The body of an answer that is being sent.
struct Sent {
    body: Vec<u8>,
    buffers: Buffers,
}

impl Buffers {
    /// A buffer with the bytes of an earlier answer, or an empty one.
    pub fn take(&self) -> Vec<u8> {
        self.0.used.store(true, Ordering::Relaxed);
        self.kept().pop().unwrap_or_default()
    }

    /// A body whose buffer is kept once it is sent.
    pub(crate) fn lend(&self, body: Vec<u8>) -> Bytes {
        Bytes::from_owner(Sent { body, buffers: self.clone() })
    }

    /// Frees all buffers if none was taken since the last call.
    pub(crate) fn free_if_idle(&self) {
        if !self.0.used.swap(false, Ordering::Relaxed) {
            self.kept().clear();
        }
    }

    fn keep(&self, buffer: Vec<u8>) {
        let mut kept = self.kept();
        if kept.len() < MOST && SIZES.contains(&buffer.capacity()) {
            kept.push(buffer);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.buffers.keep(std::mem::take(&mut self.body));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_of_a_sent_answer_serves_the_next() {
        let buffers = Buffers::default();
        let body = vec![7; 2 << 20];
        let address = body.as_ptr();
        let sent = buffers.lend(body);
        assert!(buffers.take().is_empty(), "it is still being sent");
        drop(sent.clone());
        drop(sent);
        let again = buffers.take();
        assert_eq!((again.as_ptr(), again.len()), (address, 2 << 20));
    }

    #[test]
    fn small_huge_and_many_buffers_are_not_kept() {
        let buffers = Buffers::default();
        for size in [SIZES.start() - 1, SIZES.end() + 1] {
            drop(buffers.lend(Vec::with_capacity(size)));
        }
        assert!(buffers.kept().is_empty());
        let many: Vec<Bytes> = (0..MOST + 2).map(|_| buffers.lend(Vec::with_capacity(*SIZES.start()))).collect();
        drop(many);
        assert_eq!(buffers.kept().len(), MOST);
    }

    #[test]
    fn idle_buffers_are_freed() {
        let buffers = Buffers::default();
        drop(buffers.take());
        drop(buffers.lend(vec![0; 1 << 20]));
        buffers.free_if_idle();
        assert_eq!(buffers.kept().len(), 1, "one was taken");
        buffers.free_if_idle();
        assert!(buffers.kept().is_empty());
    }
}
