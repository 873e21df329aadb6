//! Files as `torch.save` writes them since PyTorch 1.6: a zip archive that has a pickle, and an entry for the values of each tensor.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use safetensors::Dtype;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::save::partial;
use super::{Checkpoint, CheckpointError, StoredTensor};

/// The alignment of values in the file, in bytes, as in PyTorch's files.
const ALIGNMENT: u16 = 64;
/// The mean of a normalization, and its number of batches.
const MEAN: &str = "running_mean";
const BATCHES: &str = "num_batches_tracked";

/// Writes all tensors of a checkpoint as an ordered dictionary, which `torch.load` reads with `weights_only` too. The file appears
/// when it is complete. A normalization with running statistics gets the number of `batches` that it has seen, unless the checkpoint
/// has it: modules of PyTorch have that number, and computations do not. `None` writes no such number, as for frozen normalizations.
///
/// # Errors
/// [`CheckpointError`]: a tensor that cannot be read or has elements that PyTorch lacks, or a file that cannot be written.
pub fn save_pytorch(checkpoint: &Checkpoint, batches: Option<u64>, file: &Path) -> Result<(), CheckpointError> {
    let unwritable = |source| CheckpointError::Write { file: file.to_owned(), source };
    let partial = partial(file).map_err(unwritable)?;
    let entries = entries(checkpoint, batches);
    let values = |name: &str, entry: &Entry| match entry {
        Entry::Stored(tensor) => tensor.raw().map_err(|source| {
            let file = checkpoint.file().to_owned();
            CheckpointError::Tensor { file, tensor: name.to_owned(), source }
        }),
        Entry::Batches(batches) => Ok(batches.to_le_bytes().to_vec().into()),
    };
    let root = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut archive = Archive { zip: ZipWriter::new(BufWriter::new(partial.as_file())), root };
    let pickle = pickle(&entries).map_err(unwritable)?;
    archive.entry("data.pkl", &pickle).map_err(unwritable)?;
    archive.entry("byteorder", b"little").map_err(unwritable)?;
    for (index, (name, entry)) in entries.iter().enumerate() {
        archive.entry(&format!("data/{index}"), &values(name, entry)?).map_err(unwritable)?;
    }
    archive.entry("version", b"3\n").map_err(unwritable)?;
    archive.finish().map_err(unwritable)?;
    partial.persist(file).map_err(|error| unwritable(error.error))?;
    Ok(())
}

struct Archive<W: Write + io::Seek> {
    zip: ZipWriter<W>,
    /// The folder of all entries.
    root: String,
}

impl<W: Write + io::Seek> Archive<W> {
    fn entry(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .with_alignment(ALIGNMENT)
            .large_file(u32::try_from(content.len()).is_err());
        self.zip.start_file(format!("{}/{name}", self.root), options)?;
        self.zip.write_all(content)
    }
}

impl Archive<BufWriter<&File>> {
    /// Writes the directory, and waits for the disk.
    fn finish(self) -> io::Result<()> {
        self.zip.finish()?.into_inner().map_err(|error| error.into_error())?.sync_all()
    }
}

/// A tensor of the file.
enum Entry<'a> {
    Stored(&'a StoredTensor),
    /// The number of batches, without dimensions.
    Batches(u64),
}

/// The tensors in the order of their names.
fn entries(checkpoint: &Checkpoint, batches: Option<u64>) -> Vec<(String, Entry<'_>)> {
    let tensors = checkpoint.tensors();
    let mut entries: Vec<(String, Entry)> =
        tensors.iter().map(|(name, tensor)| (name.clone(), Entry::Stored(tensor))).collect();
    if let Some(batches) = batches {
        let counted = tensors.keys().filter_map(|name| Some(format!("{}{BATCHES}", name.strip_suffix(MEAN)?)));
        entries.extend(counted.filter(|name| !tensors.contains_key(name)).map(|name| (name, Entry::Batches(batches))));
    }
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    entries
}

/// The dictionary, in protocol 2. Each tensor is a call of `torch._utils._rebuild_tensor_v2` on an entry of the archive.
fn pickle(entries: &[(String, Entry)]) -> io::Result<Vec<u8>> {
    const DICTIONARY: &[u8] = b"ccollections\nOrderedDict\n)R";
    let mut out = b"\x80\x02".to_vec();
    out.extend(DICTIONARY);
    out.push(b'(');
    for (index, (name, entry)) in entries.iter().enumerate() {
        let (dtype, shape): (Dtype, &[usize]) = match entry {
            Entry::Stored(tensor) => (tensor.dtype(), tensor.shape()),
            Entry::Batches(_) => (Dtype::I64, &[]),
        };
        text(&mut out, name);
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut out, "storage");
        out.extend(format!("ctorch\n{}Storage\n", storage(name, dtype)?).bytes());
        text(&mut out, &index.to_string());
        text(&mut out, "cpu");
        number(&mut out, shape.iter().product());
        // The offset in the storage, the shape, and the elements from one index to the next.
        out.extend(b"tQ");
        number(&mut out, 0);
        let strides = (1..=shape.len()).map(|dimension| shape[dimension..].iter().product());
        for numbers in [shape.to_vec(), strides.collect()] {
            out.push(b'(');
            numbers.into_iter().for_each(|value| number(&mut out, value));
            out.push(b't');
        }
        // It needs no gradient, and has no hooks.
        out.push(0x89);
        out.extend(DICTIONARY);
        out.extend(b"tR");
    }
    out.extend(b"u.");
    Ok(out)
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.bytes());
}

fn number(out: &mut Vec<u8>, value: usize) {
    if let Ok(value) = i32::try_from(value) {
        out.push(b'J');
        out.extend(value.to_le_bytes());
    } else {
        out.extend([0x8a, 8]);
        out.extend((value as u64).to_le_bytes());
    }
}

/// What PyTorch calls a storage of such elements.
fn storage(name: &str, dtype: Dtype) -> io::Result<&'static str> {
    Ok(match dtype {
        Dtype::F64 => "Double",
        Dtype::F32 => "Float",
        Dtype::F16 => "Half",
        Dtype::BF16 => "BFloat16",
        Dtype::I64 => "Long",
        Dtype::I32 => "Int",
        Dtype::I16 => "Short",
        Dtype::I8 => "Char",
        Dtype::U8 => "Byte",
        Dtype::BOOL => "Bool",
        other => {
            let message = format!("{name} has elements of the type {other:?}: F32 would work, for example");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use zip::ZipArchive;

    use super::*;
    use crate::checkpoint::Format;

    fn checkpoint() -> Checkpoint {
        let tensor = |shape: &[usize]| {
            let count = shape.iter().product::<usize>();
            StoredTensor::computed(shape.to_vec(), move || (0..count).map(|value| value as f32 - 0.5).collect())
        };
        let shapes: [(&str, &[usize]); 4] =
            [("0.weight", &[2, 3, 1, 4]), ("1.running_mean", &[5]), ("1.weight", &[5]), ("scale", &[])];
        Checkpoint::computed("made up", shapes.map(|(name, shape)| (name.to_owned(), tensor(shape))))
    }

    #[test]
    fn a_written_file_is_read_as_those_of_pytorch_are() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resnet34.pth");
        let made_up = checkpoint();
        save_pytorch(&made_up, Some(70_000), &file).unwrap();
        let read = Checkpoint::open(&file).unwrap();
        assert_eq!(read.format(), Format::PyTorchZip);
        assert_eq!(read.tensors().len(), 5);
        for (name, tensor) in made_up.tensors() {
            assert_eq!(read.tensors()[name].shape(), tensor.shape(), "{name}");
            assert_eq!(read.floats(name).unwrap(), made_up.floats(name).unwrap(), "{name}");
        }
        let batches = &read.tensors()["1.num_batches_tracked"];
        assert_eq!((batches.dtype(), batches.shape()), (Dtype::I64, &[][..]));
        assert_eq!(batches.raw().unwrap().as_ref(), 70_000_u64.to_le_bytes());
        // Written again, it keeps what it has.
        let again = folder.path().join("again.pth");
        save_pytorch(&read, Some(3), &again).unwrap();
        let batches = Checkpoint::open(&again).unwrap().tensors()["1.num_batches_tracked"].raw().unwrap();
        assert_eq!(batches.as_ref(), 70_000_u64.to_le_bytes());
    }

    #[test]
    fn the_archive_is_laid_out_as_pytorch_does() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resnet34.pth");
        save_pytorch(&checkpoint(), None, &file).unwrap();
        let mut archive = ZipArchive::new(File::open(&file).unwrap()).unwrap();
        let mut names = Vec::new();
        for index in 0..archive.len() {
            let entry = archive.by_index(index).unwrap();
            assert_eq!(entry.compression(), CompressionMethod::Stored);
            assert_eq!(entry.data_start().unwrap() % u64::from(ALIGNMENT), 0);
            names.push(entry.name().unwrap().into_owned());
        }
        // One for each tensor: without a number of batches, normalizations get no `num_batches_tracked`.
        let data = (0..4).map(|index| format!("data/{index}"));
        let expected =
            ["data.pkl", "byteorder"].map(str::to_owned).into_iter().chain(data).chain(["version".to_owned()]);
        assert_eq!(names, expected.map(|name| format!("resnet34/{name}")).collect::<Vec<_>>());
        let mut version = String::new();
        archive.by_name("resnet34/version").unwrap().read_to_string(&mut version).unwrap();
        assert_eq!(version, "3\n");
    }

    #[test]
    fn elements_that_pytorch_lacks_are_named() {
        let error = storage("index", Dtype::U16).unwrap_err().to_string();
        assert_eq!(error, "index has elements of the type U16: F32 would work, for example");
    }
}
