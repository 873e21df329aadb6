/// The extents of feature maps but for the channels, which lie side by side: image by row by column by channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) images: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Extent {
    pub(super) fn pixels(&self) -> usize {
        self.images * self.height * self.width
    }
}
