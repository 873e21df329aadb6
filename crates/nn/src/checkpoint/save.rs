use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::Path;
use std::str::FromStr;

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use tempfile::NamedTempFile;

use super::{Checkpoint, CheckpointError, StoredTensor};
use crate::device::UnknownChoice;

/// The entry of the safetensors header with the CRC-32 of all values, in eight hexadecimal digits. The format has no checksum.
pub(super) const CHECKSUM: &str = "time-traveler.crc32";

/// The element type of the floating-point tensors of a saved checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementType {
    /// 32 bits.
    Float32,
    /// 16 bits, of which 5 are the exponent's.
    Float16,
    /// 16 bits, of which 8 are the exponent's.
    BFloat16,
}

impl ElementType {
    fn dtype(self) -> Dtype {
        match self {
            Self::Float32 => Dtype::F32,
            Self::Float16 => Dtype::F16,
            Self::BFloat16 => Dtype::BF16,
        }
    }
}

impl FromStr for ElementType {
    type Err = UnknownChoice;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "float32" => Ok(Self::Float32),
            "float16" => Ok(Self::Float16),
            "bfloat16" => Ok(Self::BFloat16),
            _ => Err(UnknownChoice::new(word, "float32, float16 or bfloat16")),
        }
    }
}

/// Writes all tensors of a checkpoint as safetensors with a checksum. Floating-point tensors get elements of the given type, or
/// keep theirs. The file appears when it is complete. `progress` is called with the bytes written and the bytes in total.
///
/// # Errors
/// [`CheckpointError`]: a tensor that cannot be read, a value beyond float16, or a file that cannot be written.
pub fn save(
    checkpoint: &Checkpoint,
    element_type: Option<ElementType>,
    file: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), CheckpointError> {
    let unwritable = |source| CheckpointError::Write { file: file.to_owned(), source };
    let partial = partial(file).map_err(unwritable)?;
    let plan = Plan::new(checkpoint, element_type);
    let mut out = BufWriter::with_capacity(1 << 20, partial.as_file());
    write_header(&mut out, &plan, 0).map_err(unwritable)?;
    let mut hasher = crc32fast::Hasher::new();
    let mut written = 0;
    for (name, tensor, _) in &plan.tensors {
        let values = values(checkpoint, name, tensor, element_type)?;
        hasher.update(&values);
        out.write_all(&values).map_err(unwritable)?;
        written += values.len() as u64;
        progress(written, plan.bytes);
    }
    out.rewind().and_then(|()| write_header(&mut out, &plan, hasher.finalize())).map_err(unwritable)?;
    out.into_inner().map_err(|error| error.into_error()).and_then(File::sync_all).map_err(unwritable)?;
    partial.persist(file).map_err(|error| unwritable(error.error))?;
    Ok(())
}

/// A file that takes this one's place when it is complete.
pub(super) fn partial(file: &Path) -> io::Result<NamedTempFile> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut options = tempfile::Builder::new();
    #[cfg(unix)]
    {
        // The default of temporary files lets only their owner read them. The umask still applies.
        use std::os::unix::fs::PermissionsExt;
        options.permissions(std::fs::Permissions::from_mode(0o666));
    }
    options.prefix(".checkpoint-").tempfile_in(folder)
}

/// The order of the tensors in the file, and their size in bytes.
struct Plan<'a> {
    entries: &'a BTreeMap<String, String>,
    tensors: Vec<(&'a str, &'a StoredTensor, Dtype)>,
    bytes: u64,
}

impl<'a> Plan<'a> {
    /// The widest elements come first, which aligns all of them.
    fn new(checkpoint: &'a Checkpoint, element_type: Option<ElementType>) -> Self {
        let mut tensors: Vec<(&str, &StoredTensor, Dtype)> = checkpoint
            .tensors()
            .iter()
            .map(|(name, tensor)| {
                let dtype = element_type.filter(|_| tensor.is_float()).map_or(tensor.dtype(), ElementType::dtype);
                (name.as_str(), tensor, dtype)
            })
            .collect();
        tensors.sort_by_key(|(_, _, dtype)| std::cmp::Reverse(dtype.bitsize()));
        let bytes = tensors.iter().map(|(_, tensor, dtype)| tensor.bytes_of(*dtype)).sum();
        Self { entries: &checkpoint.entries, tensors, bytes }
    }
}

/// Writes the length of the header in eight bytes, and the header, padded with spaces to a multiple of eight. Its length does not
/// depend on the checksum.
fn write_header(out: &mut impl Write, plan: &Plan, checksum: u32) -> io::Result<()> {
    let mut end = 0;
    let tensors = plan.tensors.iter().map(|(name, tensor, dtype)| {
        let start = end;
        end += tensor.bytes_of(*dtype) as usize;
        let info = TensorInfo { dtype: *dtype, shape: tensor.shape().to_vec(), data_offsets: (start, end) };
        ((*name).to_owned(), info)
    });
    let mut entries: HashMap<String, String> =
        plan.entries.iter().map(|(name, text)| (name.clone(), text.clone())).collect();
    entries.insert(CHECKSUM.to_owned(), format!("{checksum:08x}"));
    let metadata = Metadata::new(Some(entries), tensors.collect()).map_err(io::Error::other)?;
    let mut header = serde_json::to_vec(&metadata)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)
}

fn values(
    checkpoint: &Checkpoint,
    name: &str,
    tensor: &StoredTensor,
    element_type: Option<ElementType>,
) -> Result<bytes::Bytes, CheckpointError> {
    let unreadable =
        |source| CheckpointError::Tensor { file: checkpoint.file().to_owned(), tensor: name.to_owned(), source };
    let element_type = element_type.filter(|wanted| tensor.is_float() && wanted.dtype() != tensor.dtype());
    let Some(element_type) = element_type else { return tensor.raw().map_err(unreadable) };
    let floats = tensor.floats().map_err(unreadable)?;
    let floats = floats.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    let mut bytes = Vec::with_capacity(4 * tensor.elements());
    for value in floats {
        let narrow = match element_type {
            ElementType::Float32 => {
                bytes.extend(value.to_le_bytes());
                continue;
            }
            ElementType::BFloat16 => (bf16::from_f32(value).to_le_bytes(), bf16::from_f32(value).is_infinite()),
            ElementType::Float16 => (f16::from_f32(value).to_le_bytes(), f16::from_f32(value).is_infinite()),
        };
        if narrow.1 && value.is_finite() {
            return Err(CheckpointError::Beyond { tensor: name.to_owned(), value });
        }
        bytes.extend(narrow.0);
    }
    Ok(bytes.into())
}
