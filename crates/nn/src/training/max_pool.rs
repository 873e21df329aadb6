//! Max pooling with gradients.
#![allow(missing_docs, unreachable_pub, reason = "what `backend_extension` makes of the trait")]

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;

use crate::device::is_gpu;
use crate::kernels::gradients::{max_pool as pool, max_pool_gradient};
use crate::kernels::{Extent, Maps, MaxPool, Scratch, data, numbers};

/// Pools maps, `(images, height, width, channels)`.
pub(crate) fn max_pool(maps: Tensor<4>, pool: MaxPool) -> Tensor<4> {
    if is_gpu(&maps.device()) {
        let MaxPool { side, stride } = pool;
        let options = MaxPoolOptions::new([side; 2]).with_stride([stride; 2]).with_padding([side / 2; 2]);
        return max_pool2d(maps.permute([0, 3, 1, 2]), options).permute([0, 2, 3, 1]);
    }
    Tensor::from_dispatch(<Dispatch as Pooling>::pooled(maps.into_dispatch(), pool))
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait Pooling: Backend {
    fn pooled(maps: FloatTensor<Self>, pool: MaxPool) -> FloatTensor<Self>;
}

/// Where each pooled value came from.
#[derive(Clone, Debug)]
struct Places {
    pool: MaxPool,
    extent: Extent,
    channels: usize,
    places: Arc<[u8]>,
}

/// What differentiation calls.
trait Differentiated: Pooling {
    fn pooled_from(maps: FloatTensor<Self>, pool: MaxPool) -> (FloatTensor<Self>, Places);
    fn gradient(gradient: FloatTensor<Self>, places: &Places) -> FloatTensor<Self>;
}

impl Pooling for Flex {
    fn pooled(maps: FloatTensor<Self>, pool: MaxPool) -> FloatTensor<Self> {
        Self::pooled_from(maps, pool).0
    }
}

impl Differentiated for Flex {
    fn pooled_from(maps: FloatTensor<Self>, of: MaxPool) -> (FloatTensor<Self>, Places) {
        let maps = maps.to_contiguous();
        let Maps { values, extent, channels } = Maps::of(&maps);
        let out = extent.strided(of.stride);
        let mut scratch = Scratch::new(out.pixels() * channels);
        let mut places = vec![0; out.pixels() * channels];
        pool(of, values, extent, scratch.values_mut(), &mut places);
        let tensor = FloatTensor::<Self>::from_data(data(scratch, [out.images, out.height, out.width, channels]));
        (tensor, Places { pool: of, extent, channels, places: places.into() })
    }

    fn gradient(gradient: FloatTensor<Self>, places: &Places) -> FloatTensor<Self> {
        let gradient = gradient.to_contiguous();
        let Places { pool, extent, channels, places } = places;
        let mut scratch = Scratch::new(extent.pixels() * channels);
        max_pool_gradient(*pool, numbers(&gradient), places, *extent, scratch.values_mut());
        FloatTensor::<Self>::from_data(data(scratch, [extent.images, extent.height, extent.width, *channels]))
    }
}

#[derive(Debug)]
struct Step;

impl<B: Differentiated> Backward<B, 1> for Step {
    type State = Places;

    fn backward(self, ops: Ops<Places, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        if let Some(node) = node {
            grads.register::<B>(node.id, B::gradient(gradient, &ops.state));
        }
    }
}

impl<B: Differentiated, C: CheckpointStrategy> Pooling for Autodiff<B, C> {
    fn pooled(maps: FloatTensor<Self>, pool: MaxPool) -> FloatTensor<Self> {
        match Step.prepare::<C>([maps.node()]).compute_bound().stateful() {
            OpsKind::Tracked(step) => {
                let (out, places) = B::pooled_from(maps.into_primitive(), pool);
                step.finish(places, out)
            }
            OpsKind::UnTracked(step) => step.finish(B::pooled(maps.into_primitive(), pool)),
        }
    }
}
