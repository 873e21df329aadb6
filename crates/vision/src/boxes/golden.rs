//! Single operations against the reference code.

use serde_json::Value;

use super::*;
use crate::golden::{close, indices, json, numbers, rows};
use crate::{dsfd, retinaface};

/// The greatest difference, absolute or relative.
const TOLERANCE: f64 = 1e-6;

#[track_caller]
fn near(what: &str, found: &[f64], expected: &[f64]) {
    let scaled = |values: &[f64]| -> Vec<f64> {
        values.iter().zip(expected).map(|(value, expected)| value / expected.abs().max(1.0)).collect()
    };
    close(what, &scaled(found), &scaled(expected), TOLERANCE);
}

fn floats<const N: usize>(row: [f64; N]) -> [f32; N] {
    row.map(|value| value as f32)
}

fn priors_are(case: &Value, levels: &[Level], prior: impl Fn(&Priors, usize) -> [f64; 4]) {
    let size = |name: &str| case[name].as_u64().unwrap() as usize;
    let priors = Priors::new(levels, size("width"), size("height"));
    let what = format!("{} x {}", size("width"), size("height"));
    assert_eq!(priors.count(), size("count"), "{what}");
    let grids: Vec<usize> = priors.grids().flatten().collect();
    assert_eq!(grids, indices(&case["grids_hw"]), "{what}");
    let all: Vec<[f64; 4]> = (0..priors.count()).map(|index| prior(&priors, index)).collect();
    let few = all.len().min(5);
    near(&what, all[..few].as_flattened(), &numbers(&case["first5"]));
    near(&what, all[all.len() - few..].as_flattened(), &numbers(&case["last5"]));
    let mut first = 0;
    let firsts = indices(&case["per_level"]).into_iter().flat_map(|count| {
        first += count;
        all[first - count]
    });
    near(&what, &firsts.collect::<Vec<f64>>(), &numbers(&case["first_of_level"]));
    let sums = [0, 1, 2, 3].map(|column| all.iter().map(|prior| prior[column]).sum::<f64>());
    near(&what, &sums, &numbers(&case["sum_of_columns"]));
}

#[test]
fn priors_of_pictures_of_any_size() {
    for case in json("retinaface/layers/priors.json").as_array().unwrap() {
        priors_are(case, &retinaface::LEVELS, |priors, index| priors.at(index));
    }
    for case in json("dsfd/layers/priors.json").as_array().unwrap() {
        priors_are(case, &dsfd::LEVELS, |priors, index| dsfd::prior(priors, index).map(f64::from));
    }
}

#[test]
fn offsets_become_boxes() {
    let case = json("retinaface/layers/decode.json");
    let all: Vec<([f64; 4], [f64; 4])> = rows(&case["priors"]).into_iter().zip(rows(&case["offsets"])).collect();
    let boxes = all.iter().flat_map(|(prior, offsets)| decode(*prior, floats(*offsets)));
    near("64 bits", &boxes.collect::<Vec<f64>>(), &numbers(&case["boxes_xyxy_normalised"]));
    let boxes = all.iter().flat_map(|(prior, offsets)| decode(floats(*prior), floats(*offsets)).map(f64::from));
    near("32 bits", &boxes.collect::<Vec<f64>>(), &numbers(&case["boxes_with_float32_priors"]));

    let case = json("dsfd/layers/decode.json");
    let all = rows(&case["priors"]).into_iter().zip(rows(&case["offsets"]));
    let boxes = all.flat_map(|(prior, offsets)| decode(floats(prior), floats(offsets)).map(f64::from));
    near("upright", &boxes.collect::<Vec<f64>>(), &numbers(&case["boxes_xyxy_normalised"]));
}

#[test]
fn offsets_become_points() {
    let case = json("retinaface/layers/landmarks.json");
    let all = rows(&case["priors"]).into_iter().zip(rows::<10>(&case["offsets"]));
    let points = all.flat_map(|(prior, offsets): ([f64; 4], _)| {
        let offsets = floats(offsets);
        let offsets: [[f32; 2]; 5] = offsets.as_chunks().0.try_into().unwrap();
        decode_points(prior, offsets)
    });
    near("points", points.flatten().collect::<Vec<f64>>().as_slice(), &numbers(&case["points_normalised"]));
}

#[test]
fn logits_become_scores() {
    let case = json("retinaface/layers/softmax.json");
    let scores = rows(&case["logits"]).into_iter().map(|logits| f64::from(second_probability(floats(logits))));
    let expected: Vec<f64> = rows::<2>(&case["softmax"]).iter().map(|row| row[1]).collect();
    near("softmax", &scores.collect::<Vec<f64>>(), &expected);
}

#[test]
fn ties_are_decided_as_by_torchvision() {
    for case in json("retinaface/layers/nms.json").as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let overlap = case["iou_threshold"].as_f64().unwrap();
        let boxes: Vec<[f64; 4]> = rows(&case["boxes"]);
        let scores: Vec<f32> = numbers(&case["scores"]).into_iter().map(|score| score as f32).collect();
        assert_eq!(suppress(&boxes, &scores, overlap), indices(&case["kept_float64"]), "{name}, 64 bits");
        let boxes: Vec<[f32; 4]> = boxes.into_iter().map(floats).collect();
        assert_eq!(suppress(&boxes, &scores, overlap), indices(&case["kept_float32"]), "{name}, 32 bits");
    }
}
