use std::sync::{Mutex, PoisonError};

use pulp::bytemuck;

use super::gemm::Line;
use super::region::Range;

static POOL: Mutex<Pool> = Mutex::new(Pool { free: Vec::new(), used: 0, most: 0 });
/// How much of it is kept, in numbers.
const KEPT: usize = 96 << 20;
/// Every size is a multiple of a page. A region has 256 megabytes or more, of which the system provides what was touched: in a large one,
/// what several small maps leave behind has room for a larger one. Both are in numbers.
const PAGE: usize = 1 << 10;
const REGION: usize = 64 << 20;
/// The memory in use and not in use together, beyond the most that was ever in use: a share of that, and an allowance.
const SPARE: usize = 2;
const ALLOWED: usize = 2 << 20;

/// All scratch memory. A network's maps have many sizes, so that what was one large map is several small ones next.
struct Pool {
    /// What is not in use, in the order in which it was returned. No two ranges are beside each other.
    free: Vec<Range>,
    /// Numbers in use, and the most there ever were.
    used: usize,
    most: usize,
}

impl Pool {
    fn take(&mut self, count: usize) -> Range {
        let count = count.max(1).next_multiple_of(PAGE);
        self.used += count;
        self.most = self.most.max(self.used);
        let best = (0..self.free.len()).filter(|index| self.free[*index].len() >= count);
        let best = best.min_by_key(|index| self.free[*index].len());
        let found = best.map(|index| self.free.remove(index)).unwrap_or_else(|| {
            // What is too small makes room.
            self.limit((self.most + self.most / SPARE + ALLOWED).saturating_sub(self.used));
            Range::new(count.max(REGION))
        });
        let (taken, others) = found.split(count);
        self.free.extend(others);
        taken
    }

    fn put_back(&mut self, mut range: Range) {
        self.used -= range.len();
        while let Some(index) = self.free.iter().position(|other| other.is_beside(&range)) {
            range = range.join(self.free.remove(index));
        }
        self.free.push(range);
        self.limit(KEPT);
    }

    /// Returns regions to the system, the longest unused first, until at most `numbers` are kept if none of those is in use in part.
    fn limit(&mut self, numbers: usize) {
        let mut kept = self.free.iter().map(Range::len).sum::<usize>();
        self.free.retain(|range| {
            let is_returned = kept > numbers && range.is_whole();
            kept -= if is_returned { range.len() } else { 0 };
            !is_returned
        });
    }
}

/// Scratch memory for numbers: intermediate results and feature maps. It is reused, since the first touch of new memory is slow.
/// Its content is arbitrary at first.
#[derive(Debug)]
pub struct Scratch {
    range: Option<Range>,
    count: usize,
}

impl Scratch {
    /// Memory for `count` numbers.
    ///
    /// # Panics
    /// If the system has no memory for them.
    pub fn new(count: usize) -> Self {
        let range = POOL.lock().unwrap_or_else(PoisonError::into_inner).take(count);
        Self { range: Some(range), count }
    }

    /// Its numbers.
    pub fn values(&self) -> &[f32] {
        let range = self.range.as_ref().expect("scratch memory has its range until it is dropped");
        &range.values()[..self.count]
    }

    /// Its numbers.
    pub fn values_mut(&mut self) -> &mut [f32] {
        let range = self.range.as_mut().expect("scratch memory has its range until it is dropped");
        &mut range.values_mut()[..self.count]
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
        if let Some(range) = self.range.take() {
            POOL.lock().unwrap_or_else(PoisonError::into_inner).put_back(range);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLION: usize = 1 << 20;

    fn pool() -> Pool {
        Pool { free: Vec::new(), used: 0, most: 0 }
    }

    #[test]
    fn a_large_map_makes_several_small_ones() {
        let mut pool = pool();
        let large = pool.take(80 * MILLION);
        let address = large.values().as_ptr();
        pool.put_back(large);
        let parts = [24 * MILLION, 26 * MILLION, 30 * MILLION].map(|count| pool.take(count));
        assert_eq!((pool.free.len(), pool.used, pool.most), (0, 80 * MILLION, 80 * MILLION));
        let [first, second, third] = parts;
        [first, third, second].into_iter().for_each(|part| pool.put_back(part));
        // It is whole again.
        assert_eq!((pool.free.len(), pool.used), (1, 0));
        assert_eq!(pool.take(80 * MILLION).values().as_ptr(), address);
    }

    #[test]
    fn the_smallest_that_is_large_enough_is_taken() {
        let mut pool = pool();
        // What is between them stays in use.
        let [first, _one, second, _two, third, _three] =
            [20, 1, 10, 1, 15, 1].map(|millions| pool.take(millions * MILLION));
        let address = third.values().as_ptr();
        [first, second, third].into_iter().for_each(|map| pool.put_back(map));
        assert_eq!(pool.free.len(), 4);
        assert_eq!(pool.take(12 * MILLION).values().as_ptr(), address);
    }

    #[test]
    fn memory_that_is_too_small_makes_room() {
        let mut pool = pool();
        let map = pool.take(90 * MILLION);
        pool.put_back(map);
        // Half of the most in use, and a little, may be in memory beside it.
        let larger = pool.take(100 * MILLION);
        assert_eq!((pool.free.len(), pool.used, pool.most), (0, 100 * MILLION, 100 * MILLION));
        let small = pool.take(70 * MILLION);
        pool.put_back(small);
        // The 70 million stay, since they are within that.
        let others = [75, 80].map(|millions| pool.take(millions * MILLION));
        assert_eq!((pool.free.len(), pool.used), (1, 255 * MILLION));
        others.into_iter().for_each(|map| pool.put_back(map));
        pool.put_back(larger);
        // It is more than what is kept.
        assert_eq!((pool.free.len(), pool.used), (0, 0));
    }

    #[test]
    fn some_of_it_is_kept() {
        let mut pool = pool();
        let maps = [70, 70].map(|millions| pool.take(millions * MILLION));
        maps.into_iter().for_each(|map| pool.put_back(map));
        assert_eq!(pool.free.iter().map(Range::len).collect::<Vec<_>>(), [70 * MILLION]);
    }

    #[test]
    fn small_maps_share_a_region() {
        let mut pool = pool();
        let maps = [1, 1000, 5000].map(|count| pool.take(count));
        assert_eq!(maps.each_ref().map(Range::len), [1024, 1024, 5120]);
        assert!(maps[0].is_beside(&maps[1]) && maps[1].is_beside(&maps[2]));
    }
}
