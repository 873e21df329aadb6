//! Operations without weights on feature maps, in the layout of an [`Execution`].

use std::iter;
use std::ops::Range;

use burn::tensor::Tensor;
use burn::tensor::module::{interpolate, max_pool2d};
use burn::tensor::ops::{InterpolateMode, InterpolateOptions, MaxPoolOptions};

use super::loader::Execution;
use crate::kernels::{
    Concatenate, MaxPool, NearestAdd, Place, RowSpan, Scratch, UpsampleMultiply, apply, data, join, update,
};
use crate::training;

impl Execution {
    /// The dimension of the channels.
    pub fn channels(self) -> usize {
        match self {
            Self::Burn => 1,
            Self::Kernels => 3,
        }
    }

    /// The dimensions of height and width.
    fn across(self) -> [usize; 2] {
        match self {
            Self::Burn => [2, 3],
            Self::Kernels => [1, 2],
        }
    }

    /// Maps `(images, height, width, channels)` in this layout.
    pub fn arrange(self, maps: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Burn => maps.permute([0, 3, 1, 2]),
            Self::Kernels => maps,
        }
    }

    /// Maps of this layout as `(images, height, width, channels)`.
    pub fn channels_innermost(self, maps: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Burn => maps.permute([0, 2, 3, 1]),
            Self::Kernels => maps,
        }
    }

    /// The channels of all maps, one after the other.
    pub fn concatenate(self, maps: [Tensor<4>; 3]) -> Tensor<4> {
        match self {
            Self::Kernels if !maps.iter().any(Tensor::is_autodiff) => join(Concatenate, maps),
            _ => Tensor::cat(maps.into(), self.channels()),
        }
    }

    /// The largest value of each channel, `(images, channels)`: `torch.nn.AdaptiveMaxPool2d(1)`.
    pub fn global_max(self, maps: Tensor<4>) -> Tensor<2> {
        let [images, ..] = maps.dims();
        let channels = maps.dims()[self.channels()];
        maps.max_dims(&self.across()).reshape([images, channels])
    }

    /// The mean of each channel, `(images, channels)`: `torch.nn.AdaptiveAvgPool2d(1)`.
    pub fn global_mean(self, maps: Tensor<4>) -> Tensor<2> {
        let [images, ..] = maps.dims();
        let channels = maps.dims()[self.channels()];
        maps.mean_dims(&self.across()).reshape([images, channels])
    }

    /// `torch.nn.MaxPool2d` with a square window of an odd side, padded by half of it.
    pub fn max_pool(self, maps: Tensor<4>, side: usize, stride: usize) -> Tensor<4> {
        match self {
            Self::Burn => {
                let options = MaxPoolOptions::new([side; 2]).with_stride([stride; 2]);
                max_pool2d(maps, options.with_padding([side / 2; 2]))
            }
            Self::Kernels if maps.is_autodiff() => training::max_pool(maps, MaxPool { side, stride }),
            Self::Kernels => apply(MaxPool { side, stride }, maps),
        }
    }

    /// The first maps, upsampled by the nearest pixel to the size of the second ones, plus those.
    pub fn nearest_add(self, maps: Tensor<4>, others: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Burn => {
                let [.., height, width] = others.dims();
                let options = InterpolateOptions::new(InterpolateMode::Nearest).with_output_size([height, width]);
                interpolate(maps, options) + others
            }
            // The kernel has no gradient.
            Self::Kernels if maps.is_autodiff() || others.is_autodiff() => {
                let [maps, others] = [maps, others].map(|maps| maps.permute([0, 3, 1, 2]));
                Self::Burn.nearest_add(maps, others).permute([0, 2, 3, 1])
            }
            Self::Kernels => update(NearestAdd, maps, others),
        }
    }

    /// The first maps, upsampled bilinearly with aligned corners, times the second ones: these `rows` of maps of the upsampled size.
    pub fn bilinear_multiply(self, maps: Tensor<4>, others: Tensor<4>, rows: RowSpan) -> Tensor<4> {
        match self {
            Self::Burn => {
                let [.., count, width] = others.dims();
                let options = InterpolateOptions::new(InterpolateMode::Bilinear).with_output_size([rows.height, width]);
                self.rows(interpolate(maps, options.with_align_corners(true)), rows.first..rows.first + count) * others
            }
            Self::Kernels => update(UpsampleMultiply(rows), maps, others),
        }
    }

    /// The height and the width of maps.
    pub fn size(self, maps: &Tensor<4>) -> [usize; 2] {
        self.across().map(|dimension| maps.dims()[dimension])
    }

    /// Maps of a height, from all strips of their rows in order. Each strip is put in its place before the next one is computed.
    pub fn stacked(self, mut strips: impl Iterator<Item = Tensor<4>>, height: usize) -> Tensor<4> {
        let Self::Kernels = self else { return Tensor::cat(strips.collect(), self.across()[0]) };
        let first = strips.next().expect("maps have rows");
        let [images, count, width, channels] = first.dims();
        if count == height {
            return first;
        }
        let memory = Scratch::new(images * height * width * channels);
        let maps = Tensor::from_data(data(memory, [images, height, width, channels]), &first.device());
        let place = |(row, maps), strip| {
            let [count, _] = self.size(&strip);
            (row + count, update(Place(row), strip, maps))
        };
        iter::once(first).chain(strips).fold((0, maps), place).1
    }

    /// Some rows of maps.
    pub fn rows(self, maps: Tensor<4>, rows: Range<usize>) -> Tensor<4> {
        maps.narrow(self.across()[0], rows.start, rows.len())
    }
}
