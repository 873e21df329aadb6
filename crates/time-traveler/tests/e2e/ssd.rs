//! Object detection as users of TensorFlow run it: `detect` with a folder as the exporter writes it.

use nn::checkpoint::save;
use serde_json::Value;
use vision::ssd::{Config, tensors};

use crate::support::{repository, run};

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(repository().join("crates/vision/tests/golden/ssd").join(name)).unwrap()
}

/// A model folder with made-up weights, `model`, and a photo, `photo.png`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let graph = folder.path().join("model/graph");
    std::fs::create_dir_all(&graph).unwrap();
    for name in ["pipeline.config", "label_map.pbtxt"] {
        std::fs::write(graph.join(name), golden(&format!("small/{name}"))).unwrap();
    }
    let config = Config::parse(&String::from_utf8(golden("small/pipeline.config")).unwrap()).unwrap();
    let list: Value = serde_json::from_slice(&golden("small/tensors.json")).unwrap();
    let weights = nn::made_up("made up", tensors(&config), |name, _| {
        let tensor = list.as_array().unwrap().iter().find(|tensor| tensor["name"] == name).unwrap();
        (tensor["scale"].as_f64().unwrap(), tensor["shift"].as_f64().unwrap())
    });
    save(&weights, None, &graph.join("model.safetensors"), &mut |_, _| ()).unwrap();
    std::fs::write(folder.path().join("photo.png"), golden("a.png")).unwrap();
    folder
}

#[test]
fn objects_are_found_named_and_drawn() {
    let folder = folder();
    let arguments = ["detect", "photo.png", "--model", "model", "--threshold", "0.3", "--json", "--draw", "drawn.png"];
    let output = run(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected: Value = serde_json::from_slice(&golden("small/service/a_300_t03.json")).unwrap();
    let (objects, expected) = (line["objects"].as_array().unwrap(), expected["prediction"].as_array().unwrap());
    assert_eq!(objects.len(), expected.len());
    let best = &objects[0];
    assert_eq!((best["class"].as_u64(), best["name"].as_str()), (Some(3), Some("ring")));
    assert!((best["score"].as_f64().unwrap() - expected[0][1].as_f64().unwrap()).abs() < 1e-3);
    let open = |name: &str| image::open(folder.path().join(name)).unwrap().into_rgb8();
    let (photo, drawn) = (open("photo.png"), open("drawn.png"));
    let (right, height) = (best["box"][2].as_f64().unwrap(), f64::from(photo.height()));
    assert!((right / f64::from(photo.width()) - expected[0][4].as_f64().unwrap()).abs() < 1e-3);
    assert!(best["box"][3].as_f64().unwrap() <= height && photo != drawn);

    let output = run(folder.path(), &["detect", "photo.png", "--model", "model", "--threshold", "0.9"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("photo.png: 1 object\n  ring: "), "{text}");
    let output = run(folder.path(), &["detect", "photo.png", "--model", "model", "--threshold", "1"]);
    assert_eq!(output.stdout, b"photo.png: no object\n");
}
