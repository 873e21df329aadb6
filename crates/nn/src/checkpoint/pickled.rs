//! Files of `torch.save`: a zip archive since PyTorch 1.6, a sequence of pickles before that.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use pytorch_reader::{DType, PickleValue, PytorchReader};
use safetensors::Dtype;
use zip::{CompressionMethod, ZipArchive};

use super::pickle::{self, Globals};
use super::stored::Values;
use super::{Checkpoint, CheckpointError, Format, StoredTensor, wrapping};

/// The prefix of tensors in the dictionary of a network, where it is not the root.
const STATE_DICT: &str = "state_dict.";
/// The largest size of all pickles of a file, in bytes. Those of a thousand tensors take 0.2 MB.
const MAX_PICKLES: u64 = 16 << 20;
/// The pickles before the tensors in the older format: magic number, version, system, content, keys.
const LEGACY_PICKLES: usize = 5;
/// How deep the dictionaries of flags lie: those of training options, in a wrapper of two dictionaries.
const FLAG_DEPTH: usize = 4;
/// The largest size of all tensors, in multiples of the file's. Tensors may share values, but nothing is compressed.
const MAX_EXPANSION: u64 = 8;

pub(super) fn open(file: &Path, handle: File) -> Result<Checkpoint, CheckpointError> {
    let damaged = |source| CheckpointError::Damaged { file: file.to_owned(), source };
    let broken = |source| CheckpointError::PyTorch { file: file.to_owned(), source };
    let file_bytes = handle.metadata().map_err(damaged)?.len();
    let mut reader = BufReader::new(handle);
    let (format, globals) = match zipped(&mut reader).map_err(damaged)? {
        Some(globals) => (Format::PyTorchZip, globals),
        None => (Format::PyTorchLegacy, legacy(&mut reader).map_err(damaged)?),
    };
    if globals.hidden {
        return Err(CheckpointError::Code { file: file.to_owned(), python: "a hidden name".to_owned() });
    }
    if let Some(python) = globals.named.into_iter().find(|name| !is_data(name)) {
        return Err(CheckpointError::Code { file: file.to_owned(), python });
    }

    let flags = flags(PytorchReader::read_pickle_data(file, None).map_err(broken)?);
    let tensors = named(PytorchReader::new(file).map_err(broken)?.into_tensors());
    let claimed = tensors.values().fold(0_u64, |sum, tensor| sum.saturating_add(tensor.bytes()));
    if claimed > file_bytes.saturating_mul(MAX_EXPANSION) {
        return Err(CheckpointError::Bomb { file: file.to_owned(), tensors: claimed, bytes: file_bytes });
    }
    Ok(Checkpoint {
        file: file.to_owned(),
        file_bytes,
        format,
        tensors,
        flags,
        prefix: String::new(),
        entries: BTreeMap::new(),
    })
}

/// The names in the pickles of a zip archive; `None` for other files.
fn zipped(reader: &mut BufReader<File>) -> io::Result<Option<Globals>> {
    let mut magic = Vec::new();
    reader.by_ref().take(2).read_to_end(&mut magic)?;
    io::Seek::rewind(reader)?;
    if magic != b"PK" {
        return Ok(None);
    }
    let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
    let mut archive = ZipArchive::new(reader)?;
    let mut all = Globals { named: Vec::new(), hidden: false };
    let mut limit = MAX_PICKLES;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        if entry.compression() != CompressionMethod::Stored {
            return Err(invalid(format!("{} is compressed, which PyTorch's entries are not", entry.name()?)));
        }
        if entry.name()?.ends_with(".pkl") {
            let Globals { named, hidden } = pickle::globals(&mut BufReader::new(&mut entry), &mut limit)?;
            all.named.extend(named);
            all.hidden |= hidden;
        }
    }
    Ok(Some(all))
}

/// The names in the pickles of the older format.
fn legacy(reader: &mut BufReader<File>) -> io::Result<Globals> {
    let mut all = Globals { named: Vec::new(), hidden: false };
    let mut limit = MAX_PICKLES;
    for _ in 0..LEGACY_PICKLES {
        let Globals { named, hidden } = pickle::globals(reader, &mut limit)?;
        all.named.extend(named);
        all.hidden |= hidden;
    }
    Ok(all)
}

/// The tensors, without the prefix of `state_dict`. Where two tensors would have one name, that of `state_dict` counts.
fn named(tensors: HashMap<String, pytorch_reader::Tensor>) -> BTreeMap<String, StoredTensor> {
    let stored = |(name, tensor): (String, pytorch_reader::Tensor)| {
        let stored = StoredTensor::new(dtype(tensor.dtype()), tensor.shape().to_vec(), Values::Pickled(tensor));
        (name, stored)
    };
    wrapping::without(tensors.into_iter().map(stored).collect(), STATE_DICT)
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

/// The boolean entries of the root, and of dictionaries in it as `dictionary.name`.
fn flags(root: PickleValue) -> BTreeMap<String, bool> {
    let mut flags = BTreeMap::new();
    let mut dictionaries = vec![(String::new(), 0, root)];
    while let Some((path, depth, value)) = dictionaries.pop() {
        match value {
            PickleValue::Bool(flag) => drop(flags.insert(path, flag)),
            PickleValue::Dict(entries) if depth < FLAG_DEPTH => dictionaries.extend(
                entries
                    .into_iter()
                    .map(|(name, value)| (if depth == 0 { name } else { format!("{path}.{name}") }, depth + 1, value)),
            ),
            _ => {}
        }
    }
    flags
}

/// Whether a Python class or function only holds or rebuilds data. The list is that of `torch.load` with `weights_only`, with the
/// types of training options added.
fn is_data(python: &str) -> bool {
    const MODULES: [(&str, &[&str]); 15] = [
        ("_codecs", &["encode"]),
        ("argparse", &["Namespace"]),
        ("builtins", &["bytearray", "complex", "frozenset", "object", "range", "set", "slice"]),
        ("collections", &["OrderedDict"]),
        ("copy_reg", &["_reconstructor"]),
        ("datetime", &["date", "datetime", "timedelta"]),
        ("numpy", &["dtype", "ndarray"]),
        ("numpy.core.multiarray", &["_reconstruct", "scalar"]),
        ("pathlib", &["Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"]),
        ("torch", &["Size", "Tensor", "device"]),
        ("torch._utils", &["_rebuild_parameter", "_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"]),
        ("torch.nn.parameter", &["Parameter"]),
        ("torch.serialization", &["_get_layout"]),
        ("torch.storage", &["TypedStorage", "UntypedStorage"]),
        ("torch.torch_version", &["TorchVersion"]),
    ];
    let Some((module, name)) = python.rsplit_once('.') else { return false };
    let module = match module {
        "__builtin__" => "builtins",
        "copyreg" => "copy_reg",
        "numpy._core.multiarray" => "numpy.core.multiarray",
        "pathlib._local" => "pathlib",
        other => other,
    };
    MODULES.iter().any(|(known, names)| *known == module && names.contains(&name))
        || module == "numpy.dtypes" && name.ends_with("DType")
        || module == "torch" && (name.ends_with("Storage") || is_dtype(name))
}

/// Whether this is the name of an element type in the module `torch`.
fn is_dtype(name: &str) -> bool {
    let digits = name.trim_start_matches(|letter: char| letter.is_ascii_alphabetic());
    let kind = &name[..name.len() - digits.len()];
    matches!(kind, "float" | "bfloat" | "int" | "uint" | "complex" | "bool" | "half" | "double" | "long")
        && digits.bytes().all(|digit| digit.is_ascii_digit())
}
