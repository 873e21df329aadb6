//! COCO's figures of the network on the validation record.

use dataset::evaluation::coco::Coco;
use dataset::evaluation::comparison::{BoundingBox, Comparison, Detection, Image, Truth};
use nn::{Device, Parameters};
use rayon::prelude::*;
use vision::ssd::training::Examples;
use vision::ssd::{Config, Detector, Input};

use super::records::Records;

/// Pictures that are computed together.
const BATCH: usize = 8;

/// AP over IoU from 0.50 to 0.95, AP at 0.50 and at 0.75, and the recall of 100 detections. A picture that cannot be decoded is left out.
pub(super) fn figures(
    parameters: &Parameters,
    config: &Config,
    device: Device,
    records: &Records,
) -> anyhow::Result<Vec<(String, f64)>> {
    let detector = Detector::of(parameters, config, device)?;
    let image = |index: usize| Image { name: records.name(index).to_owned(), place: None };
    let classes = (0..config.classes).map(|class| class.to_string()).collect();
    let mut comparison = Comparison::new((0..records.len()).map(image).collect(), classes);
    let indices: Vec<usize> = (0..records.len()).collect();
    for indices in indices.chunks(BATCH) {
        let decoded: Vec<_> = indices
            .par_iter()
            .filter_map(|index| {
                let (picture, truths) = records.example(*index).ok()?;
                let input = Input::of_original(&picture, config.picture);
                Some((*index, f64::from(picture.width()), f64::from(picture.height()), input, truths))
            })
            .collect();
        let inputs: Vec<&Input> = decoded.iter().map(|(_, _, _, input, _)| input).collect();
        for ((image, width, height, _, truths), detections) in decoded.iter().zip(detector.detect(&inputs)?) {
            let image = *image;
            let bounds = |[left, top, right, bottom]: [f32; 4]| {
                let [left, top, right, bottom] = [left, top, right, bottom].map(f64::from);
                BoundingBox::from_corners([left * width, top * height, right * width, bottom * height])
            };
            for truth in truths {
                let [top, left, bottom, right] = truth.corners;
                let bounds = bounds([left, top, right, bottom]);
                let area = bounds.area();
                let truth = Truth { image, class: truth.class, bounds, area, crowd: false, difficult: false };
                comparison.push_truth(truth)?;
            }
            for found in detections {
                let (bounds, score) = (bounds(found.corners), f64::from(found.score));
                comparison.push_detection(Detection { image, class: found.class, bounds, score })?;
            }
        }
    }
    let figures = Coco::evaluate(&comparison).figures;
    let named = [("AP", figures.ap), ("AP50", figures.ap50), ("AP75", figures.ap75), ("AR100", figures.ar[2])];
    Ok(named.into_iter().filter_map(|(name, figure)| Some((name.to_owned(), figure?))).collect())
}
