use std::sync::{Mutex, PoisonError};

use super::pages::Pages;

/// Space that nobody uses at the moment.
static FREE: Mutex<Vec<Pages>> = Mutex::new(Vec::new());
/// How many spaces are kept.
const KEPT: usize = 8;

/// Space for numbers on the way; it is used again, since new memory is slow. What is in it means nothing.
pub(super) struct Space {
    pages: Option<Pages>,
    count: usize,
}

impl Space {
    pub(super) fn new(count: usize) -> Self {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        // The smallest that is large enough.
        let fits = |pages: &Pages| pages.values().len() >= count;
        let best = (0..free.len()).filter(|index| fits(&free[*index])).min_by_key(|index| free[*index].values().len());
        let pages = best.map(|index| free.swap_remove(index));
        drop(free);
        Self { pages: Some(pages.unwrap_or_else(|| Pages::new(count))), count }
    }

    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        let pages = self.pages.as_mut().expect("space has its pages until it is dropped");
        &mut pages.values_mut()[..self.count]
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        free.extend(self.pages.take());
        if free.len() > KEPT {
            let smallest = (0..free.len()).min_by_key(|index| free[*index].values().len());
            drop(smallest.map(|index| free.swap_remove(index)));
        }
    }
}
