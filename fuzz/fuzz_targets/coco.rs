//! COCO's detection files and results. Every annotation that is read belongs to a picture.
#![no_main]

use std::path::Path;

use dataset::formats::coco::{Coco, CocoResults};
use dataset::{Options, Reading, Source};
use libfuzzer_sys::fuzz_target;

fn count(source: &mut dyn Source, reading: &mut Reading) -> usize {
    let mut annotations = 0;
    while let Some(sample) = source.next(reading).expect("everything is in memory") {
        annotations += sample.objects.len();
    }
    annotations
}

fuzz_target!(init: fuzz::limit_memory(16, 64), |bytes: &[u8]| {
    let (file, options) = (Path::new("x.json"), Options::default());
    let mut reading = Reading::default();
    match Coco::read(file, bytes, &options, &mut reading) {
        Ok(mut coco) => assert!(count(&mut coco, &mut reading) <= bytes.len()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let mut reading = Reading::default();
    match CocoResults::read(file, bytes, &options, &mut reading) {
        Ok(mut results) => assert!(count(&mut results, &mut reading) <= bytes.len()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
