//! Figures of the reference code, and comparisons with them. `tests/golden/README.md` documents their origin.

use std::path::{Path, PathBuf};

use ndarray::ArrayD;
use ndarray_npy::read_npy;
use nn::checkpoint::Checkpoint;
use picture::RgbImage;
use serde_json::Value;

use crate::face_detector::{Face, FaceNetwork};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

pub(crate) fn json(name: &str) -> Value {
    serde_json::from_slice(&bytes(name)).unwrap()
}

/// The values of an array, row-major.
pub(crate) fn array(name: &str) -> Vec<f32> {
    let array: ArrayD<f32> = read_npy(file(&format!("{name}.npy"))).unwrap();
    array.into_iter().collect()
}

/// The same of 8 bits.
pub(crate) fn array_u8(name: &str) -> Vec<u8> {
    let array: ArrayD<u8> = read_npy(file(&format!("{name}.npy"))).unwrap();
    array.into_iter().collect()
}

/// The same of 32 bits.
pub(crate) fn array_i32(name: &str) -> Vec<i32> {
    let array: ArrayD<i32> = read_npy(file(&format!("{name}.npy"))).unwrap();
    array.into_iter().collect()
}

pub(crate) fn exists(name: &str) -> bool {
    file(name).exists()
}

/// A part of the sample portrait, 160 by 128 pixels.
pub(crate) fn astronaut() -> RgbImage {
    picture("astronaut_160x128.png")
}

pub(crate) fn picture(name: &str) -> RgbImage {
    picture::decode(&bytes(name)).unwrap()
}

pub(crate) fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(file(name)).unwrap()
}

/// All numbers of a value, in their order.
pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        value => vec![value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))],
    }
}

pub(crate) fn indices(value: &Value) -> Vec<usize> {
    numbers(value).into_iter().map(|number| number as usize).collect()
}

pub(crate) fn rows<const N: usize>(value: &Value) -> Vec<[f64; N]> {
    numbers(value).as_chunks().0.to_vec()
}

#[track_caller]
pub(crate) fn close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let furthest = found.iter().zip(expected).map(|(found, expected)| (found - expected).abs());
    let furthest = furthest.fold(0.0, |most, difference| if difference <= most { most } else { difference });
    assert!(furthest <= tolerance, "{what} is off by {furthest}");
    println!("{what}: at most {furthest:.1e} off");
}

pub(crate) fn doubles(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// A checkpoint with the made-up weights of a list of tensors.
pub(crate) fn made_up(list: &str, salt: u64, network: FaceNetwork) -> Checkpoint {
    made_up_of(list, salt, &network.to_string(), network.tensors())
}

/// The same for a network of this name with these tensors.
pub(crate) fn made_up_of(list: &str, salt: u64, network: &str, tensors: Vec<(String, Vec<usize>)>) -> Checkpoint {
    let list = json(list);
    let entry = |name: &str| list.as_array().unwrap().iter().find(|tensor| tensor["name"] == name).unwrap();
    assert_eq!(tensors.len(), list.as_array().unwrap().len(), "the network has the reference's tensors");
    for (name, shape) in &tensors {
        assert_eq!(*shape, indices(&entry(name)["shape"]), "{name}");
    }
    nn::made_up_with_salt(&format!("made-up weights of {network}"), tensors, salt, |name, _| {
        let entry = entry(name);
        (entry["scale"].as_f64().unwrap(), entry["shift"].as_f64().unwrap())
    })
}

/// Compares samples of a map, `(1, channels, height, width)`.
#[track_caller]
pub(crate) fn features(what: &str, found: &[f32], shape: [usize; 4], answer: &Value, tolerance: f64) {
    assert_eq!(shape[1..], indices(&answer["shape"]), "{what}");
    let step = answer["step"].as_u64().unwrap() as usize;
    let samples: Vec<f32> = found.iter().step_by(step).copied().collect();
    let expected = numbers(&answer["values"]);
    close(what, &doubles(&samples[..expected.len()]), &expected, tolerance);
}

/// Compares faces with the detections, their points and their priors.
#[track_caller]
pub(crate) fn faces(what: &str, found: &[Face], answer: &Value) {
    let priors: Vec<usize> = found.iter().map(|face| face.prior).collect();
    assert_eq!(priors, indices(&answer["kept_priors"]), "{what}");
    let detections: Vec<[f64; 5]> = rows(&answer["detections"]);
    let boxes = |corners: &mut dyn Iterator<Item = [f64; 4]>| corners.flatten().collect::<Vec<f64>>();
    let expected = boxes(&mut detections.iter().map(|[x0, y0, x1, y1, _]| [*x0, *y0, *x1, *y1]));
    close(&format!("{what}: boxes"), &boxes(&mut found.iter().map(|face| face.corners)), &expected, 0.02);
    let scores: Vec<f64> = found.iter().map(|face| f64::from(face.score)).collect();
    let expected: Vec<f64> = detections.iter().map(|row| row[4]).collect();
    close(&format!("{what}: scores"), &scores, &expected, 1e-4);
    if let Some(landmarks) = answer.get("landmarks") {
        let found = found.iter().flat_map(|face| face.landmarks.unwrap()).flatten().collect::<Vec<f64>>();
        close(&format!("{what}: landmarks"), &found, &numbers(landmarks), 0.02);
    }
}
