//! What `torch.save` writes.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use pytorch_reader::{DType, FileFormat, PickleValue, PytorchReader};
use safetensors::Dtype;

use super::stored::Values;
use super::{Checkpoint, CheckpointError, Format, StoredTensor};

/// Where a checkpoint keeps its network's tensors, if not at its root.
const STATE_DICT: &str = "state_dict";
/// Where it keeps what the network was trained with.
const OPTIONS: &str = "opts";
/// How many times the file's size all tensors may take: several may share values, but PyTorch compresses nothing.
const MAX_EXPANSION: u64 = 8;

pub(super) fn open(file: &Path, file_bytes: u64) -> Result<Checkpoint, CheckpointError> {
    let broken = |source| CheckpointError::PyTorch { file: file.to_owned(), source };
    let root = PytorchReader::read_pickle_data(file, None).map_err(broken)?;
    if let Some(python) = code(&root) {
        return Err(CheckpointError::Code { file: file.to_owned(), python: python.to_owned() });
    }
    let flags = match root {
        PickleValue::Dict(mut root) => root.remove(OPTIONS).map(flags).unwrap_or_default(),
        _ => BTreeMap::new(),
    };
    let reader = PytorchReader::new(file).map_err(broken)?;
    let format = match reader.metadata().format_type {
        FileFormat::Zip => Format::PyTorchZip,
        FileFormat::Tar => Format::PyTorchTar,
        FileFormat::Legacy | FileFormat::Pickle => Format::PyTorchLegacy,
    };
    let tensors = named(reader.into_tensors());
    let claimed = tensors.values().fold(0_u64, |sum, tensor| sum.saturating_add(tensor.bytes()));
    if claimed > file_bytes.saturating_mul(MAX_EXPANSION) {
        return Err(CheckpointError::Bomb { file: file.to_owned(), tensors: claimed, bytes: file_bytes });
    }
    Ok(Checkpoint { file: file.to_owned(), file_bytes, format, tensors, flags })
}

/// The tensors under the names that the network has for them.
fn named(tensors: HashMap<String, pytorch_reader::Tensor>) -> BTreeMap<String, StoredTensor> {
    let inner = |name: &str| Some(name.strip_prefix(STATE_DICT)?.strip_prefix('.')?.to_owned());
    tensors
        .into_iter()
        .map(|(name, tensor)| {
            let stored = StoredTensor::new(dtype(tensor.dtype()), tensor.shape().to_vec(), Values::Pickled(tensor));
            (inner(&name).unwrap_or(name), stored)
        })
        .collect()
}

fn dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::I16 => Dtype::I16,
        DType::I8 => Dtype::I8,
        DType::U64 => Dtype::U64,
        DType::U32 => Dtype::U32,
        DType::U16 => Dtype::U16,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    }
}

fn flags(options: PickleValue) -> BTreeMap<String, bool> {
    let PickleValue::Dict(options) = options else { return BTreeMap::new() };
    let flag = |(name, value)| match value {
        PickleValue::Bool(flag) => Some((name, flag)),
        _ => None,
    };
    options.into_iter().filter_map(flag).collect()
}

/// The first class or function that is more than data, by the name that Python would call it by.
fn code(value: &PickleValue) -> Option<&str> {
    match value {
        PickleValue::List(values) => values.iter().find_map(code),
        PickleValue::Dict(entries) => entries.values().find_map(code),
        PickleValue::Unsupported(python) if !is_data(python) => Some(python),
        _ => None,
    }
}

/// Whether a Python class is one whose objects only hold data. `torch.load` with `weights_only` has such a list as well;
/// this one also has what argument parsers leave in `opts`.
fn is_data(python: &str) -> bool {
    const CLASSES: [&str; 13] = [
        "_codecs.encode",
        "argparse.Namespace",
        "builtins.complex",
        "builtins.range",
        "builtins.slice",
        "collections.Counter",
        "collections.OrderedDict",
        "collections.defaultdict",
        "datetime.datetime",
        "int",
        "torch.Size",
        "torch.Tensor",
        "torch.device",
    ];
    let python = python.replace("__builtin__.", "builtins.");
    let (module, name) = python.rsplit_once('.').unwrap_or(("", &python));
    CLASSES.contains(&python.as_str())
        || module == "pathlib"
        || module == "torch" && (name.ends_with("Storage") || is_dtype(name))
        || module == "torch.storage"
        || matches!(module, "numpy" | "numpy.dtypes")
        || module.starts_with("numpy.") && matches!(name, "scalar" | "_reconstruct")
}

/// Whether `torch.` and this is an element type.
fn is_dtype(name: &str) -> bool {
    let digits = name.trim_start_matches(|letter: char| letter.is_ascii_alphabetic());
    let kind = &name[..name.len() - digits.len()];
    matches!(kind, "float" | "bfloat" | "int" | "uint" | "complex" | "bool" | "half" | "double" | "long")
        && digits.bytes().all(|digit| digit.is_ascii_digit())
}
