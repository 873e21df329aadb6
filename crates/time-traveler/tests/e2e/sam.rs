//! The SAM engine with made-up weights, in the command line and in the whole pipeline.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use aging::sam;
use flate2::read::GzDecoder;
use nn::checkpoint::{self, ElementType};
use serde_json::{Value, json};

use crate::support::{BINARY, picture, repository, run, sample};

#[track_caller]
fn stdout(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The pixels of one panel of a strip with `panels` panels, row by row.
fn panel(file: &Path, panels: usize, number: usize) -> Vec<u8> {
    let strip = std::fs::read(file).unwrap();
    let row = 3 * 1024;
    let pixels = &strip[strip.len() - 1024 * row * panels..];
    pixels.chunks_exact(row * panels).flat_map(|line| line[number * row..(number + 1) * row].to_vec()).collect()
}

#[test]
fn a_checkpoint_under_another_name_is_not_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("model")).unwrap();
    let photo = sample();
    let photo = photo.to_str().unwrap();
    let commands: [&[&str]; 4] = [
        &["age", photo, "--model", "model"],
        &["demo", photo, "--model", "model"],
        &["up", "--port", "0", "--aws-port", "0", "--data", "data", "--model", "model"],
        &["model", "pack", "model"],
    ];
    let refused = |message: &str| {
        for arguments in commands {
            let output = run(folder.path(), arguments);
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
            assert!(error.ends_with(&format!("model has no model.safetensors and no model.pt{message}\n")), "{error}");
        }
        assert!(!folder.path().join("out").exists() && !folder.path().join("model.tar.gz").exists());
    };
    refused(": put a SAM checkpoint there");
    std::fs::write(folder.path().join("model/sam_ffhq_aging.pt"), "weights").unwrap();
    refused("; it has sam_ffhq_aging.pt: rename it");
}

#[test]
fn up_says_which_engine_serves() {
    let folder = tempfile::tempdir().unwrap();
    let mut up = Command::new(BINARY)
        .args(["up", "--port", "0", "--aws-port", "0", "--data", "data"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said = lines.find(|line| line.starts_with("  model "));
    up.kill().unwrap();
    up.wait().unwrap();
    assert_eq!(
        said.as_deref(),
        Some("  model preview, a sketch of what a network makes: --model names a folder with a network's weights")
    );
}

/// This is one test, since the made-up weights take seconds and a gigabyte.
#[test]
fn a_model_folder_with_a_checkpoint_ages_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    std::fs::create_dir(&model).unwrap();
    let file = model.join("model.safetensors");
    checkpoint::save(&sam::made_up(256), Some(ElementType::Float16), &file, &mut |_, _| ()).unwrap();
    let at = |name: &str| folder.path().join(name);

    let inspected: Value =
        serde_json::from_str(&stdout(&run(folder.path(), &["model", "inspect", "model/model.safetensors", "--json"])))
            .unwrap();
    let [network, size, misfit] = ["network", "outputSize", "misfit"].map(|name| &inspected[name]);
    assert_eq!((network, size, misfit), (&"sam".into(), &256.into(), &Value::Null));
    assert!(inspected["elements"]["float16"].as_u64() == inspected["parameters"].as_u64(), "{inspected}");

    let photo = sample();
    let photo = photo.to_str().unwrap();
    let line = stdout(&run(
        folder.path(),
        &["age", photo, "--model", "model", "--ages", "20,50,80", "--out", "three", "--json"],
    ));
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["model"], &line["device"]), (&"sam".into(), &"cpu".into()));
    assert!(line["loadSeconds"].as_f64() > Some(0.0));
    for stage in ["decode", "align", "pretrainedEncoder", "encoder", "generator", "panels"] {
        assert!(line["stageSeconds"][stage].as_f64() > Some(0.0), "{line}");
    }
    assert!(!cfg!(target_os = "linux") || line["peakMemoryBytes"].as_u64() > Some(1_000_000_000));

    // A wrapper's prefix before all names changes nothing.
    let wrapped = sam::made_up(256)
        .tensors()
        .iter()
        .map(|(name, tensor)| (format!("module._orig_mod.{name}"), tensor.clone()))
        .collect::<Vec<_>>();
    let wrapped = checkpoint::Checkpoint::computed("wrapped", wrapped);
    checkpoint::save(&wrapped, Some(ElementType::Float16), &at("wrapped.safetensors"), &mut |_, _| ()).unwrap();
    let inspected = stdout(&run(folder.path(), &["model", "inspect", "wrapped.safetensors"]));
    assert!(inspected.contains("  prefix      module._orig_mod., taken off the names\n"), "{inspected}");
    assert!(inspected.contains("  module._orig_mod.latent_avg [14, 512] float16\n"), "{inspected}");
    stdout(&run(folder.path(), &["model", "convert", "wrapped.safetensors", "converted.safetensors"]));
    assert!(std::fs::read(at("converted.safetensors")).unwrap() == std::fs::read(&file).unwrap());

    // An age has the same pixels with any other ages, and in the pipeline.
    let said = stdout(&run(folder.path(), &["demo", photo, "--model", "model", "--ages", "80,20", "--out", "two"]));
    assert!(said.contains("in the model (sam)"), "{said}");
    let (three, two) = (at("three/strip.npy"), at("two/strip.npy"));
    for (there, here) in [(0, 0), (3, 1), (1, 2)] {
        assert!(panel(&three, 4, there) == panel(&two, 3, here), "panel {there} of three is not panel {here} of two");
    }
    assert!(panel(&three, 4, 1) != panel(&three, 4, 2), "the ages are equal");

    // In an aligned picture, no face has to be found.
    std::fs::write(at("noface.png"), picture(1)).unwrap();
    image::open(at("noface.png"))
        .unwrap()
        .resize_exact(256, 256, image::imageops::FilterType::Nearest)
        .save(at("noface.png"))
        .unwrap();
    stdout(&run(folder.path(), &["age", "noface.png", "--aligned", "--model", "model", "--ages", "60"]));

    let landmarks = repository().join("crates/face/models/landmarks.dat.gz");
    let landmarks_file = std::fs::File::create(model.join("shape_predictor_68_face_landmarks.dat")).unwrap();
    std::io::copy(&mut GzDecoder::new(std::fs::File::open(landmarks).unwrap()), &mut &landmarks_file).unwrap();
    stdout(&run(folder.path(), &["model", "pack", "model", "--out", "model.tar.gz"]));
    let mut archive = tar::Archive::new(GzDecoder::new(std::fs::File::open(at("model.tar.gz")).unwrap()));
    let entries: Vec<(String, u64)> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.path().unwrap().display().to_string(), entry.size()))
        .collect();
    assert_eq!(
        entries,
        [
            ("model.safetensors".to_owned(), file.metadata().unwrap().len()),
            ("shape_predictor_68_face_landmarks.dat".to_owned(), landmarks_file.metadata().unwrap().len()),
        ]
    );
}

#[test]
fn the_benchmark_needs_no_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["bench", "aging", "--size", "256", "--ages", "1", "--runs", "1", "--threads", "2", "--json"];
    let line: Value = serde_json::from_str(&stdout(&run(folder.path(), &arguments))).unwrap();
    assert_eq!((&line["threads"], &line["size"], &line["ages"]), (&2.into(), &256.into(), &1.into()));
    let of = |what: &str, stage: &str| line[what][stage].as_f64().unwrap();
    for stage in ["pretrainedEncoder", "encoder", "generator", "strip"] {
        assert!(of("seconds", stage) > 0.0 && of("gflops", stage) > 0.0, "{line}");
    }
    let parts = of("seconds", "pretrainedEncoder") + of("seconds", "encoder") + of("seconds", "generator");
    assert!(of("seconds", "strip") >= parts && line["peakGflops"].as_f64() > Some(0.0), "{line}");
    let refused = run(folder.path(), &["bench", "aging", "--size", "300"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("256, 512 or 1024 works"));
}

#[test]
fn an_unusable_checkpoint_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let fixtures = repository().join("crates/nn/tests/checkpoints");
    let other = fixtures.join("zip.pt");
    let other = other.to_str().unwrap();
    let refused = |arguments: &[&str]| {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    // The lines of a message are indented below "error: ".
    let error = refused(&["model", "convert", other, "out.safetensors"]).replace("\n       ", "\n");
    let expected = "1278 of 1278 tensors do not fit\nmissing: 1275\n  encoder.input_layer.0.weight [64, 4, 3, 3]\n";
    assert!(error.contains(expected), "{error}");
    assert!(
        error.contains("under names that are not needed: 1\n  encoder.input_layer.1.num_batches_tracked []"),
        "{error}"
    );
    let error = refused(&["model", "inspect", fixtures.join("code.pt").to_str().unwrap()]);
    assert!(error.contains("Python would use \"posix.system\"") && error.contains("Nothing of it was run"), "{error}");
    assert!(
        refused(&["model", "pack", "."]).contains("has no model.safetensors and no model.pt: put a SAM checkpoint")
    );
    let error = refused(&["model", "pack", "gone"]);
    let begin = "make it, and put the checkpoint in it as model.pt: mkdir gone && cp sam_ffhq_aging.pt gone/model.pt";
    assert_eq!(error, format!("error: there is no folder gone: {begin}\n"));
    let inspected = stdout(&run(folder.path(), &["model", "inspect", other]));
    let expected = ["nothing that the SAM engine can use", "PyTorch (zip)"];
    assert!(expected.iter().all(|words| inspected.contains(words)), "{inspected}");
    let listed = "\nThe tensors of the file:\n  decoder.input.input [1, 2, 3, 4] float32\n  \
                  encoder.input_layer.1.num_batches_tracked [] int64\n  encoder.latlayer1.weight [3, 2] float32\n  \
                  latent_avg [2, 4] float32\n";
    assert!(inspected.ends_with(listed), "{inspected}");
    let inspected: Value =
        serde_json::from_str(&stdout(&run(folder.path(), &["model", "inspect", other, "--json"]))).unwrap();
    assert_eq!(inspected["contents"][3], json!({"name": "latent_avg", "shape": [2, 4], "dtype": "float32"}));
    assert_eq!((&inspected["tensors"], &inspected["network"]), (&4.into(), &Value::Null));

    std::fs::copy(other, folder.path().join("model.pt")).unwrap();
    let photo = sample();
    let error = refused(&["age", photo.to_str().unwrap(), "--model", "."]);
    assert!(
        error.starts_with("error: the model cannot be loaded: ./model.pt is no checkpoint of the SAM network"),
        "{error}"
    );
    #[cfg(not(feature = "cuda"))]
    assert!(refused(&["age", photo.to_str().unwrap(), "--device", "cuda"]).contains("--features cuda"));
}
