//! How a network takes its weights out of a checkpoint, or out of [parameters](crate::Parameters) that train. One description of
//! the network [lists](list) its tensors, [loads](load) them, and runs in training.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt::Display;

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};

use crate::checkpoint::{Checkpoint, CheckpointError, Misfit, Misfits, NAMED};
use crate::parameters::Parameters;
use crate::pass::{Pass, Training};

/// The state that all [`Weights`] of one network share.
struct Source<'a> {
    device: Device,
    dtype: FloatDType,
    origin: Origin<'a>,
    asked: RefCell<Vec<Asked>>,
    /// The first tensor that could not be read.
    failed: RefCell<Option<CheckpointError>>,
}

/// Where the values come from.
#[derive(Clone, Copy)]
enum Origin<'a> {
    /// Nowhere: names and shapes are listed.
    Nowhere,
    Checkpoint(&'a Checkpoint),
    Parameters(&'a Parameters),
    /// Parameters in training.
    Pass(&'a Pass<'a>),
}

/// A tensor that a network asked for.
pub(crate) struct Asked {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    /// Whether training computes it otherwise than by a gradient.
    pub(crate) is_buffer: bool,
}

impl<'a> Source<'a> {
    fn new(device: Device, origin: Origin<'a>) -> Self {
        let (asked, failed) = Default::default();
        Self { device, dtype: FloatDType::F32, origin, asked, failed }
    }
}

/// The tensors of a checkpoint under one prefix, for the module of that name.
#[derive(Clone)]
pub struct Weights<'a> {
    source: &'a Source<'a>,
    prefix: String,
}

impl Weights<'_> {
    /// The weights of a module in this one.
    pub fn at(&self, name: impl Display) -> Self {
        let Self { source, prefix } = self;
        let prefix = if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") };
        Self { source, prefix }
    }

    /// The device of the tensors.
    pub fn device(&self) -> &Device {
        &self.source.device
    }

    /// What the layers of this module do otherwise in training; `None` in evaluation.
    pub(crate) fn training(&self) -> Option<Training> {
        match self.source.origin {
            Origin::Pass(pass) => Some(pass.training(&self.prefix)),
            _ => None,
        }
    }

    /// Releases the memory of a tensor of this module that was copied elsewhere. The tensor can still be read, from the file.
    pub fn release(&self, name: &str) {
        if let Origin::Checkpoint(checkpoint) = self.source.origin
            && let Some(stored) = checkpoint.tensors().get(&self.at(name).prefix)
        {
            stored.release();
        }
    }

    /// A tensor of this module. It is zeros while tensors are only listed, and after one could not be read.
    pub fn tensor<const D: usize>(&self, name: &str, shape: [usize; D]) -> Tensor<D> {
        self.reshaped(name, shape, shape)
    }

    /// As [`tensor`](Self::tensor), of a tensor that is stored in another shape with as many elements.
    pub fn reshaped<const D: usize, const E: usize>(
        &self,
        name: &str,
        stored: [usize; E],
        shape: [usize; D],
    ) -> Tensor<D> {
        self.asked(Asked { name: self.at(name).prefix, shape: stored.to_vec(), is_buffer: false }, shape)
    }

    /// As [`tensor`](Self::tensor), of a tensor that has no gradient, such as a running mean.
    pub fn buffer<const D: usize>(&self, name: &str, shape: [usize; D]) -> Tensor<D> {
        self.asked(Asked { name: self.at(name).prefix, shape: shape.to_vec(), is_buffer: true }, shape)
    }

    fn asked<const D: usize>(&self, asked: Asked, shape: [usize; D]) -> Tensor<D> {
        let Source { device, dtype, origin, asked: list, failed } = self.source;
        let checkpoint = match origin {
            Origin::Nowhere => {
                list.borrow_mut().push(asked);
                return self.zeros(shape);
            }
            Origin::Parameters(parameters) => return parameters.tensor(&asked.name).reshape(shape),
            Origin::Pass(pass) => return pass.tensor(&asked.name).reshape(shape),
            Origin::Checkpoint(checkpoint) => checkpoint,
        };
        if failed.borrow().is_some() {
            return self.zeros(shape);
        }
        match checkpoint.tensors()[&asked.name].floats() {
            Ok(values) => {
                let data = TensorData::from_bytes(values, shape, DType::F32);
                let tensor = Tensor::from_data(data, (device, DType::F32));
                if *dtype == FloatDType::F32 { tensor } else { tensor.cast(*dtype) }
            }
            Err(source) => {
                let file = checkpoint.file().to_owned();
                *failed.borrow_mut() = Some(CheckpointError::Tensor { file, tensor: asked.name, source });
                self.zeros(shape)
            }
        }
    }

    /// A tensor computed from others. It is zeros, and nothing is computed, while tensors are only listed.
    pub fn derived<const D: usize>(&self, shape: [usize; D], compute: impl FnOnce() -> Tensor<D>) -> Tensor<D> {
        if matches!(self.source.origin, Origin::Nowhere) { self.zeros(shape) } else { compute() }
    }

    /// Zeros that take no memory.
    fn zeros<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        let Source { device, dtype, .. } = self.source;
        Tensor::<D>::zeros([1; D], (device, DType::from(*dtype))).expand(shape)
    }
}

/// The names and shapes of all tensors that a network asks for, in its order.
pub fn list<N>(network: impl Fn(&Weights) -> N) -> Vec<(String, Vec<usize>)> {
    asked(network).into_iter().map(|asked| (asked.name, asked.shape)).collect()
}

/// All tensors that a network asks for, in its order.
pub(crate) fn asked<N>(network: impl Fn(&Weights) -> N) -> Vec<Asked> {
    let source = Source::new(Device::flex(), Origin::Nowhere);
    network(&Weights { source: &source, prefix: String::new() });
    source.asked.into_inner()
}

/// A network with the values of parameters, for evaluation.
pub(crate) fn of_parameters<N>(parameters: &Parameters, network: impl Fn(&Weights) -> N) -> N {
    let source = Source::new(parameters.device().clone(), Origin::Parameters(parameters));
    network(&Weights { source: &source, prefix: String::new() })
}

/// A network in training.
pub(crate) fn of_pass<N>(pass: &Pass, network: impl Fn(&Weights) -> N) -> N {
    let source = Source::new(pass.device().clone(), Origin::Pass(pass));
    network(&Weights { source: &source, prefix: String::new() })
}

/// [Lists](list) the tensors of a network, if a checkpoint has them all. No values are read. Messages call the network `name`.
///
/// # Errors
/// [`Misfits`]: tensors that the checkpoint lacks, or has in another shape or type.
pub fn survey<N>(
    checkpoint: &Checkpoint,
    name: &str,
    network: impl Fn(&Weights) -> N,
) -> Result<Vec<(String, Vec<usize>)>, Box<Misfits>> {
    let wanted = list(network);
    let misfit = |(name, shape): &(String, Vec<usize>)| {
        let stored = checkpoint.tensors().get(name);
        let fits = stored.is_some_and(|stored| stored.is_float() && stored.shape() == shape);
        let found = stored.map(|stored| (stored.dtype(), stored.shape().to_vec()));
        (!fits).then(|| Misfit { tensor: name.clone(), needed: shape.clone(), found })
    };
    let tensors: Vec<Misfit> = wanted.iter().filter_map(misfit).collect();
    if tensors.is_empty() {
        return Ok(wanted);
    }
    let names: HashSet<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
    let others = || checkpoint.tensors().iter().filter(|(name, _)| !names.contains(name.as_str()));
    Err(Box::new(Misfits {
        file: checkpoint.file().to_owned(),
        network: name.to_owned(),
        needed: wanted.len(),
        tensors,
        prefix: checkpoint.prefix().to_owned(),
        others: others().count(),
        first_others: others().take(NAMED).map(|(name, stored)| (name.clone(), stored.shape().to_vec())).collect(),
    }))
}

/// Loads a network from a checkpoint that [`survey`] has found complete, with elements of `dtype`.
///
/// # Errors
/// [`CheckpointError::Tensor`]: a tensor that cannot be read.
pub fn load<N>(
    checkpoint: &Checkpoint,
    device: &Device,
    dtype: FloatDType,
    network: impl Fn(&Weights) -> N,
) -> Result<N, CheckpointError> {
    let source = Source { dtype, ..Source::new(device.clone(), Origin::Checkpoint(checkpoint)) };
    let network = network(&Weights { source: &source, prefix: String::new() });
    match source.failed.into_inner() {
        None => Ok(network),
        Some(error) => Err(error),
    }
}
