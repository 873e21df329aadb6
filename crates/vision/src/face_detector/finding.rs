//! From a network's outputs for one picture to faces.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::Face;
use crate::boxes::{Number, Priors, Selected, Thresholds, decode, decode_points, select, softmax};
use crate::dsfd;
use crate::retinaface;
use crate::vision_error::VisionError;

/// Scores that a task computes, at least.
const SCORES: usize = 1 << 10;

/// Boxes are computed in 64 bits, as the reference code does.
pub(super) fn of_retinaface(
    outputs: retinaface::Outputs,
    [width, height]: [usize; 2],
    thresholds: Thresholds,
) -> Result<Vec<Face>, VisionError> {
    let retinaface::Outputs { classes, boxes, points } = outputs;
    let classes = values(classes)?;
    let scores = scores(classes.as_chunks().0)?;
    let (boxes, points) = (values(boxes)?, values(points)?);
    let (boxes, points) = (boxes.as_chunks::<4>().0, points.as_chunks::<2>().0.as_chunks::<5>().0);
    let priors = Priors::new(&retinaface::LEVELS, width, height);
    let corners = |prior: usize| decode(priors.at(prior), boxes[prior]);
    let selected = select(&scores, corners, thresholds);
    let face = |selected: Selected<f64>| {
        let landmarks = decode_points(priors.at(selected.prior), points[selected.prior]);
        let landmarks = landmarks.map(|[x, y]| [x * width as f64, y * height as f64]);
        face(selected, [width, height], Some(landmarks))
    };
    Ok(selected.into_iter().map(face).collect())
}

/// Boxes are computed in 32 bits, as the reference code does.
pub(super) fn of_dsfd(
    outputs: dsfd::Outputs,
    [width, height]: [usize; 2],
    thresholds: Thresholds,
) -> Result<Vec<Face>, VisionError> {
    let mut logits = Vec::new();
    let mut offsets: Vec<[f32; 4]> = Vec::new();
    for (level, (loc, conf)) in outputs.loc.into_iter().zip(outputs.conf).enumerate() {
        let used = |maps: Tensor<4>| values([maps.narrow(3, 0, 4)]);
        logits.extend(used(conf)?.as_chunks().0.iter().map(|values| dsfd::logits(level, *values)));
        offsets.extend(used(loc)?.as_chunks::<4>().0);
    }
    let scores = scores(&logits)?;
    let priors = Priors::new(&dsfd::LEVELS, width, height);
    let corners = |prior: usize| decode(dsfd::prior(&priors, prior), offsets[prior]);
    let selected = select(&scores, corners, thresholds);
    Ok(selected.into_iter().map(|selected| face(selected, [width, height], None)).collect())
}

fn face<T: Number>(selected: Selected<T>, [width, height]: [usize; 2], landmarks: Option<[[f64; 2]; 5]>) -> Face {
    let Selected { prior, corners: [left, top, right, bottom], score } = selected;
    // In the precision of the boxes, as the reference code does.
    let across = |value: T| (value * T::from(width as f32)).into();
    let down = |value: T| (value * T::from(height as f32)).into();
    Face { corners: [across(left), down(top), across(right), down(bottom)], score, landmarks, prior }
}

fn scores(logits: &[[f32; 2]]) -> Result<Vec<f32>, VisionError> {
    let score = |logits: &[f32; 2]| {
        let score = softmax(*logits);
        if score.is_finite() { Ok(score) } else { Err(VisionError::NotFinite) }
    };
    logits.par_iter().with_min_len(SCORES).map(score).collect()
}

/// The values of all levels, one after the other.
fn values<const D: usize>(levels: impl IntoIterator<Item = Tensor<D>>) -> Result<Vec<f32>, VisionError> {
    let mut all = Vec::new();
    for level in levels {
        let data = level.try_into_data()?;
        all.extend_from_slice(data.as_slice().expect("the outputs are float32"));
    }
    Ok(all)
}
