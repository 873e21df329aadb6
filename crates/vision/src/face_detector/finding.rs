//! From a network's outputs for one picture to faces.

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

use super::Face;
use crate::boxes::{Number, Priors, Selected, Thresholds, decode, decode_points, second_probability, select};
use crate::dsfd;
use crate::retinaface::{self, Answer, Cell};
use crate::vision_error::VisionError;

/// Scores that a task computes, at least.
const SCORES: usize = 1 << 10;

/// What a network predicts for each prior of a picture.
#[derive(Debug)]
pub struct Predictions {
    size: [usize; 2],
    scores: Vec<f32>,
    offsets: Offsets,
}

/// The offsets from priors to boxes, and to points if the network has them.
#[derive(Debug)]
enum Offsets {
    /// The network's outputs for each level.
    RetinaFace(Vec<TensorData>),
    Dsfd(Vec<[f32; 4]>),
}

impl Predictions {
    pub(super) fn of_retinaface(levels: [Tensor<4>; 3], size: [usize; 2]) -> Result<Self, VisionError> {
        let levels = levels.into_iter().map(Tensor::try_into_data).collect::<Result<Vec<_>, _>>()?;
        let cells = cells(&levels);
        let priors = Priors::new(&retinaface::LEVELS, size[0], size[1]).count();
        let scores = scores(priors, |prior| Answer::new(&cells, prior).logits())?;
        Ok(Self { size, scores, offsets: Offsets::RetinaFace(levels) })
    }

    pub(super) fn of_dsfd(outputs: dsfd::Outputs, size: [usize; 2]) -> Result<Self, VisionError> {
        let mut logits: Vec<[f32; 2]> = Vec::new();
        let mut offsets: Vec<[f32; 4]> = Vec::new();
        for (level, (loc, conf)) in outputs.loc.into_iter().zip(outputs.conf).enumerate() {
            let used = |maps: Tensor<4>| maps.narrow(3, 0, 4).try_into_data();
            logits.extend(floats(&used(conf)?).as_chunks().0.iter().map(|values| dsfd::logits(level, *values)));
            offsets.extend(floats(&used(loc)?).as_chunks::<4>().0);
        }
        let scores = scores(logits.len(), |prior| logits[prior])?;
        Ok(Self { size, scores, offsets: Offsets::Dsfd(offsets) })
    }

    /// The faces of the picture, best first. Their boxes are computed in 64 bits for RetinaFace and in 32 bits for DSFD, as the reference
    /// code does.
    pub fn faces(&self, thresholds: Thresholds) -> Vec<Face> {
        let Self { size: [width, height], scores, offsets } = self;
        let size = [*width, *height];
        match offsets {
            Offsets::RetinaFace(levels) => {
                let cells = cells(levels);
                let priors = Priors::new(&retinaface::LEVELS, *width, *height);
                let answer = |prior: usize| Answer::new(&cells, prior);
                let corners = |prior: usize| decode(priors.at(prior), answer(prior).box_offsets());
                let face = |selected: Selected<f64>| {
                    let landmarks = decode_points(priors.at(selected.prior), answer(selected.prior).point_offsets());
                    face(selected, size, Some(landmarks.map(|[x, y]| [x * *width as f64, y * *height as f64])))
                };
                select(scores, corners, thresholds).into_iter().map(face).collect()
            }
            Offsets::Dsfd(offsets) => {
                let priors = Priors::new(&dsfd::LEVELS, *width, *height);
                let corners = |prior: usize| decode(dsfd::prior(&priors, prior), offsets[prior]);
                select(scores, corners, thresholds).into_iter().map(|selected| face(selected, size, None)).collect()
            }
        }
    }
}

/// The answers of all levels, cell by cell.
fn cells(levels: &[TensorData]) -> Vec<&Cell> {
    levels.iter().flat_map(|level| floats(level).as_chunks().0).collect()
}

fn face<T: Number>(selected: Selected<T>, [width, height]: [usize; 2], landmarks: Option<[[f64; 2]; 5]>) -> Face {
    let Selected { prior, corners: [left, top, right, bottom], score } = selected;
    // In the precision of the boxes, as the reference code does.
    let across = |value: T| (value * T::from(width as f32)).into();
    let down = |value: T| (value * T::from(height as f32)).into();
    Face { corners: [across(left), down(top), across(right), down(bottom)], score, landmarks, prior }
}

/// The score of each of `priors` priors, from their logits.
fn scores(priors: usize, logits: impl Fn(usize) -> [f32; 2] + Sync) -> Result<Vec<f32>, VisionError> {
    let score = |prior: usize| {
        let score = second_probability(logits(prior));
        if score.is_finite() { Ok(score) } else { Err(VisionError::NotFinite) }
    };
    (0..priors).into_par_iter().with_min_len(SCORES).map(score).collect()
}

fn floats(data: &TensorData) -> &[f32] {
    data.as_slice().expect("the outputs are float32")
}
