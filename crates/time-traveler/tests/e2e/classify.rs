//! A classifier on made-up weights: `classify`, as its users run it.

use std::path::{Path, PathBuf};

use nn::checkpoint::{Checkpoint, save};
use serde_json::Value;
use vision::classifier::{Body, tensors};

use crate::support::{repository, run};

fn golden() -> PathBuf {
    repository().join("crates/vision/tests/golden/classifier")
}

/// The made-up weights whose answers the golden files have.
fn made_up() -> Checkpoint {
    let list: Value = serde_json::from_slice(&std::fs::read(golden().join("tensors_small.json")).unwrap()).unwrap();
    nn::made_up("made up", tensors(Body::ResNet18, 5), |name, _| {
        let tensor = list.as_array().unwrap().iter().find(|tensor| tensor["name"] == name).unwrap();
        (tensor["scale"].as_f64().unwrap(), tensor["shift"].as_f64().unwrap())
    })
}

fn write_model(folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    save(&made_up(), None, &folder.join("model.safetensors"), &mut |_, _| ()).unwrap();
    std::fs::copy(golden().join("export.pkl"), folder.join("export.pkl")).unwrap();
}

#[test]
fn photos_are_classified_and_a_broken_one_does_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    write_model(&folder.path().join("model"));
    for name in ["a.png", "b.jpg"] {
        std::fs::copy(golden().join(name), folder.path().join(name)).unwrap();
    }
    std::fs::write(folder.path().join("broken.jpg"), &std::fs::read(golden().join("a.jpg")).unwrap()[..5000]).unwrap();

    let output = run(folder.path(), &["classify", "a.png", "broken.jpg", "absent.jpg", "b.jpg", "--model", "model"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    // JPEG decoders differ in the last bits.
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("a.png: pug, 35.9 %\nb.jpg: great_pyrenees, 49."), "{text}");
    assert!(error.contains("broken.jpg") && error.contains("absent.jpg"), "{error}");
    assert!(error.ends_with("error: 2 of 4 photos could not be classified\n"), "{error}");

    let output = run(folder.path(), &["classify", "a.png", "--model", "model", "--top", "2"]);
    let text = "a.png:\n  pug      35.9 %\n  Bengal   33.9 %\n";
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()), (Some(0), text));

    let output = run(folder.path(), &["classify", "a.png", "--model", "model", "--top", "9", "--json"]);
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((line["photo"].as_str(), line["class"].as_str()), (Some("a.png"), Some("pug")));
    assert!((line["confidence"].as_f64().unwrap() - 0.359_338_58).abs() < 1e-3, "{line}");
    assert_eq!(line["top"].as_array().unwrap().len(), 5);
}

#[test]
fn a_folder_that_is_no_classifiers_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    write_model(&model);
    std::fs::copy(golden().join("a.png"), folder.path().join("a.png")).unwrap();
    let refused = || {
        let output = run(folder.path(), &["classify", "a.png", "--model", "model"]);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    std::fs::write(model.join("classes.json"), r#"["cat", "dog"]"#).unwrap();
    let error = refused();
    assert!(error.contains("has 5 classes, and the description in its folder names 2"), "{error}");
    std::fs::remove_file(model.join("classes.json")).unwrap();
    std::fs::write(model.join("export.pkl"), b"cos\nsystem\n(S'true'\ntR.").unwrap();
    let error = refused();
    assert!(error.contains("export.pkl cannot be used: it is no pickle of Python"), "{error}");
    std::fs::remove_file(model.join("export.pkl")).unwrap();
    let error = refused();
    assert!(error.contains("neither classes.json nor fastai's export.pkl"), "{error}");
}
