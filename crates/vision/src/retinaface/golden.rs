//! The network against the reference code (PyTorch, float32, CPU), on made-up weights.

use picture::RgbImage;
use serde_json::Value;

use crate::boxes::Thresholds;
use crate::face_detector::{ColorOrder, FaceDetector, FaceNetwork, detector_of, prepared};
use crate::golden;

use super::*;

/// The greatest difference of offsets and logits.
const TOLERANCE: f64 = 2e-4;
const SALT: u64 = 73286;

fn mnet025() -> FaceDetector {
    detector_of(FaceNetwork::RetinaFaceMobileNetV1, "retinaface/tensors_mnet025.json", SALT)
}

fn flat<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.clone().into_data().try_into_vec_as().unwrap()
}

fn heads_are(what: &str, levels: &[Tensor<4>; 3], answer: impl Fn(&str, usize) -> Vec<f64>) {
    for (level, maps) in levels.iter().enumerate() {
        let values = flat(maps);
        let cells: Vec<&Cell> = values.as_chunks().0.iter().collect();
        let answers = (0..SQUARES * cells.len()).map(|prior| Answer::new(&cells, prior));
        let boxes: Vec<f32> = answers.clone().flat_map(Answer::box_offsets).collect();
        let classes: Vec<f32> = answers.clone().flat_map(Answer::logits).collect();
        let points: Vec<f32> = answers.flat_map(Answer::point_offsets).flatten().collect();
        for (name, values) in [("box", boxes), ("cls", classes), ("lmk", points)] {
            let found = golden::doubles(&values);
            golden::close(&format!("{what}: {name}_{level}"), &found, &answer(name, level), TOLERANCE);
        }
    }
}

fn equals_the_reference(detector: &FaceDetector, name: &str) {
    let network = detector.retinaface();
    let picture = golden::astronaut();
    for (order, word) in [(ColorOrder::Rgb, "rgb"), (ColorOrder::Bgr, "bgr")] {
        let folder = format!("retinaface/{name}_astronaut_{word}");
        let pictures = prepared(detector, &picture, order);
        if order == ColorOrder::Rgb {
            let answer = golden::json(&format!("{folder}/features.json"));
            let Features { body, fpn, ssh } = network.features(pictures.clone());
            for level in 0..3 {
                let number = level + 1;
                let maps = [("body.", &body), ("fpn.", &fpn), ("ssh", &ssh)];
                for (kind, maps) in maps {
                    let what = format!("{kind}{number}");
                    let maps = network.execution.channels_innermost(maps[level].clone()).permute([0, 3, 1, 2]);
                    golden::features(&what, &flat(&maps), maps.dims(), &answer[&what], TOLERANCE);
                }
            }
        }
        let outputs = network.forward(pictures);
        heads_are(&folder, &outputs, |kind, level| {
            golden::doubles(&golden::array(&format!("{folder}/{kind}_{level}")))
        });
        let faces = detector.detect(&picture, order, Thresholds::default()).unwrap();
        golden::faces(&folder, &faces, &golden::json(&format!("{folder}/result.json")));
    }
}

#[test]
fn mobile_net_equals_the_reference() {
    equals_the_reference(&mnet025(), "mnet025");
}

#[test]
fn resnet_equals_the_reference() {
    let detector = detector_of(FaceNetwork::RetinaFaceResNet50, "retinaface/tensors_r50.json", SALT);
    equals_the_reference(&detector, "r50");
}

fn crop(picture: &RgbImage, corners: &Value) -> RgbImage {
    let [x0, y0, x1, y1] = golden::indices(corners).try_into().unwrap();
    RgbImage::from_fn((x1 - x0) as u32, (y1 - y0) as u32, |x, y| *picture.get_pixel(x + x0 as u32, y + y0 as u32))
}

#[test]
fn pictures_down_to_a_pixel() {
    let detector = mnet025();
    let network = detector.retinaface();
    let cases = golden::json("retinaface/mnet025_edges.json");
    assert_eq!(cases.as_array().unwrap().len(), 5);
    for case in cases.as_array().unwrap() {
        let picture = crop(&golden::astronaut(), &case["crop_of_astronaut_160x128_xyxy"]);
        let what = format!("{:?}", picture.dimensions());
        let outputs = network.forward(prepared(&detector, &picture, ColorOrder::Rgb));
        heads_are(&what, &outputs, |kind, level| golden::numbers(&case[kind][level]));
        golden::faces(&what, &detector.detect(&picture, ColorOrder::Rgb, Thresholds::default()).unwrap(), case);
    }
}
