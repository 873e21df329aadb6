//! The face detector behind `serve`, as a process of its own, with a small S3.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod serving;

use std::io::Cursor;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use image::RgbImage;
use nn::checkpoint::{Checkpoint, save};
use serde_json::Value;
use tokio::net::TcpListener;
use vision::FaceNetwork;

use serving::{Serve, golden, json, refusal};

/// The made-up weights whose answers `crates/vision/tests/golden` has.
fn made_up() -> Checkpoint {
    let list = json("retinaface/tensors_mnet025.json");
    nn::made_up_with_salt("made up", FaceNetwork::RetinaFaceMobileNetV1.tensors(), 73286, |name, _| {
        let tensor = list.as_array().unwrap().iter().find(|tensor| tensor["name"] == name).unwrap();
        (tensor["scale"].as_f64().unwrap(), tensor["shift"].as_f64().unwrap())
    })
}

fn model_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    save(&made_up(), None, &folder.path().join("faces.safetensors"), &mut |_, _| ()).unwrap();
    folder
}

fn portrait() -> RgbImage {
    image::load_from_memory(&golden("astronaut_160x128.png")).unwrap().into_rgb8()
}

/// A file of numpy with pictures of one size.
fn npy(pictures: &[RgbImage]) -> Vec<u8> {
    let (width, height) = pictures[0].dimensions();
    let mut header =
        format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({}, {height}, {width}, 3), }}", pictures.len());
    header.extend(std::iter::repeat_n(' ', 63 - (10 + header.len()) % 64));
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\0".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.bytes());
    pictures.iter().for_each(|picture| file.extend(picture.as_raw()));
    file
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
async fn pictures_and_arrays_are_answered_as_by_the_reference() {
    let folder = model_folder();
    // The checkpoint alone says what it is.
    let serve = Serve::start(folder.path(), &[]);
    let expected = json("retinaface/mnet025_astronaut_rgb/result.json");
    let (status, alone) = serve.invoke("image/png", golden("astronaut_160x128.png")).await;
    assert_eq!(status, 200, "{alone}");
    let value: Value = serde_json::from_str(&alone).unwrap();
    near(&value[0], &expected["detections"], 0.02);
    assert!(alone.starts_with("[[[27.29"), "{alone}");

    let (status, array) = serve.invoke("application/x-npy", npy(&[portrait(), portrait()])).await;
    let one = alone.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap();
    assert_eq!((status, array), (200, format!("[{one}, {one}]")));

    assert_eq!(serve.refused("text/plain", "hello").await, (415, "UNSUPPORTED_TYPE".to_owned()));
    assert_eq!(serve.refused("image/png", "hello").await.0, 415);
    assert_eq!(serve.refused("application/x-npy", "hello").await, (400, "BAD_ARRAY".to_owned()));
    assert_eq!(serve.refused("text/csv", "no-slash").await, (400, "BAD_REFERENCE".to_owned()));
    assert_eq!(serve.refused("application/json", "[[[1]]]").await, (400, "BAD_REFERENCE".to_owned()));
}

#[tokio::test]
async fn the_environment_decides_on_landmarks_colours_and_thresholds() {
    let folder = model_folder();
    let file = golden("astronaut_160x128.png");
    let bgr = json("retinaface/mnet025_astronaut_bgr/result.json");
    let variables = [("MODEL_NAME", "RetinaNetMobileNetV1"), ("WITH_LANDMARKS", "TRUE"), ("COLOR_ORDER", "bgr")];
    let serve = Serve::start(folder.path(), &variables);
    let (_, text) = serve.invoke("image/png", file.clone()).await;
    let value: Value = serde_json::from_str(&text).unwrap();
    near(&value[0][0], &bgr["detections"], 0.02);
    near(&value[1][0], &bgr["landmarks"], 0.02);

    let serve = Serve::start(folder.path(), &[("CONFIDENCE_THRESHOLD", "1"), ("WITH_LANDMARKS", "TRUE")]);
    assert_eq!(serve.invoke("image/png", file.clone()).await, (200, "[[[]], [[]]]".to_owned()));
    let serve = Serve::start(folder.path(), &[("CONFIDENCE_THRESHOLD", "1"), ("MODEL_KIND", "face-detector")]);
    assert_eq!(serve.invoke("image/png", file.clone()).await, (200, "[[]]".to_owned()));
    let serve = Serve::start(folder.path(), &[("NMS_IOU_THRESHOLD", "1")]);
    let (_, text) = serve.invoke("image/png", file).await;
    let value: Value = serde_json::from_str(&text).unwrap();
    let candidates = json("retinaface/mnet025_astronaut_rgb/result.json")["candidates"].as_u64().unwrap();
    assert_eq!(value[0].as_array().unwrap().len() as u64, candidates);
}

#[test]
fn a_model_that_cannot_be_served_is_refused_at_start() {
    let folder = model_folder();
    let message = refusal(folder.path(), &[("MODEL_NAME", "DSFDDetector")]);
    assert!(message.contains("faces.safetensors is no checkpoint of DSFD"), "{message}");
    let message = refusal(folder.path(), &[("MODEL_NAME", "RetinaNet")]);
    assert!(message.contains("RetinaNetResNet50, RetinaNetMobileNetV1 or DSFDDetector would work"), "{message}");
    let message = refusal(folder.path(), &[("MODEL_KIND", "faces")]);
    assert!(message.contains("MODEL_KIND"), "{message}");
    std::fs::copy(folder.path().join("faces.safetensors"), folder.path().join("more.safetensors")).unwrap();
    let message = refusal(folder.path(), &[("MODEL_KIND", "face-detector")]);
    assert!(message.contains("has several checkpoints (faces.safetensors, more.safetensors)"), "{message}");
    // Nor does the preview engine of face ageing serve instead.
    let message = refusal(folder.path(), &[]);
    assert!(message.contains("has several checkpoints (faces.safetensors, more.safetensors)"), "{message}");
    std::fs::remove_file(folder.path().join("more.safetensors")).unwrap();
    std::fs::write(folder.path().join("faces.safetensors"), "weights").unwrap();
    let message = refusal(folder.path(), &[]);
    assert!(message.contains("faces.safetensors"), "{message}");
    let message = refusal(folder.path(), &[("RUST_LOG", "container=loud")]);
    assert!(message.contains("RUST_LOG=\"container=loud\" cannot be used: info, or"), "{message}");
    let empty = tempfile::tempdir().unwrap();
    let message = refusal(empty.path(), &[("MODEL_NAME", "DSFDDetector")]);
    assert!(message.contains("has no checkpoint"), "{message}");

    // DSFD has no landmarks. Its values are not read before it is refused, so zeros suffice.
    let tensors = FaceNetwork::Dsfd.tensors().into_iter();
    let dsfd = dsfd_file(tensors.collect(), empty.path());
    assert!(dsfd.is_file());
    let message = refusal(empty.path(), &[("WITH_LANDMARKS", "TRUE"), ("MODEL_NAME", "DSFDDetector")]);
    assert!(message.contains("WITH_LANDMARKS=TRUE cannot be used with DSFDDetector"), "{message}");
}

/// A file with a safetensors header for these tensors, and a hole for their values.
fn dsfd_file(tensors: Vec<(String, Vec<usize>)>, folder: &Path) -> PathBuf {
    let mut end = 0;
    let entry = |(name, shape): (String, Vec<usize>)| {
        let begin = end;
        end += shape.iter().product::<usize>() * 4;
        (name, serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}))
    };
    let header: serde_json::Map<String, Value> = tensors.into_iter().map(entry).collect();
    let header = Value::from(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    let file = folder.join("dsfd.safetensors");
    std::fs::write(&file, &bytes).unwrap();
    std::fs::OpenOptions::new().write(true).open(&file).unwrap().set_len((bytes.len() + end) as u64).unwrap();
    file
}

/// Answers as S3 does, by path.
async fn s3(uri: Uri) -> Response {
    let error = |status: u16, code: &str| {
        let body =
            format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>as the test asks</Message></Error>");
        (StatusCode::from_u16(status).unwrap(), [("content-type", "application/xml")], body).into_response()
    };
    match uri.path() {
        "/shelf/a/portrait.png" => golden("astronaut_160x128.png").into_response(),
        "/shelf/small%20one.png" => {
            let mut file = Cursor::new(Vec::new());
            RgbImage::new(40, 30).write_to(&mut file, image::ImageFormat::Png).unwrap();
            file.into_inner().into_response()
        }
        "/shelf/large" => vec![0_u8; 3 << 20].into_response(),
        "/shelf/text" => "hello, world".into_response(),
        "/shelf/secret" => error(403, "AccessDenied"),
        "/absent/a" => error(404, "NoSuchBucket"),
        "/far/a" => {
            let mut response = error(301, "PermanentRedirect");
            response.headers_mut().insert("x-amz-bucket-region", "eu-west-3".parse().unwrap());
            response
        }
        "/broken/a" => error(400, "ExpiredToken"),
        _ => error(404, "NoSuchKey"),
    }
}

#[tokio::test]
async fn objects_are_fetched_and_each_failure_has_its_own_code() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, Router::new().fallback(s3)).await });
    let folder = model_folder();
    let serve = Serve::start(
        folder.path(),
        &[
            ("AWS_ENDPOINT_URL", &endpoint),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("TS_MAX_REQUEST_SIZE", "1048576"),
        ],
    );
    let (_, alone) = serve.invoke("image/png", golden("astronaut_160x128.png")).await;
    assert_eq!(serve.invoke("text/csv", "shelf/a/portrait.png").await, (200, alone.clone()));
    let object = r#"{"bucket":"shelf","key":"a/portrait.png"}"#;
    assert_eq!(serve.invoke("application/json", object).await, (200, alone.clone()));
    let (status, both) = serve.invoke("text/csv", "shelf/a/portrait.png\nshelf/small one.png\n").await;
    let value: Value = serde_json::from_str(&both).unwrap();
    assert_eq!((status, value.as_array().unwrap().len()), (200, 2));
    assert_eq!(value[0], serde_json::from_str::<Value>(&alone).unwrap()[0]);

    for (line, status, code) in [
        ("shelf/absent.png", 404, "NO_SUCH_KEY"),
        ("absent/a", 404, "NO_SUCH_BUCKET"),
        ("shelf/secret", 403, "ACCESS_DENIED"),
        ("far/a", 400, "OTHER_REGION"),
        ("shelf/large", 413, "OBJECT_TOO_LARGE"),
        ("broken/a", 502, "S3_FAILED"),
        ("shelf/text", 415, "UNSUPPORTED_IMAGE"),
    ] {
        assert_eq!(serve.refused("text/csv", line).await, (status, code.to_owned()), "{line}");
    }
    let (_, text) = serve.invoke("text/csv", "far/a").await;
    assert!(text.contains("eu-west-3"), "{text}");
}
