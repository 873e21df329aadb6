//! The tensors of a network that trains.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device as BurnDevice, Tensor, TensorData};

use crate::checkpoint::{Checkpoint, CheckpointError, StoredTensor};
use crate::device::Device;
use crate::pass::{Pass, Statistics};
use crate::random::Random;
use crate::weights::{self, Asked, Weights};

/// The tensors of a network by their names in its checkpoint, as float32: those that have gradients, and buffers such as running
/// means. They lie flat in memory, whatever their shape, so that one rule updates all of them.
#[derive(Clone, Debug)]
pub struct Parameters {
    device: BurnDevice,
    tensors: BTreeMap<String, Parameter>,
}

#[derive(Clone, Debug)]
struct Parameter {
    shape: Vec<usize>,
    kind: Kind,
    value: Tensor<1>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Trained,
    Frozen,
    Buffer,
}

impl Parameters {
    /// The parameters of a network for training from nothing, as PyTorch's ResNet begins: convolutions and linear layers by He's
    /// rule (He et al. 2015, arXiv 1502.01852), the former by their outputs, the latter by their inputs; normalizations that
    /// change nothing; biases of 0.
    pub fn initial<N>(device: Device, seed: u64, network: impl Fn(&Weights) -> N) -> Self {
        let initial = |(index, asked): (usize, Asked)| {
            let mut random = Random::of(seed, &[index as u64]);
            let values = initial(&asked, &mut random);
            (asked, values)
        };
        Self::of(device, weights::asked(network).into_iter().enumerate().map(initial))
    }

    /// The parameters of a network in a checkpoint that [`survey`](weights::survey) has found complete.
    ///
    /// # Errors
    /// [`CheckpointError::Tensor`]: a tensor that cannot be read.
    pub fn load<N>(
        checkpoint: &Checkpoint,
        device: Device,
        network: impl Fn(&Weights) -> N,
    ) -> Result<Self, CheckpointError> {
        let read = |asked: Asked| checkpoint.floats(&asked.name).map(|values| (asked, values));
        let tensors: Vec<_> = weights::asked(network).into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self::of(device, tensors.into_iter()))
    }

    fn of(device: Device, tensors: impl Iterator<Item = (Asked, Vec<f32>)>) -> Self {
        let device = device.burn();
        let parameter = |(asked, values): (Asked, Vec<f32>)| {
            let kind = if asked.is_buffer { Kind::Buffer } else { Kind::Trained };
            let value = tensor(values, &device);
            (asked.name, Parameter { shape: asked.shape, kind, value })
        };
        Self { tensors: tensors.map(parameter).collect(), device }
    }

    /// Takes over the tensors of a checkpoint that have a parameter's name and shape, and returns their names.
    ///
    /// # Errors
    /// [`CheckpointError::Tensor`]: a tensor that cannot be read.
    pub fn take_over(&mut self, checkpoint: &Checkpoint) -> Result<Vec<String>, CheckpointError> {
        let mut taken = Vec::new();
        for (name, parameter) in &mut self.tensors {
            let stored = checkpoint.tensors().get(name);
            if stored.is_some_and(|stored| stored.is_float() && stored.shape() == parameter.shape) {
                parameter.value = tensor(checkpoint.floats(name)?, &self.device);
                taken.push(name.clone());
            }
        }
        Ok(taken)
    }

    /// Freezes the tensors of these names, and no others. Frozen ones get no gradient. A normalization whose weight is frozen
    /// uses its running statistics, and does not change them.
    pub fn freeze(&mut self, frozen: impl Fn(&str) -> bool) {
        for (name, parameter) in &mut self.tensors {
            if parameter.kind != Kind::Buffer {
                parameter.kind = if frozen(name) { Kind::Frozen } else { Kind::Trained };
            }
        }
    }

    /// The names and shapes of the tensors that have gradients and are not frozen.
    pub fn trained(&self) -> impl Iterator<Item = (&str, &[usize])> {
        let trained = self.tensors.iter().filter(|(_, parameter)| parameter.kind == Kind::Trained);
        trained.map(|(name, parameter)| (name.as_str(), parameter.shape.as_slice()))
    }

    /// The number of all tensors.
    pub fn count(&self) -> usize {
        self.tensors.len()
    }

    /// A network with these values, for evaluation.
    pub fn network<N>(&self, network: impl Fn(&Weights) -> N) -> N {
        weights::of_parameters(self, network)
    }

    /// Begins a step. What is random in it, such as dropout, follows from `seed`.
    pub fn pass(&self, seed: u64) -> Pass<'_> {
        Pass::new(self, seed)
    }

    /// Applies what normalizations have found in a step.
    pub fn apply(&mut self, statistics: Vec<Statistics>) {
        for Statistics { module, mean, variance, momentum } in statistics {
            for (name, value) in [("running_mean", mean), ("running_var", variance)] {
                let parameter = self.tensors.get_mut(&format!("{module}.{name}")).expect("a tensor of a layer");
                let running = parameter.value.clone();
                parameter.value = running * (1.0 - momentum) + value * momentum;
            }
        }
    }

    /// Moves this share of the way to other parameters of the same network: an exponential moving average. Buffers are taken over.
    pub fn approach(&mut self, others: &Self, share: f64) {
        for (name, parameter) in &mut self.tensors {
            let other = others.tensor(name);
            parameter.value = match parameter.kind {
                Kind::Buffer => other,
                Kind::Trained | Kind::Frozen => parameter.value.clone() * (1.0 - share) + other * share,
            };
        }
    }

    /// The tensors as a checkpoint. Messages call it `name`.
    pub fn checkpoint(&self, name: &str) -> Checkpoint {
        let stored = |(name, parameter): (&String, &Parameter)| {
            let value = parameter.value.clone();
            (name.clone(), StoredTensor::computed(parameter.shape.clone(), move || values(value.clone())))
        };
        Checkpoint::computed(name, self.tensors.iter().map(stored))
    }

    /// The device of the values.
    pub fn device(&self) -> &BurnDevice {
        &self.device
    }

    pub(crate) fn tensor(&self, name: &str) -> Tensor<1> {
        self.tensors[name].value.clone()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    pub(crate) fn is_trained(&self, name: &str) -> bool {
        self.tensors[name].kind == Kind::Trained
    }

    /// Replaces a tensor's value by another that follows from it. A rule that works in place gets the only reference.
    pub(crate) fn update(&mut self, name: &str, rule: impl FnOnce(Tensor<1>) -> Tensor<1>) {
        let parameter = self.tensors.get_mut(name).expect("a parameter that was asked for");
        let nothing = Tensor::zeros([1], &self.device);
        parameter.value = rule(std::mem::replace(&mut parameter.value, nothing));
    }
}

/// A flat float32 tensor.
pub(crate) fn tensor(values: Vec<f32>, device: &BurnDevice) -> Tensor<1> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), (device, DType::F32))
}

/// The values of a flat float32 tensor. They are not copied if this is the only reference to them.
pub(crate) fn values(tensor: Tensor<1>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("parameters are float32")
}

/// The values of a tensor before training.
fn initial(asked: &Asked, random: &mut Random) -> Vec<f32> {
    let Asked { name, shape, is_buffer } = asked;
    let count = shape.iter().product();
    let mut normal = |fan: usize| {
        let deviation = (2.0 / fan as f64).sqrt();
        (0..count).map(|_| (deviation * random.normal()) as f32).collect()
    };
    match shape[..] {
        [outputs, _, height, width] if !is_buffer => normal(outputs * height * width),
        [_, inputs] if !is_buffer => normal(inputs),
        _ if name.ends_with("running_var") || name.ends_with("weight") => vec![1.0; count],
        _ => vec![0.0; count],
    }
}
