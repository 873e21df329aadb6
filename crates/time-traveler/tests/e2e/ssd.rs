//! Object detection as users of TensorFlow run it: `detect` with a folder as the exporter writes it, and training, an endpoint and
//! `detect` of a drawn set.

use std::path::Path;

use nn::checkpoint::save;
use serde_json::Value;
use vision::ssd::{Config, tensors};

use crate::boto3::script;
use crate::python;
use crate::support::{Up, repository, run};

pub(crate) fn golden(name: &str) -> Vec<u8> {
    std::fs::read(repository().join("crates/vision/tests/golden/ssd").join(name)).unwrap()
}

/// A model folder with made-up weights, `model`, and a photo, `photo.png`.
pub(crate) fn folder() -> tempfile::TempDir {
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

/// A drawn set in `shapes`, with the configuration of the examples.
pub(crate) fn shapes(folder: &Path) {
    for (name, pictures, seed) in [("training", "24", "1"), ("validation", "4", "2")] {
        let arguments =
            ["dataset", "make", "shapes", "--tfrecord", "--name", name, "--pictures", pictures, "--seed", seed];
        let output = run(folder, &arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let config = repository().join("examples/object-detection/pipeline.config");
    std::fs::copy(config, folder.join("shapes/pipeline.config")).unwrap();
}

#[test]
fn a_training_job_makes_an_endpoint() {
    let folder = folder();
    shapes(folder.path());
    let (photo, drawn) = (folder.path().join("photo.png"), folder.path().join("drawn.png"));
    let up = Up::start();
    // A few steps find nothing yet: the best guesses are drawn.
    python::run(
        script(&up, "boto3_ssd.py")
            .args([folder.path().join("shapes"), photo.clone(), drawn.clone()])
            .args(["4", "0", "0"]),
    );
    let open = |file: &Path| image::open(file).unwrap().into_rgb8();
    let (photo, drawn) = (open(&photo), open(&drawn));
    assert!(photo.dimensions() == drawn.dimensions() && photo != drawn);
}

#[test]
fn the_command_line_trains_and_uses_a_model() {
    let folder = folder();
    shapes(folder.path());
    let settings = ["--set", "num_steps=3", "--set", "batch_size=4", "--set", "image_size=128"];
    let train = |out: &str, more: &[&str]| {
        let output =
            run(folder.path(), &[&["train", "--data", "shapes", "--out", out, "--json"][..], &settings, more].concat());
        (output.status.success(), output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (success, stdout, stderr) = train("trained", &[]);
    assert!(success && stderr.contains("24 pictures of 3 classes train, 4 validate"), "{stderr}");
    let epoch: Value = serde_json::from_slice(stdout.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    assert!(epoch["AP50"].as_f64().is_some_and(|figure| (0.0..=1.0).contains(&figure)), "{epoch}");
    let output = run(folder.path(), &["detect", "photo.png", "--model", "trained", "--threshold", "0", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // A training that begins with this model takes all variables of it over.
    let (success, _, stderr) = train("again", &["--weights", "trained/graph", "--set", "quantize=true"]);
    assert!(success && stderr.contains("begins with 324 of 324 variables"), "{stderr}");
    assert!(folder.path().join("again/graph/tflite_quant_graph.tflite").is_file());
}
