/// The extents of feature maps except the channels. In memory the channels are innermost (NHWC): image, row, column, channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Images of the batch.
    pub images: usize,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
}

impl Extent {
    /// The pixels of all images.
    #[inline]
    pub fn pixels(&self) -> usize {
        self.images * self.height * self.width
    }
}
