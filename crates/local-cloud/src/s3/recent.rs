//! The last large bodies in memory, beside their files: a new object is usually read soon.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::pieces::Whole;

/// The most memory that all of them take, in bytes.
const MOST: usize = 28 << 20;

/// The last bodies, by the names of their files. The oldest goes first.
#[derive(Default)]
pub(super) struct Recent(Mutex<VecDeque<(String, Whole)>>);

impl Recent {
    /// Whether a body of this size, in bytes, could be held.
    pub(super) fn takes(size: usize) -> bool {
        size <= MOST
    }

    pub(super) fn insert(&self, name: &str, whole: Whole) {
        if !Self::takes(whole.memory()) {
            return;
        }
        let mut held = self.held();
        held.push_back((name.to_owned(), whole));
        let mut memory: usize = held.iter().map(|(_, whole)| whole.memory()).sum();
        while memory > MOST
            && let Some((_, oldest)) = held.pop_front()
        {
            memory -= oldest.memory();
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<Whole> {
        self.held().iter().find(|(held, _)| held == name).map(|(_, whole)| whole.clone())
    }

    pub(super) fn remove(&self, name: &str) {
        self.held().retain(|(held, _)| held != name);
    }

    pub(super) fn clear(&self) {
        self.held().clear();
    }

    fn held(&self) -> MutexGuard<'_, VecDeque<(String, Whole)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::pieces::{PIECE, Pieces};
    use super::*;

    #[test]
    fn the_oldest_bodies_go_first() {
        let (pieces, recent) = (Arc::new(Pieces::default()), Recent::default());
        let body = |count: usize| Whole::new((0..count).map(|_| Arc::new(pieces.take())).collect());
        let most = MOST / PIECE;
        for (name, count) in [("first", 1), ("second", most - 1), ("huge", most + 1)] {
            recent.insert(name, body(count));
        }
        assert!(recent.get("first").is_some() && recent.get("second").is_some() && recent.get("huge").is_none());
        recent.insert("third", body(1));
        assert!(recent.get("first").is_none() && recent.get("second").is_some() && recent.get("third").is_some());
        recent.remove("second");
        assert!(recent.get("second").is_none() && recent.get("third").is_some());
        recent.clear();
        assert!(recent.get("third").is_none());
    }
}
