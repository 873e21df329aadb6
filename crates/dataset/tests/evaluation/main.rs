//! The evaluation against the figures of pycocotools and of Cartucho's mAP (`golden/README.md`).
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod coco;
mod voc;

use std::path::{Path, PathBuf};

use serde_json::Value;

fn golden(case: &str, file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/evaluation/golden").join(case).join(file)
}

fn json(case: &str, file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(golden(case, file)).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// Compares a figure with the reference's, where `null` stands for nothing to average.
fn assert_near(found: Option<f64>, expected: &Value, tolerance: f64, what: &str) {
    match (found, expected.as_f64()) {
        (None, None) => {}
        (Some(found), Some(expected)) if (found - expected).abs() <= tolerance => {}
        _ => panic!("{what}: {found:?}, not {expected}"),
    }
}
