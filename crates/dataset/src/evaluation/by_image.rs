//! Objects and detections of each picture.

/// The indices of each picture, in the comparison's order.
pub(super) struct ByImage {
    order: Vec<usize>,
    /// Where each picture's indices begin in `order`; the last entry is the end.
    starts: Vec<usize>,
}

impl ByImage {
    pub(super) fn of(images: usize, image_of: impl Iterator<Item = usize> + Clone) -> Self {
        let mut starts = vec![0; images + 1];
        for image in image_of.clone() {
            starts[image + 1] += 1;
        }
        for image in 0..images {
            starts[image + 1] += starts[image];
        }
        let mut next = starts.clone();
        let mut order = vec![0; starts[images]];
        for (index, image) in image_of.enumerate() {
            order[next[image]] = index;
            next[image] += 1;
        }
        Self { order, starts }
    }

    pub(super) fn get(&self, image: usize) -> &[usize] {
        &self.order[self.starts[image]..self.starts[image + 1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_picture_has_its_indices_in_order() {
        let images = [2, 0, 2, 2, 0];
        let by_image = ByImage::of(4, images.into_iter());
        assert_eq!(
            (by_image.get(0), by_image.get(1), by_image.get(2), by_image.get(3)),
            (&[1, 4][..], &[][..], &[0, 2, 3][..], &[][..])
        );
        assert_eq!(ByImage::of(0, std::iter::empty()).order.len(), 0);
    }
}
