//! COCO's figures of the network on the validation record.

use dataset::evaluation::coco::Coco;
use dataset::evaluation::comparison::{BoundingBox, Comparison, ComparisonError, Detection, Image, Truth};
use nn::{Device, Parameters};
use rayon::prelude::*;
use vision::ssd::training::{Examples, Truth as Object};
use vision::ssd::{Config, Detection as Found, Detector, Input};

use super::records::Records;

/// Pictures that are computed together.
const BATCH: usize = 8;

/// AP over IoU from 0.50 to 0.95, AP at 0.50 and at 0.75, and the recall of 100 detections. A picture that cannot be decoded is left out.
/// Detections in a crowd count neither way.
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
            let objects = [&truths[..], records.crowds(*image)];
            compare(&mut comparison, *image, [*width, *height], objects, &detections)?;
        }
    }
    let figures = Coco::evaluate(&comparison).figures;
    let named = [("AP", figures.ap), ("AP50", figures.ap50), ("AP75", figures.ap75), ("AR100", figures.ar[2])];
    Ok(named.into_iter().filter_map(|(name, figure)| Some((name.to_owned(), figure?))).collect())
}

/// Adds the objects and the crowds of a picture, and what was found in it. The picture's width and height are in pixels.
fn compare(
    comparison: &mut Comparison,
    image: usize,
    [width, height]: [f64; 2],
    [truths, crowds]: [&[Object]; 2],
    detections: &[Found],
) -> Result<(), ComparisonError> {
    let bounds = |[left, top, right, bottom]: [f32; 4]| {
        let [left, top, right, bottom] = [left, top, right, bottom].map(f64::from);
        BoundingBox::from_corners([left * width, top * height, right * width, bottom * height])
    };
    for (objects, crowd) in [(truths, false), (crowds, true)] {
        for object in objects {
            let [top, left, bottom, right] = object.corners;
            let bounds = bounds([left, top, right, bottom]);
            let area = bounds.area();
            comparison.push_truth(Truth { image, class: object.class, bounds, area, crowd, difficult: false })?;
        }
    }
    for found in detections {
        let (bounds, score) = (bounds(found.corners), f64::from(found.score));
        comparison.push_detection(Detection { image, class: found.class, bounds, score })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detection_in_a_crowd_counts_neither_way() {
        let object = |corners| Object { corners, class: 0, weight: 1.0 };
        let found = |corners, score| Found { class: 0, score, corners, anchor: 0 };
        let [truth, crowd] = [object([0.0, 0.0, 1.0, 0.5]), object([0.0, 0.5, 1.0, 1.0])];
        let detections = [found([0.6, 0.2, 0.8, 0.6], 0.9), found([0.0, 0.0, 0.5, 1.0], 0.8)];
        let ap50 = |crowds: &[Object]| {
            let image = Image { name: String::new(), place: None };
            let mut comparison = Comparison::new(vec![image], vec!["0".to_owned()]);
            compare(&mut comparison, 0, [80.0, 40.0], [&[truth], crowds], &detections).unwrap();
            Coco::evaluate(&comparison).figures.ap50.unwrap()
        };
        assert!(ap50(&[crowd]) > 0.99 && ap50(&[]) < 0.51);
    }
}
