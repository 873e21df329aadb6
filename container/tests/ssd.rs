//! An SSD behind `serve`, as a process of its own.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod serving;

use std::io::Cursor;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{DynamicImage, GrayImage, ImageFormat, Luma};
use nn::checkpoint::save;
use serde_json::{Value, json};
use vision::ssd::{Config, tensors};

use serving::{Serve, golden, json, refusal};

/// The greatest difference of scores and of coordinates.
const TOLERANCE: f64 = 1e-3;

/// A folder as TensorFlow's exporter writes it, with made-up weights.
fn model_folder(config: &str, image_size: Option<&str>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let graph = folder.path().join("graph");
    std::fs::create_dir(&graph).unwrap();
    let text = golden(&format!("ssd/small/{config}"));
    std::fs::write(graph.join("pipeline.config"), &text).unwrap();
    std::fs::write(graph.join("label_map.pbtxt"), golden("ssd/small/label_map.pbtxt")).unwrap();
    if let Some(size) = image_size {
        std::fs::write(graph.join("hyperparameters.json"), json!({"image_size": size}).to_string()).unwrap();
    }
    let config = Config::parse(&String::from_utf8(text).unwrap()).unwrap();
    let list = json("ssd/small/tensors.json");
    let checkpoint = nn::made_up("made up", tensors(&config), |name, _| {
        let tensor = list.as_array().unwrap().iter().find(|tensor| tensor["name"] == name).unwrap();
        (tensor["scale"].as_f64().unwrap(), tensor["shift"].as_f64().unwrap())
    });
    save(&checkpoint, None, &graph.join("model.safetensors"), &mut |_, _| ()).unwrap();
    folder
}

fn body(picture: &[u8], threshold: Option<f64>) -> String {
    let mut body = json!({"image": STANDARD.encode(picture)});
    if let Some(threshold) = threshold {
        body["threshold"] = threshold.into();
    }
    body.to_string()
}

fn rows(text: &str) -> Vec<Vec<f64>> {
    let value: Value = serde_json::from_str(text).unwrap();
    let row = |row: &Value| row.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect();
    value["prediction"].as_array().unwrap().iter().map(row).collect()
}

/// Compares an answer with the original's: the same rows, of which neighbours with nearly the same score may swap.
fn is_the_original(name: &str, text: &str) {
    let original = String::from_utf8(golden(name)).unwrap();
    let (found, expected) = (rows(text), rows(&original));
    assert_eq!(found.len(), expected.len(), "{name}");
    for (index, row) in found.iter().enumerate() {
        let is_near = |other: &Vec<f64>| row.iter().zip(other).all(|(one, other)| (one - other).abs() <= TOLERANCE);
        let neighbours = &expected[index.saturating_sub(1)..(index + 2).min(expected.len())];
        assert!(neighbours.iter().any(|other| other[0] == row[0] && is_near(other)), "{name}: {index}, {row:?}");
    }
    // But for the digits, the text is the same.
    let form = |text: &str| {
        text.chars().filter(|letter| !letter.is_ascii_digit() && !matches!(letter, '-' | 'e')).collect::<String>()
    };
    assert_eq!(form(text), form(&original), "{name}");
}

async fn answers(folder: &Path, image_size: u32, goldens: &str) {
    // The folder alone says what it is.
    let serve = Serve::start(folder, &[]);
    for picture in ["a", "b"] {
        let file = golden(&format!("ssd/{picture}.png"));
        for (threshold, word) in [(None, "t0"), (Some(0.3), "t03")] {
            let (status, text) = serve.invoke("application/json", body(&file, threshold)).await;
            assert_eq!(status, 200, "{text}");
            is_the_original(&format!("ssd/small/{goldens}/{picture}_{image_size}_{word}.json"), &text);
        }
    }
}

#[tokio::test]
async fn pictures_are_answered_as_by_the_original() {
    answers(model_folder("pipeline.config", None).path(), 300, "service").await;
    answers(model_folder("pipeline.config", Some("96")).path(), 96, "service").await;
    answers(model_folder("pipeline_focal_strict.config", None).path(), 300, "service_strict").await;
}

fn png(picture: &DynamicImage) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

#[tokio::test]
async fn invocations_that_share_a_step_are_answered_as_alone() {
    let folder = model_folder("pipeline.config", None);
    let serve = Serve::start(folder.path(), &[("MODEL_KIND", "ssd")]);
    let grey = DynamicImage::from(GrayImage::from_fn(90, 70, |x, y| Luma([(x * 2 + y) as u8])));
    // Grey pictures and those with an alpha channel work too.
    let files = [
        golden("ssd/a.png"),
        golden("ssd/b.png"),
        png(&grey),
        png(&DynamicImage::from(grey.to_rgb8())),
        png(&DynamicImage::from(grey.to_rgba8())),
    ];
    let bodies: Vec<String> = files.iter().map(|file| body(file, None)).collect();
    let mut alone = Vec::new();
    for body in &bodies {
        alone.push(serve.invoke("application/json", body.clone()).await);
    }
    assert!(alone[2] == alone[3] && alone[3] == alone[4] && alone[0] != alone[2]);
    let together = bodies.iter().map(|body| serve.invoke("application/json", body.clone()));
    assert_eq!(futures::future::join_all(together).await, alone);
}

/// A JPEG whose EXIF data says that the picture is upside down.
fn upside_down(jpeg: &[u8]) -> Vec<u8> {
    let tiff = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0";
    let mut segment = b"\xff\xe1\0\0Exif\0\0".to_vec();
    segment.extend(tiff);
    let length = (segment.len() - 2) as u16;
    segment[2..4].copy_from_slice(&length.to_be_bytes());
    [&jpeg[..2], &segment, &jpeg[2..]].concat()
}

#[tokio::test]
async fn a_picture_is_turned_upright_first() {
    let folder = model_folder("pipeline.config", None);
    let serve = Serve::start(folder.path(), &[]);
    let mut jpeg = Cursor::new(Vec::new());
    let picture = image::load_from_memory(&golden("ssd/a.png")).unwrap();
    picture.write_to(&mut jpeg, ImageFormat::Jpeg).unwrap();
    let jpeg = jpeg.into_inner();
    let turned = DynamicImage::from(picture::decode(&jpeg).unwrap()).rotate180();
    let answer = async |file: &[u8]| serve.invoke("application/json", body(file, None)).await;
    let found = answer(&upside_down(&jpeg)).await;
    assert_eq!(found.0, 200, "{}", found.1);
    assert_eq!(found, answer(&png(&turned)).await);
    assert_ne!(found, answer(&jpeg).await);
}

#[tokio::test]
async fn requests_that_cannot_be_answered_get_a_reason() {
    let folder = model_folder("pipeline.config", None);
    let serve = Serve::start(folder.path(), &[]);
    let picture = golden("ssd/a.png");
    for (content_type, body, status) in [
        ("image/png", "x".to_owned(), 400),
        ("application/json", "hello".to_owned(), 400),
        ("application/json", String::new(), 400),
        ("application/json", "{\"threshold\": 0.5}".to_owned(), 400),
        ("application/json", body(b"hello", None), 415),
        ("application/json", body(&picture[..picture.len() / 2], None), 400),
    ] {
        let (found, text) = serve.invoke(content_type, body).await;
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((found, &value["reason"]), (status, &value["message"]), "{text}");
        assert!(value["reason"].as_str().unwrap().len() > 20, "{text}");
    }
    for (body, code) in [
        ("hello", "BAD_JSON"),
        ("{}", "NO_IMAGE"),
        (r#"{"image": "?"}"#, "BAD_BASE64"),
        (r#"{"image": "aGVsbG8=", "threshold": "0.5"}"#, "BAD_THRESHOLD"),
        ("", "EMPTY_BODY"),
    ] {
        assert_eq!(serve.refused("application/json", body).await, (400, code.to_owned()));
    }
    let none = serve.invoke("application/json", body(&picture, Some(1.0))).await;
    assert_eq!(none, (200, "{\"prediction\": []}".to_owned()));
}

#[test]
fn a_model_that_cannot_be_served_is_refused_at_start() {
    let folder = model_folder("pipeline.config", Some("many"));
    let graph = folder.path().join("graph");
    let message = refusal(folder.path(), &[]);
    assert!(message.contains("image_size is \"many\", and 16 to 4096 would work"), "{message}");
    std::fs::remove_file(graph.join("hyperparameters.json")).unwrap();
    let text = String::from_utf8(golden("ssd/small/pipeline.config")).unwrap();
    std::fs::write(graph.join("pipeline.config"), text.replace("num_classes: 5", "num_classes: 6")).unwrap();
    let message = refusal(folder.path(), &[]);
    assert!(message.contains("is no checkpoint of SSD on MobileNetV2: 12 of 324 tensors do not fit"), "{message}");
    std::fs::write(graph.join("pipeline.config"), text.replace("ssd_mobilenet_v2", "ssd_inception_v2")).unwrap();
    let message = refusal(folder.path(), &[]);
    assert!(message.contains("model.ssd.feature_extractor.type is"), "{message}");
    std::fs::remove_file(graph.join("model.safetensors")).unwrap();
    std::fs::write(graph.join("pipeline.config"), text).unwrap();
    let message = refusal(folder.path(), &[]);
    assert!(
        message.contains("has no checkpoint: model.safetensors, frozen_inference_graph.pb or model.ckpt.index"),
        "{message}"
    );
    std::fs::remove_file(graph.join("pipeline.config")).unwrap();
    let message = refusal(folder.path(), &[]);
    assert!(message.contains("has no pipeline.config"), "{message}");
}
