//! Lines of a Ground Truth manifest. What is read can be written, and has as many annotations when it is read again.
#![no_main]

use std::path::Path;

use dataset::formats::ground_truth::{GroundTruth, GroundTruthWriter, Line};
use dataset::{Options, Reading, Sample, Sink, Source};
use libfuzzer_sys::fuzz_target;

fn read(bytes: &[u8], options: &Options) -> (Vec<Sample>, Reading) {
    let mut reading = Reading::default();
    let mut source = GroundTruth::new(Path::new("x.manifest"), bytes, options);
    let mut samples = Vec::new();
    while let Some(sample) = source.next(&mut reading).expect("a slice can be read") {
        samples.push(sample);
    }
    (samples, reading)
}

fuzz_target!(init: fuzz::limit_memory(16, 64), |bytes: &[u8]| {
    if let Ok(line) = Line::parse(bytes) {
        let renamed = line.renamed("a", "b");
        assert!(Line::parse(renamed.as_bytes()).is_ok(), "{renamed}");
    }
    let (samples, mut reading) = read(bytes, &Options::default());
    let mut written = Vec::new();
    let mut writer = GroundTruthWriter::new(Path::new("y.manifest"), &mut written, "job");
    for sample in &samples {
        writer.write(sample, &reading.classes, &mut reading.findings).expect("a vector can be written");
    }
    writer.finish(&reading.classes, &mut reading.findings).expect("a vector can be written");
    let (again, reading) = read(&written, &Options { jobs: vec!["job".to_owned()], ..Options::default() });
    assert_eq!(reading.findings.fault_count(), 0, "{:?}", reading.findings.faults());
    assert!(samples.iter().map(|sample| sample.objects.len()).eq(again.iter().map(|sample| sample.objects.len())));
});
