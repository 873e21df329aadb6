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

    /// The extent of maps of every `stride`-th pixel, down and across.
    pub(crate) fn strided(self, stride: usize) -> Self {
        Self { height: self.height.div_ceil(stride), width: self.width.div_ceil(stride), ..self }
    }

    /// The number of the pixel that is pixel `index` of the [strided](Self::strided) maps.
    pub(super) fn under(self, stride: usize, index: usize) -> usize {
        if stride == 1 {
            return index;
        }
        let strided = self.strided(stride);
        let (line, column) = (index / strided.width, index % strided.width);
        let (image, row) = (line / strided.height, line % strided.height);
        (image * self.height + row * stride) * self.width + column * stride
    }
}
