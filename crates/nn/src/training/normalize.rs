//! Normalization by the statistics of a batch, with gradients.
#![allow(missing_docs, unreachable_pub, reason = "what `backend_extension` makes of the trait")]

use std::sync::{Arc, OnceLock};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};

use crate::device::is_gpu;
use crate::kernels::gradients::{Activation, Normalization, statistics};
use crate::kernels::{Scratch, data, numbers};
use crate::parameters::tensor;

/// Normalized maps, and what they were normalized by.
pub(crate) struct Normalized {
    /// `(images, height, width, channels)`.
    pub(crate) maps: Tensor<4>,
    /// The mean of each channel, without gradients.
    pub(crate) mean: Tensor<1>,
    /// The biased variance of each channel, without gradients.
    pub(crate) variance: Tensor<1>,
}

/// Normalizes maps, `(images, height, width, channels)`, by their own statistics (Ioffe and Szegedy 2015, arXiv 1502.03167), adds
/// `others`, and applies an activation.
pub(crate) fn normalize(
    maps: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
    others: Option<Tensor<4>>,
    activation: Activation,
) -> Normalized {
    if is_gpu(&maps.device()) {
        return with_operations(maps, weight, bias, epsilon, others, activation);
    }
    let device = maps.device().inner();
    let of = Of { activation, epsilon, found: Arc::default() };
    let [weight, bias] = [weight, bias].map(Tensor::into_dispatch);
    let maps = maps.into_dispatch();
    let maps = match others {
        Some(others) => {
            <Dispatch as Normalizations>::normalized_sum(maps, weight, bias, others.into_dispatch(), of.clone())
        }
        None => <Dispatch as Normalizations>::normalized(maps, weight, bias, of.clone()),
    };
    let Normalization { mean, variance, .. } = of.found();
    let [mean, variance] = [mean, variance].map(|values| tensor(values.clone(), &device));
    Normalized { maps: Tensor::from_dispatch(maps), mean, variance }
}

/// An activation, with Burn's operations.
pub(crate) fn activate(maps: Tensor<4>, Activation { slope, ceiling }: Activation) -> Tensor<4> {
    let maps = if slope == 1.0 {
        maps
    } else {
        let below = maps.clone().clamp(f32::MIN, 0.0);
        maps - below * (1.0 - f64::from(slope))
    };
    if ceiling.is_finite() { maps.clamp_max(ceiling) } else { maps }
}

/// With Burn's operations.
fn with_operations(
    maps: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
    others: Option<Tensor<4>>,
    activation: Activation,
) -> Normalized {
    let [.., channels] = maps.dims();
    let mean = maps.clone().mean_dims(&[0, 1, 2]);
    let difference = maps - mean.clone();
    let variance = difference.clone().square().mean_dims(&[0, 1, 2]);
    let of_maps = |tensor: Tensor<1>| tensor.reshape([1, 1, 1, channels]);
    let maps = difference / (variance.clone() + epsilon).sqrt() * of_maps(weight) + of_maps(bias);
    let maps = others.map_or(maps.clone(), |others| maps + others);
    let maps = activate(maps, activation);
    let of_channels = |tensor: Tensor<4>| tensor.inner().reshape([channels]);
    Normalized { maps, mean: of_channels(mean), variance: of_channels(variance) }
}

/// A normalization, whose statistics the forward pass finds.
#[derive(Clone, Debug)]
pub struct Of {
    activation: Activation,
    epsilon: f64,
    found: Arc<OnceLock<Normalization>>,
}

impl Of {
    fn found(&self) -> &Normalization {
        self.found.get().expect("a forward pass finds the statistics")
    }
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait Normalizations: Backend {
    fn normalized(
        maps: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        of: Of,
    ) -> FloatTensor<Self>;

    fn normalized_sum(
        maps: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        others: FloatTensor<Self>,
        of: Of,
    ) -> FloatTensor<Self>;
}

/// The gradients of all inputs. That of what is added, if anything is, is the one behind the activation.
struct Found<T> {
    maps: Option<T>,
    weight: T,
    bias: T,
    others: Option<T>,
}

/// What backward passes call.
trait Backwards: Normalizations {
    fn gradients(
        gradient: FloatTensor<Self>,
        state: State<FloatTensor<Self>>,
        of_maps: bool,
    ) -> Found<FloatTensor<Self>>;
}

/// What the gradients need of a forward pass.
#[derive(Clone, Debug)]
struct State<T> {
    maps: T,
    weight: T,
    bias: T,
    /// The output, where other maps were added.
    sum: Option<T>,
    of: Of,
}

impl Normalizations for Flex {
    fn normalized(
        maps: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        of: Of,
    ) -> FloatTensor<Self> {
        forward(&maps, &weight, &bias, &[], &of)
    }

    fn normalized_sum(
        maps: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        others: FloatTensor<Self>,
        of: Of,
    ) -> FloatTensor<Self> {
        forward(&maps, &weight, &bias, numbers(&others.to_contiguous()), &of)
    }
}

fn forward(
    maps: &FloatTensor<Flex>,
    weight: &FloatTensor<Flex>,
    bias: &FloatTensor<Flex>,
    others: &[f32],
    of: &Of,
) -> FloatTensor<Flex> {
    let (maps, weight, bias) = (maps.to_contiguous(), weight.to_contiguous(), bias.to_contiguous());
    let (values, weight, bias) = (numbers(&maps), numbers(&weight), numbers(&bias));
    let (mean, variance) = statistics(values, weight.len());
    let inverse = variance.iter().map(|variance| (1.0 / (f64::from(*variance) + of.epsilon).sqrt()) as f32).collect();
    let of = of.found.get_or_init(|| Normalization { mean, variance, inverse, activation: of.activation });
    let mut scratch = Scratch::new(values.len());
    of.forward(values, weight, bias, others, scratch.values_mut());
    maps_of(scratch, &maps)
}

/// Maps of the shape of others.
fn maps_of(scratch: Scratch, like: &FloatTensor<Flex>) -> FloatTensor<Flex> {
    let shape: [usize; 4] = like.layout().shape()[..].try_into().expect("maps of four dimensions");
    FloatTensor::<Flex>::from_data(data(scratch, shape))
}

impl Backwards for Flex {
    fn gradients(
        gradient: FloatTensor<Self>,
        state: State<FloatTensor<Self>>,
        of_maps: bool,
    ) -> Found<FloatTensor<Self>> {
        let State { maps, weight, bias, sum, of } = state;
        let of = of.found();
        let (gradient, maps) = (gradient.to_contiguous(), maps.to_contiguous());
        let (weight, bias) = (weight.to_contiguous(), bias.to_contiguous());
        let values = numbers(&maps);
        let flat = |values: Vec<f32>| {
            let count = values.len();
            FloatTensor::<Self>::from_data(TensorData::new(values, [count]))
        };
        let Some(normalized) = sum else {
            let parameters = [numbers(&weight), numbers(&bias)];
            let mut scratch = of_maps.then(|| Scratch::new(values.len()));
            let out = scratch.as_mut().map(Scratch::values_mut);
            let found = of.gradients(parameters, numbers(&gradient), values, out);
            let of_maps = scratch.map(|scratch| maps_of(scratch, &maps));
            return Found { maps: of_maps, weight: flat(found.weight), bias: flat(found.bias), others: None };
        };
        let mut before = Scratch::new(values.len());
        let found = of.parameters_gradient(numbers(&gradient), numbers(&normalized), values, before.values_mut());
        let of_maps = of_maps.then(|| {
            let mut scratch = Scratch::new(values.len());
            of.maps_gradient(numbers(&weight), &found, values, before.values(), scratch.values_mut());
            maps_of(scratch, &maps)
        });
        let others = Some(maps_of(before, &maps));
        Found { maps: of_maps, weight: flat(found.weight), bias: flat(found.bias), others }
    }
}

#[derive(Debug)]
struct Step;

impl<B: Backwards> Backward<B, 3> for Step {
    type State = State<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [maps_node, weight_node, bias_node] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        let Found { maps, weight, bias, .. } = B::gradients(gradient, ops.state, maps_node.is_some());
        for (node, found) in [(maps_node, maps), (weight_node, Some(weight)), (bias_node, Some(bias))] {
            if let (Some(node), Some(found)) = (node, found) {
                grads.register::<B>(node.id, found);
            }
        }
    }
}

#[derive(Debug)]
struct SumStep;

impl<B: Backwards> Backward<B, 4> for SumStep {
    type State = State<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [maps_node, weight_node, bias_node, others_node] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        let Found { maps, weight, bias, others } = B::gradients(gradient, ops.state, maps_node.is_some());
        let found = [(maps_node, maps), (weight_node, Some(weight)), (bias_node, Some(bias)), (others_node, others)];
        for (node, found) in found {
            if let (Some(node), Some(found)) = (node, found) {
                grads.register::<B>(node.id, found);
            }
        }
    }
}

impl<B: Backwards, C: CheckpointStrategy> Normalizations for Autodiff<B, C> {
    fn normalized(
        maps: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        of: Of,
    ) -> FloatTensor<Self> {
        let nodes = [maps.node(), weight.node(), bias.node()];
        let [maps, weight, bias] = [maps, weight, bias].map(|tensor| tensor.into_primitive());
        let normalized = B::normalized(maps.clone(), weight.clone(), bias.clone(), of.clone());
        match Step.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish(State { maps, weight, bias, sum: None, of }, normalized),
            OpsKind::UnTracked(step) => step.finish(normalized),
        }
    }

    fn normalized_sum(
        maps: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        others: FloatTensor<Self>,
        of: Of,
    ) -> FloatTensor<Self> {
        let nodes = [maps.node(), weight.node(), bias.node(), others.node()];
        let [maps, weight, bias, others] = [maps, weight, bias, others].map(|tensor| tensor.into_primitive());
        let normalized = B::normalized_sum(maps.clone(), weight.clone(), bias.clone(), others, of.clone());
        match SumStep.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(step) => {
                step.finish(State { maps, weight, bias, sum: Some(normalized.clone()), of }, normalized)
            }
            OpsKind::UnTracked(step) => step.finish(normalized),
        }
    }
}
