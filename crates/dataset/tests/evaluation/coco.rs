//! COCO's figures.

use std::fs::File;

use dataset::evaluation::coco::{AREAS, Coco, Figures, IOUS, MAX_DETECTIONS, RECALLS, iou_thresholds};
use dataset::evaluation::comparison::{BoundingBox, Comparison, Detection, Image, Truth};
use dataset::evaluation::outcome::Outcome;
use flate2::read::GzDecoder;
use ndarray::{ArrayD, IxDyn};
use ndarray_npy::ReadNpyExt;
use serde_json::Value;

use crate::{assert_near, golden, json, numbers};

const CASES: [&str; 2] = ["coco_a", "coco_b"];

/// A case as an comparison, with the ids of its pictures and classes in order.
fn comparison(case: &str) -> (Comparison, Vec<i64>, Vec<i64>) {
    let (truths, detections) = (json(case, "gt.json"), json(case, "dt.json"));
    let list = |name: &str| truths[name].as_array().unwrap().clone();
    let id = |value: &Value| value["id"].as_i64().unwrap();
    let (mut images, mut categories) = (list("images"), list("categories"));
    images.sort_by_key(id);
    categories.sort_by_key(id);
    let ids = |values: &[Value]| values.iter().map(id).collect::<Vec<i64>>();
    let (image_ids, class_ids) = (ids(&images), ids(&categories));
    let name = |value: &Value, key: &str| value[key].as_str().unwrap().to_owned();
    let mut comparison = Comparison::new(
        images.iter().map(|image| Image { name: name(image, "file_name"), place: None }).collect(),
        categories.iter().map(|category| name(category, "name")).collect(),
    );
    let place = |value: &Value, key: &str, ids: &[i64]| {
        let id = value[key].as_i64().unwrap();
        ids.iter().position(|&other| other == id).unwrap()
    };
    let bounds = |value: &Value| BoundingBox::from_size(numbers(&value["bbox"]).try_into().unwrap());
    for truth in list("annotations") {
        let added = comparison.push_truth(Truth {
            image: place(&truth, "image_id", &image_ids),
            class: place(&truth, "category_id", &class_ids),
            bounds: bounds(&truth),
            area: truth["area"].as_f64().unwrap(),
            crowd: truth["iscrowd"] == 1,
            difficult: false,
        });
        added.unwrap();
    }
    for detection in detections.as_array().unwrap() {
        let added = comparison.push_detection(Detection {
            image: place(detection, "image_id", &image_ids),
            class: place(detection, "category_id", &class_ids),
            bounds: bounds(detection),
            score: detection["score"].as_f64().unwrap(),
        });
        added.unwrap();
    }
    (comparison, image_ids, class_ids)
}

fn array(case: &str, name: &str) -> ArrayD<f64> {
    ArrayD::read_npy(GzDecoder::new(File::open(golden(case, name)).unwrap())).unwrap()
}

#[test]
fn the_figures_are_those_of_pycocotools() {
    for case in CASES {
        let (comparison, _, _) = comparison(case);
        let (coco, expected) = (Coco::evaluate(&comparison), json(case, "expected.json"));
        for (name, value) in Figures::NAMES.iter().zip(coco.figures.values()) {
            assert_near(value, &expected["stats"][name], 1e-9, &format!("{case} {name}"));
        }
        let classes = expected["per_class"].as_array().unwrap();
        assert_eq!(classes.len(), coco.classes.len());
        for (index, (expected, figures)) in classes.iter().zip(&coco.classes).enumerate() {
            assert_eq!(expected["name"], comparison.classes()[index]);
            let named = Figures::NAMES.iter().zip(figures.values());
            for (name, value) in named.filter(|(name, _)| expected.get(name).is_some()) {
                assert_near(value, &expected[name], 1e-9, &format!("{case} {} {name}", expected["name"]));
            }
            for (iou, &recall) in numbers(&expected["recall_per_iou"]).iter().enumerate() {
                let found = coco.recall(index, iou, 0, 2).unwrap_or(-1.0);
                assert!((found - recall).abs() <= 1e-9, "{case} {index} {iou}: {found}, not {recall}");
            }
        }
        assert_eq!(iou_thresholds().to_vec(), numbers(&expected["iou_thresholds"]));
    }
}

#[test]
fn the_curves_are_those_of_pycocotools() {
    for case in CASES {
        let (comparison, _, classes) = comparison(case);
        let coco = Coco::evaluate(&comparison);
        let precision = array(case, "precision_maxdet100.npy.gz");
        let scores = array(case, "scores_maxdet100_all.npy.gz");
        let recall = array(case, "recall.npy.gz");
        assert_eq!(precision.shape(), [IOUS, RECALLS, classes.len(), AREAS]);
        let near = |found: Option<f64>, array: &ArrayD<f64>, place: &[usize]| {
            let (found, expected) = (found.unwrap_or(-1.0), array[IxDyn(place)]);
            assert!((found - expected).abs() <= 1e-9, "{case} {place:?}: {found}, not {expected}");
        };
        for iou in 0..IOUS {
            for class in 0..classes.len() {
                for step in 0..RECALLS {
                    for area in 0..AREAS {
                        let found = coco.precision(class, iou, area).map(|curve| curve[step]);
                        near(found, &precision, &[iou, step, class, area]);
                    }
                    near(coco.scores(class, iou).map(|curve| curve[step]), &scores, &[iou, step, class]);
                }
                for area in 0..AREAS {
                    for most in 0..MAX_DETECTIONS.len() {
                        near(coco.recall(class, iou, area, most), &recall, &[iou, class, area, most]);
                    }
                }
            }
        }
    }
}

#[test]
fn hits_and_misses_of_each_picture_are_those_of_pycocotools() {
    for case in CASES {
        let (comparison, images, classes) = comparison(case);
        let coco = Coco::evaluate(&comparison);
        let rows = json(case, "expected.json")["image_class_tp_fp_ignored_gt_at_50"].clone();
        for row in rows.as_array().unwrap() {
            let row: Vec<i64> = row.as_array().unwrap().iter().map(|number| number.as_i64().unwrap()).collect();
            let here = |image: usize, class: usize| (images[image], classes[class]) == (row[0], row[1]);
            let detections = comparison.detections().iter().zip(&coco.outcomes.detections);
            let outcomes: Vec<Outcome> = detections
                .filter(|(detection, _)| here(detection.image, detection.class))
                .map(|(_, outcome)| *outcome)
                .collect();
            let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| wanted(outcome)).count() as i64;
            let truths = comparison.truths().iter().filter(|truth| here(truth.image, truth.class) && truth.counts());
            let found = [
                count(|outcome| matches!(outcome, Outcome::Hit(_))),
                count(|outcome| *outcome == Outcome::False),
                count(|outcome| *outcome == Outcome::Ignored),
                truths.count() as i64,
            ];
            assert_eq!(found, row[2..], "{case} {row:?}");
        }
    }
}

#[test]
fn nothing_to_compare_gives_no_figure() {
    let coco = Coco::evaluate(&Comparison::default());
    assert_eq!(coco.figures.values(), [None; 12]);
    let comparison = Comparison::new(vec![Image { name: "a".to_owned(), place: None }], vec!["cap".to_owned()]);
    let coco = Coco::evaluate(&comparison);
    assert_eq!((coco.figures.values(), coco.classes[0].values()), ([None; 12], [None; 12]));
    assert_eq!((coco.precision(0, 0, 0), coco.precision(1, 0, 0), coco.recall(0, 0, 4, 0)), (None, None, None));
}

#[test]
fn a_difficult_object_counts_neither_way() {
    let mut comparison = Comparison::new(vec![Image { name: "a".to_owned(), place: None }], vec!["cap".to_owned()]);
    for (left, difficult) in [(0.0, true), (50.0, false)] {
        let bounds = BoundingBox::from_size([left, 0.0, 20.0, 20.0]);
        let truth = Truth { image: 0, class: 0, bounds, area: 400.0, crowd: false, difficult };
        comparison.push_truth(truth).unwrap();
        comparison.push_detection(Detection { image: 0, class: 0, bounds, score: 0.5 }).unwrap();
    }
    let coco = Coco::evaluate(&comparison);
    assert_eq!(coco.outcomes.detections, [Outcome::Ignored, Outcome::Hit(1)]);
    assert_eq!(coco.figures.ap, Some(coco.figures.ap50.unwrap()));
    assert!(coco.figures.ap.unwrap() > 0.9999);
}
