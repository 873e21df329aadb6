//! How a network takes its weights out of a checkpoint.

use std::cell::RefCell;
use std::fmt::{self, Display};
use std::path::PathBuf;

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use safetensors::Dtype;

use super::{Checkpoint, CheckpointError};

/// The misfits that a message tells.
const TOLD: usize = 10;

/// A tensor that a checkpoint does not have as the network needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Its name.
    pub tensor: String,
    /// The extents that are needed.
    pub needed: Vec<usize>,
    /// The elements and extents that are there, if the tensor is.
    pub found: Option<(Dtype, Vec<usize>)>,
}

impl Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tensor, needed, found } = self;
        match found {
            None => write!(f, "{tensor} {needed:?} is missing"),
            Some((dtype, shape)) if shape == needed => {
                write!(f, "{tensor} has elements of {dtype:?}: F16, BF16, F32 or F64 would work")
            }
            Some((_, shape)) if shape.len() > 8 => {
                write!(f, "{tensor} has {} dimensions, {needed:?} is needed", shape.len())
            }
            Some((_, shape)) => write!(f, "{tensor} is {shape:?}, {needed:?} is needed"),
        }
    }
}

/// All that keeps a checkpoint from being a network's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfits {
    /// Where the checkpoint is.
    pub file: PathBuf,
    /// What it should be.
    pub network: String,
    /// How many tensors the network needs.
    pub needed: usize,
    /// Those that it does not get, in the network's order.
    pub tensors: Vec<Misfit>,
}

impl Display for Misfits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, network, needed, tensors } = self;
        write!(f, "{} is no checkpoint of {network}: {} of {needed} tensors ", file.display(), tensors.len())?;
        f.write_str(if tensors.len() > TOLD { "do not fit, the first of them: " } else { "do not fit: " })?;
        for (index, misfit) in tensors.iter().take(TOLD).enumerate() {
            write!(f, "{}{misfit}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for Misfits {}

/// What all [`Weights`] of one network share.
struct Source<'a> {
    device: &'a Device,
    dtype: FloatDType,
    /// Whether layers are to prepare their weights for the kernels of the CPU.
    kernels: bool,
    /// None when only names and shapes are wanted.
    checkpoint: Option<&'a Checkpoint>,
    asked: RefCell<Vec<(String, Vec<usize>)>>,
    /// The first tensor that could not be read.
    failed: RefCell<Option<CheckpointError>>,
}

/// The tensors of a checkpoint under one prefix, for the module of that name.
pub(crate) struct Weights<'a> {
    source: &'a Source<'a>,
    prefix: String,
    sparing: bool,
}

impl Weights<'_> {
    /// Those of a module in this one.
    pub(crate) fn at(&self, name: impl Display) -> Self {
        let Self { source, prefix, sparing } = self;
        let prefix = if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") };
        Self { source, prefix, sparing: *sparing }
    }

    /// The same, for a module that runs seldom: to prepare its weights is to take little time and memory.
    pub(crate) fn sparingly(self) -> Self {
        Self { sparing: true, ..self }
    }

    /// Whether the preparation of weights is to take little time and memory.
    pub(crate) fn is_sparing(&self) -> bool {
        self.sparing
    }

    /// Where the tensors are.
    pub(crate) fn device(&self) -> &Device {
        self.source.device
    }

    /// Whether a layer is to prepare its weights for the kernels of the CPU.
    pub(crate) fn prepares(&self) -> bool {
        self.source.kernels
    }

    /// Whether only names and shapes are wanted, so that what is computed from tensors is of no use.
    pub(crate) fn lists(&self) -> bool {
        self.source.checkpoint.is_none()
    }

    /// Nobody needs the values of a tensor of this module any more.
    pub(crate) fn release(&self, name: &str) {
        if let Some(stored) =
            self.source.checkpoint.and_then(|checkpoint| checkpoint.tensors().get(&self.at(name).prefix))
        {
            stored.release();
        }
    }

    /// A tensor of this module; zeros while only names and shapes are wanted, or after one could not be read.
    pub(crate) fn tensor<const D: usize>(&self, name: &str, shape: [usize; D]) -> Tensor<D> {
        let Source { device, dtype, checkpoint, asked, failed, .. } = self.source;
        let name = self.at(name).prefix;
        let zeros = || Tensor::<D>::zeros([1; D], (*device, DType::from(*dtype))).expand(shape);
        let Some(checkpoint) = checkpoint else {
            asked.borrow_mut().push((name, shape.to_vec()));
            return zeros();
        };
        if failed.borrow().is_some() {
            return zeros();
        }
        match checkpoint.tensors()[&name].floats() {
            Ok(values) => {
                let data = TensorData::from_bytes(values, shape, DType::F32);
                let tensor = Tensor::from_data(data, (*device, DType::F32));
                if *dtype == FloatDType::F32 { tensor } else { tensor.cast(*dtype) }
            }
            Err(source) => {
                let file = checkpoint.file().to_owned();
                *failed.borrow_mut() = Some(CheckpointError::Tensor { file, tensor: name, source });
                zeros()
            }
        }
    }
}

/// The names and shapes of all tensors that a network asks for, in its order.
pub(crate) fn wanted<N>(network: impl Fn(&Weights) -> N) -> Vec<(String, Vec<usize>)> {
    let device = Device::flex();
    let (asked, failed) = Default::default();
    let source = Source { device: &device, dtype: FloatDType::F32, kernels: false, checkpoint: None, asked, failed };
    network(&Weights { source: &source, prefix: String::new(), sparing: false });
    source.asked.into_inner()
}

/// The names and shapes of all tensors that a network asks for, which a checkpoint has; nothing of it is read.
///
/// # Errors
/// [`Misfits`]: those that it does not have, or not so.
pub(crate) fn survey<N>(
    checkpoint: &Checkpoint,
    name: &str,
    network: impl Fn(&Weights) -> N,
) -> Result<Vec<(String, Vec<usize>)>, Misfits> {
    let wanted = wanted(network);
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
    Err(Misfits { file: checkpoint.file().to_owned(), network: name.to_owned(), needed: wanted.len(), tensors })
}

/// Builds a network from the tensors of a checkpoint, which [`survey`] has found whole. With `kernels`, layers prepare their
/// weights for the kernels of the CPU.
///
/// # Errors
/// [`CheckpointError::Tensor`]: one that cannot be read.
pub(crate) fn build<N>(
    checkpoint: &Checkpoint,
    device: &Device,
    dtype: FloatDType,
    kernels: bool,
    network: impl Fn(&Weights) -> N,
) -> Result<N, CheckpointError> {
    let (asked, failed) = Default::default();
    let source = Source { device, dtype, kernels, checkpoint: Some(checkpoint), asked, failed };
    let network = network(&Weights { source: &source, prefix: String::new(), sparing: false });
    match source.failed.into_inner() {
        None => Ok(network),
        Some(error) => Err(error),
    }
}
