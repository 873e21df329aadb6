//! TFRecord. The first byte of the input decides whether the rest is a file of records or one example. An example that is read can be
//! written, and is read as the same.
#![no_main]

use std::path::Path;

use dataset::formats::tfrecord::{Example, Records, read_example};
use dataset::{Options, Reading};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: fuzz::limit_memory(16, 64), |bytes: &[u8]| {
    let Some((&kind, bytes)) = bytes.split_first() else { return };
    if kind & 1 == 0 {
        let mut records = Records::new(bytes);
        let mut end = 0;
        while let Some((at, record)) = records.read_next() {
            assert!(at >= end && at <= bytes.len() as u64);
            end = at + record.map_or(0, |record| record.len() as u64);
        }
        return;
    }
    if let Ok(example) = Example::parse(bytes) {
        let encoded = example.encode();
        let again = Example::parse(&encoded).expect("what was written can be read");
        // A number that is none is not equal to itself.
        assert!(again.encode() == encoded);
    }
    let mut reading = Reading::default();
    match read_example(bytes, Path::new("x.record"), &Options::default(), None, &mut reading) {
        Ok(sample) => assert!(sample.objects.iter().all(|object| object.bounds.left.is_finite())),
        Err(reason) => assert!(!reason.is_empty()),
    }
});
