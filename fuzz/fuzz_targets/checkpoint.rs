//! A checkpoint from an unknown source is opened, read whole, and written again.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use nn::checkpoint::{Checkpoint, CheckpointError, ElementType, StoredTensor, save};
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("there is a folder for files"));

fn file(name: &str) -> PathBuf {
    FOLDER.path().join(name)
}

// The tensors of a file may be eight times its size, and pickles take up to 16 MB.
fuzz_target!(init: fuzz::limit_memory(20, 64), |bytes: &[u8]| {
    let (original, copy) = (file("original"), file("copy"));
    std::fs::write(&original, bytes).expect("a small file can be written");
    let checkpoint = match Checkpoint::open(&original) {
        Ok(checkpoint) => checkpoint,
        Err(error) => {
            let environment = matches!(error, CheckpointError::Open { .. } | CheckpointError::NoFile { .. });
            return assert!(!environment && !error.to_string().is_empty(), "{error:?}");
        }
    };
    assert_eq!(checkpoint.file_bytes(), bytes.len() as u64);
    let whole = checkpoint.verify();
    let _ = aging::sam::identify(&checkpoint);
    let types = [None, Some(ElementType::Float32), Some(ElementType::Float16), Some(ElementType::BFloat16)];
    match save(&checkpoint, types[bytes.len() % 4], &copy, &mut |_, _| ()) {
        Ok(()) => {
            assert!(whole.is_ok(), "{whole:?}");
            let saved = Checkpoint::open(&copy).expect("what was written can be read");
            let shapes = |checkpoint: &Checkpoint| {
                let shape = |(name, tensor): (&String, &StoredTensor)| {
                    (name.clone(), tensor.shape().to_vec())
                };
                checkpoint.tensors().iter().map(shape).collect::<Vec<_>>()
            };
            assert_eq!(shapes(&saved), shapes(&checkpoint));
            saved.verify().expect("what was written is whole");
        }
        Err(CheckpointError::Tensor { .. }) => assert!(whole.is_err()),
        Err(CheckpointError::Beyond { .. }) => (),
        Err(error) => panic!("{error:?}"),
    }
});
