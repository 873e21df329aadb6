use std::sync::{Mutex, PoisonError};

use pulp::bytemuck;

use super::gemm::Line;
use super::huge_pages::HugePages;

static POOL: Mutex<Pool> = Mutex::new(Pool { free: Vec::new(), used: 0, most: 0 });
/// How much of it is kept, in numbers.
const KEPT: usize = 96 << 20;
/// The largest excess over the wanted size: a factor, and an allowance for small sizes.
const TOO_LARGE: usize = 2;
const LITTLE: usize = 1 << 20;
/// The memory in use and not in use together, beyond the most that was ever in use: a share of that, and an allowance.
const SPARE: usize = 2;
const ALLOWED: usize = 2 << 20;

/// All scratch memory.
struct Pool {
    /// What is not in use, in the order in which it was returned.
    free: Vec<HugePages>,
    /// Numbers in use, and the most there ever were.
    used: usize,
    most: usize,
}

impl Pool {
    fn take(&mut self, count: usize) -> HugePages {
        let fits = |pages: &HugePages| (count..=TOO_LARGE * count + LITTLE).contains(&pages.values().len());
        let best = (0..self.free.len()).filter(|index| fits(&self.free[*index]));
        let best = best.min_by_key(|index| self.free[*index].values().len());
        let taken = best.map(|index| self.free.remove(index));
        self.used += taken.as_ref().map_or(count, |pages| pages.values().len());
        self.most = self.most.max(self.used);
        taken.unwrap_or_else(|| {
            // Memory of other sizes makes room, since a network's maps have many sizes.
            self.limit((self.most + self.most / SPARE + ALLOWED).saturating_sub(self.used));
            HugePages::new(count)
        })
    }

    fn put_back(&mut self, pages: HugePages) {
        self.used -= pages.values().len();
        self.free.push(pages);
        self.limit(KEPT);
    }

    /// Returns memory to the system, the longest unused first, until at most `numbers` are kept.
    fn limit(&mut self, numbers: usize) {
        let mut kept = self.free.iter().map(|pages| pages.values().len()).sum::<usize>();
        while kept > numbers {
            kept -= self.free.remove(0).values().len();
        }
    }
}

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
        let pages = POOL.lock().unwrap_or_else(PoisonError::into_inner).take(count.max(1));
        Self { pages: Some(pages), count }
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
        if let Some(pages) = self.pages.take() {
            POOL.lock().unwrap_or_else(PoisonError::into_inner).put_back(pages);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLION: usize = 1 << 20;

    #[test]
    fn memory_of_other_sizes_makes_room() {
        let mut pool = Pool { free: Vec::new(), used: 0, most: 0 };
        let large = pool.take(40 * MILLION);
        pool.put_back(large);
        assert_eq!((pool.free.len(), pool.used, pool.most), (1, 0, 40 * MILLION));
        // To use more than twice what is needed would be a waste. There is room for both.
        let small = pool.take(12 * MILLION);
        assert_eq!((pool.free.len(), pool.used), (1, 12 * MILLION));
        // Now there is not.
        let smaller = pool.take(14 * MILLION);
        assert_eq!((pool.free.len(), pool.used), (0, 26 * MILLION));
        pool.put_back(small);
        let again = pool.take(6 * MILLION);
        assert_eq!((pool.free.len(), pool.used, again.values().len()), (0, 26 * MILLION, 12 * MILLION));
        pool.put_back(smaller);
        pool.put_back(again);
        assert_eq!(pool.used, 0);
    }
}
