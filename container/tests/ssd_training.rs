//! The program `train` with an SSD, as SageMaker runs it, on a tiny set of drawn shapes.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use container::handlers::ssd::{ModelFiles, is_model};
use dataset::export::{Exporter, Filter, Placement};
use dataset::formats::label_map::LabelMap;
use dataset::make::{Made, Recipe};
use dataset::{Format, LocalPictures, Reading, Source, Target};
use image::{Rgb, RgbImage};
use nn::Device;
use nn::checkpoint::Checkpoint;
use serde_json::{Value, json};

/// Pictures of shapes and their label map, in a folder.
fn write_shapes(folder: &Path, name: &str, pictures: u32, seed: u64) {
    let (is_classification, is_breeds, is_png) = (false, false, true);
    let recipe = Recipe { pictures, side: 64, classes: 3, most: 2, is_classification, is_breeds, is_png, seed };
    let mut reading = Reading::default();
    let mut made = Made::new(recipe, &mut reading.classes).unwrap();
    let file = folder.join(Format::TfRecord.file_name(name));
    let (target, placement) = (Target { job: name.to_owned(), shards: 1, ..Target::default() }, Placement::default());
    let filter = Filter::default();
    let mut exporter = Exporter::create(&file, Format::TfRecord, &target, &filter, placement, &LocalPictures).unwrap();
    while let Some(sample) = made.next(&mut reading).unwrap() {
        exporter.write(sample, &mut reading).unwrap();
    }
    exporter.finish(&mut reading).unwrap();
    std::fs::write(folder.join("label_map.pbtxt"), LabelMap::of(&reading.classes).text()).unwrap();
}

/// The configuration of the examples, for small pictures.
fn config() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/object-detection/pipeline.config");
    let text = std::fs::read_to_string(file).unwrap();
    text.replace("height: 128", "height: 64").replace("width: 128", "width: 64")
}

/// The folders of a job.
struct Base(tempfile::TempDir);

impl Base {
    fn new(hyperparameters: &Value) -> Self {
        let base = Self(tempfile::tempdir().unwrap());
        let data = base.path("input/data/training");
        std::fs::create_dir_all(&data).unwrap();
        write_shapes(&data, "training", 10, 1);
        write_shapes(&data, "validation", 4, 2);
        std::fs::write(data.join("pipeline.config"), config()).unwrap();
        std::fs::create_dir_all(base.path("input/config")).unwrap();
        std::fs::write(base.path("input/config/hyperparameters.json"), hyperparameters.to_string()).unwrap();
        base
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn start(&self) -> Child {
        Command::new(env!("CARGO_BIN_EXE_serve"))
            .arg("train")
            .env("SAGEMAKER_BASE_DIR", self.0.path())
            .env("DEVICE", "cpu")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Trains until it ends: the exit code, and the log or the errors.
    fn train(&self) -> (Option<i32>, String) {
        let output = self.start().wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    /// The bits of all variables of the model.
    fn model(&self) -> Vec<(String, Vec<u32>)> {
        let checkpoint = Checkpoint::open(&self.path("model/graph/model.safetensors")).unwrap();
        let bits = |name: &String| checkpoint.floats(name).unwrap().into_iter().map(f32::to_bits).collect();
        checkpoint.tensors().keys().map(|name| (name.clone(), bits(name))).collect()
    }
}

fn tiny() -> Value {
    json!({"num_steps": "8", "eval_steps": "4", "batch_size": "4", "image_size": "64", "inference_type": "FLOAT"})
}

#[test]
fn a_job_trains_from_records_what_serve_serves_and_goes_on_after_a_signal_to_the_same_end() {
    let unbroken = Base::new(&tiny());
    let (code, log) = unbroken.train();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("10 pictures of 3 classes train, 4 validate"), "{log}");
    assert!(log.contains("step 8/8: total_loss: ") && log.contains(" AP50: "), "{log}");
    let history = std::fs::read_to_string(unbroken.path("output/data/history.csv")).unwrap();
    assert!(history.starts_with("phase,epoch,train_loss,AP,AP50,AP75,AR100,lr,seconds\n"), "{history}");
    assert_eq!(history.lines().count(), 3, "{history}");
    for name in ["pipeline.config", "label_map.pbtxt", "hyperparameters.json"] {
        assert!(unbroken.path("model/graph").join(name).is_file(), "{name}");
    }
    assert!(!unbroken.path("model/graph/tflite_quant_graph.tflite").exists(), "`quantize` is false");

    // It is what `serve` serves: `graph` says that it is an SSD.
    assert!(is_model(&unbroken.path("model")));
    let files = ModelFiles::open(&unbroken.path("model")).unwrap();
    assert_eq!(files.image_size, 64);
    let input = files.input(&RgbImage::from_pixel(70, 50, Rgb([200, 60, 40])));
    assert_eq!(files.load(Device::Cpu).unwrap().detect(&[&input]).unwrap().len(), 1);

    let broken = Base::new(&tiny());
    std::fs::create_dir(broken.path("checkpoints")).unwrap();
    let mut child = broken.start();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("step 1/8")));
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    lines.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(broken.path("checkpoints/training.safetensors").is_file());
    assert!(broken.model() != unbroken.model(), "the signal came after the end");
    let (code, log) = broken.train();
    assert!(code == Some(0) && log.contains("goes on after step "), "{log}");
    assert!(broken.model() == unbroken.model());
    // With other settings it does not go on.
    let file = broken.path("input/config/hyperparameters.json");
    std::fs::write(file, json!({"num_steps": "9", "batch_size": "4"}).to_string()).unwrap();
    let (code, log) = broken.train();
    assert!(code == Some(1) && log.contains("has other settings"), "{log}");
}

#[test]
fn a_job_begins_with_a_checkpoint_of_other_classes_and_both_write_a_file_for_mobile_devices() {
    let quantized =
        json!({"num_steps": "1", "batch_size": "2", "quantize": "True", "inference_type": "QUANTIZED_UINT8"});
    let before = Base::new(&quantized);
    let (code, log) = before.train();
    assert_eq!(code, Some(0), "{log}");
    let base = Base::new(&json!({"num_steps": "1", "batch_size": "2", "quantize": "True"}));
    std::fs::create_dir_all(base.path("input/data/checkpoint")).unwrap();
    let copy = base.path("input/data/checkpoint/model.safetensors");
    std::fs::copy(before.path("model/graph/model.safetensors"), copy).unwrap();
    let file = base.path("input/data/training/pipeline.config");
    std::fs::write(file, config().replace("num_classes: 3", "num_classes: 4")).unwrap();
    let (code, log) = base.train();
    // The kernels and the biases of six predictors of classes are new.
    assert!(code == Some(0) && log.contains("begins with 312 of 324 variables"), "{log}");

    let files = [&before, &base].map(|job| std::fs::read(job.path("model/graph/tflite_quant_graph.tflite")).unwrap());
    assert!(files.iter().all(|file| &file[4..8] == b"TFL3"));
    // Weights in one byte and in four.
    assert!(3 * files[0].len() < 2 * files[1].len(), "{} {}", files[0].len(), files[1].len());
}

#[test]
fn what_cannot_be_trained_is_named() {
    let failed = |base: &Base, message: &str| {
        let (code, log) = base.train();
        let failure = std::fs::read_to_string(base.path("output/failure")).unwrap();
        assert!(code == Some(1) && failure.contains(message), "{failure}\n{log}");
    };
    let base = Base::new(&tiny());
    let config_file = base.path("input/data/training/pipeline.config");
    std::fs::write(&config_file, config().replace("adam_optimizer", "adagrad_optimizer")).unwrap();
    failed(&base, "train_config.optimizer");
    std::fs::write(&config_file, config()).unwrap();
    let record = base.path("input/data/training/training.record");
    let mut bytes = std::fs::read(&record).unwrap();
    let end = bytes.len() - 20;
    bytes[end] ^= 1;
    std::fs::write(&record, &bytes).unwrap();
    // What comes before the damage is used.
    let (code, log) = base.train();
    assert!(code == Some(0) && log.contains("training.record, byte ") && log.contains("9 pictures of 3"), "{log}");
    std::fs::remove_file(&record).unwrap();
    failed(
        &base,
        "has no record to train with: training.record, or the files that train_input_reader names, would work",
    );
    std::fs::remove_file(base.path("input/data/training/label_map.pbtxt")).unwrap();
    failed(&base, "has no label_map.pbtxt: the one that the records were written with would work");
}
