//! The kernels as an operation of Burn's CPU backend.
#![allow(missing_docs, unreachable_pub, reason = "what `backend_extension` makes of the trait")]

use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};

use super::{Direct, Epilogue, Prologue, Upsample, Winograd};

/// A convolution whose weights are prepared for one of the kernels.
#[derive(Debug)]
pub enum Convolution {
    Winograd(Winograd),
    Direct(Direct),
    Upsample(Upsample),
}

impl Convolution {
    fn forward(&self, map: &[f32], size: [usize; 2], prologue: &Prologue, epilogue: &Epilogue) -> TensorData {
        let [height, width] = size;
        let (outputs, out_size) = match self {
            Self::Winograd(winograd) => (winograd.outputs(), size),
            Self::Direct(direct) => {
                (direct.outputs(), [height.div_ceil(direct.stride()), width.div_ceil(direct.stride())])
            }
            Self::Upsample(upsample) => (upsample.outputs(), [2 * height, 2 * width]),
        };
        let mut out = vec![0.0; outputs * out_size[0] * out_size[1]];
        match self {
            Self::Winograd(winograd) => winograd.forward(map, size, prologue, epilogue, &mut out),
            Self::Direct(direct) => direct.forward(map, size, prologue, epilogue, out_size, &mut out),
            Self::Upsample(upsample) => upsample.forward(map, size, prologue, epilogue, &mut out),
        }
        TensorData::new(out, [1, outputs, out_size[0], out_size[1]])
    }
}

#[backend_extension(Flex)]
pub trait Convolve: Backend {
    fn convolve(
        map: FloatTensor<Self>,
        convolution: Arc<Convolution>,
        prologue: Prologue,
        epilogue: Epilogue,
    ) -> FloatTensor<Self>;
}

impl Convolve for Flex {
    fn convolve(
        map: FloatTensor<Self>,
        convolution: Arc<Convolution>,
        prologue: Prologue,
        epilogue: Epilogue,
    ) -> FloatTensor<Self> {
        let map = map.to_contiguous();
        let layout = map.layout();
        let [1, _, height, width] = layout.shape()[..] else { panic!("one map at a time") };
        let values = &map.storage::<f32>()[layout.start_offset()..][..layout.num_elements()];
        FloatTensor::<Self>::from_data(convolution.forward(values, [height, width], &prologue, &epilogue))
    }
}

/// Convolves one float32 map, `(1, channels, height, width)`, on the CPU.
pub(crate) fn convolve(
    map: Tensor<4>,
    convolution: &Arc<Convolution>,
    prologue: Prologue,
    epilogue: Epilogue,
) -> Tensor<4> {
    let out = <Dispatch as Convolve>::convolve(map.into_dispatch(), convolution.clone(), prologue, epilogue);
    Tensor::from_dispatch(out)
}
