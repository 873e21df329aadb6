//! The unmodified notebooks run against a local cloud. Their outputs are checked, and so are the saved ones.

use std::path::Path;
use std::process::Command;

use crate::face_weights::write_made_up;
use crate::python::{python, run};
use crate::support::{BINARY, Up, repository, run as time_traveler};

fn notebook(name: &str) {
    notebooks(&[name]);
}

/// Runs notebooks one after the other, in one local cloud.
fn notebooks(names: &[&str]) {
    let up = Up::start();
    let tests = repository().join("crates/time-traveler/tests/e2e");
    // The executed notebooks are kept for inspection.
    let executed = Path::new(env!("CARGO_TARGET_TMPDIR")).join("notebooks");
    let in_python = |script: &str, name: &str| {
        let mut command = Command::new(python());
        command.arg(tests.join(script)).arg(Path::new("notebooks").join(name)).current_dir(repository());
        // The environment has only the variables that the notebook names.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("TIME_TRAVELER_") || name.starts_with("AWS_")) {
                command.env_remove(name);
            }
        }
        command
    };
    // Only the notebooks of face detection read the checkpoint, that of the classifier the pets, and that of object detection the shapes.
    // Those of Detectron make their pictures themselves.
    let data = tempfile::tempdir().unwrap();
    let checkpoint = data.path().join("made_up.safetensors");
    write_made_up(&checkpoint);
    let pets = ["dataset", "make", "pets", "--format", "pets", "--classes", "4", "--pictures", "160"];
    assert!(time_traveler(data.path(), &pets).status.success());
    let shapes = data.path().join("shapes");
    for (name, pictures, seed) in [("training", "24", "1"), ("validation", "4", "2")] {
        let records =
            ["dataset", "make", "shapes", "--tfrecord", "--name", name, "--pictures", pictures, "--seed", seed];
        assert!(time_traveler(data.path(), &records).status.success());
    }
    std::fs::copy(repository().join("examples/object-detection/pipeline.config"), shapes.join("pipeline.config"))
        .unwrap();
    let photos = ["dataset", "make", "photos", "--pictures", "3", "--seed", "8"];
    assert!(time_traveler(data.path(), &photos).status.success());
    for name in names {
        run(in_python("run_notebook.py", name)
            .arg(&executed)
            .env("TIME_TRAVELER_CHECKPOINT", &checkpoint)
            .env("TIME_TRAVELER_PICTURES", data.path().join("pets/images"))
            .env("TIME_TRAVELER_RECORDS", &shapes)
            .env("TIME_TRAVELER_PHOTOS", data.path().join("photos/images"))
            .env("TIME_TRAVELER_PROGRAM", BINARY)
            .env("TIME_TRAVELER_STEPS", "10")
            .env("TIME_TRAVELER_API", &up.api)
            .env("AWS_ENDPOINT_URL", &up.aws)
            .env("AWS_ACCESS_KEY_ID", "anything")
            .env("AWS_SECRET_ACCESS_KEY", "goes")
            .env("AWS_DEFAULT_REGION", "us-east-1"));
        run(in_python("check_notebook.py", name).arg(executed.join(name)));
    }
}

#[test]
fn the_deploy_notebook_runs_as_saved() {
    notebook("deploy.ipynb");
}

#[test]
fn the_pipeline_notebook_runs_as_saved() {
    notebook("pipeline.ipynb");
}

#[test]
fn the_notebook_of_faces_runs_as_saved() {
    notebook("faces.ipynb");
}

#[test]
fn the_notebook_of_batch_transform_runs_as_saved() {
    notebook("batch-transform.ipynb");
}

#[test]
fn the_notebook_of_the_classifier_runs_as_saved() {
    notebook("classifier.ipynb");
}

#[test]
fn the_notebook_of_object_detection_runs_as_saved() {
    notebook("object-detection.ipynb");
}

#[test]
fn the_notebooks_of_detectron_run_in_order_as_saved() {
    notebooks(&[
        "detectron-dataprep.ipynb",
        "detectron-train.ipynb",
        "detectron-evaluate.ipynb",
        "detectron-deploy.ipynb",
    ]);
}
