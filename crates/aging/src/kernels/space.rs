use std::sync::{Mutex, PoisonError};

use pulp::bytemuck;

use super::gemm::Line;
use super::pages::Pages;

/// Space that nobody uses at the moment, the one that came back last at the end.
static FREE: Mutex<Vec<Pages>> = Mutex::new(Vec::new());
/// How much of it is kept, in numbers.
const KEPT: usize = 96 << 20;
/// How many times as much as wanted may be taken, beside a little.
const TOO_LARGE: usize = 2;
const LITTLE: usize = 1 << 20;

/// Space for numbers on the way; it is used again, since new memory is slow. What is in it means nothing.
#[derive(Debug)]
pub(super) struct Space {
    pages: Option<Pages>,
    count: usize,
}

impl Space {
    pub(super) fn new(count: usize) -> Self {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |pages: &Pages| (count..=TOO_LARGE * count + LITTLE).contains(&pages.values().len());
        let best = (0..free.len()).filter(|index| fits(&free[*index])).min_by_key(|index| free[*index].values().len());
        let pages = best.map(|index| free.remove(index));
        drop(free);
        Self { pages: Some(pages.unwrap_or_else(|| Pages::new(count))), count }
    }

    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        let pages = self.pages.as_mut().expect("space has its pages until it is dropped");
        &mut pages.values_mut()[..self.count]
    }

    pub(super) fn lines_mut(&mut self) -> &mut [Line] {
        self.values_mut().as_chunks_mut().0
    }
}

impl AsRef<[u8]> for Space {
    fn as_ref(&self) -> &[u8] {
        let pages = self.pages.as_ref().expect("space has its pages until it is dropped");
        bytemuck::cast_slice(&pages.values()[..self.count])
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        free.extend(self.pages.take());
        let mut kept = free.iter().map(|pages| pages.values().len()).sum::<usize>();
        while kept > KEPT {
            kept -= free.remove(0).values().len();
        }
    }
}
