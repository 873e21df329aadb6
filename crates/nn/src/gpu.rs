//! Convolutions as products of matrices on the tensor cores of a GPU. Burn's defaults are several times slower, and sum 16-bit
//! numbers in 16 bits. Its feature `autotune` would try all kernels for every shape, for minutes at the first start on a machine.
#![allow(missing_docs, unreachable_pub, reason = "what `backend_extension` makes of the trait")]

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::ir::{ElemType, FloatKind};
use burn_cubecl::kernel::conv::{ConvStrategy, conv_forward_nhwc};
use burn_cubecl::ops::numeric::empty_device_dtype;
use burn_cubecl::ops::{permute_nchw_to_nhwc, permute_nhwc_to_nchw};
use cubek::convolution::{
    AcceleratedTileKind, ConvAlgorithm, ConvolutionArgs, ConvolutionInputs, Strategy, launch_ref,
};
use cubek::matmul::definition::{MatmulElems, MatmulGlobalElems};
use cubek::std::InputBinding;

/// The fastest of the strategies that Burn would try, measured on every convolution of an image generator of 1024 pixels.
const STRATEGY: Strategy =
    Strategy::Inferred { algorithm: ConvAlgorithm::SimpleSyncStrided, tile_kind: AcceleratedTileKind::Mma };

#[backend_extension(Cube)]
pub trait Products: Backend {
    fn convolve_by_products(
        maps: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self>;
}

impl Products for CubeBackend {
    fn convolve_by_products(
        maps: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        let (maps, weight) = (permute_nchw_to_nhwc(maps), permute_nchw_to_nhwc(weight));
        let [images, height, width, _] = maps.meta.shape().dims();
        let [outputs, side, ..] = weight.meta.shape().dims::<4>();
        let extent = |size: usize| (size + 2 * padding - side) / stride + 1;
        let out_shape = [images, extent(height), extent(width), outputs];
        let (client, dtype) = (maps.client.clone(), maps.dtype);
        let out = empty_device_dtype(client.clone(), maps.device.clone(), out_shape.into(), dtype);
        let element = ElemType::Float(if dtype == DType::BF16 { FloatKind::BF16 } else { FloatKind::F32 });
        let inputs = ConvolutionInputs::Forward {
            input: InputBinding::new(maps.clone().binding(), element),
            weight: InputBinding::new(weight.clone().binding(), element),
            bias: None,
            out: out.clone().binding(),
        };
        let args = ConvolutionArgs { stride: [stride; 2], padding: [padding; 2], dilation: [1; 2] };
        let elements = MatmulElems::from_globals(&MatmulGlobalElems { lhs: element, rhs: element, out: element });
        let out = launch_ref::<2>(&STRATEGY, &client, inputs, args, elements).map(|()| out).or_else(|_| {
            // The GPU has no tensor cores, or they do not support the shape.
            let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
            conv_forward_nhwc(maps, weight, None, options, ConvStrategy::Direct)
        });
        permute_nhwc_to_nchw(out.expect("the direct convolution takes every shape"))
    }
}

/// Convolves maps, `(images, channels, height, width)`, on a GPU.
pub(crate) fn convolve(maps: Tensor<4>, weight: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as Products>::convolve_by_products(
        maps.into_dispatch(),
        weight.into_dispatch(),
        stride,
        padding,
    ))
}
