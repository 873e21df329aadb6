//! On small files of PyTorch's (`tests/make_checkpoints.py`), on their conversions to safetensors, and on broken files.

use std::sync::LazyLock;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::weights::{self, Weights};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checkpoints").join(name)
}

fn open(name: &str) -> Result<Checkpoint, CheckpointError> {
    Checkpoint::open(&fixture(name))
}

fn floats(checkpoint: &Checkpoint, name: &str) -> (Vec<usize>, Vec<f32>) {
    let tensor = &checkpoint.tensors()[name];
    let bytes = tensor.floats().unwrap();
    (tensor.shape().to_vec(), bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// The tensors that every whole fixture has.
fn assert_whole(checkpoint: &Checkpoint) {
    let input: Vec<f32> = (0..24_u8).map(|value| f32::from(value) / 8.0 - 1.0).collect();
    assert_eq!(floats(checkpoint, "decoder.input.input"), (vec![1, 2, 3, 4], input));
    let transposed = vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0];
    assert_eq!(floats(checkpoint, "encoder.latlayer1.weight"), (vec![3, 2], transposed));
    assert_eq!(checkpoint.tensors()["encoder.input_layer.1.num_batches_tracked"].dtype(), Dtype::I64);
}

/// A fixture as safetensors in a folder.
fn saved(name: &str, element_type: Option<ElementType>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    save(&open(name).unwrap(), element_type, &file, &mut |_, _| ()).unwrap();
    (folder, file)
}

#[test]
fn every_format_of_pytorch_is_read() {
    for (name, format, dtype) in [
        ("zip.pt", Format::PyTorchZip, Dtype::F32),
        ("half.pt", Format::PyTorchZip, Dtype::F16),
        ("legacy.pt", Format::PyTorchLegacy, Dtype::F32),
    ] {
        let checkpoint = open(name).unwrap();
        assert_eq!(checkpoint.format(), format);
        assert_whole(&checkpoint);
        assert_eq!(floats(&checkpoint, "latent_avg"), (vec![2, 4], vec![0.5; 8]));
        assert_eq!((checkpoint.tensors()["latent_avg"].dtype(), checkpoint.tensors().len()), (dtype, 4));
        assert_eq!(
            (checkpoint.parameters(), checkpoint.flag("opts.start_from_encoded_w_plus")),
            (24 + 6 + 8 + 1, Some(true))
        );
        checkpoint.verify().unwrap();
    }
    assert_whole(&open("bare.pt").unwrap());
    assert_whole(&open("settings.pt").unwrap());
}

#[test]
fn safetensors_keep_values_and_are_not_copied() {
    for name in ["zip.pt", "half.pt", "legacy.pt"] {
        for element_type in [None, Some(ElementType::Float32), Some(ElementType::Float16), Some(ElementType::BFloat16)]
        {
            let (_folder, file) = saved(name, element_type);
            let checkpoint = Checkpoint::open(&file).unwrap();
            assert_eq!((checkpoint.format(), checkpoint.tensors().len()), (Format::Safetensors, 4));
            assert_whole(&checkpoint);
            let dtype = checkpoint.tensors()["latent_avg"].dtype();
            assert_eq!(
                dtype,
                element_type.map_or(if name == "half.pt" { Dtype::F16 } else { Dtype::F32 }, |wanted| {
                    match wanted {
                        ElementType::Float32 => Dtype::F32,
                        ElementType::Float16 => Dtype::F16,
                        ElementType::BFloat16 => Dtype::BF16,
                    }
                })
            );
        }
    }
    let (_folder, file) = saved("zip.pt", None);
    let checkpoint = Checkpoint::open(&file).unwrap();
    let tensor = &checkpoint.tensors()["latent_avg"];
    assert_eq!(tensor.floats().unwrap().as_ptr(), tensor.raw().unwrap().as_ptr(), "nothing is copied");
    checkpoint.tensors().values().for_each(StoredTensor::release);
    assert_whole(&checkpoint);
}

#[test]
fn values_beyond_float16_are_refused() {
    let wide = StoredTensor::computed(vec![2], || vec![1.0, 1e6]);
    let checkpoint = Checkpoint::computed("wide", [("weight".to_owned(), wide)]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    let error = save(&checkpoint, Some(ElementType::Float16), &file, &mut |_, _| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "1000000 in the tensor weight is beyond what elements of 16 bits hold here: float32 would work"
    );
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "no partial file remains");
}

#[test]
fn code_is_refused_and_not_run() {
    for (name, call) in
        [("code.pt", "posix.system"), ("code_in_weights.pt", "__builtin__.eval"), ("only_code.pt", "posix.system")]
    {
        match open(name) {
            Err(CheckpointError::Code { python, .. }) => assert_eq!(python, call),
            other => panic!("{name}: {other:?}"),
        }
    }
    assert!(!Path::new("/tmp/a-checkpoint-was-here").exists());
}

#[test]
fn bombs_are_refused_before_they_allocate() {
    assert!(matches!(open("views.pt"), Err(CheckpointError::Bomb { .. })));
    let error = open("bomb.pt").unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(matches!(error, CheckpointError::Damaged { .. }) && source.contains("is compressed"), "{source}");
}

#[test]
fn other_files_are_refused_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.pt");
    for bytes in [&b""[..], b"<!DOCTYPE html>", b"PK\x03\x04", b"\x80\x02", b"\x08\0\0\0\0\0\0\0{\"a\":1}"] {
        std::fs::write(&file, bytes).unwrap();
        let error = Checkpoint::open(&file).unwrap_err().to_string();
        assert!(error.contains("model.pt") && error.contains("again"), "{error}");
    }
    assert!(matches!(Checkpoint::open(folder.path()), Err(CheckpointError::NoFile { .. })));
    assert!(matches!(Checkpoint::open(&folder.path().join("absent")), Err(CheckpointError::Open { .. })));
}

/// A network of two tensors, neither of which fits the checkpoint `zip.pt`.
fn network(weights: &Weights) {
    weights.at("decoder").at("input").tensor("input", [1, 2, 12]);
    weights.tensor("absent", [3]);
}

#[test]
fn a_network_lists_its_tensors_and_those_that_do_not_fit() {
    let listed = weights::list(network);
    assert_eq!(listed, [("decoder.input.input".to_owned(), vec![1, 2, 12]), ("absent".to_owned(), vec![3])]);
    let error = weights::survey(&open("zip.pt").unwrap(), "the network of this test", network).unwrap_err().to_string();
    let (_, misfits) = error.split_once("zip.pt is no checkpoint of the network of this test: ").unwrap();
    assert_eq!(
        misfits,
        "2 of 2 tensors do not fit\nmissing: 1\n  absent [3]\n\
         of another shape: 1\n  decoder.input.input [1, 2, 3, 4], [1, 2, 12] is needed\n\
         in the file, under names that are not needed: 3\n  encoder.input_layer.1.num_batches_tracked []\n  \
         encoder.latlayer1.weight [3, 2]\n  latent_avg [2, 4]"
    );
}

/// A pickle of a dictionary whose one entry is the content of another pickle. Both are of protocol 2.
fn wrapped(key: &str, pickle: &[u8]) -> Vec<u8> {
    let content = pickle.strip_prefix(b"\x80\x02").unwrap().strip_suffix(b".").unwrap();
    // EMPTY_DICT, BINUNICODE, the content, SETITEM, STOP.
    [b"\x80\x02}X", &(key.len() as u32).to_le_bytes()[..], key.as_bytes(), content, b"s."].concat()
}

/// A fixture in the newer format, in a dictionary.
fn wrapped_zip(name: &str, key: &str) -> Vec<u8> {
    let mut whole = zip::ZipArchive::new(std::fs::File::open(fixture(name)).unwrap()).unwrap();
    let mut out = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for index in 0..whole.len() {
        let mut entry = whole.by_index(index).unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        out.start_file(entry.name().unwrap().into_owned(), stored).unwrap();
        let content = if entry.name().unwrap().ends_with(".pkl") { wrapped(key, &content) } else { content };
        std::io::Write::write_all(&mut out, &content).unwrap();
    }
    out.finish().unwrap().into_inner()
}

/// A fixture in the older format, in a dictionary: its fourth pickle is the content.
fn wrapped_legacy(name: &str, key: &str) -> Vec<u8> {
    let whole = std::fs::read(fixture(name)).unwrap();
    let mut rest = &whole[..];
    let mut ends = Vec::new();
    for _ in 0..4 {
        pickle::globals(&mut rest, &mut 100_000).unwrap();
        ends.push(whole.len() - rest.len());
    }
    [&whole[..ends[2]], &wrapped(key, &whole[ends[2]..ends[3]]), rest].concat()
}

#[test]
fn weights_in_a_dictionary_are_found_with_what_stands_beside_them() {
    let bare = open("zip.pt").unwrap();
    for (bytes, format) in [
        (wrapped_zip("zip.pt", "net"), Format::PyTorchZip),
        (wrapped_legacy("legacy.pt", "net"), Format::PyTorchLegacy),
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let found = Checkpoint::open(file.path()).unwrap();
        assert!(found.format() == format && found.tensors().contains_key("net.state_dict.decoder.input.input"));
        let found = found.unwrapped(bare.tensors().keys().map(String::as_str)).unwrap();
        assert_eq!((found.prefix(), found.flag("opts.start_from_encoded_w_plus")), ("net.state_dict.", Some(true)));
        assert_whole(&found);
        assert!(found.tensors().keys().eq(bare.tensors().keys()));
    }
}

#[test]
fn names_of_a_file_cannot_control_a_terminal() {
    let name = format!("\u{1b}]0;owned\u{7}\u{9b}2J\n{}", "x".repeat(200));
    let tensors = [(name, StoredTensor::computed(vec![1], || vec![0.0]))];
    let error =
        weights::survey(&Checkpoint::computed("model.pt", tensors), "a network", network).unwrap_err().to_string();
    assert!(error.contains("  \\u{1b}]0;owned\\u{7}\\u{9b}2J\\nxxx") && error.contains("x... [1]"), "{error}");
    assert!(error.len() < 600 && !error.contains(['\u{1b}', '\u{7}', '\u{9b}']), "{error}");
}

/// Writes bytes to a file, opens it and reads the bytes of all its tensors.
fn read(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, CheckpointError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, bytes).unwrap();
    let checkpoint = Checkpoint::open(file.path())?;
    checkpoint.verify()?;
    let read = |(name, tensor): (&String, &StoredTensor)| {
        drop(tensor.is_float().then(|| tensor.floats().unwrap()));
        (name.clone(), tensor.raw().unwrap().to_vec())
    };
    Ok(checkpoint.tensors().iter().map(read).collect())
}

/// A file of each format, and whether it has checksums.
static WHOLE: LazyLock<[(Vec<u8>, bool); 3]> = LazyLock::new(|| {
    let file = |name| std::fs::read(fixture(name)).unwrap();
    let (_folder, safetensors) = saved("zip.pt", None);
    [(file("zip.pt"), true), (std::fs::read(safetensors).unwrap(), true), (file("legacy.pt"), false)]
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_truncated_file_is_an_error(which in 0..3_usize, at: prop::sample::Index) {
        let (bytes, _) = &WHOLE[which];
        prop_assert!(read(&bytes[..at.index(bytes.len())]).is_err());
    }

    #[test]
    fn a_flipped_bit_is_an_error_or_harmless(
        which in 0..3_usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8), 1..4),
    ) {
        let (whole, checked) = &WHOLE[which];
        let mut broken = whole.clone();
        for (at, bit) in &flips {
            broken[at.index(whole.len())] ^= 1_u8 << bit;
        }
        // Of several, one may have hit the checksum.
        if let (Ok(found), true) = (read(&broken), *checked && flips.len() == 1) {
            let same = read(whole).unwrap();
            for (name, values) in found {
                prop_assert!(same.get(&name).is_none_or(|same| *same == values), "{name} has other values");
            }
        }
    }

    #[test]
    fn anything_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600), head in 0..4_usize) {
        let head: &[u8] = [&b""[..], b"PK\x03\x04", b"\x80\x02", b"\x40\0\0\0\0\0\0\0{"][head];
        drop(read(&[head, &bytes].concat()));
    }

    #[test]
    fn bytes_in_the_wrong_place_are_read_or_refused(
        which in 0..3_usize,
        at: prop::sample::Index,
        inserted in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let (whole, _) = &WHOLE[which];
        let (before, after) = whole.split_at(at.index(whole.len()));
        drop(read(&[before, &inserted, after].concat()));
    }
}
