//! What the originals do with the same files. `fixtures/goods`, `late` and `errors.json` are made-up Ground Truth manifests, with what
//! the data preparation notebook and the converter to COCO of a Detectron2 example on AWS made of them, and with the balance of
//! scikit-multilearn 0.2.0 over 200 seeds. `fixtures/records` was written by TensorFlow 1.15.5. All are made up for these tests.

#![allow(clippy::unwrap_used, reason = "what a test finds missing is its failure")]

mod conversion;
mod records;
mod splits;

use std::path::PathBuf;

use dataset::{DatasetError, Input, Inputs, LocalPictures, Options, Reading, Sample};
use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(name)).unwrap()).unwrap()
}

/// All samples of some files.
fn samples(files: &[PathBuf], options: &Options, reading: &mut Reading) -> Result<Vec<Sample>, DatasetError> {
    let inputs: Vec<Input> = files.iter().map(|file| Input::new(file, None)).collect::<Result<_, _>>()?;
    let mut samples = Vec::new();
    Inputs { inputs: &inputs, options, pictures: &LocalPictures }.for_each(reading, |_, sample, _| {
        samples.push(sample);
        Ok(())
    })?;
    Ok(samples)
}
