//! Operations on feature maps in Burn's CPU backend. Kernels of this crate and of networks implement [`MapOp`].
#![allow(missing_docs, unreachable_pub, reason = "what `backend_extension` makes of the trait")]

use std::fmt;
use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, ExtensionType, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

use super::data::data;
use super::extent::Extent;
use super::scratch::Scratch;

/// Numbers that a task copies.
const COPIED: usize = 1 << 14;

/// An operation on feature maps: maps in, maps out.
pub trait MapOp: fmt::Debug + Send + Sync {
    /// The extent and the channels of the output.
    fn shape(&self, inputs: &[Maps]) -> (Extent, usize);

    /// Computes the output. What `out` holds before is arbitrary, so every value has to be written.
    fn forward(&self, inputs: &[Maps], out: &mut [f32]);
}

/// An operation that changes feature maps in their own memory, by other maps.
pub trait UpdateOp: fmt::Debug + Send + Sync {
    /// Changes `values`, maps of this extent.
    fn update(&self, maps: Maps, extent: Extent, values: &mut [f32]);
}

/// A batch of float32 feature maps, with the channels innermost.
#[derive(Clone, Copy, Debug)]
pub struct Maps<'a> {
    /// Image by row by column by channel.
    pub values: &'a [f32],
    /// Images, rows and columns.
    pub extent: Extent,
    /// Channels of a pixel.
    pub channels: usize,
}

impl<'a> Maps<'a> {
    /// Of a contiguous tensor.
    pub(crate) fn of(tensor: &'a FloatTensor<Flex>) -> Self {
        let layout = tensor.layout();
        let [images, height, width, channels] = layout.shape()[..] else { panic!("maps of four dimensions") };
        Self { values: numbers(tensor), extent: Extent { images, height, width }, channels }
    }
}

/// Applies an operation to float32 maps, `(images, height, width, channels)`, on the CPU.
pub fn apply(op: impl MapOp + 'static, maps: Tensor<4>) -> Tensor<4> {
    dispatch(op, Inputs::One(maps.into_dispatch()))
}

/// Applies an operation to two batches of float32 maps, `(images, height, width, channels)`, on the CPU.
pub fn merge(op: impl MapOp + 'static, first: Tensor<4>, second: Tensor<4>) -> Tensor<4> {
    dispatch(op, Inputs::Two(first.into_dispatch(), second.into_dispatch()))
}

/// Applies an operation to three batches of float32 maps, `(images, height, width, channels)`, on the CPU.
pub fn join(op: impl MapOp + 'static, maps: [Tensor<4>; 3]) -> Tensor<4> {
    let [first, second, third] = maps.map(Tensor::into_dispatch);
    dispatch(op, Inputs::Three(first, second, third))
}

/// Changes float32 maps, `(images, height, width, channels)`, by `maps` on the CPU: in their own memory if they have no other owner.
pub fn update(op: impl UpdateOp + 'static, maps: Tensor<4>, changed: Tensor<4>) -> Tensor<4> {
    let inputs = Inputs::Two(maps.into_dispatch(), changed.into_dispatch());
    Tensor::from_dispatch(<Dispatch as MapOps>::update_op(inputs, Arc::new(op)))
}

fn dispatch(op: impl MapOp + 'static, inputs: Inputs<Dispatch>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as MapOps>::map_op(inputs, Arc::new(op)))
}

/// The tensors that an operation reads.
#[derive(ExtensionType)]
pub enum Inputs<B: Backend> {
    One(FloatTensor<B>),
    Two(FloatTensor<B>, FloatTensor<B>),
    Three(FloatTensor<B>, FloatTensor<B>, FloatTensor<B>),
}

#[backend_extension(Flex)]
pub trait MapOps: Backend {
    fn map_op(#[extension_type] inputs: Inputs<Self>, op: Arc<dyn MapOp>) -> FloatTensor<Self>;
    fn update_op(#[extension_type] inputs: Inputs<Self>, op: Arc<dyn UpdateOp>) -> FloatTensor<Self>;
}

impl MapOps for Flex {
    fn map_op(inputs: Inputs<Self>, op: Arc<dyn MapOp>) -> FloatTensor<Self> {
        FloatTensor::<Self>::from_data(match inputs {
            Inputs::One(maps) => of_tensors(&*op, [maps]),
            Inputs::Two(first, second) => of_tensors(&*op, [first, second]),
            Inputs::Three(first, second, third) => of_tensors(&*op, [first, second, third]),
        })
    }

    fn update_op(inputs: Inputs<Self>, op: Arc<dyn UpdateOp>) -> FloatTensor<Self> {
        let Inputs::Two(maps, changed) = inputs else { panic!("maps, and maps to change") };
        let (maps, mut changed) = (contiguous(maps), contiguous(changed));
        let Maps { extent, channels, .. } = Maps::of(&changed);
        let range = changed.layout().start_offset()..;
        let count = extent.pixels() * channels;
        if let Some(values) = changed.try_storage_mut() {
            op.update(Maps::of(&maps), extent, &mut values[range][..count]);
            return changed;
        }
        let mut copy = Scratch::new(count);
        let rows = copy.values_mut().par_chunks_mut(COPIED).zip(numbers(&changed).par_chunks(COPIED));
        rows.for_each(|(to, from)| to.copy_from_slice(from));
        op.update(Maps::of(&maps), extent, copy.values_mut());
        FloatTensor::<Self>::from_data(data(copy, [extent.images, extent.height, extent.width, channels]))
    }
}

fn of_tensors<const N: usize>(op: &dyn MapOp, tensors: [FloatTensor<Flex>; N]) -> TensorData {
    let tensors = tensors.map(contiguous);
    output(op, &tensors.each_ref().map(Maps::of))
}

/// A tensor whose numbers are one after the other in memory. Burn's `to_contiguous` alone would copy each part of a larger tensor, even where
/// its numbers are so already. Of a whole tensor, it would make a second owner of the memory.
fn contiguous(tensor: FloatTensor<Flex>) -> FloatTensor<Flex> {
    if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() }
}

fn output(op: &dyn MapOp, inputs: &[Maps]) -> TensorData {
    let (Extent { images, height, width }, channels) = op.shape(inputs);
    let mut scratch = Scratch::new(images * height * width * channels);
    op.forward(inputs, scratch.values_mut());
    data(scratch, [images, height, width, channels])
}

/// The numbers of a contiguous tensor.
pub(crate) fn numbers(tensor: &FloatTensor<Flex>) -> &[f32] {
    let layout = tensor.layout();
    &tensor.storage::<f32>()[layout.start_offset()..][..layout.num_elements()]
}
