//! The kernels as operations of Burn's CPU backend.
#![allow(missing_docs, unreachable_pub, reason = "what `backend_extension` makes of the trait")]

use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{AllocationProperty, Bytes, DType, Tensor, TensorData};

use super::enlarge::add_enlarged;
use super::filtering::{F23, F43, Half};
use super::maps::Extent;
use super::space::Space;
use super::{Direct, Epilogue, Excite, Nested, Prologue, Scale, ToRgb, Upsample};

/// A convolution whose weights are prepared for one of the kernels.
#[derive(Debug)]
pub enum Convolution {
    Same(Nested<F43>),
    SmallSame(Nested<F23>),
    Half(Nested<Half>),
    Direct(Direct),
    Upsample(Upsample),
}

/// What makes maps of two.
#[derive(Clone, Debug)]
pub enum Merge {
    /// The first, each channel weighted, plus the first of each `stride` pixels of the second.
    Excite { excite: Arc<Excite>, stride: usize },
    /// The first, enlarged to the size of the second, plus that.
    Enlarge,
    /// The colours of the first, on top of the second, a picture of half its size, if it is one.
    ToRgb { to_rgb: Arc<ToRgb>, prologue: Prologue, on_top: bool },
    /// The same of what a scale makes of the first, on top of a picture of its size.
    Last { scale: Box<Scale>, to_rgb: Arc<ToRgb>, prologue: Prologue },
}

impl Convolution {
    fn forward(&self, maps: &Maps, prologue: &Prologue, epilogue: &Epilogue) -> TensorData {
        let Maps { values, extent, .. } = *maps;
        match self {
            Self::Same(same) => made(same.out(extent), same.outputs(), |out| {
                same.forward(values, extent, prologue, epilogue, out);
            }),
            Self::SmallSame(same) => made(same.out(extent), same.outputs(), |out| {
                same.forward(values, extent, prologue, epilogue, out);
            }),
            Self::Half(half) => made(half.out(extent), half.outputs(), |out| {
                half.forward(values, extent, prologue, epilogue, out);
            }),
            Self::Direct(direct) => made(direct.out(extent), direct.outputs(), |out| {
                direct.forward(values, extent, prologue, epilogue, out);
            }),
            Self::Upsample(upsample) => made(upsample.out(extent), upsample.outputs(), |out| {
                upsample.forward(values, extent, prologue, epilogue, out);
            }),
        }
    }
}

impl Merge {
    fn forward(&self, first: &Maps, second: &Maps) -> TensorData {
        let Maps { values, extent, channels } = *first;
        match self {
            Self::Excite { excite, stride } => {
                let second = (second.values, second.extent);
                made(extent, channels, |out| excite.forward(values, extent, second, *stride, out))
            }
            Self::Enlarge => made(second.extent, channels, |out| {
                add_enlarged(values, extent, second.values, second.extent, out);
            }),
            Self::ToRgb { to_rgb, prologue, on_top } => made(extent, 3, |out| {
                let before = if *on_top { second.values } else { &[] };
                to_rgb.styled(prologue, before, extent).forward(values, out);
            }),
            Self::Last { scale, to_rgb, prologue } => {
                let out_extent = scale.out(extent);
                let to_rgb = to_rgb.styled(prologue, second.values, out_extent);
                made(out_extent, 3, |out| scale.forward_to_rgb(values, extent, &to_rgb, out))
            }
        }
    }
}

/// New maps, all of which are to be filled.
fn made(Extent { images, height, width }: Extent, channels: usize, fill: impl FnOnce(&mut [f32])) -> TensorData {
    let mut space = Space::new(images * height * width * channels);
    fill(space.values_mut());
    let bytes = Bytes::from_shared(bytes::Bytes::from_owner(space), AllocationProperty::Other);
    TensorData::from_bytes(bytes, [images, height, width, channels], DType::F32)
}

/// Maps as a tensor of Burn holds them.
struct Maps<'a> {
    values: &'a [f32],
    extent: Extent,
    channels: usize,
}

impl<'a> Maps<'a> {
    /// Of a contiguous tensor.
    fn of(tensor: &'a FloatTensor<Flex>) -> Self {
        let layout = tensor.layout();
        let [images, height, width, channels] = layout.shape()[..] else { panic!("maps of four dimensions") };
        let values = &tensor.storage::<f32>()[layout.start_offset()..][..layout.num_elements()];
        Self { values, extent: Extent { images, height, width }, channels }
    }
}

#[backend_extension(Flex)]
pub trait Kernels: Backend {
    fn convolve(
        maps: FloatTensor<Self>,
        convolution: Arc<Convolution>,
        prologue: Prologue,
        epilogue: Epilogue,
    ) -> FloatTensor<Self>;

    fn scale(map: FloatTensor<Self>, scale: Scale) -> FloatTensor<Self>;

    fn merge(first: FloatTensor<Self>, second: FloatTensor<Self>, merge: Merge) -> FloatTensor<Self>;
}

impl Kernels for Flex {
    fn convolve(
        maps: FloatTensor<Self>,
        convolution: Arc<Convolution>,
        prologue: Prologue,
        epilogue: Epilogue,
    ) -> FloatTensor<Self> {
        let maps = maps.to_contiguous();
        FloatTensor::<Self>::from_data(convolution.forward(&Maps::of(&maps), &prologue, &epilogue))
    }

    fn scale(map: FloatTensor<Self>, scale: Scale) -> FloatTensor<Self> {
        let map = map.to_contiguous();
        let Maps { values, extent, .. } = Maps::of(&map);
        let doubled = made(scale.out(extent), scale.outputs(), |out| scale.forward(values, extent, out));
        FloatTensor::<Self>::from_data(doubled)
    }

    fn merge(first: FloatTensor<Self>, second: FloatTensor<Self>, merge: Merge) -> FloatTensor<Self> {
        let (first, second) = (first.to_contiguous(), second.to_contiguous());
        FloatTensor::<Self>::from_data(merge.forward(&Maps::of(&first), &Maps::of(&second)))
    }
}

/// Convolves float32 maps, `(images, height, width, channels)`, on the CPU.
pub(crate) fn convolve(
    maps: Tensor<4>,
    convolution: &Arc<Convolution>,
    prologue: Prologue,
    epilogue: Epilogue,
) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as Kernels>::convolve(
        maps.into_dispatch(),
        convolution.clone(),
        prologue,
        epilogue,
    ))
}

/// Makes one float32 map, `(1, height, width, channels)`, twice as large, on the CPU.
pub(crate) fn scale(map: Tensor<4>, scale: Scale) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as Kernels>::scale(map.into_dispatch(), scale))
}

/// Makes float32 maps, `(images, height, width, channels)`, of two, on the CPU.
pub(crate) fn merge(first: Tensor<4>, second: Tensor<4>, merge: Merge) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as Kernels>::merge(first.into_dispatch(), second.into_dispatch(), merge))
}
