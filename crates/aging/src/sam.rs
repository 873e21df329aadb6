//! The network of *Only a Matter of Style: Age Transformation Using a Style-Based Regression Model* (Alaluf et al. 2021, arXiv
//! 2102.02754), which its authors' code calls SAM.
//!
//! Two encoders take a face of 256 x 256 pixels. One takes only the face, the other also the target age. The sum of their codes
//! and of the average face's code are the styles of a StyleGAN2 generator. Modules are named as in the published checkpoint.

mod encoder;
mod equal_linear;
mod generator;
mod kernels;
mod made_up;

use std::fmt;
use std::iter::repeat_n;
use std::path::PathBuf;

use burn::tensor::{FloatDType, Tensor, TensorData};
use image::RgbImage;
use image::imageops::{self, FilterType};
use nn::checkpoint::{Checkpoint, CheckpointError};
use nn::layers::{Budget, Execution, Loader};
use nn::weights::{self, Weights};
use nn::{Device, ExecutionError, Precision};
use rayon::prelude::*;

use encoder::GradualStyleEncoder;
use generator::Generator;
pub use made_up::made_up;

/// Width and height of the face that the encoders take, in pixels.
pub const FACE: u32 = 256;
/// The sizes that a generator's pictures may have, in pixels.
pub const OUTPUT_SIZES: [usize; 3] = [256, 512, 1024];
/// The length of a style.
const STYLE_DIM: usize = 512;

/// Why the network cannot be loaded, or fails.
#[derive(Debug, thiserror::Error)]
pub enum SamError {
    /// The checkpoint is not that of this network, or cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The generator is too small or too large.
    #[error(
        "{} is a checkpoint for pictures of {output_size} pixels: one for 256, 512 or 1024 would work",
        file.display()
    )]
    OutputSize {
        /// The checkpoint.
        file: PathBuf,
        /// Width and height of its pictures, in pixels.
        output_size: usize,
    },
    /// The network was trained without the encoder of the face itself.
    #[error(
        "{} was trained with {option}, and its codes mean something else: one trained with \
         start_from_encoded_w_plus, as the published checkpoint was, would work",
        file.display()
    )]
    Variant {
        /// The checkpoint.
        file: PathBuf,
        /// The option of its training.
        option: &'static str,
    },
    /// The device failed.
    #[error("the device failed")]
    Device(#[from] ExecutionError),
    /// A picture has values that are no numbers.
    #[error(
        "the network made a picture with values that are no numbers: its checkpoint is damaged, or was not trained well"
    )]
    NotFinite,
}

/// The network with its weights on a device.
pub struct Sam {
    network: Network,
    device: Device,
    precision: Precision,
    output_size: usize,
    execution: Execution,
}

impl fmt::Debug for Sam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, precision, output_size, .. } = self;
        write!(f, "Sam {{ device: {device:?}, precision: {precision:?}, output_size: {output_size} }}")
    }
}

#[derive(Debug)]
struct Network {
    encoder: GradualStyleEncoder,
    pretrained_encoder: GradualStyleEncoder,
    decoder: Generator,
    latent_avg: Tensor<3>,
}

/// A face as the encoders take it: `(3, 256, 256)`, values of -1 to 1.
#[derive(Clone, Debug)]
pub struct Face(Vec<f32>);

/// A style for each layer of the generator, `(1, styles, 512)`.
#[derive(Clone, Debug)]
pub struct Codes(Tensor<3>);

/// A picture of the generator: three colours of `size` by `size` pixels, most values of which are -1 to 1.
#[derive(Clone, Debug)]
pub struct Picture {
    /// `(1, 3, size, size)`, or `(1, size, size, 3)`.
    tensor: Tensor<4>,
    channels_last: bool,
}

impl Network {
    fn load(loader: &Loader, output_size: usize) -> Self {
        let styles = styles(output_size);
        // It runs once for a strip, the others once for an age.
        let pretrained = loader.at("pretrained_encoder").with_budget(Budget::SPARING);
        Self {
            encoder: GradualStyleEncoder::load(&loader.at("encoder"), 4, styles),
            pretrained_encoder: GradualStyleEncoder::load(&pretrained, 3, styles),
            decoder: Generator::load(&loader.at("decoder"), output_size),
            latent_avg: loader.tensor("latent_avg", [styles, STYLE_DIM]).unsqueeze(),
        }
    }
}

/// The number of styles of a generator: two for each doubling from 4 pixels on, and two more.
fn styles(output_size: usize) -> usize {
    2 * output_size.ilog2() as usize - 2
}

/// The network, as messages call it.
fn name(output_size: usize) -> String {
    format!("the SAM network for pictures of {output_size} x {output_size}")
}

/// Width and height of a checkpoint's pictures, in pixels: the published size where its tensors do not determine it.
fn output_size(checkpoint: &Checkpoint) -> usize {
    let scales =
        (0_u32..).take_while(|index| checkpoint.tensors().contains_key(&format!("decoder.to_rgbs.{index}.bias")));
    match scales.count() {
        0 => 1024,
        scales => 8 << (scales - 1).min(20),
    }
}

/// The multiplications of the network's convolutions, each with an addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multiplications {
    /// Once for a face.
    pub pretrained_encoder: u64,
    /// Once for an age.
    pub encoder: u64,
    /// Once for an age.
    pub generator: u64,
}

/// The multiplications for pictures of a width in pixels.
pub fn multiplications(output_size: usize) -> Multiplications {
    let styles = styles(output_size);
    Multiplications {
        pretrained_encoder: encoder::multiplications(3, styles),
        encoder: encoder::multiplications(4, styles),
        generator: generator::multiplications(output_size),
    }
}

/// A checkpoint that is this network's.
#[derive(Debug)]
pub struct Identity {
    /// Width and height of its pictures, in pixels.
    pub output_size: usize,
    /// The names and extents of the tensors that the network takes from it.
    pub tensors: Vec<(String, Vec<usize>)>,
    /// The checkpoint, with its tensors under these names: without the prefix that it may have before all of them.
    pub checkpoint: Checkpoint,
}

/// Identifies a checkpoint as this network's, with or without a prefix before the names. Its values are not read.
///
/// # Errors
/// [`SamError`]: why the checkpoint is not this network's.
pub fn identify(checkpoint: &Checkpoint) -> Result<Identity, SamError> {
    let network = |size| move |weights: &Weights| Network::load(&Loader::new(weights, Execution::Burn), size);
    // Every size has the names of the smallest one.
    let names = weights::list(network(OUTPUT_SIZES[0]));
    let checkpoint = checkpoint.unwrapped(names.iter().map(|(name, _)| name.as_str()))?;
    let (file, output_size) = (checkpoint.file().to_owned(), output_size(&checkpoint));
    // Such a checkpoint also lacks tensors. The option is the reason, and the better message.
    if checkpoint.flag("opts.start_from_latent_avg") == Some(true) {
        return Err(SamError::Variant { file, option: "start_from_latent_avg" });
    }
    if checkpoint.flag("opts.start_from_encoded_w_plus") == Some(false) {
        return Err(SamError::Variant { file, option: "start_from_encoded_w_plus off" });
    }
    if !OUTPUT_SIZES.contains(&output_size) {
        return Err(SamError::OutputSize { file, output_size });
    }
    let tensors =
        weights::survey(&checkpoint, &name(output_size), network(output_size)).map_err(CheckpointError::from)?;
    Ok(Identity { output_size, tensors, checkpoint })
}

impl Sam {
    /// Loads the network. On a CPU, a program saves time by an allocator that keeps large freed blocks (glibc's
    /// `M_MMAP_THRESHOLD` and `M_TRIM_THRESHOLD`): the first touch of new memory takes longer than the computation on it.
    ///
    /// # Errors
    /// [`SamError`]: the checkpoint is not this network's, or damaged.
    pub fn load(checkpoint: &Checkpoint, device: Device, precision: Precision) -> Result<Self, SamError> {
        Self::with(checkpoint, device, precision, Execution::fastest(device, precision))
    }

    /// Loads the network on Burn's operations alone, which are slower on a CPU: the reference for the kernels.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_reference(checkpoint: &Checkpoint, device: Device, precision: Precision) -> Result<Self, SamError> {
        Self::with(checkpoint, device, precision, Execution::Burn)
    }

    fn with(
        checkpoint: &Checkpoint,
        device: Device,
        precision: Precision,
        execution: Execution,
    ) -> Result<Self, SamError> {
        let Identity { output_size, checkpoint, .. } = identify(checkpoint)?;
        let dtype = match precision {
            Precision::Float32 => FloatDType::F32,
            Precision::BFloat16 => FloatDType::BF16,
        };
        let network = |weights: &Weights| Network::load(&Loader::new(weights, execution), output_size);
        let network = weights::load(&checkpoint, &device.burn(), dtype, network)?;
        let sam = Self { network, device, precision, output_size, execution };
        sam.sync()?;
        Ok(sam)
    }

    /// Width and height of its pictures, in pixels.
    pub fn output_size(&self) -> usize {
        self.output_size
    }

    /// The device that it computes on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Prepares an aligned square picture for the encoders. A picture of another size than [`FACE`] is resized as by
    /// `torchvision.transforms.Resize`.
    pub fn face(&self, square: &RgbImage) -> Face {
        let resized;
        let face = if square.dimensions() == (FACE, FACE) {
            square
        } else {
            resized = imageops::resize(square, FACE, FACE, FilterType::Triangle);
            &resized
        };
        let channel = |channel: usize| {
            face.as_raw()[channel..].iter().step_by(3).map(|level| (f32::from(*level) / 255.0 - 0.5) / 0.5)
        };
        Face((0..3).flat_map(channel).collect())
    }

    /// The codes of faces themselves, from `pretrained_encoder`, without the average's code. They are the same for every age.
    pub fn pretrained_codes(&self, faces: &[&Face]) -> Vec<Codes> {
        let faces: Vec<_> = faces.iter().map(|face| (*face, None)).collect();
        split(&self.network.pretrained_encoder.forward(self.faces(&faces)), faces.len())
    }

    /// The codes of faces at ages in years, from `encoder`. They do not depend on the other faces of the batch.
    pub fn codes(&self, faces: &[(&Face, u8)]) -> Vec<Codes> {
        let faces: Vec<_> = faces.iter().map(|(face, age)| (*face, Some(*age))).collect();
        split(&self.network.encoder.forward(self.faces(&faces)), faces.len())
    }

    /// The number of pictures that the device computes best at once.
    pub fn pictures_at_once(&self) -> usize {
        if self.device == Device::Cpu { 1 } else { 4 }
    }

    /// The pictures of faces at ages, from each face's own codes of `pretrained_encoder` and its codes at an age of `encoder`.
    pub fn pictures(&self, codes: &[(Codes, Codes)]) -> Vec<Picture> {
        let latents = codes.iter().map(|(itself, aged)| {
            // Levels depend on the order of these sums.
            aged.0.clone() + (itself.0.clone() + self.network.latent_avg.clone())
        });
        let channels_last = self.execution == Execution::Kernels;
        let picture = |latent: Tensor<3>| Picture { tensor: self.network.decoder.forward(&latent), channels_last };
        if channels_last || codes.len() < 2 {
            return latents.map(picture).collect();
        }
        let Picture { tensor, channels_last } = picture(Tensor::cat(latents.collect(), 0));
        let one = |index| Picture { tensor: tensor.clone().narrow(0, index, 1), channels_last };
        (0..codes.len()).map(one).collect()
    }

    /// A batch of faces: all with their age in years as a fourth channel, or all without.
    fn faces(&self, faces: &[(&Face, Option<u8>)]) -> Tensor<4> {
        let side = FACE as usize;
        let pixels = side * side;
        let channels = if faces.iter().any(|(_, age)| age.is_some()) { 4 } else { 3 };
        let mut values = Vec::with_capacity(faces.len() * channels * pixels);
        for (Face(face), age) in faces {
            values.extend_from_slice(face);
            values.extend(age.iter().flat_map(|age| repeat_n(f32::from(*age) / 100.0, pixels)));
        }
        let faces = self.on_device(TensorData::new(values, [faces.len(), channels, side, side]));
        if self.execution == Execution::Kernels { faces.permute([0, 2, 3, 1]) } else { faces }
    }

    /// Waits until the device has done all its work.
    ///
    /// # Errors
    /// [`SamError::Device`]: the device failed.
    pub fn sync(&self) -> Result<(), SamError> {
        Ok(self.device.sync()?)
    }

    fn on_device<const D: usize>(&self, data: TensorData) -> Tensor<D> {
        let tensor = Tensor::from_data(data, &self.device.burn());
        match self.precision {
            Precision::Float32 => tensor,
            Precision::BFloat16 => tensor.cast(FloatDType::BF16),
        }
    }
}

impl Codes {
    /// Style after style.
    ///
    /// # Errors
    /// [`SamError::Device`]: the device failed.
    pub fn into_values(self) -> Result<Vec<f32>, SamError> {
        values(self.0)
    }
}

impl Picture {
    /// Channel after channel, row after row.
    ///
    /// # Errors
    /// [`SamError::Device`]: the device failed.
    pub fn into_values(self) -> Result<Vec<f32>, SamError> {
        values(if self.channels_last { self.tensor.permute([0, 3, 1, 2]) } else { self.tensor })
    }

    /// As a picture of 8 bits: -1 and below is black, 1 and above is white, and levels are rounded down.
    ///
    /// # Errors
    /// [`SamError`]: values that are no numbers, or a device that failed.
    pub fn into_rgb(self) -> Result<RgbImage, SamError> {
        let tensor = if self.channels_last { self.tensor } else { self.tensor.permute([0, 2, 3, 1]) };
        let [_, height, width, _] = tensor.dims();
        let values = values(tensor)?;
        let mut pixels = vec![0; values.len()];
        let rows = pixels.par_chunks_mut(width * 3).zip(values.par_chunks(width * 3));
        let finite = rows.map(|(levels, values)| {
            for (level, value) in levels.iter_mut().zip(values) {
                *level = (((value + 1.0) / 2.0).clamp(0.0, 1.0) * 255.0) as u8;
            }
            values.iter().fold(true, |finite, value| finite & value.is_finite())
        });
        if !finite.reduce(|| true, |one, other| one & other) {
            return Err(SamError::NotFinite);
        }
        Ok(RgbImage::from_raw(width as u32, height as u32, pixels).expect("three channels of every pixel"))
    }
}

/// The codes of each image of a batch, `(images, styles, 512)`.
fn split(codes: &Tensor<3>, images: usize) -> Vec<Codes> {
    (0..images).map(|index| Codes(codes.clone().narrow(0, index, 1))).collect()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, SamError> {
    Ok(tensor.try_into_data()?.try_into_vec_as().expect("floating-point numbers convert to each other"))
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod identify_tests;
