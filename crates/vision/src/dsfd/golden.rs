//! The network against the reference code (PyTorch, float32, CPU), on made-up weights.

use picture::RgbImage;

use crate::boxes::Thresholds;
use crate::face_detector::{ColorOrder, FaceNetwork, detector_of, prepared};
use crate::golden;

use super::*;

/// The greatest difference of offsets and logits.
const TOLERANCE: f64 = 2e-4;
const SALT: u64 = 41358;
/// Strips of one row.
const ROW: StripSize = StripSize { pixels: 1, rows: 1 };

fn flat(tensor: &Tensor<4>) -> Vec<f32> {
    tensor.clone().into_data().try_into_vec_as().unwrap()
}

fn heads_are(what: &str, outputs: &Outputs, answer: impl Fn(&str, usize) -> Vec<f64>) {
    for level in 0..6 {
        for (name, maps) in [("loc", &outputs.loc), ("conf", &outputs.conf)] {
            let found = golden::doubles(&flat(&maps[level]));
            golden::close(&format!("{what}: {name}_{level}"), &found, &answer(name, level), TOLERANCE);
        }
    }
}

/// One test, since the weights take two gigabytes.
#[test]
fn the_network_equals_the_reference() {
    let detector = detector_of(FaceNetwork::Dsfd, "dsfd/tensors.json", SALT);
    let network = detector.dsfd();
    let picture = golden::astronaut();
    for (order, word) in [(ColorOrder::Rgb, "rgb"), (ColorOrder::Bgr, "bgr")] {
        let folder = format!("dsfd/astronaut_{word}");
        let pictures = prepared(&detector, &picture, order);
        if order == ColorOrder::Rgb {
            let answer = golden::json(&format!("{folder}/features.json"));
            let Features { layers, pyramid, enhanced } = network.features(pictures.clone());
            let named = (1..).map(|number| format!("layer{number}")).zip(&layers);
            let named = named.chain((1..).map(|number| format!("lfpn{number}")).zip(&pyramid));
            let named = named.chain(ENHANCE.iter().map(|(name, _)| (*name).to_owned()).zip(&enhanced));
            for (what, maps) in named {
                let maps = network.execution.channels_innermost(maps.clone()).permute([0, 3, 1, 2]);
                golden::features(&what, &flat(&maps), maps.dims(), &answer[&what], TOLERANCE);
            }
        }
        // Whole, and in strips of some rows and of a row.
        for strips in [WHOLE, StripSize { pixels: 200, rows: 1 }, ROW] {
            let outputs = network.forward_in_strips(pictures.clone(), strips);
            heads_are(&format!("{folder} in strips of {strips:?}"), &outputs, |kind, level| {
                golden::doubles(&golden::array(&format!("{folder}/{kind}_{level}")))
            });
        }
        let faces = detector.detect(&picture, order, Thresholds::default()).unwrap();
        golden::faces(&folder, &faces, &golden::json(&format!("{folder}/result.json")));
    }
    for case in golden::json("dsfd/edges.json").as_array().unwrap() {
        let [x0, y0, x1, y1] = golden::indices(&case["crop_of_astronaut_160x128_xyxy"]).try_into().unwrap();
        let pixel = |x, y| *picture.get_pixel(x + x0 as u32, y + y0 as u32);
        let part = RgbImage::from_fn((x1 - x0) as u32, (y1 - y0) as u32, pixel);
        let what = format!("{:?}", part.dimensions());
        for strips in [WHOLE, ROW] {
            let outputs = network.forward_in_strips(prepared(&detector, &part, ColorOrder::Rgb), strips);
            heads_are(&what, &outputs, |kind, level| golden::numbers(&case[kind][level]));
        }
        golden::faces(&what, &detector.detect(&part, ColorOrder::Rgb, Thresholds::default()).unwrap(), case);
    }
}

#[test]
fn three_logits_stand_for_one() {
    for case in golden::json("dsfd/layers/max_out.json").as_array().unwrap() {
        let level = case["level"].as_u64().unwrap() as usize;
        let channels: Vec<Vec<f64>> = case["conf_chw"].as_array().unwrap().iter().map(golden::numbers).collect();
        let found = (0..channels[0].len())
            .flat_map(|pixel| logits(level, [0, 1, 2, 3].map(|channel| channels[channel][pixel] as f32)));
        let found: Vec<f32> = found.collect();
        golden::close("max-out", &golden::doubles(&found), &golden::numbers(&case["background_face"]), 1e-6);
        let scores = found.as_chunks().0.iter().map(|logits| f64::from(crate::boxes::second_probability(*logits)));
        let expected: Vec<f64> = golden::rows::<2>(&case["softmax"]).iter().map(|row| row[1]).collect();
        golden::close("softmax", &scores.collect::<Vec<f64>>(), &expected, 1e-6);
    }
}
