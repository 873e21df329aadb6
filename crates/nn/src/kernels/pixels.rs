//! The pixels that a convolution with a kernel of one pixel multiplies.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::Tensor;

use super::convolution::Convolution;
use super::extent::Extent;
use super::fused::Epilogue;
use super::ops::{MapOp, Maps, merge};
use super::scratch::Scratch;

/// Pixels of a map: every `stride`-th one, down and across.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Image by row by column by channel.
    pub maps: &'a [f32],
    /// Images, rows and columns of the maps.
    pub extent: Extent,
    /// Channels of a pixel.
    pub channels: usize,
    /// Pixels from one to the next.
    pub stride: usize,
}

impl<'a> Source<'a> {
    fn new(Maps { values: maps, extent, channels }: Maps<'a>, stride: usize) -> Self {
        Self { maps, extent, channels, stride }
    }

    fn pixel(&self, index: usize) -> &'a [f32] {
        &self.maps[self.extent.under(self.stride, index) * self.channels..][..self.channels]
    }

    fn out(&self) -> Extent {
        self.extent.strided(self.stride)
    }
}

/// The pixels of a map, or those of two maps, the channels one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Pixels<'a> {
    first: Source<'a>,
    second: Option<Source<'a>>,
}

impl<'a> Pixels<'a> {
    /// The pixels of one map.
    pub fn of(source: Source<'a>) -> Self {
        Self { first: source, second: None }
    }

    /// The pixels of two maps, which have as many of them.
    ///
    /// # Panics
    /// If the numbers of pixels differ.
    pub fn of_both(first: Source<'a>, second: Source<'a>) -> Self {
        assert_eq!(first.out(), second.out(), "the pixels of two maps");
        Self { first, second: Some(second) }
    }

    /// The extent of the output.
    pub(super) fn out(&self) -> Extent {
        self.first.out()
    }

    /// The memory that [`some`](Self::some) needs for `count` pixels.
    pub(super) fn memory(&self, count: usize) -> Scratch {
        Scratch::new(self.second.map_or(0, |second| count * (self.first.channels + second.channels)))
    }

    /// The pixels of a range. Those of one map are read in place, and those of two maps are copied.
    pub(super) fn some<'b>(&self, range: Range<usize>, memory: &'b mut Scratch) -> Vec<&'b [f32]>
    where
        'a: 'b,
    {
        let Some(second) = self.second else { return range.map(|index| self.first.pixel(index)).collect() };
        let channels = self.first.channels + second.channels;
        for (index, pixel) in range.clone().zip(memory.values_mut().chunks_exact_mut(channels)) {
            let (upper, lower) = pixel.split_at_mut(self.first.channels);
            upper.copy_from_slice(self.first.pixel(index));
            lower.copy_from_slice(second.pixel(index));
        }
        memory.values().chunks_exact(channels).take(range.len()).collect()
    }
}

/// A convolution with a kernel of one pixel.
pub trait Pointwise: Convolution {
    /// Multiplies pixels with the weights into `out`, or adds to what it holds.
    fn multiply(&self, pixels: Pixels, epilogue: &Epilogue, adds: bool, out: &mut [f32]);
}

/// The sum of two convolutions with kernels of one pixel, whose weights are those of one convolution of all channels: of `maps`, and of
/// every `stride`-th pixel of `others`, down and across. Both are float32, `(images, height, width, channels)`, on the CPU.
pub fn convolve_both(
    maps: Tensor<4>,
    others: Tensor<4>,
    stride: usize,
    convolution: Arc<dyn Pointwise>,
    epilogue: Epilogue,
) -> Tensor<4> {
    merge(ConvolveBoth { stride, convolution, epilogue }, maps, others)
}

#[derive(Debug)]
struct ConvolveBoth {
    stride: usize,
    convolution: Arc<dyn Pointwise>,
    epilogue: Epilogue,
}

impl MapOp for ConvolveBoth {
    fn shape(&self, inputs: &[Maps]) -> (Extent, usize) {
        (inputs[0].extent, self.convolution.outputs())
    }

    fn forward(&self, inputs: &[Maps], out: &mut [f32]) {
        let pixels = Pixels::of_both(Source::new(inputs[0], 1), Source::new(inputs[1], self.stride));
        self.convolution.multiply(pixels, &self.epilogue, false, out);
    }
}
