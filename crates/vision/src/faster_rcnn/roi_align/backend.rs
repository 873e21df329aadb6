//! ROIAlign of a batch as an operation of the backend, with the gradients of the maps.
#![allow(missing_docs, unreachable_pub, reason = "what `backend_extension` makes of the trait")]

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};
use nn::kernels::{Scratch, data};
use rayon::prelude::*;

use super::{CELLS, Map, POOLED, Sample, align, level, samples, scale};

/// A region of a picture of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Roi {
    /// The picture.
    pub(crate) image: usize,
    /// Left, top, right, bottom in pixels of the input.
    pub(crate) corners: [f32; 4],
}

/// ROIAlign of regions in the maps of a batch, `(images, height, width, channels)`, largest first: `(regions, channels * 49)`.
pub(crate) fn of_batch(maps: [Tensor<4>; 4], regions: Vec<Roi>) -> Tensor<2> {
    let [first, second, third, fourth] = maps.map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as RoiAlign>::roi_align(first, second, third, fourth, regions.into()))
}

/// Shared among a forward and its backward pass.
pub(crate) type Regions = Arc<[Roi]>;

#[backend_extension(Flex, Autodiff)]
pub(crate) trait RoiAlign: Backend {
    fn roi_align(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        third: FloatTensor<Self>,
        fourth: FloatTensor<Self>,
        regions: Regions,
    ) -> FloatTensor<Self>;
}

/// What differentiation calls.
trait Differentiated: RoiAlign {
    fn shape(maps: &FloatTensor<Self>) -> [usize; 4];
    /// The gradients of the maps of each level, of these shapes.
    fn gradients(gradient: FloatTensor<Self>, regions: &[Roi], shapes: [[usize; 4]; 4]) -> [FloatTensor<Self>; 4];
}

fn shape_of(maps: &FloatTensor<Flex>) -> [usize; 4] {
    maps.layout().shape()[..].try_into().expect("maps of four dimensions")
}

impl RoiAlign for Flex {
    fn roi_align(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        third: FloatTensor<Self>,
        fourth: FloatTensor<Self>,
        regions: Regions,
    ) -> FloatTensor<Self> {
        let maps = [first, second, third, fourth].map(|maps| maps.to_contiguous());
        let [_, _, _, channels] = shape_of(&maps[0]);
        let mut all = Scratch::new(regions.len() * channels * CELLS);
        all.values_mut().par_chunks_exact_mut(channels * CELLS).zip(&regions[..]).for_each_init(
            || vec![0.0; channels],
            |sums, (out, Roi { image, corners })| {
                let level = level(*corners);
                let [_, height, width, channels] = shape_of(&maps[level]);
                let pixels = height * width * channels;
                let start = maps[level].layout().start_offset() + image * pixels;
                let values = &maps[level].storage::<f32>()[start..][..pixels];
                align(Map { values, height, width, channels, scale: scale(level) }, *corners, sums, out);
            },
        );
        FloatTensor::<Self>::from_data(data(all, [regions.len(), channels * CELLS]))
    }
}

impl Differentiated for Flex {
    fn shape(maps: &FloatTensor<Self>) -> [usize; 4] {
        shape_of(maps)
    }

    fn gradients(gradient: FloatTensor<Self>, regions: &[Roi], shapes: [[usize; 4]; 4]) -> [FloatTensor<Self>; 4] {
        let gradient = gradient.to_contiguous();
        let layout = gradient.layout();
        let values = &gradient.storage::<f32>()[layout.start_offset()..][..layout.num_elements()];
        let mut index = 0;
        shapes.map(|shape| {
            let this = index;
            index += 1;
            FloatTensor::<Self>::from_data(TensorData::new(of_level(values, regions, this, shape), shape))
        })
    }
}

/// The gradient of the maps of a level. Each picture is a task, whose regions keep their order: sums do not depend on the threads.
pub(super) fn of_level(gradient: &[f32], regions: &[Roi], this: usize, shape: [usize; 4]) -> Vec<f32> {
    let [images, height, width, channels] = shape;
    let mut maps = vec![0.0; images * height * width * channels];
    maps.par_chunks_exact_mut(height * width * channels).enumerate().for_each(|(image, maps)| {
        let mut pixel = vec![0.0; channels];
        for (Roi { corners, .. }, gradient) in regions
            .iter()
            .zip(gradient.chunks_exact(channels * CELLS))
            .filter(|(region, _)| region.image == image && level(region.corners) == this)
        {
            let [left, top, right, bottom] = *corners;
            let across = samples(left, right, scale(this), width);
            let down = samples(top, bottom, scale(this), height);
            let (columns, rows) = (across.len() / POOLED, down.len() / POOLED);
            let share = 1.0 / (columns * rows) as f32;
            for cell in 0..CELLS {
                let (row, column) = (cell / POOLED, cell % POOLED);
                for (pixel, gradient) in pixel.iter_mut().zip(gradient.iter().skip(cell).step_by(CELLS)) {
                    *pixel = gradient * share;
                }
                for down in &down[row * rows..][..rows] {
                    for across in &across[column * columns..][..columns] {
                        spread(maps, width, *down, *across, &pixel);
                    }
                }
            }
        }
    });
    maps
}

/// Adds a sample's gradient to the four pixels that it lies between.
fn spread(maps: &mut [f32], width: usize, down: Sample, across: Sample, pixel: &[f32]) {
    for (row, of_row) in down.places.into_iter().zip(down.weights) {
        for (column, of_column) in across.places.into_iter().zip(across.weights) {
            let weight = of_row * of_column;
            let place = (row * width + column) * pixel.len();
            maps[place..][..pixel.len()].iter_mut().zip(pixel).for_each(|(sum, value)| *sum += weight * value);
        }
    }
}

/// What the gradients need of a forward pass.
#[derive(Clone, Debug)]
struct State {
    regions: Regions,
    shapes: [[usize; 4]; 4],
}

#[derive(Debug)]
struct Step;

impl<B: Differentiated> Backward<B, 4> for Step {
    type State = State;

    fn backward(self, ops: Ops<State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let nodes = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        let State { regions, shapes } = ops.state;
        for (node, gradient) in nodes.into_iter().zip(B::gradients(gradient, &regions, shapes)) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: Differentiated, C: CheckpointStrategy> RoiAlign for Autodiff<B, C> {
    fn roi_align(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        third: FloatTensor<Self>,
        fourth: FloatTensor<Self>,
        regions: Regions,
    ) -> FloatTensor<Self> {
        let nodes = [first.node(), second.node(), third.node(), fourth.node()];
        let maps = [first, second, third, fourth].map(|maps| maps.into_primitive());
        let shapes = maps.each_ref().map(B::shape);
        let [first, second, third, fourth] = maps;
        let out = B::roi_align(first, second, third, fourth, regions.clone());
        match Step.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish(State { regions, shapes }, out),
            OpsKind::UnTracked(step) => step.finish(out),
        }
    }
}
