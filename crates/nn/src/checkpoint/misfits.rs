use std::fmt::{self, Display};
use std::path::PathBuf;

use safetensors::Dtype;

/// The misfits that a message names.
const NAMED: usize = 10;

/// A tensor that a network needs, and that its checkpoint lacks or has in another shape or type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Its name.
    pub tensor: String,
    /// The shape that the network needs.
    pub needed: Vec<usize>,
    /// The type and shape in the checkpoint, if it has the tensor.
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

/// All misfits between a checkpoint and a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfits {
    /// The path of the checkpoint.
    pub file: PathBuf,
    /// The network, as messages call it.
    pub network: String,
    /// The number of tensors that the network needs.
    pub needed: usize,
    /// The misfits, in the order in which the network asks for tensors.
    pub tensors: Vec<Misfit>,
}

impl Display for Misfits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, network, needed, tensors } = self;
        write!(f, "{} is no checkpoint of {network}: {} of {needed} tensors ", file.display(), tensors.len())?;
        f.write_str(if tensors.len() > NAMED { "do not fit, the first of them: " } else { "do not fit: " })?;
        for (index, misfit) in tensors.iter().take(NAMED).enumerate() {
            write!(f, "{}{misfit}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for Misfits {}
