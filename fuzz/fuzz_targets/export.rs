//! fastai's `export.pkl`. A description that is read can be written, and is read as the same.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use vision::classifier::{DESCRIPTION, Description, DescriptionError, EXPORT};

static FOLDERS: LazyLock<[TempDir; 2]> =
    LazyLock::new(|| [(); 2].map(|()| tempfile::tempdir().expect("there is a folder for files")));

fuzz_target!(init: fuzz::limit_memory(16, 64), |bytes: &[u8]| {
    let [original, copy] = &*FOLDERS;
    std::fs::write(original.path().join(EXPORT), bytes).expect("a small file can be written");
    match Description::read(original.path()) {
        Ok(description) => {
            std::fs::write(copy.path().join(DESCRIPTION), description.to_json()).expect("a small file can be written");
            let read = Description::read(copy.path()).expect("what was written can be read");
            assert_eq!(read, description);
        }
        Err(DescriptionError::Export { .. } | DescriptionError::Member { .. }) => (),
        Err(error) => panic!("{error:?}"),
    }
});
