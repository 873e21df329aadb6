//! Lines of Open Images, and its hierarchy of classes.
#![no_main]

use std::path::Path;

use dataset::formats::open_images::{Hierarchy, OpenImages};
use dataset::{DatasetError, Options, Pictures, Reading, Source};
use libfuzzer_sys::fuzz_target;

/// Any picture.
const PICTURE: &[u8] = include_bytes!("../corpus/upload/plain.png");

struct One;

impl Pictures for One {
    fn bytes(&self, _: &str) -> Result<Vec<u8>, DatasetError> {
        Ok(PICTURE.to_vec())
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
