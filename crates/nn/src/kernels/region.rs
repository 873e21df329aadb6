//! Memory whose parts have different owners.

use std::sync::Arc;

use memmap2::MmapRaw;

use super::huge_pages::HugePages;

/// Adjacent numbers of a region of memory. Ranges of one region never overlap: they come from its whole by [`split`](Self::split).
#[derive(Debug)]
pub(super) struct Range {
    region: Arc<Region>,
    start: usize,
    count: usize,
}

#[derive(Debug)]
struct Region {
    pages: MmapRaw,
    /// Numbers.
    count: usize,
}

impl Range {
    /// All of a new region, in which every number is zero.
    ///
    /// # Panics
    /// If the system has no memory for it.
    pub(super) fn new(count: usize) -> Self {
        let region = Region { pages: HugePages::new(count).into_raw(), count };
        Self { region: Arc::new(region), start: 0, count }
    }

    /// How many numbers the range has.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Whether the range is all of its region.
    pub(super) fn is_whole(&self) -> bool {
        self.count == self.region.count
    }

    /// Whether one range begins where the other ends.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        let ends_before = |one: &Self, other: &Self| one.start + one.count == other.start;
        Arc::ptr_eq(&self.region, &other.region) && (ends_before(self, other) || ends_before(other, self))
    }

    /// The first `count` numbers, and the others if there are any.
    ///
    /// # Panics
    /// If the range has fewer numbers.
    pub(super) fn split(self, count: usize) -> (Self, Option<Self>) {
        assert!(count <= self.count, "{count} of {} numbers", self.count);
        let Self { region, start, count: all } = self;
        let others = (count < all).then(|| Self { region: region.clone(), start: start + count, count: all - count });
        (Self { region, start, count }, others)
    }

    /// Joins ranges that are [beside](Self::is_beside) each other.
    ///
    /// # Panics
    /// If the ranges are apart.
    pub(super) fn join(self, other: Self) -> Self {
        assert!(self.is_beside(&other), "{self:?} and {other:?}");
        Self { start: self.start.min(other.start), count: self.count + other.count, region: self.region }
    }

    #[allow(unsafe_code, reason = "the standard library cannot share memory so that each owner writes its own part")]
    pub(super) fn values(&self) -> &[f32] {
        let first = self.region.pages.as_ptr().cast::<f32>();
        // SAFETY: the numbers are part of the region, which begins at a page and lives as long as this range. They were zero at first,
        // and any bits are a number. No other range has them, so nothing writes to them while this one is borrowed.
        unsafe { std::slice::from_raw_parts(first.add(self.start), self.count) }
    }

    #[allow(unsafe_code, reason = "the standard library cannot share memory so that each owner writes its own part")]
    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        let first = self.region.pages.as_mut_ptr().cast::<f32>();
        // SAFETY: as above. Nothing else reads or writes them while this range is borrowed.
        unsafe { std::slice::from_raw_parts_mut(first.add(self.start), self.count) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_joined_in_any_order() {
        let (a, rest) = Range::new(3000).split(1000);
        let (mut b, c) = rest.unwrap().split(1500);
        let mut c = c.unwrap();
        assert_eq!([a.len(), b.len(), c.len()], [1000, 1500, 500]);
        assert!(a.is_beside(&b) && b.is_beside(&a) && !a.is_beside(&c) && !a.is_beside(&Range::new(1000)));
        b.values_mut().fill(2.0);
        c.values_mut().fill(3.0);
        assert_eq!([a.values()[999], b.values()[0], b.values()[1499], c.values()[0]], [0.0, 2.0, 2.0, 3.0]);
        let all = c.join(b).join(a);
        assert!(all.is_whole());
        assert_eq!(all.values().iter().sum::<f32>(), 4500.0);
        let (all, none) = all.split(3000);
        assert!(all.is_whole() && none.is_none());
    }

    #[test]
    #[should_panic(expected = "3001 of 3000 numbers")]
    fn more_than_all_is_refused() {
        Range::new(3000).split(3001);
    }

    #[test]
    #[should_panic(expected = "count: 1000")]
    fn apart_are_not_joined() {
        Range::new(1000).join(Range::new(1000));
    }
}
