//! How a classifier trains.

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Device, Tensor, TensorData};
use nn::checkpoint::Checkpoint;
use nn::layers::{Execution, Loader};
use nn::{Parameters, Random};
use rayon::prelude::*;

use super::Network;
use super::augmentation::Augmentation;
use super::body::Body;
use super::labels::LabelledPictures;
use super::split::Split;
use super::transform::Transform;
use crate::train::{Losses, Spoiled, Task, Validation};

/// Pictures of a validation that are computed at once.
const VALIDATED: usize = 32;

/// Pictures and their classes, to train a classifier with.
#[derive(Clone, Debug)]
pub struct Training {
    /// The feature extractor.
    pub body: Body,
    /// All pictures.
    pub pictures: LabelledPictures,
    /// Those to train with and those that validate.
    pub split: Split,
    /// The side of the network's input, in pixels.
    pub size: usize,
    /// How far pictures are changed at random.
    pub augmentation: Augmentation,
    /// The share of a label that all classes have in equal parts: label smoothing (Szegedy et al. 2016, arXiv 1512.00567).
    pub smoothing: f64,
    /// The parameter of the distribution of shares by which pictures are mixed (Zhang et al. 2018, arXiv 1710.09412); 0 mixes none.
    pub mixup: f64,
    /// The implementation of the layers.
    pub execution: Execution,
}

/// A picture as the network takes it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// `(size, size, 3)`, normalized.
    values: Vec<f32>,
    class: usize,
}

/// The layers of a ResNet that are in the last of its two groups.
const LATER: [&str; 2] = ["0.6.", "0.7."];
/// The first block of EfficientNet-Lite0 that is there.
const LATER_BLOCK: usize = 8;
/// The layers of EfficientNet-Lite0 after its blocks.
const AFTER_BLOCKS: [&str; 2] = ["0._conv_head.", "0._bn1."];

impl Training {
    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.pictures.classes.len()
    }

    fn load(&self, index: usize, transform: &Transform) -> Result<Sample, Spoiled> {
        let (file, class) = &self.pictures.pictures[index];
        let spoiled = |reason: String| Spoiled { example: file.display().to_string(), reason };
        let bytes = std::fs::read(file).map_err(|error| spoiled(error.to_string()))?;
        let picture = picture::decode(&bytes).map_err(|error| spoiled(error.to_string()))?;
        let mut values = transform.apply(&picture, self.size).values;
        let [means, deviations] = self.body.normalization();
        for pixel in values.as_chunks_mut::<3>().0 {
            for channel in 0..3 {
                pixel[channel] = (pixel[channel] - means[channel]) / deviations[channel];
            }
        }
        Ok(Sample { values, class: *class })
    }

    /// The logits of pictures that validate, and their classes. Pictures that cannot be read are left out, and added to `spoiled`.
    fn validated(&self, parameters: &Parameters, spoiled: &mut Vec<Spoiled>) -> Vec<(Vec<f32>, usize)> {
        let network = parameters.network(|weights| self.network(&Loader::new(weights, self.execution)));
        let mut answers = Vec::with_capacity(self.split.validation.len());
        for indices in self.split.validation.chunks(VALIDATED) {
            let loaded: Vec<_> = indices.par_iter().map(|index| self.load(*index, &Transform::default())).collect();
            let mut samples = Vec::with_capacity(loaded.len());
            for sample in loaded {
                match sample {
                    Ok(sample) => samples.push(sample),
                    Err(reason) => spoiled.push(reason),
                }
            }
            if samples.is_empty() {
                continue;
            }
            let logits = network.forward(self.batch(&samples, parameters.device()));
            let logits: Vec<f32> = logits.into_data().try_to_vec().expect("logits are float32");
            answers.extend(logits.chunks_exact(self.classes()).zip(samples).map(|(row, s)| (row.to_vec(), s.class)));
        }
        answers
    }

    fn batch(&self, samples: &[Sample], device: &Device) -> Tensor<4> {
        let values: Vec<f32> = samples.iter().flat_map(|sample| &sample.values).copied().collect();
        let shape = [samples.len(), self.size, self.size, 3];
        Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
    }

    /// For each sample, a share for each class.
    fn targets(&self, samples: &[Sample], mix: &Mix) -> Vec<f32> {
        let classes = self.classes();
        let spread = self.smoothing / classes as f64;
        let mut targets = vec![spread as f32; samples.len() * classes];
        for (index, target) in targets.chunks_exact_mut(classes).enumerate() {
            for (sample, share) in [(index, mix.shares[index]), (mix.partners[index], 1.0 - mix.shares[index])] {
                target[samples[sample].class] += ((1.0 - self.smoothing) * share) as f32;
            }
        }
        targets
    }
}

/// How pictures of a batch are mixed: each with another one.
struct Mix {
    partners: Vec<usize>,
    /// The share of the picture itself.
    shares: Vec<f64>,
}

impl Mix {
    /// The larger share is the picture's own, as fastai has it.
    fn draw(count: usize, alpha: f64, random: &mut Random) -> Self {
        let mut partners: Vec<usize> = (0..count).collect();
        if alpha == 0.0 {
            return Self { partners, shares: vec![1.0; count] };
        }
        random.shuffle(&mut partners);
        let mut share = || {
            let share = random.beta(alpha);
            share.max(1.0 - share)
        };
        Self { partners, shares: (0..count).map(|_| share()).collect() }
    }

    fn apply(&self, samples: &mut [Sample]) {
        let originals: Vec<Option<Vec<f32>>> = {
            let mixes = |index: usize| self.shares[index] < 1.0;
            let needed: Vec<bool> = (0..samples.len())
                .map(|of| (0..samples.len()).any(|by| mixes(by) && self.partners[by] == of))
                .collect();
            samples.iter().zip(needed).map(|(sample, is)| is.then(|| sample.values.clone())).collect()
        };
        for (index, sample) in samples.iter_mut().enumerate() {
            let share = self.shares[index] as f32;
            if let Some(partner) = originals[self.partners[index]].as_ref().filter(|_| share < 1.0) {
                for (value, other) in sample.values.iter_mut().zip(partner) {
                    *value = *value * share + other * (1.0 - share);
                }
            }
        }
    }
}

impl Task for Training {
    type Sample = Sample;
    type Network = Network;

    fn network(&self, loader: &Loader) -> Network {
        Network::load(loader, self.body, self.classes())
    }

    /// The first half of the body, the second one, and the head.
    fn group(&self, parameter: &str) -> usize {
        match parameter {
            name if name.starts_with("1.") => 2,
            name if LATER.iter().chain(&AFTER_BLOCKS).any(|later| name.starts_with(later)) => 1,
            name => {
                let block = name.strip_prefix("0._blocks.").and_then(|rest| rest.split('.').next()?.parse().ok());
                usize::from(block.is_some_and(|block: usize| block >= LATER_BLOCK))
            }
        }
    }

    /// In the first phase the body's convolutions. Its normalizations train.
    fn is_frozen(&self, parameter: &str, phase: usize) -> bool {
        let is_convolution = || {
            let layer = parameter.strip_suffix(".weight").unwrap_or_default();
            let last = layer.rsplit('.').next().unwrap_or_default();
            layer == "0.0" || last.contains("conv") || layer.ends_with("downsample.0")
        };
        phase == 0 && parameter.starts_with("0.") && is_convolution()
    }

    fn examples(&self) -> usize {
        self.split.training.len()
    }

    fn sample(&self, index: usize, mut random: Random) -> Result<Sample, Spoiled> {
        let transform = self.augmentation.draw(&mut || random.uniform());
        self.load(self.split.training[index], &transform)
    }

    fn losses(&self, network: &Network, mut samples: Vec<Sample>, mut random: Random, device: &Device) -> Losses {
        let mix = Mix::draw(samples.len(), self.mixup, &mut random);
        let shape = [samples.len(), self.classes()];
        let targets =
            Tensor::<2>::from_data(TensorData::new(self.targets(&samples, &mix), shape), (device, DType::F32));
        mix.apply(&mut samples);
        let logits = network.forward(self.batch(&samples, device));
        let total = -(log_softmax(logits, 1) * targets).sum() / samples.len() as f64;
        Losses { total, parts: Vec::new() }
    }

    fn validate(&self, parameters: &Parameters) -> Validation {
        let mut spoiled = Vec::new();
        let answers = self.validated(parameters, &mut spoiled);
        if answers.is_empty() {
            return Validation { figures: Vec::new(), spoiled };
        }
        let (mut loss, mut right) = (0.0, 0.0);
        for (logits, class) in &answers {
            let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = logits.iter().map(|logit| f64::from(logit - largest).exp()).sum();
            loss += sum.ln() - f64::from(logits[*class] - largest);
            right += f64::from(u8::from(logits.iter().position(|logit| *logit == largest) == Some(*class)));
        }
        let count = answers.len() as f64;
        let figures = vec![("valid_loss".to_owned(), loss / count), ("accuracy".to_owned(), right / count)];
        Validation { figures, spoiled }
    }
}

/// A checkpoint's tensors under the names of fastai's classifiers, whose body is `0`, if they have those of networks as published.
#[must_use]
pub fn named_as_fastai(checkpoint: &Checkpoint) -> Checkpoint {
    let renamed = |name: &str| {
        let (module, rest) = name.split_once('.')?;
        let index = match module {
            "conv1" => "0",
            "bn1" => "1",
            "layer1" => "4",
            "layer2" => "5",
            "layer3" => "6",
            "layer4" => "7",
            "_conv_stem" | "_bn0" | "_blocks" | "_conv_head" | "_bn1" => module,
            _ => return None,
        };
        Some(format!("0.{index}.{rest}"))
    };
    checkpoint.renamed(|name| renamed(name).unwrap_or_else(|| name.to_owned()))
}

#[cfg(test)]
mod tests {
    use nn::checkpoint::StoredTensor;

    use super::*;

    fn sample(value: f32, class: usize) -> Sample {
        Sample { values: vec![value; 3], class }
    }

    #[test]
    fn mixing_weighs_pictures_and_labels_alike() {
        let mut samples = [sample(0.0, 0), sample(1.0, 1), sample(2.0, 2)];
        let mix = Mix { partners: vec![1, 2, 0], shares: vec![0.75, 0.5, 1.0] };
        mix.apply(&mut samples);
        assert_eq!(samples.map(|sample| sample.values[0]), [0.25, 1.5, 2.0]);
        let drawn = Mix::draw(64, 0.4, &mut Random::new(1));
        assert!(drawn.shares.iter().all(|share| (0.5..=1.0).contains(share)));
        assert_eq!(Mix::draw(3, 0.0, &mut Random::new(1)).shares, [1.0; 3]);
    }

    #[test]
    fn published_names_become_those_of_fastai() {
        let names = [
            "_blocks.0._bn1.bias",
            "conv1.weight",
            "bn1.bias",
            "layer3.0.downsample.0.weight",
            "fc.weight",
            "0.0.weight",
        ];
        let tensors = names.map(|name| (name.to_owned(), StoredTensor::computed(vec![1], || vec![0.0])));
        let renamed = named_as_fastai(&Checkpoint::computed("", tensors));
        let expected = ["0.0.weight", "0.1.bias", "0.6.0.downsample.0.weight", "0._blocks.0._bn1.bias", "fc.weight"];
        assert_eq!(renamed.tensors().keys().collect::<Vec<_>>(), expected);
    }
}
