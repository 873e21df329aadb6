//! The network of *Only a Matter of Style: Age Transformation Using a Style-Based Regression Model* (Alaluf et al. 2021, arXiv
//! 2102.02754), which its authors' code calls SAM.
//!
//! Two encoders look at a face of 256 x 256 pixels: one knows only the face, the other also the age wanted. The sum of
//! their codes and of the average face's are the styles of a StyleGAN2 generator. Every module has the name that it has in the
//! published checkpoint.

mod encoder;
mod generator;
mod layer;
mod made_up;

use std::fmt;
use std::iter::repeat_n;
use std::path::PathBuf;

use burn::tensor::{FloatDType, Tensor, TensorData};
use image::RgbImage;
use image::imageops::{self, FilterType};
use rayon::prelude::*;

use crate::checkpoint::{self, Checkpoint, CheckpointError, Weights};
use crate::device::Device;
use crate::heap;
use crate::kernels::COLUMNS;
use encoder::GradualStyleEncoder;
use generator::Generator;
pub use made_up::made_up;

/// Width and height of the face that the encoders take, in pixels.
pub const FACE: u32 = 256;
/// The sizes that a generator's pictures may have, in pixels.
pub const OUTPUT_SIZES: [usize; 3] = [256, 512, 1024];
/// The length of a style.
const STYLE_DIM: usize = 512;

/// What the network computes with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// As its weights were trained.
    #[default]
    Float32,
    /// Half the bytes once it is loaded, and faster where a GPU has units for it; colours are off by a level or two.
    BFloat16,
}

/// Why the network cannot be had, or makes nothing.
#[derive(Debug, thiserror::Error)]
pub enum SamError {
    /// Its tensors are not those of this network, or cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Its generator is too small or too large.
    #[error(
        "{} is a checkpoint for pictures of {output_size} pixels: one for 256, 512 or 1024 would work",
        file.display()
    )]
    OutputSize {
        /// Where it is.
        file: PathBuf,
        /// Width and height of its pictures.
        output_size: usize,
    },
    /// It was trained to do without the encoder of the face itself.
    #[error(
        "{} was trained with {option}, and its codes mean something else: one trained with \
         start_from_encoded_w_plus, as the published checkpoint was, would work",
        file.display()
    )]
    Variant {
        /// Where it is.
        file: PathBuf,
        /// What it says of its training.
        option: &'static str,
    },
    /// The device failed.
    #[error("the device failed: {0}")]
    Device(String),
    /// A picture is not made of numbers.
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
    /// Whether this crate's kernels compute it.
    kernels: bool,
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

/// One style for each layer of the generator, `(1, styles, 512)`.
#[derive(Clone, Debug)]
pub struct Codes(Tensor<3>);

/// What the generator makes: three colours of `size` by `size` pixels, most values of which are -1 to 1.
#[derive(Clone, Debug)]
pub struct Picture {
    /// `(1, 3, size, size)`, or `(1, size, size, 3)`.
    tensor: Tensor<4>,
    channels_last: bool,
}

impl Network {
    fn load(weights: &Weights, output_size: usize) -> Self {
        let styles = styles(output_size);
        Self {
            encoder: GradualStyleEncoder::load(&weights.at("encoder"), 4, styles),
            // Once for a strip.
            pretrained_encoder: GradualStyleEncoder::load(&weights.at("pretrained_encoder").sparingly(), 3, styles),
            decoder: Generator::load(&weights.at("decoder"), output_size),
            latent_avg: weights.tensor("latent_avg", [styles, STYLE_DIM]).unsqueeze(),
        }
    }
}

/// The styles of a generator of pictures of a size: two for each doubling from 4 pixels on, and two more.
fn styles(output_size: usize) -> usize {
    2 * output_size.ilog2() as usize - 2
}

/// What messages call the network.
fn name(output_size: usize) -> String {
    format!("the SAM network for pictures of {output_size} x {output_size}")
}

/// Width and height of the pictures that a checkpoint is for, in pixels: the published size if it does not say.
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

/// What a checkpoint of this network is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Width and height of its pictures, in pixels.
    pub output_size: usize,
    /// The names and extents of the tensors that the network takes from it.
    pub tensors: Vec<(String, Vec<usize>)>,
}

/// Whether a checkpoint is this network's. None of its values is read.
///
/// # Errors
/// [`SamError`]: it is not, and why.
pub fn identify(checkpoint: &Checkpoint) -> Result<Identity, SamError> {
    let (file, output_size) = (checkpoint.file().to_owned(), output_size(checkpoint));
    // Without the pretrained encoder, its tensors are not there either: the reason says more than they would.
    if checkpoint.flag("start_from_latent_avg") == Some(true) {
        return Err(SamError::Variant { file, option: "start_from_latent_avg" });
    }
    if checkpoint.flag("start_from_encoded_w_plus") == Some(false) {
        return Err(SamError::Variant { file, option: "start_from_encoded_w_plus off" });
    }
    if !OUTPUT_SIZES.contains(&output_size) {
        return Err(SamError::OutputSize { file, output_size });
    }
    let network = |weights: &Weights| Network::load(weights, output_size);
    let tensors = checkpoint::survey(checkpoint, &name(output_size), network).map_err(CheckpointError::from)?;
    Ok(Identity { output_size, tensors })
}

impl Sam {
    /// Loads the network.
    ///
    /// # Errors
    /// [`SamError`]: the checkpoint is not this network's, or damaged.
    pub fn load(checkpoint: &Checkpoint, device: Device, precision: Precision) -> Result<Self, SamError> {
        let kernels = device == Device::Cpu && precision == Precision::Float32;
        Self::with(checkpoint, device, precision, kernels)
    }

    /// Loads the network as Burn alone computes it, which is slower on a CPU: the reference for this crate's kernels.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_reference(checkpoint: &Checkpoint, device: Device, precision: Precision) -> Result<Self, SamError> {
        Self::with(checkpoint, device, precision, false)
    }

    fn with(checkpoint: &Checkpoint, device: Device, precision: Precision, kernels: bool) -> Result<Self, SamError> {
        let Identity { output_size, .. } = identify(checkpoint)?;
        if device == Device::Cpu {
            heap::keep_large_blocks();
        }
        let dtype = match precision {
            Precision::Float32 => FloatDType::F32,
            Precision::BFloat16 => FloatDType::BF16,
        };
        let network = |weights: &Weights| Network::load(weights, output_size);
        let network = checkpoint::build(checkpoint, &device.burn(), dtype, kernels, network)?;
        let sam = Self { network, device, precision, output_size, kernels };
        sam.sync()?;
        Ok(sam)
    }

    /// Width and height of its pictures, in pixels.
    pub fn output_size(&self) -> usize {
        self.output_size
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.device
    }

    /// An aligned square picture as the encoders take it; one of another size than [`FACE`] is resized as
    /// `torchvision.transforms.Resize` does.
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

    /// The codes of faces themselves, from `pretrained_encoder`, without the average's. The same for every age.
    pub fn pretrained_codes(&self, faces: &[&Face]) -> Vec<Codes> {
        let faces: Vec<_> = faces.iter().map(|face| (*face, None)).collect();
        split(&self.network.pretrained_encoder.forward(self.faces(&faces)), faces.len())
    }

    /// The codes of faces at ages in years, from `encoder`. What those of one are depends on no other.
    pub fn codes(&self, faces: &[(&Face, u8)]) -> Vec<Codes> {
        let faces: Vec<_> = faces.iter().map(|(face, age)| (*face, Some(*age))).collect();
        split(&self.network.encoder.forward(self.faces(&faces)), faces.len())
    }

    /// How many pictures the device is worth making at once.
    pub fn pictures_at_once(&self) -> usize {
        if self.device == Device::Cpu { 1 } else { 4 }
    }

    /// The pictures of faces at ages: by each face's own codes, from `pretrained_encoder`, and those of its age.
    pub fn pictures(&self, codes: &[(Codes, Codes)]) -> Vec<Picture> {
        let latents = codes.iter().map(|(itself, aged)| {
            // In this order of sums, which levels depend on.
            aged.0.clone() + (itself.0.clone() + self.network.latent_avg.clone())
        });
        let picture =
            |latent: Tensor<3>| Picture { tensor: self.network.decoder.forward(&latent), channels_last: self.kernels };
        if self.kernels || codes.len() < 2 {
            return latents.map(picture).collect();
        }
        let Picture { tensor, channels_last } = picture(Tensor::cat(latents.collect(), 0));
        let one = |index| Picture { tensor: tensor.clone().narrow(0, index, 1), channels_last };
        (0..codes.len()).map(one).collect()
    }

    /// A batch of faces, all with their age in years as one more channel, or all without.
    fn faces(&self, faces: &[(&Face, Option<u8>)]) -> Tensor<4> {
        let side = FACE as usize;
        let pixels = side * side;
        let level = |age: u8| f32::from(age) / 100.0;
        if self.kernels {
            let mut values = vec![0.0; faces.len() * pixels * COLUMNS];
            for ((Face(face), age), values) in faces.iter().zip(values.chunks_exact_mut(pixels * COLUMNS)) {
                for (pixel, line) in values.chunks_exact_mut(COLUMNS).enumerate() {
                    line[..3].copy_from_slice(&[face[pixel], face[pixels + pixel], face[2 * pixels + pixel]]);
                    line[3] = age.map_or(0.0, level);
                }
            }
            return self.on_device(TensorData::new(values, [faces.len(), side, side, COLUMNS]));
        }
        let values: Vec<f32> = faces
            .iter()
            .flat_map(|(Face(face), age)| {
                face.iter().copied().chain(age.iter().flat_map(|age| repeat_n(level(*age), pixels)))
            })
            .collect();
        let channels = if faces.iter().any(|(_, age)| age.is_some()) { 4 } else { 3 };
        self.on_device(TensorData::new(values, [faces.len(), channels, side, side]))
    }

    /// Waits until the device is done with everything it was told.
    ///
    /// # Errors
    /// [`SamError::Device`]: it failed.
    pub fn sync(&self) -> Result<(), SamError> {
        self.device.burn().sync().map_err(|error| SamError::Device(error.to_string()))
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
    /// [`SamError::Device`]: it failed.
    pub fn into_values(self) -> Result<Vec<f32>, SamError> {
        values(self.0)
    }
}

impl Picture {
    /// Channel after channel, row after row.
    ///
    /// # Errors
    /// [`SamError::Device`]: it failed.
    pub fn into_values(self) -> Result<Vec<f32>, SamError> {
        values(if self.channels_last { self.tensor.permute([0, 3, 1, 2]) } else { self.tensor })
    }

    /// As a picture of 8 bits: what is below -1 is black, what is above 1 is white, and levels are rounded down.
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

/// The codes of each of a batch, `(images, styles, 512)`.
fn split(codes: &Tensor<3>, images: usize) -> Vec<Codes> {
    (0..images).map(|index| Codes(codes.clone().narrow(0, index, 1))).collect()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, SamError> {
    let data = tensor.try_into_data().map_err(|error| SamError::Device(error.to_string()))?;
    Ok(data.try_into_vec_as().expect("floating-point numbers convert to each other"))
}

#[cfg(test)]
mod golden;
