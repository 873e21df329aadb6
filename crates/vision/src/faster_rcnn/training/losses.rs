//! The four losses of a batch (Ren et al. 2015, arXiv 1506.01497), as Detectron2 scales them.

use burn::tensor::activation::{log_sigmoid, log_softmax};
use burn::tensor::{Device, Int, Tensor, TensorData};
use nn::layers::Loader;
use picture::RgbImage;

use super::matching::Sampling;
use super::targets::{AnchorTargets, of_anchors, of_regions};
use crate::faster_rcnn::anchors::Anchors;
use crate::faster_rcnn::coder::decode;
use crate::faster_rcnn::config::{Config, TrainingConfig};
use crate::faster_rcnn::network::{Anchored, Network};
use crate::faster_rcnn::preparing;
use crate::faster_rcnn::regions::{self, Region};
use crate::faster_rcnn::roi_align::{self, POOLED_LEVELS, Roi};

/// A picture in the size that it is trained with, and its objects.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The picture.
    pub picture: RgbImage,
    /// Left, top, right, bottom of each object, in pixels of the picture.
    pub boxes: Vec<[f32; 4]>,
    /// The class of each, from 0.
    pub classes: Vec<usize>,
}

/// The losses of a batch, and what they were computed with.
#[derive(Debug)]
pub struct Batch {
    /// `loss_cls`, `loss_box_reg`, `loss_rpn_cls` and `loss_rpn_loc`, `(1)` each. Their sum is minimized.
    pub losses: [(&'static str, Tensor<1>); 4],
    #[cfg_attr(not(test), expect(dead_code, reason = "compared in tests"))]
    pub(crate) anchors: Vec<AnchorTargets>,
    #[cfg_attr(not(test), expect(dead_code, reason = "compared in tests"))]
    pub(crate) regions: Vec<Vec<Region>>,
    #[cfg_attr(not(test), expect(dead_code, reason = "compared in tests"))]
    pub(crate) sampled: Vec<super::targets::RegionTargets>,
}

/// The network of a configuration, in training.
#[derive(Debug)]
pub struct Trained<'a> {
    network: Network,
    config: &'a Config,
    training: &'a TrainingConfig,
}

impl<'a> Trained<'a> {
    /// With the weights of a loader.
    pub fn load(loader: &Loader, config: &'a Config, training: &'a TrainingConfig) -> Self {
        Self { network: Network::load(loader, &config.form), config, training }
    }

    /// The losses of a batch of at least one example. Tensors are made on `device`.
    pub fn losses(&self, examples: &[Example], sampling: &mut Sampling, device: &Device) -> Batch {
        losses_of(&self.network, examples, self.config, self.training, sampling, device)
    }
}

fn losses_of(
    network: &Network,
    examples: &[Example],
    config: &Config,
    training: &TrainingConfig,
    sampling: &mut Sampling,
    device: &Device,
) -> Batch {
    let pyramid = network.pyramid(network.bottom_up(input(examples, config, device)));
    let generator = Anchors::new(&config.anchors);
    let (mut logits, mut offsets, mut anchors, mut levels) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (level, maps) in pyramid.iter().enumerate() {
        let [_, _, columns, _] = network.channels_innermost(maps.clone()).dims();
        let Anchored { logits: of_level, offsets: moves } = network.anchored(maps.clone());
        let [_, count] = of_level.dims();
        anchors.extend((0..count).map(|index| generator.at(level, columns, index)));
        levels.push(count);
        logits.push(of_level);
        offsets.push(moves);
    }
    let (logits, offsets) = (Tensor::cat(logits, 1), Tensor::cat(offsets, 1));
    let regions = regions_of(&logits, &offsets, &anchors, &levels, examples, config, training);

    let of_anchors: Vec<AnchorTargets> = examples
        .iter()
        .map(|example| of_anchors(example, &anchors, training, config.region_weights, sampling))
        .collect();
    let [objectness, places] = anchor_losses(logits, offsets, &of_anchors, training.anchors.count);

    let classes = config.form.classes;
    let corners = |regions: &Vec<Region>| regions.iter().map(|region| region.corners).collect();
    let sampled: Vec<_> = examples
        .iter()
        .zip(&regions)
        .map(|(example, regions)| {
            of_regions(example, corners(regions), classes, training, config.box_weights, sampling)
        })
        .collect();
    let of_batch = sampled
        .iter()
        .enumerate()
        .flat_map(|(image, targets)| targets.corners.iter().map(move |corners| Roi { image, corners: *corners }));
    let mut maps = pyramid.into_iter().take(POOLED_LEVELS).map(|maps| network.channels_innermost(maps));
    let maps = [(); POOLED_LEVELS].map(|()| maps.next().expect("the pyramid has more levels"));
    let [scores, moves] = network.classified(network.hidden(roi_align::of_batch(maps, of_batch.collect())));
    let labels: Vec<i64> = sampled.iter().flat_map(|targets| &targets.classes).map(|class| *class as i64).collect();
    let moved: Vec<[f32; 4]> = sampled.iter().flat_map(|targets| &targets.offsets).copied().collect();
    let [class, corners] = region_losses(scores, moves, &labels, &moved, classes);
    Batch {
        losses: [
            ("loss_cls", class),
            ("loss_box_reg", corners),
            ("loss_rpn_cls", objectness),
            ("loss_rpn_loc", places),
        ],
        anchors: of_anchors,
        regions,
        sampled,
    }
}

/// The pictures of a batch, `(images, height, width, 3)`, with zeros to the right and below.
fn input(examples: &[Example], config: &Config, device: &Device) -> Tensor<4> {
    let prepared: Vec<_> =
        examples.iter().map(|example| preparing::prepared(&example.picture, &config.input)).collect();
    let side = |axis: usize| prepared.iter().map(|one| one.padded[axis]).max().unwrap_or_default();
    let (width, height) = (side(0), side(1));
    let mut values = vec![0.0; prepared.len() * width * height * 3];
    for (out, one) in values.chunks_exact_mut((width * height * 3).max(1)).zip(&prepared) {
        let row = one.padded[0] * 3;
        for (out, row) in out.chunks_exact_mut(width * 3).zip(one.values.chunks_exact(row)) {
            out[..row.len()].copy_from_slice(row);
        }
    }
    Tensor::from_data(TensorData::new(values, [prepared.len(), height, width, 3]), device)
}

/// The regions of each picture. They carry no gradient.
fn regions_of(
    logits: &Tensor<2>,
    offsets: &Tensor<3>,
    anchors: &[[f32; 4]],
    levels: &[usize],
    examples: &[Example],
    config: &Config,
    training: &TrainingConfig,
) -> Vec<Vec<Region>> {
    let values = |data: TensorData| data.try_into_vec::<f32>().expect("the outputs are float32");
    let logits = values(logits.clone().inner().into_data());
    let offsets = values(offsets.clone().inner().into_data());
    let offsets = offsets.as_chunks::<4>().0;
    let of_picture = |(image, example): (usize, &Example)| {
        let logits = &logits[image * anchors.len()..][..anchors.len()];
        let offsets = &offsets[image * anchors.len()..][..anchors.len()];
        let mut first = 0;
        let mut of_levels = Vec::new();
        for count in levels {
            let best = regions::best(&logits[first..][..*count], training.selection.before).into_iter();
            let region = |index: usize| {
                let index = first + index;
                let corners = decode(anchors[index], offsets[index], config.region_weights);
                Region { corners, logit: logits[index] }
            };
            of_levels.push(best.map(region).collect());
            first += count;
        }
        let (width, height) = example.picture.dimensions();
        regions::choose(of_levels, [width as f32, height as f32], training.selection)
    };
    examples.iter().enumerate().map(of_picture).collect()
}

/// Indices for `select`.
fn indices(values: Vec<i64>, device: &Device) -> Tensor<1, Int> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

fn nothing(device: &Device) -> Tensor<1> {
    Tensor::zeros([1], device)
}

/// Of objectness and of offsets. Both are divided by all anchors that could be sampled.
fn anchor_losses(logits: Tensor<2>, offsets: Tensor<3>, targets: &[AnchorTargets], count: usize) -> [Tensor<1>; 2] {
    let [images, anchors] = logits.dims();
    let device = logits.device();
    let place = |image: usize, index: &usize| (image * anchors + index) as i64;
    let of = |part: fn(&AnchorTargets) -> &Vec<usize>| -> Vec<i64> {
        let of_image =
            |(image, targets)| part(targets).iter().map(move |index| place(image, index)).collect::<Vec<_>>();
        targets.iter().enumerate().flat_map(of_image).collect()
    };
    let (objects, background) = (of(|targets| &targets.objects), of(|targets| &targets.background));
    let (logits, offsets) = (logits.reshape([images * anchors]), offsets.reshape([images * anchors, 4]));
    let scale = 1.0 / (count * images) as f64;
    let mut class = nothing(&device);
    let mut moves = nothing(&device);
    if !background.is_empty() {
        let logits = logits.clone().select(0, indices(background, &device));
        class = class + (logits.clone() - log_sigmoid(logits)).sum();
    }
    if !objects.is_empty() {
        let places = indices(objects, &device);
        class = class - log_sigmoid(logits.select(0, places.clone())).sum();
        let wanted: Vec<f32> = targets.iter().flat_map(|targets| targets.offsets.as_flattened()).copied().collect();
        let rows = wanted.len() / 4;
        let wanted = Tensor::<2>::from_data(TensorData::new(wanted, [rows, 4]), &device);
        moves = moves + (offsets.select(0, places) - wanted).abs().sum();
    }
    [class * scale, moves * scale]
}

/// Of classes and of offsets, the mean over all sampled regions. Offsets count for objects alone, and for their class.
fn region_losses(
    logits: Tensor<2>,
    offsets: Tensor<2>,
    labels: &[i64],
    moved: &[[f32; 4]],
    classes: usize,
) -> [Tensor<1>; 2] {
    let device = logits.device();
    let count = labels.len();
    if count == 0 {
        return [nothing(&device), nothing(&device)];
    }
    let wanted = indices(labels.to_vec(), &device).reshape([count, 1]);
    let class = -log_softmax(logits, 1).gather(1, wanted).mean();
    let of_objects = (0..count).zip(labels).filter(|(_, label)| (**label as usize) < classes);
    let places: Vec<i64> = of_objects.map(|(region, label)| (region * classes) as i64 + label).collect();
    if places.is_empty() {
        return [class, nothing(&device)];
    }
    let rows = places.len();
    let offsets = offsets.reshape([count * classes, 4]).select(0, indices(places, &device));
    let wanted = TensorData::new(moved.as_flattened().to_vec(), [rows, 4]);
    let corners = (offsets - Tensor::from_data(wanted, &device)).abs().sum() / count as f64;
    [class, corners]
}
