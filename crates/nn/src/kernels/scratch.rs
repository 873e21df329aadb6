use std::sync::{Mutex, PoisonError};

use pulp::bytemuck;

use super::gemm::Line;
use super::huge_pages::HugePages;

/// Scratch memory that is not in use, in the order in which it was returned.
static FREE: Mutex<Vec<HugePages>> = Mutex::new(Vec::new());
/// How much of it is kept, in numbers.
const KEPT: usize = 96 << 20;
/// The largest excess over the wanted size: a factor, and an allowance for small sizes.
const TOO_LARGE: usize = 2;
const LITTLE: usize = 1 << 20;

/// Scratch memory for numbers: intermediate results and feature maps. It is reused, since the first touch of new memory is slow.
/// Its content is arbitrary at first.
#[derive(Debug)]
pub struct Scratch {
    pages: Option<HugePages>,
    count: usize,
}

impl Scratch {
    /// Memory for `count` numbers.
    ///
    /// # Panics
    /// If the system has no memory for them.
    pub fn new(count: usize) -> Self {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |pages: &HugePages| (count..=TOO_LARGE * count + LITTLE).contains(&pages.values().len());
        let best = (0..free.len()).filter(|index| fits(&free[*index])).min_by_key(|index| free[*index].values().len());
        let pages = best.map(|index| free.remove(index));
        drop(free);
        Self { pages: Some(pages.unwrap_or_else(|| HugePages::new(count))), count }
    }

    /// Its numbers.
    pub fn values(&self) -> &[f32] {
        let pages = self.pages.as_ref().expect("scratch memory has its pages until it is dropped");
        &pages.values()[..self.count]
    }

    /// Its numbers.
    pub fn values_mut(&mut self) -> &mut [f32] {
        let pages = self.pages.as_mut().expect("scratch memory has its pages until it is dropped");
        &mut pages.values_mut()[..self.count]
    }

    /// Its numbers as lines, without an incomplete last one.
    pub fn lines_mut(&mut self) -> &mut [Line] {
        self.values_mut().as_chunks_mut().0
    }
}

impl AsRef<[u8]> for Scratch {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(self.values())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        free.extend(self.pages.take());
        let mut kept = free.iter().map(|pages| pages.values().len()).sum::<usize>();
        while kept > KEPT {
            kept -= free.remove(0).values().len();
        }
    }
}
