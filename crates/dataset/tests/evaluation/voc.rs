//! VOC's figures, as Cartucho's mAP has them.

use std::collections::BTreeSet;

use dataset::evaluation::comparison::{BoundingBox, Comparison, Detection, Image, Truth};
use dataset::evaluation::voc::Voc;
use serde_json::Value;

use crate::{assert_near, golden, json, numbers};

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

fn comparison(case: &str) -> Comparison {
    let case = json(case, "case.json");
    let lines = |name: &str| case[name].as_object().unwrap().clone();
    // Sorted by name, as files are.
    let images: Vec<String> = lines("ground_truth").keys().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    let mut classes = BTreeSet::new();
    for name in ["ground_truth", "detections"] {
        for line in lines(name).values().flat_map(|lines| lines.as_array().unwrap().clone()) {
            classes.insert(line[0].as_str().unwrap().to_owned());
        }
    }
    let classes: Vec<String> = classes.into_iter().collect();
    let named = |name: &String| Image { name: name.clone(), place: None };
    let mut comparison = Comparison::new(images.iter().map(named).collect(), classes.clone());
    for (image, name) in images.iter().enumerate() {
        let class = |line: &Value| classes.iter().position(|class| line[0] == **class).unwrap();
        let corners = |line: &Value, first: usize| {
            BoundingBox::from_corners([0, 1, 2, 3].map(|edge| number(&line[first + edge])))
        };
        for line in case["ground_truth"][name].as_array().unwrap() {
            let bounds = corners(line, 1);
            let difficult = line.get(5).is_some();
            let (class, area) = (class(line), bounds.area());
            comparison.push_truth(Truth { image, class, bounds, area, crowd: false, difficult }).unwrap();
        }
        for line in case["detections"][name].as_array().into_iter().flatten() {
            let (bounds, score) = (corners(line, 2), number(&line[1]));
            comparison.push_detection(Detection { image, class: class(line), bounds, score }).unwrap();
        }
    }
    comparison
}

#[test]
fn the_figures_and_the_report_are_those_of_cartucho() {
    for case in ["voc_a", "voc_b"] {
        let comparison = comparison(case);
        let (voc, expected) = (Voc::evaluate(&comparison), json(case, "expected.json"));
        assert_near(voc.mean_ap, &expected["mAP"], 1e-12, &format!("{case} mAP"));
        let mut compared = 0;
        for (name, class) in comparison.classes().iter().zip(&voc.classes) {
            let Some(expected) = expected["classes"].get(name) else {
                assert_eq!(class.curve, None, "{case} {name}");
                continue;
            };
            compared += 1;
            let counts = [class.objects, class.images, class.detections, class.hits];
            let names = ["ground_truth", "images", "detections", "true_positives"];
            assert_eq!(names.map(|name| expected[name].as_u64().unwrap() as usize), counts, "{case} {name}");
            let curve = class.curve.as_ref().unwrap();
            assert_near(Some(curve.ap), &expected["ap"], 1e-12, &format!("{case} {name}"));
            let miss_rate = &expected["log_average_miss_rate"];
            assert_near(Some(curve.log_average_miss_rate), miss_rate, 1e-12, &format!("{case} {name}"));
            for (found, name) in [(&curve.precision, "precision"), (&curve.recall, "recall")] {
                let expected = numbers(&expected[name]);
                assert_eq!(found.len(), expected.len());
                assert!(
                    found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() <= 1e-12),
                    "{name}"
                );
            }
        }
        assert_eq!(compared, expected["classes"].as_object().unwrap().len());
        let report = std::fs::read_to_string(golden(case, "output.txt")).unwrap();
        assert_eq!(voc.as_output_txt(comparison.classes()), report, "{case}");
    }
}

#[test]
fn a_difficult_object_found_first_leaves_a_precision_of_0() {
    let mut comparison = Comparison::new(vec![Image { name: "a".to_owned(), place: None }], vec!["cap".to_owned()]);
    for (left, difficult, score) in [(0.0, true, 0.9), (50.0, false, 0.5)] {
        let bounds = BoundingBox::from_corners([left, 0.0, left + 9.0, 9.0]);
        comparison.push_truth(Truth { image: 0, class: 0, bounds, area: 100.0, crowd: false, difficult }).unwrap();
        comparison.push_detection(Detection { image: 0, class: 0, bounds, score }).unwrap();
    }
    let voc = Voc::evaluate(&comparison);
    let curve = voc.classes[0].curve.as_ref().unwrap();
    assert_eq!((&curve.precision[..], &curve.recall[..], curve.ap), (&[0.0, 1.0][..], &[0.0, 1.0][..], 1.0));
    assert_eq!(Voc::evaluate(&Comparison::default()).mean_ap, None);
}
