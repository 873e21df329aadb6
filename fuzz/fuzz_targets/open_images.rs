//! Lines of Open Images, and its hierarchy of classes.
#![no_main]

use std::io::Cursor;
use std::path::Path;
use std::sync::LazyLock;

use dataset::formats::open_images::{Hierarchy, OpenImages};
use dataset::{DatasetError, Options, Pictures, Reading, Source};
use libfuzzer_sys::fuzz_target;

/// A picture of 5 x 4 pixels.
static PICTURE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let header = b"\0\0\0\x0dIHDR\0\0\0\x05\0\0\0\x04\x08\0\0\0\0\x8a\x93\x92\x4e";
    let mut bytes = Cursor::new(b"\x89PNG\r\n\x1a\n".to_vec());
    bytes.get_mut().extend(header);
    bytes.into_inner()
});

struct One;

impl Pictures for One {
    fn bytes(&self, _: &str) -> Result<Vec<u8>, DatasetError> {
        Ok(PICTURE.clone())
    }
}

fuzz_target!(init: fuzz::limit_memory(16, 64), |bytes: &[u8]| {
    if let Ok(hierarchy) = Hierarchy::parse(bytes) {
        assert!(hierarchy.above("a").len() <= bytes.len());
    }
    let mut reading = Reading::default();
    let (file, options) = (Path::new("x.csv"), Options::default());
    match OpenImages::read(file, Box::new(bytes), &options, &One) {
        Ok(mut source) => while let Ok(Some(sample)) = source.next(&mut reading) {
            assert!(sample.objects.iter().all(|object| object.bounds.left.is_finite()));
        },
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
