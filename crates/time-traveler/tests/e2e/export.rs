//! `model export`: the files run in LiteRT and ONNX Runtime, and answer as the network here does.

use std::path::Path;
use std::process::Command;

use container::handlers::ssd::ModelFiles;
use nn::Device;

use crate::python;
use crate::ssd::{folder, shapes};
use crate::support::{repository, run};

fn export(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, &[&["model", "export", "model"][..], arguments].concat());
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

fn refused(folder: &Path, arguments: &[&str], expected: &str) {
    let output = run(folder, &[&["model", "export"][..], arguments].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains(expected), "{arguments:?}: {said}");
}

fn write(folder: &Path, name: &str, values: &[f32]) {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(folder.join(name), bytes).unwrap();
}

/// Writes a picture as the network takes it, and what the network here makes of it.
fn own_answers(folder: &Path) {
    let files = ModelFiles::open(&folder.join("model")).unwrap();
    let detector = files.load(Device::Cpu).unwrap();
    let picture = picture::decode(&std::fs::read(folder.join("photo.png")).unwrap()).unwrap();
    let input = vision::ssd::Input::of(&picture, 96, detector.config().picture);
    let [boxes, logits] = detector.outputs(&[&input]).unwrap();
    write(folder, "picture.f32", input.values());
    write(folder, "boxes.f32", &boxes);
    write(folder, "logits.f32", &logits);
    let detections = detector.detect(&[&input]).unwrap().remove(0);
    let rows: Vec<f32> = detections
        .iter()
        .flat_map(|found| {
            let [left, top, right, bottom] = found.corners;
            [top, left, bottom, right, found.class as f32, found.score]
        })
        .collect();
    write(folder, "detections.f32", &rows);
}

#[test]
fn exported_files_answer_as_the_network_does() {
    let folder = folder();
    let folder = folder.path();
    shapes(folder);
    own_answers(folder);
    let record = "shapes/training.record";
    for (out, more) in [
        ("default.tflite", &[][..]),
        ("raw.tflite", &["--raw"]),
        ("detections.tflite", &["--by-class", "--detections", "40"]),
        ("whole.tflite", &["--raw", "--quantize", record]),
        ("whole_detections.tflite", &["--by-class", "--detections", "40", "--quantize", record]),
    ] {
        let said = export(folder, &[&["--format", "tflite", "--out", out][..], more].concat());
        assert_eq!(said.contains("calibrated by 24 pictures"), out.starts_with("whole"), "{said}");
    }
    export(folder, &["--format", "onnx", "--out", "raw.onnx", "--raw"]);
    export(folder, &["--format", "onnx", "--out", "detections.onnx", "--detections", "40"]);
    let script = repository().join("crates/time-traveler/tests/e2e/run_exported.py");
    let golden = repository().join("crates/vision/tests/golden/ssd/small/tflite");
    let interpreter = python::environment("runtimes-venv", "runtimes.txt");
    python::run(Command::new(interpreter).arg(script).arg(folder).arg(golden).env_remove("LD_LIBRARY_PATH"));
}

#[test]
fn what_cannot_be_exported_is_named_with_what_can() {
    let folder = folder();
    let folder = folder.path();
    std::fs::create_dir(folder.join("faces")).unwrap();
    std::fs::write(folder.join("empty.record"), "").unwrap();
    refused(
        folder,
        &["faces", "--format", "tflite"],
        "one with graph/pipeline.config and a checkpoint there can be exported",
    );
    refused(folder, &["none", "--format", "tflite"], "there is no folder none");
    refused(folder, &["model", "--format", "coreml"], "tflite or onnx would work");
    refused(folder, &["model", "--format", "onnx", "--quantize", "empty.record"], "a file of ONNX is in float32");
    refused(folder, &["model", "--format", "tflite", "--quantize", "none.record"], "the record none.record");
    refused(folder, &["model", "--format", "tflite", "--quantize", "empty.record"], "the record empty.record");
    refused(folder, &["model", "--format", "tflite", "--raw", "--by-class"], "cannot be used with");
}
