//! Convolutions with gradients.
#![allow(missing_docs, unreachable_pub, reason = "what `backend_extension` makes of the trait")]

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;

use crate::device::is_gpu;
use crate::kernels::gradients::{Shape, forward, input_gradient, weight_gradient};
use crate::kernels::{Extent, Maps, Padding, Scratch, data, numbers};

/// The form of a convolution, apart from its output channels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    pub(crate) inputs: usize,
    pub(crate) side: usize,
    pub(crate) stride: usize,
    /// Centred where the stride is 1.
    pub(crate) padding: Padding,
    /// Pixels from tap to tap.
    pub(crate) dilation: usize,
    /// Whether each channel has a kernel of its own.
    pub(crate) depthwise: bool,
}

/// Convolves maps, `(images, height, width, channels)`, with weights, outputs by inputs by kernel.
pub(crate) fn convolve(maps: Tensor<4>, weight: Tensor<4>, form: Form) -> Tensor<4> {
    let Form { inputs, side, stride, padding, dilation, depthwise } = form;
    if dilation != 1 || is_gpu(&maps.device()) {
        return with_operations(maps.permute([0, 3, 1, 2]), weight, form).permute([0, 2, 3, 1]);
    }
    let [outputs, ..] = weight.dims();
    let shape = Shape { inputs, outputs, side, stride, padding, depthwise };
    Tensor::from_dispatch(<Dispatch as Convolutions>::trained(maps.into_dispatch(), weight.into_dispatch(), shape))
}

/// The same with Burn's operations, on maps `(images, channels, height, width)`.
pub(crate) fn with_operations(maps: Tensor<4>, weight: Tensor<4>, form: Form) -> Tensor<4> {
    let Form { inputs, side, stride, padding, dilation, depthwise } = form;
    let [.., height, width] = maps.dims();
    let groups = if depthwise { inputs } else { 1 };
    let options = |zeros: usize| ConvOptions::new([stride; 2], [zeros; 2], [dilation; 2], groups);
    if padding == Padding::Centred {
        return conv2d(maps, weight, None, options(side / 2 * dilation));
    }
    let zeros = |length: usize| {
        let before = padding.before(side, stride, length);
        (before, padding.both(side, stride, length) - before)
    };
    conv2d(maps.pad([zeros(height), zeros(width)], 0.0), weight, None, options(0))
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait Convolutions: Backend {
    fn trained(maps: FloatTensor<Self>, weight: FloatTensor<Self>, shape: Shape) -> FloatTensor<Self>;
}

/// What backward passes call.
trait Backwards: Convolutions {
    /// The gradient of the maps, whose extent is `extent`.
    fn of_maps(
        gradient: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        shape: Shape,
        extent: Extent,
    ) -> FloatTensor<Self>;
    fn of_weight(maps: FloatTensor<Self>, gradient: FloatTensor<Self>, shape: Shape) -> FloatTensor<Self>;
    fn extent(maps: &FloatTensor<Self>) -> Extent;
}

impl Convolutions for Flex {
    fn trained(maps: FloatTensor<Self>, weight: FloatTensor<Self>, shape: Shape) -> FloatTensor<Self> {
        let (maps, weight) = (maps.to_contiguous(), weight.to_contiguous());
        let maps = Maps::of(&maps);
        let out = shape.out(maps.extent);
        let mut scratch = Scratch::new(out.pixels() * shape.outputs);
        forward(shape, numbers(&weight), maps.values, maps.extent, scratch.values_mut());
        FloatTensor::<Self>::from_data(data(scratch, [out.images, out.height, out.width, shape.outputs]))
    }
}

impl Backwards for Flex {
    fn of_maps(
        gradient: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        shape: Shape,
        extent: Extent,
    ) -> FloatTensor<Self> {
        let (gradient, weight) = (gradient.to_contiguous(), weight.to_contiguous());
        let mut scratch = Scratch::new(extent.pixels() * shape.inputs);
        input_gradient(shape, numbers(&weight), numbers(&gradient), extent, scratch.values_mut());
        FloatTensor::<Self>::from_data(data(scratch, [extent.images, extent.height, extent.width, shape.inputs]))
    }

    fn of_weight(maps: FloatTensor<Self>, gradient: FloatTensor<Self>, shape: Shape) -> FloatTensor<Self> {
        let (maps, gradient) = (maps.to_contiguous(), gradient.to_contiguous());
        let Shape { inputs, outputs, side, depthwise, .. } = shape;
        let inputs = if depthwise { 1 } else { inputs };
        let mut scratch = Scratch::new(outputs * inputs * shape.taps());
        let maps = Maps::of(&maps);
        weight_gradient(shape, maps.values, numbers(&gradient), maps.extent, scratch.values_mut());
        FloatTensor::<Self>::from_data(data(scratch, [outputs, inputs, side, side]))
    }

    fn extent(maps: &FloatTensor<Self>) -> Extent {
        let [images, height, width, _] = maps.layout().shape()[..] else { panic!("maps of four dimensions") };
        Extent { images, height, width }
    }
}

#[derive(Debug)]
struct Step;

/// The inputs and the shape of a convolution.
#[derive(Clone, Debug)]
struct State<T> {
    maps: T,
    weight: T,
    shape: Shape,
}

impl<B: Backwards> Backward<B, 2> for Step {
    type State = State<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        // A parent that is missing is constant or frozen.
        let [maps_node, weight_node] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        let State { maps, weight, shape } = ops.state;
        if let Some(node) = maps_node {
            grads.register::<B>(node.id, B::of_maps(gradient.clone(), weight, shape, B::extent(&maps)));
        }
        if let Some(node) = weight_node {
            grads.register::<B>(node.id, B::of_weight(maps, gradient, shape));
        }
    }
}

impl<B: Backwards, C: CheckpointStrategy> Convolutions for Autodiff<B, C> {
    fn trained(maps: FloatTensor<Self>, weight: FloatTensor<Self>, shape: Shape) -> FloatTensor<Self> {
        match Step.prepare::<C>([maps.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(step) => {
                let (maps, weight) = (maps.into_primitive(), weight.into_primitive());
                let state = State { maps: maps.clone(), weight: weight.clone(), shape };
                step.finish(state, B::trained(maps, weight, shape))
            }
            OpsKind::UnTracked(step) => step.finish(B::trained(maps.into_primitive(), weight.into_primitive(), shape)),
        }
    }
}
