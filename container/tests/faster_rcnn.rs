//! Faster R-CNN behind `serve`, as a process of its own.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod serving;

use std::io::Cursor;
use std::path::Path;
use std::process::Command;

use image::RgbImage;
use nn::checkpoint::{Checkpoint, save};
use serde_json::Value;
use vision::faster_rcnn::config::{Config, Document};

use serving::{Serve, golden, json, refusal};

fn document() -> Document {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/vision/tests/golden/faster_rcnn/small");
    let mut document = Document::default();
    document.merge_file(&folder.join("config.yaml")).unwrap();
    document
}

/// The made-up weights whose answers `crates/vision/tests/golden` has.
fn made_up() -> Checkpoint {
    let list = json("faster_rcnn/small/tensors.json");
    let tensors = vision::faster_rcnn::tensors(&Config::of(&document()).unwrap().form);
    nn::made_up("made up", tensors, |name, _| {
        let tensor = list.as_array().unwrap().iter().find(|tensor| tensor["name"] == name).unwrap();
        (tensor["scale"].as_f64().unwrap(), tensor["shift"].as_f64().unwrap())
    })
}

fn model_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    save(&made_up(), None, &folder.path().join("objects.safetensors"), &mut |_, _| ()).unwrap();
    std::fs::write(folder.path().join("config.yaml"), golden("faster_rcnn/small/config.yaml")).unwrap();
    folder
}

/// The part of the sample portrait that the answers are for.
fn picture() -> RgbImage {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/astronaut.png");
    let portrait = image::open(file).unwrap().into_rgb8();
    image::imageops::crop_imm(&portrait, 110, 20, 240, 200).to_image()
}

fn png(picture: &RgbImage) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, image::ImageFormat::Png).unwrap();
    file.into_inner()
}

/// A file of numpy with an array of pixels of this shape.
fn npy(shape: &str, values: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}");
    header.extend(std::iter::repeat_n(' ', 63 - (10 + header.len()) % 64));
    header.push('\n');
    [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), values].concat()
}

#[track_caller]
fn near(found: &Value, expected: &Value, tolerance: f64) {
    match (found, expected) {
        (Value::Array(found), Value::Array(expected)) => {
            assert_eq!(found.len(), expected.len());
            found.iter().zip(expected).for_each(|(found, expected)| near(found, expected, tolerance));
        }
        _ => assert!((found.as_f64().unwrap() - expected.as_f64().unwrap()).abs() <= tolerance, "{found} {expected}"),
    }
}

#[tokio::test]
async fn pictures_and_arrays_are_answered_as_by_the_original() {
    let folder = model_folder();
    // The checkpoint alone says what it is.
    let serve = Serve::start(folder.path(), &[]);
    let expected = json("faster_rcnn/small/a/detections.json");
    let above = expected["scores"].as_array().unwrap().iter().filter(|score| score.as_f64().unwrap() > 0.2).count();
    assert!(above > 0 && above < expected["scores"].as_array().unwrap().len());
    let (status, alone) = serve.invoke("image/png", png(&picture())).await;
    assert_eq!(status, 200, "{alone}");
    assert!(alone.starts_with("{\"pred_boxes\": [["), "{alone}");
    assert!(alone.ends_with(", \"image_size\": [200, 240]}"), "{alone}");
    let value: Value = serde_json::from_str(&alone).unwrap();
    let first = |name: &str| Value::from(expected[name].as_array().unwrap()[..above].to_vec());
    near(&value["pred_boxes"], &first("boxes"), 0.05);
    near(&value["scores"], &first("scores"), 1e-3);
    assert_eq!(value["pred_classes"], first("classes"));

    let pixels = picture().into_raw();
    assert_eq!(serve.invoke("application/x-npy", npy("(200, 240, 3)", &pixels)).await, (200, alone.clone()));
    let two = npy("(2, 200, 240, 3)", &pixels.repeat(2));
    assert_eq!(serve.invoke("application/x-npy", two).await, (200, format!("[{alone}, {alone}]")));
    assert_eq!(serve.refused("application/x-npy", "hello").await, (400, "BAD_ARRAY".to_owned()));
    assert_eq!(serve.refused("text/csv", "a/b").await, (415, "UNSUPPORTED_TYPE".to_owned()));
    assert_eq!(serve.refused("image/png", "hello").await.0, 415);
}

/// What `torch.save` wrote, packed with the programs of the original service, without a configuration.
#[tokio::test]
async fn a_model_of_ones_own_is_served_as_it_was_packed() {
    let folder = tempfile::tempdir().unwrap();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/vision/tests/golden/faster_rcnn/own_model");
    let archive = own.join("model.tar.gz");
    let status = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder.path()).status().unwrap();
    assert!(status.success() && folder.path().join("code/inference.py").is_file());
    let serve = Serve::start(folder.path(), &[("SAGEMAKER_PROGRAM", "inference.py")]);
    let (status, text) = serve.invoke("image/png", png(&picture())).await;
    assert_eq!(status, 200, "{text}");
    let (found, expected): (Value, Value) =
        (serde_json::from_str(&text).unwrap(), json("faster_rcnn/own_model/expected.json"));
    assert_eq!(found["image_size"], expected["image_size"]);
    let number = |value: &Value| value.as_f64().unwrap();
    let is_close = |one: &Value, other: &Value, tolerance: f64| (number(one) - number(other)).abs() < tolerance;
    let list = |value: &Value| value.as_array().unwrap().clone();
    let scores = list(&found["scores"]);
    assert!(scores.iter().all(|score| number(score) > 0.2));
    // Scores below it are close to each other.
    let count = list(&expected["scores"]).iter().filter(|score| number(score) > 0.3).count();
    assert!(count > 10, "{count}");
    for wanted in 0..count {
        let corners = list(&expected["pred_boxes"][wanted]);
        let is_same = |index: &usize| {
            found["pred_classes"][*index] == expected["pred_classes"][wanted]
                && is_close(&scores[*index], &expected["scores"][wanted], 2e-3)
                && list(&found["pred_boxes"][*index]).iter().zip(&corners).all(|(one, other)| is_close(one, other, 0.5))
        };
        assert!((0..scores.len()).any(|index| is_same(&index)), "detection {wanted}");
    }
}

#[tokio::test]
async fn the_environment_decides_on_thresholds() {
    let folder = model_folder();
    let expected = json("faster_rcnn/small/a/detections.json");
    let serve = Serve::start(folder.path(), &[("CONFIDENCE_THRESHOLD", "0.05"), ("MODEL_KIND", "faster-rcnn")]);
    let (_, text) = serve.invoke("image/png", png(&picture())).await;
    let value: Value = serde_json::from_str(&text).unwrap();
    near(&value["scores"], &expected["scores"], 1e-3);
    let serve = Serve::start(folder.path(), &[("CONFIDENCE_THRESHOLD", "1")]);
    let (_, text) = serve.invoke("image/png", png(&picture())).await;
    assert_eq!(text, r#"{"pred_boxes": [], "scores": [], "pred_classes": [], "image_size": [200, 240]}"#);
}

#[test]
fn a_model_that_cannot_be_served_is_refused_at_start() {
    let folder = model_folder();
    let config = folder.path().join("config.yaml");
    let mut document = document();
    document.merge_options(["MODEL.MASK_ON", "True"]).unwrap();
    std::fs::write(&config, document.to_yaml()).unwrap();
    let message = refusal(folder.path(), &[]);
    assert!(message.contains("MODEL.MASK_ON is True: False would work"), "{message}");
    document.merge_options(["MODEL.MASK_ON", "False", "MODEL.ROI_HEADS.NUM_CLASSES", "9"]).unwrap();
    std::fs::write(&config, document.to_yaml()).unwrap();
    let message = refusal(folder.path(), &[]);
    assert!(
        message.contains("objects.safetensors is no checkpoint of Faster R-CNN on Layers18 with 9 classes"),
        "{message}"
    );
    let message = refusal(folder.path(), &[("CONFIDENCE_THRESHOLD", "20")]);
    assert!(message.contains("CONFIDENCE_THRESHOLD"), "{message}");
}
