/// A box of pixels, with both ends inclusive, like dlib's `rectangle`. It may reach beyond the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rectangle {
    /// The leftmost column.
    pub left: i32,
    /// The topmost row.
    pub top: i32,
    /// The rightmost column.
    pub right: i32,
    /// The lowest row.
    pub bottom: i32,
}

impl Rectangle {
    /// The number of columns: 0 where the box is empty.
    pub fn width(&self) -> u32 {
        if self.is_empty() { 0 } else { self.left.abs_diff(self.right) + 1 }
    }

    /// The number of rows: 0 where the box is empty.
    pub fn height(&self) -> u32 {
        if self.is_empty() { 0 } else { self.top.abs_diff(self.bottom) + 1 }
    }

    /// The number of pixels.
    pub fn area(&self) -> u64 {
        u64::from(self.width()) * u64::from(self.height())
    }

    fn is_empty(&self) -> bool {
        self.left > self.right || self.top > self.bottom
    }

    /// The pixels that both boxes contain.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        Self {
            left: self.left.max(other.left),
            top: self.top.max(other.top),
            right: self.right.min(other.right),
            bottom: self.bottom.min(other.bottom),
        }
    }

    /// The smallest box around two boxes that are not empty.
    pub(crate) fn hull(&self, other: &Self) -> Self {
        Self {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }

    /// Applies `map(value, is_vertical)` to each coordinate. Results are rounded to whole pixels, halves away from
    /// zero.
    pub(crate) fn map(&self, map: impl Fn(f64, bool) -> f64) -> Self {
        let at = |value: i32, vertical| map(f64::from(value), vertical).round() as i32;
        Self {
            left: at(self.left, false),
            top: at(self.top, true),
            right: at(self.right, false),
            bottom: at(self.bottom, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_a_rectangle_are_inclusive() {
        let one = Rectangle { left: 3, top: -2, right: 3, bottom: -2 };
        assert_eq!((one.width(), one.height(), one.area()), (1, 1, 1));
        let none = Rectangle { left: 4, top: 0, right: 3, bottom: 9 };
        assert_eq!((none.width(), none.height(), none.area()), (0, 0, 0));
        let wide = Rectangle { left: 0, top: 0, right: 9, bottom: 4 };
        let low = Rectangle { left: 5, top: 3, right: 12, bottom: 8 };
        assert_eq!(wide.intersection(&low).area(), 5 * 2);
        assert_eq!(wide.hull(&low).area(), 13 * 9);
        assert_eq!(one.map(|value, _| value - 0.5), Rectangle { left: 3, top: -3, right: 3, bottom: -3 });
    }
}
