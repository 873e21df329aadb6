//! The classifier behind `serve`, as a process of its own.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod serving;

use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageFormat, Luma};
use nn::checkpoint::{Checkpoint, save};
use serde_json::Value;
use vision::classifier::{Body, tensors};

use serving::{Serve, golden, json, refusal};

/// The made-up weights whose answers `crates/vision/tests/golden` has.
fn made_up() -> Checkpoint {
    let list = json("classifier/tensors_small.json");
    nn::made_up("made up", tensors(Body::ResNet18, 5), |name, _| {
        let tensor = list.as_array().unwrap().iter().find(|tensor| tensor["name"] == name).unwrap();
        (tensor["scale"].as_f64().unwrap(), tensor["shift"].as_f64().unwrap())
    })
}

/// A model folder of fastai's, but for the format of the weights.
fn model_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    save(&made_up(), None, &folder.path().join("resnet18.safetensors"), &mut |_, _| ()).unwrap();
    std::fs::write(folder.path().join("export.pkl"), golden("classifier/export.pkl")).unwrap();
    folder
}

fn png(picture: &DynamicImage) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

#[tokio::test]
async fn pictures_are_answered_as_by_the_reference() {
    let folder = model_folder();
    // The checkpoint alone says what it is.
    let serve = Serve::start(folder.path(), &[]);
    for response in json("classifier/service.json")["responses"].as_array().unwrap() {
        let name = response["image"].as_str().unwrap();
        let (content_type, tolerance) = if name.ends_with("png") { ("image/png", 1e-3) } else { ("image/jpeg", 1e-2) };
        let (status, text) = serve.invoke(content_type, golden(&format!("classifier/{name}"))).await;
        let answer: Value = serde_json::from_str(&text).unwrap();
        let expected: Value = serde_json::from_str(response["response"].as_str().unwrap()).unwrap();
        assert_eq!((status, &answer["class"]), (200, &expected["class"]), "{name}");
        let off = answer["confidence"].as_f64().unwrap() - expected["confidence"].as_f64().unwrap();
        assert!(off.abs() <= tolerance, "{text}");
        assert!(text.starts_with("{\"class\": \"") && text.contains("\", \"confidence\": 0."), "{text}");
    }
    let top = serve.client.post(format!("{}/invocations", serve.url)).header("accept", "application/json; top=2");
    let top = top.header("content-type", "image/png").body(golden("classifier/a.png")).send().await.unwrap();
    let top: Value = serde_json::from_str(&top.text().await.unwrap()).unwrap();
    assert_eq!((top["top"][0]["class"].as_str(), top["top"][1]["class"].as_str()), (Some("pug"), Some("Bengal")));
    assert_eq!(top["top"].as_array().unwrap().len(), 2);

    assert_eq!(serve.refused("application/json", "{\"url\": \"a\"}").await, (415, "UNSUPPORTED_TYPE".to_owned()));
    assert_eq!(serve.refused("image/png", "hello").await.0, 415);
    let jpeg = golden("classifier/a.jpg");
    assert_eq!(serve.refused("image/jpeg", jpeg[..jpeg.len() / 2].to_vec()).await.0, 400);
    assert_eq!(serve.refused("image/jpeg", "").await, (400, "EMPTY_BODY".to_owned()));
}

#[tokio::test]
async fn invocations_that_share_a_step_are_answered_as_alone() {
    let folder = model_folder();
    let serve = Serve::start(folder.path(), &[("MODEL_KIND", "classifier")]);
    let grey = GrayImage::from_fn(90, 70, |x, y| Luma([(x * 2 + y) as u8]));
    let grey = DynamicImage::from(grey);
    let files = [
        golden("classifier/a.png"),
        golden("classifier/b.jpg"),
        png(&grey),
        png(&DynamicImage::from(grey.to_rgb8())),
        // Opaque, with an alpha channel.
        png(&DynamicImage::from(grey.to_rgba8())),
        golden("classifier/a.jpg"),
    ];
    let mut alone = Vec::new();
    for file in &files {
        alone.push(serve.invoke("", file.clone()).await);
    }
    assert!(alone[2] == alone[3] && alone[3] == alone[4] && alone[0] != alone[2], "{alone:?}");
    let together = files.iter().map(|file| serve.invoke("", file.clone()));
    assert_eq!(futures::future::join_all(together).await, alone);
}

#[test]
fn a_model_that_cannot_be_served_is_refused_at_start() {
    let folder = model_folder();
    std::fs::write(folder.path().join("classes.json"), "[\"cat\"]").unwrap();
    let message = refusal(folder.path(), &[]);
    assert!(message.contains("has 5 classes, and the description in its folder names 1"), "{message}");
    std::fs::write(folder.path().join("classes.json"), "cat").unwrap();
    let message = refusal(folder.path(), &[]);
    assert!(message.contains("classes.json is no JSON"), "{message}");
    let empty = tempfile::tempdir().unwrap();
    let message = refusal(empty.path(), &[("MODEL_KIND", "classifier")]);
    assert!(message.contains("has no checkpoint"), "{message}");
}
