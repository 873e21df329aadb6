//! Face detectors on made-up weights: `detect`, and an endpoint, as their users run them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::face_weights::{golden, write_made_up};
use crate::python::{self, python};
use crate::support::{Up, repository, run};

/// A folder with a photo, `photo.png`, and a model folder, `model`, and what the reference code finds in the photo.
fn folder() -> (tempfile::TempDir, Value) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("model")).unwrap();
    write_made_up(&folder.path().join("model/faces.safetensors"));
    std::fs::copy(golden().join("../astronaut_160x128.png"), folder.path().join("photo.png")).unwrap();
    (folder, serde_json::from_slice(&std::fs::read(expected()).unwrap()).unwrap())
}

fn expected() -> PathBuf {
    golden().join("mnet025_astronaut_rgb/result.json")
}

#[test]
fn faces_are_found_by_a_network_and_drawn() {
    let (folder, expected) = folder();
    let output = run(folder.path(), &["detect", "photo.png", "--model", "model", "--json", "--draw", "drawn.png"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (faces, expected) = (line["faces"].as_array().unwrap(), expected["detections"].as_array().unwrap());
    assert_eq!((line["photo"].as_str(), faces.len()), (Some("photo.png"), expected.len()));
    for (face, expected) in faces.iter().zip(expected) {
        for edge in 0..4 {
            let (found, expected) = (face["box"][edge].as_f64().unwrap(), expected[edge].as_f64().unwrap());
            assert!((found - expected).abs() < 0.02, "{found} {expected}");
        }
        assert_eq!(face["landmarks"].as_array().unwrap().len(), 5);
    }
    let open = |name: &str| image::open(folder.path().join(name)).unwrap().into_rgb8();
    let (photo, drawn) = (open("photo.png"), open("drawn.png"));
    assert_eq!(photo.dimensions(), drawn.dimensions());
    let edge = expected[0][0].as_f64().unwrap().round() as u32;
    assert_eq!(drawn.get_pixel(edge, 30).0, [255, 59, 48]);

    let output = run(folder.path(), &["detect", "photo.png", "photo.png", "--model", "model", "--draw", "all"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let count = expected.len();
    assert!(
        text.starts_with(&format!("photo.png: {count} faces\n  60 x 205 pixels at (27, -58), score 0.774\n")),
        "{text}"
    );
    assert!(folder.path().join("all/photo.jpg").is_file() && folder.path().join("all/photo-2.jpg").is_file());

    let output = run(folder.path(), &["detect", "photo.png", "--model", "model", "--threshold", "1"]);
    assert_eq!(output.stdout, b"photo.png: no face\n");
}

#[test]
fn what_cannot_be_searched_is_named() {
    let (folder, _) = folder();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "hello").unwrap();
    for (arguments, code, message) in [
        (&["detect", "photo.png"][..], 2, "--model"),
        (&["detect", "--model", "model"], 2, "PHOTOS"),
        (&["detect", "photo.png", "--model", "empty"], 1, "empty has no checkpoint"),
        (&["detect", "photo.png", "--model", "gone"], 1, "the model folder gone cannot be read"),
        (&["detect", "notes.txt", "--model", "model"], 1, "notes.txt"),
        (&["detect", "photo.png", "--model", "model", "--threshold", "2"], 2, "a number from 0 to 1 works"),
        (&["detect", "photo.png", "photo.png", "--model", "model", "--draw", "a.png"], 1, "one file for 2 photos"),
        (&["detect", "photo.png", "--model", "model", "--draw", "a.gif"], 1, "--draw a.gif cannot be written"),
    ] {
        let output = run(folder.path(), arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(message), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_broken_photo_among_others_is_named_and_passed_over() {
    let (folder, _) = folder();
    std::fs::write(folder.path().join("broken.jpg"), "no picture").unwrap();
    let photos = ["photo.png", "broken.jpg", "gone.png", "photo.png"];
    let output = run(folder.path(), &[&["detect", "--model", "model"][..], &photos].concat());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).matches("photo.png: ").count(), 2);
    let named = |name: &str| stderr.lines().any(|line| line.starts_with("error: ") && line.contains(name));
    assert!(named("broken.jpg") && named("gone.png") && stderr.contains("2 photos of 4"), "{stderr}");
}

#[test]
fn the_network_of_a_model_folder_finds_the_faces_of_portraits() {
    let (folder, _) = folder();
    let age = |photo: &str| run(folder.path(), &["age", photo, "--model", "aging", "--ages", "40", "--out", "out"]);
    std::fs::create_dir(folder.path().join("aging")).unwrap();
    let network = folder.path().join("aging/retinaface.safetensors");
    std::fs::copy(folder.path().join("model/faces.safetensors"), &network).unwrap();
    let output = age("photo.png");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Made-up weights find other faces than the HOG detector.
    let output = run(folder.path(), &["age", "photo.png", "--ages", "40", "--out", "hog"]);
    let open = |path: &str| image::open(folder.path().join(path)).unwrap().into_rgb8();
    assert!(!output.status.success() || open("out/0.jpg") != open("hog/0.jpg"));

    std::fs::write(&network, "no checkpoint").unwrap();
    let output = age("photo.png");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("the face detection network aging/retinaface.safetensors cannot be used"), "{stderr}");
}

/// A script of this folder, as a client of a local cloud. Its last arguments are checkpoint, photo and the expected answer.
fn script(up: &Up, folder: &Path, name: &str, step: Option<&str>) {
    python::run(
        Command::new(python())
            .arg(repository().join("crates/time-traveler/tests/e2e").join(name))
            .args(step)
            .args([folder.join("model/faces.safetensors"), folder.join("photo.png")])
            .arg(expected())
            .env("AWS_ENDPOINT_URL", &up.aws)
            .env("AWS_ACCESS_KEY_ID", "anything")
            .env("AWS_SECRET_ACCESS_KEY", "goes")
            .env("AWS_DEFAULT_REGION", "us-east-1"),
    );
}

#[test]
fn an_endpoint_finds_the_faces_of_objects_in_s3() {
    let (folder, _) = folder();
    let up = Up::start();
    script(&up, folder.path(), "boto3_faces.py", None);
}

#[test]
fn a_bucket_of_photographs_is_searched_across_a_kill_and_broken_ones_cost_themselves() {
    let (folder, _) = folder();
    let data = tempfile::tempdir().unwrap();
    let mut up = Up::start_over(data.path());
    script(&up, folder.path(), "boto3_faces_batch.py", Some("create"));
    script(&up, folder.path(), "boto3_faces_batch.py", Some("begun"));
    up.kill();
    up = Up::start_over(data.path());
    script(&up, folder.path(), "boto3_faces_batch.py", Some("ended"));
}
