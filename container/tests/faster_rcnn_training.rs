//! The program `train` on Faster R-CNN, as SageMaker runs it, on a few pictures of rectangles.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use container::handlers::faster_rcnn::model_files;
use image::{Rgb, RgbImage};
use nn::Device;
use nn::checkpoint::Checkpoint;
use serde_json::{Value, json};
use vision::faster_rcnn::FasterRcnn;
use vision::faster_rcnn::config::Document;

/// A small network on small pictures.
const SMALL: &str = "MODEL.RESNETS.DEPTH 18 MODEL.RESNETS.RES2_OUT_CHANNELS 64 MODEL.RESNETS.NORM BN MODEL.BACKBONE.FREEZE_AT 0 \
    MODEL.FPN.OUT_CHANNELS 32 MODEL.ROI_BOX_HEAD.FC_DIM 64 MODEL.ANCHOR_GENERATOR.SIZES [[16],[24],[32],[48],[64]] \
    INPUT.MIN_SIZE_TRAIN (64,) INPUT.MIN_SIZE_TEST 64 MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE 32 MODEL.RPN.BATCH_SIZE_PER_IMAGE 64 \
    MODEL.RPN.POST_NMS_TOPK_TRAIN 50 MODEL.RPN.POST_NMS_TOPK_TEST 50 SOLVER.IMS_PER_BATCH 2 SOLVER.BASE_LR 0.002";

/// A part of the data: pictures with a red and a blue rectangle each, and the list of them in COCO's form. The first picture has a crowd, and
/// the last has no object.
fn write_part(folder: &Path, name: &str, count: u32) {
    std::fs::create_dir_all(folder.join(name)).unwrap();
    let (mut images, mut annotations) = (Vec::new(), Vec::new());
    for index in 0..count {
        let file = format!("{index}.png");
        let (red, blue) = ([4 + 3 * index, 6, 30 + 3 * index, 28], [30, 34 + index, 58, 60]);
        let is_empty = index + 1 == count;
        let inside = |[left, top, right, bottom]: [u32; 4], x, y| {
            !is_empty && (left..right).contains(&x) && (top..bottom).contains(&y)
        };
        let colour = |x, y| match () {
            () if inside(red, x, y) => [220, 30, 30],
            () if inside(blue, x, y) => [30, 30, 220],
            () => [90; 3],
        };
        RgbImage::from_fn(64, 64, |x, y| Rgb(colour(x, y))).save(folder.join(name).join(&file)).unwrap();
        images.push(json!({"id": index, "file_name": file, "width": 64, "height": 64}));
        let of_picture = [(1, red, 0), (2, blue, 0), (2, [0, 0, 9, 9], 1)];
        for (category, [left, top, right, bottom], is_crowd) in of_picture {
            if !is_empty && (is_crowd == 0 || index == 0) {
                let (width, height) = (right - left, bottom - top);
                annotations.push(json!({
                    "id": annotations.len() + 1, "image_id": index, "category_id": category, "iscrowd": is_crowd,
                    "bbox": [left, top, width, height], "area": width * height,
                }));
            }
        }
    }
    let categories = json!([{"id": 1, "name": "red"}, {"id": 2, "name": "blue"}]);
    let list = json!({"images": images, "annotations": annotations, "categories": categories});
    std::fs::write(folder.join(format!("{name}.json")), list.to_string()).unwrap();
}

/// The folders of a job.
struct Base(tempfile::TempDir);

impl Base {
    /// With options over those of the small network, and with other hyperparameters.
    fn new(options: &str, others: Value) -> Self {
        let base = Self(tempfile::tempdir().unwrap());
        let data = base.path("input/data/training");
        write_part(&data, "train", 5);
        write_part(&data, "val", 2);
        std::fs::write(data.join("small.yaml"), Document::pyramid().to_yaml()).unwrap();
        std::fs::create_dir_all(base.path("input/config")).unwrap();
        let mut hyperparameters =
            json!({"kind": "faster-rcnn", "opts": format!("{SMALL} {options}"), "resume": "True"});
        hyperparameters.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
        std::fs::write(base.path("input/config/hyperparameters.json"), hyperparameters.to_string()).unwrap();
        let channels = r#"{"training": {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated"}}"#;
        std::fs::write(base.path("input/config/inputdataconfig.json"), channels).unwrap();
        base
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_serve"));
        command.arg("train").env("SAGEMAKER_BASE_DIR", self.0.path());
        command
    }

    /// Trains until it ends: the exit code and the log.
    fn train(&self) -> (Option<i32>, String) {
        let output = self.command().output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Trains until there is a checkpoint, and ends it by a signal.
    fn interrupted(&self) {
        std::fs::create_dir_all(self.path("checkpoints")).unwrap();
        let mut child = self.command().stdout(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(120);
        while !self.path("checkpoints/training.safetensors").is_file() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }

    fn failure(&self) -> String {
        assert_eq!(self.train().0, Some(1));
        std::fs::read_to_string(self.path("output/failure")).unwrap()
    }

    /// The bits of all tensors of the model.
    fn model(&self) -> Vec<(String, Vec<u32>)> {
        let checkpoint = Checkpoint::open(&self.path("model/model.pth")).unwrap();
        let floats = checkpoint.tensors().iter().filter(|(_, tensor)| tensor.is_float());
        let bits = |name: &String| checkpoint.floats(name).unwrap().into_iter().map(f32::to_bits).collect();
        floats.map(|(name, _)| (name.clone(), bits(name))).collect()
    }
}

/// The numbers that a metric definition of the original finds in a log.
fn metric(log: &str, name: &str) -> Vec<f64> {
    let number = |rest: &str| rest.split_whitespace().next().unwrap().parse::<f64>().unwrap();
    log.split(&format!("{name}: ")).skip(1).map(number).collect()
}

#[test]
fn a_job_writes_what_serve_serves_and_goes_on_after_a_signal_to_the_same_end() {
    let options = "SOLVER.MAX_ITER 8 SOLVER.CHECKPOINT_PERIOD 2 TEST.EVAL_PERIOD 4";
    let unbroken = Base::new(options, json!({"seed": "3"}));
    let (code, log) = unbroken.train();
    assert_eq!(code, Some(0), "{log}");
    assert!(
        log.contains("4 pictures train, 1 are left out without objects, 2 validate; 2 classes: red, blue"),
        "{log}"
    );
    for name in ["total_loss", "loss_cls", "loss_box_reg", "loss_rpn_cls", "loss_rpn_loc", "lr"] {
        assert!(!metric(&log, name).is_empty(), "{name}: {log}");
    }
    for name in ["validation_loss", "AP", "AP50", "AP-red", "AP-blue"] {
        assert_eq!(metric(&log, name).len(), 2, "{name}: {log}");
    }
    assert!(metric(&log, "AP50").iter().all(|ap| (0.0..=100.0).contains(ap)), "{log}");
    let history = std::fs::read_to_string(unbroken.path("output/data/history.csv")).unwrap();
    assert_eq!(history.lines().count(), 3, "{history}");
    assert!(history.contains("validation_loss,AP,AP50,AP75,AP-red,AP-blue"), "{history}");
    assert!(unbroken.path("output/data/training.html").is_file() && !unbroken.path("output/failure").exists());
    // The report is of the same model and pictures as the last evaluation.
    let report = std::fs::read(unbroken.path("output/data/report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    let (reported, told) = (100.0 * report["figures"]["AP50"].as_f64().unwrap(), *metric(&log, "AP50").last().unwrap());
    assert!((reported - told).abs() < 0.01, "{reported} and {told}");
    let page = std::fs::read_to_string(unbroken.path("output/data/report.html")).unwrap();
    assert!(page.contains("data:image/jpeg;base64,"), "the page shows no mistake");

    let folder = unbroken.path("model");
    assert_eq!(std::fs::read_to_string(folder.join("last_checkpoint")).unwrap(), "model.pth");
    assert_eq!(std::fs::read_to_string(folder.join("labels.txt")).unwrap(), "red\nblue\n");
    let identity = model_files(&folder).unwrap();
    assert_eq!((identity.config.form.classes, identity.config.form.channels, identity.config.input.short), (2, 32, 64));
    let batches = &identity.checkpoint.tensors()["backbone.bottom_up.stem.conv1.norm.num_batches_tracked"];
    assert!(!batches.is_float() && batches.shape().is_empty());
    FasterRcnn::load(&identity, Device::Cpu).unwrap().detect(&RgbImage::new(64, 64)).unwrap();

    let base = Base::new(options, json!({"seed": "3"}));
    base.interrupted();
    let (code, log) = base.train();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("goes on after step "), "{log}");
    assert!(base.model() == unbroken.model(), "the model is that of an unbroken training");
    let again = std::fs::read_to_string(base.path("output/data/history.csv")).unwrap();
    assert_eq!(again.lines().count(), 3, "the evaluations before the signal are kept: {again}");
}

#[test]
fn the_best_model_is_kept_and_frozen_normalizations_begin_with_a_checkpoint() {
    let first = Base::new("SOLVER.MAX_ITER 2", json!({}));
    assert_eq!(first.train().0, Some(0));

    let options = "MODEL.RESNETS.NORM FrozenBN MODEL.BACKBONE.FREEZE_AT 2 SOLVER.MAX_ITER 2 TEST.EVAL_PERIOD 1 \
        SOLVER.BASE_LR 1e-4 SOLVER.WARMUP_ITERS 0";
    let second = Base::new(options, json!({"keep": "best", "local_config_file": "small.yaml"}));
    let message = second.failure();
    assert!(message.contains("nothing begins to train with MODEL.RESNETS.NORM FrozenBN"), "{message}");
    let pretrained = second.path("input/data/pretrained");
    std::fs::create_dir_all(&pretrained).unwrap();
    std::fs::copy(first.path("model/model.pth"), pretrained.join("model.pth")).unwrap();
    let channels = r#"{"training": {}, "pretrained": {}}"#;
    std::fs::write(second.path("input/config/inputdataconfig.json"), channels).unwrap();
    let (code, log) = second.train();
    assert_eq!(code, Some(0), "{log}");
    let all = first.model().len();
    assert!(log.contains(&format!("begins with {all} of {all} tensors of")), "{log}");
    let (before, after) = (first.model(), second.model());
    let moved = |part: &str| {
        let pairs = before.iter().zip(&after).filter(|(one, _)| one.0.contains(part));
        pairs.filter(|(one, other)| one != other).count()
    };
    assert_eq!((moved(".stem."), moved(".res2."), moved(".norm.")), (0, 0, 0));
    assert!(moved(".res4.") > 0 && moved("box_predictor") > 0);
    let checkpoint = Checkpoint::open(&second.path("model/model.pth")).unwrap();
    assert!(!checkpoint.tensors().keys().any(|name| name.ends_with("num_batches_tracked")));
    assert!(second.path("output/data/best.safetensors").is_file());
}

/// The list is that of Detectron2's network of this configuration, with five classes.
#[test]
fn a_model_has_the_names_and_the_shapes_of_detectron2() {
    let options = "MODEL.FPN.OUT_CHANNELS 64 MODEL.ROI_BOX_HEAD.FC_DIM 128 SOLVER.MAX_ITER 1";
    let base = Base::new(options, json!({}));
    for part in ["train", "val"] {
        let file = base.path(&format!("input/data/training/{part}.json"));
        let mut list: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let more = (3..=5).map(|id| json!({"id": id, "name": format!("class {id}")}));
        list["categories"].as_array_mut().unwrap().extend(more);
        std::fs::write(file, list.to_string()).unwrap();
    }
    let (code, log) = base.train();
    assert_eq!(code, Some(0), "{log}");
    let golden =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/vision/tests/golden/faster_rcnn/small/tensors.json");
    let golden: Value = serde_json::from_slice(&std::fs::read(golden).unwrap()).unwrap();
    let shape =
        |entry: &Value| entry["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
    let expected: BTreeMap<String, Vec<usize>> = golden
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["name"].as_str().unwrap().to_owned(), shape(entry)))
        .collect();
    assert_eq!(expected.len(), 130);
    let checkpoint = Checkpoint::open(&base.path("model/model.pth")).unwrap();
    // Normalizations that train count their batches, those of the list are frozen.
    let written = checkpoint.tensors().iter().filter(|(name, _)| !name.ends_with(".num_batches_tracked"));
    let written: BTreeMap<String, Vec<usize>> =
        written.map(|(name, tensor)| (name.clone(), tensor.shape().to_vec())).collect();
    assert_eq!(written, expected);
}

#[test]
fn what_cannot_be_trained_is_named() {
    for (options, others, message) in [
        (
            "",
            json!({"config_file": "COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml", "opts": "SEED 1"}),
            "MODEL.WEIGHTS is 'detectron2://",
        ),
        ("", json!({"config_file": "retinanet.yaml"}), "config_file is \"retinanet.yaml\": COCO-Detection/"),
        ("", json!({"config_file": "a", "local_config_file": "b"}), "are both given: one would work"),
        ("", json!({"local_config_file": "absent.yaml"}), "a file in the channel of the data would work"),
        ("", json!({"epochs": "3"}), "the hyperparameter epochs means nothing to a Faster R-CNN"),
        ("MODEL.ROI_HEADS.NUM_CLASSES 80", json!({}), "is 80, and the data set has 2 classes: 2 would work"),
        ("MODEL.MASK_ON True", json!({}), "MODEL.MASK_ON is True: False would work"),
        ("MODEL.BACKBONE.FREEZE_AT 2", json!({}), "MODEL.BACKBONE.FREEZE_AT is 2, and the stages that it freezes"),
    ] {
        let failure = Base::new(options, others).failure();
        assert!(failure.contains(message), "{failure}");
    }
    let base = Base::new("SOLVER.MAX_ITER 1", json!({}));
    RgbImage::new(64, 48).save(base.path("input/data/training/val/0.png")).unwrap();
    let failure = base.failure();
    assert!(failure.contains("0.png has 64 x 48 pixels, and its annotations are for 64 x 64"), "{failure}");
    let base = Base::new("", json!({}));
    std::fs::remove_file(base.path("input/data/training/val.json")).unwrap();
    assert!(
        base.failure().contains("val.json: train.json and val.json in COCO's form would work"),
        "{}",
        base.failure()
    );
}
