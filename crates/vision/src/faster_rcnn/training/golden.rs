//! Steps of training against Detectron2 (float32, CPU) on made-up weights. Samples are the first ones, there and here.

use burn::tensor::{Tensor, TensorData};
use nn::layers::{Execution, Loader};
use nn::{Device, Group, Parameters, Sgd, weights};
use serde_json::Value;

use super::matching::{Label, matched};
use super::*;
use crate::faster_rcnn::config::{Config, TrainingConfig};
use crate::faster_rcnn::golden::{document, made_up, singles, units};
use crate::faster_rcnn::roi_align::{self, Roi};
use crate::faster_rcnn::tensors;
use crate::golden;

/// The pictures of the training set as they are.
fn examples() -> Vec<Example> {
    let coco = golden::json("faster_rcnn/train/train.json");
    let of_image = |image: &Value| {
        let of = |annotation: &&Value| annotation["image_id"] == image["id"];
        let annotations: Vec<&Value> = coco["annotations"].as_array().unwrap().iter().filter(of).collect();
        let corners = |annotation: &&Value| {
            let [left, top, width, height] = golden::rows::<4>(&annotation["bbox"])[0].map(|value| value as f32);
            [left, top, left + width, top + height]
        };
        let class = |annotation: &&Value| annotation["category_id"].as_u64().unwrap() as usize - 1;
        Example {
            picture: golden::picture(&format!("faster_rcnn/train/{}", image["file_name"].as_str().unwrap())),
            boxes: annotations.iter().map(corners).collect(),
            classes: annotations.iter().map(class).collect(),
        }
    };
    coco["images"].as_array().unwrap().iter().map(of_image).collect()
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

#[track_caller]
fn within(what: &str, found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance * expected.abs(), "{what}: {found}, not {expected}");
}

/// What was sampled before the first step.
fn samples_are(batch: &Batch, answer: &Value) {
    for image in 0..2 {
        let anchors = &answer["anchors"][image];
        assert_eq!(batch.anchors[image].objects, golden::indices(&anchors["positive_index"]));
        assert_eq!(batch.anchors[image].corners, singles::<4>(&anchors["matched_boxes_of_positive"]));
        let background = &batch.anchors[image].background;
        assert_eq!(background.len(), anchors["negative"].as_u64().unwrap() as usize);
        assert_eq!(background.last(), golden::indices(&anchors["last_negative_index"]).first());
        let expected = golden::array(&format!("faster_rcnn/train/step0_proposals_{image}"));
        let found = batch.regions[image].iter();
        let found: Vec<f32> = found.flat_map(|region| region.corners.into_iter().chain([region.logit])).collect();
        golden::close("regions", &golden::doubles(&found), &golden::doubles(&expected), 0.01);
        let sampled = &answer["sampled"][image];
        let found: Vec<f64> = batch.sampled[image].corners.as_flattened().iter().map(|value| (*value).into()).collect();
        golden::close("sampled regions", &found, &golden::numbers(&sampled["boxes"]), 0.01);
        assert_eq!(batch.sampled[image].classes, golden::indices(&sampled["classes"]));
    }
}

fn equals_the_reference(execution: Execution) {
    let expected = golden::json("faster_rcnn/train/expected.json");
    let (config, training) = (Config::of(&document("small")).unwrap(), TrainingConfig::of(&document("small")).unwrap());
    let load = |weights: &weights::Weights| Trained::load(&Loader::new(weights, execution), &config, &training);
    let checkpoint = golden::made_up_of("faster_rcnn/small/tensors.json", 0, "small", tensors(&config.form));
    let mut parameters = Parameters::load(&checkpoint, Device::Cpu, load).unwrap();
    // FREEZE_AT 2.
    parameters.freeze(|name| [".norm.", ".stem.", ".res2."].iter().any(|part| name.contains(part)));
    let before = parameters.checkpoint("before");
    let rates = golden::numbers(&expected["config"]["lr"]);
    let (examples, mut optimizer) = (examples(), Sgd::default());
    for step in 0..6 {
        let pass = parameters.pass(0);
        let network = pass.network(load);
        let batch = network.losses(&examples, &mut Sampling::First, pass.device());
        drop(network);
        for (name, loss) in &batch.losses {
            let found = f64::from(loss.clone().inner().into_scalar::<f32>());
            let answer = expected["losses"][step][*name].as_f64().unwrap();
            within(&format!("{name} before step {step}"), found, answer, if step == 0 { 1e-4 } else { 1e-3 });
        }
        if step == 0 {
            samples_are(&batch, &expected["step_0"]);
        }
        if step == 5 {
            break;
        }
        let [first, second, third, fourth] = batch.losses.map(|(_, loss)| loss);
        let (gradients, statistics) = pass.backward(first + second + third + fourth);
        assert!(statistics.is_empty(), "normalizations are frozen");
        if step == 0 {
            let values = |name: &str| gradients[name].clone().into_data().try_to_vec::<f32>().unwrap();
            let total = gradients.keys().map(|name| norm(&values(name)).powi(2)).sum::<f64>().sqrt();
            within("gradient", total, expected["step_0"]["total_gradient_norm"].as_f64().unwrap(), 1e-3);
            for (name, answer) in expected["step_0"]["gradients"].as_object().unwrap() {
                within(name, norm(&values(name)), answer["norm"].as_f64().unwrap(), 1e-3);
            }
        }
        let group = |_: &str| Group { rate: rates[step], momentum: 0.9, decay: 1e-4 };
        optimizer.step(&mut parameters, gradients, group);
        let after = parameters.checkpoint("after");
        for (name, answer) in expected["tensors_after"][(step + 1).to_string()].as_object().into_iter().flatten() {
            let (before, after) = (before.floats(name).unwrap(), after.floats(name).unwrap());
            let moved: Vec<f32> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
            let tolerance = if step == 4 { 2e-3 } else { 1e-3 };
            // The first step moves weights by a few of their last digits, of which rounding is a part.
            let tolerance = if step == 0 { 2e-2 } else { tolerance };
            within(
                &format!("{name} after step {}", step + 1),
                norm(&moved),
                answer["moved_norm"].as_f64().unwrap(),
                tolerance,
            );
        }
    }
}

#[test]
fn five_steps_are_those_of_the_reference() {
    equals_the_reference(Execution::Kernels);
    equals_the_reference(Execution::Burn);
}

#[test]
fn boxes_are_matched_as_by_the_reference() {
    let units = units();
    // Boxes side by side, in units of their overlap with an object that is one long: quality is the case's.
    let case = &units["iou"];
    let (objects, boxes) = (singles::<4>(&case["a"]), singles::<4>(&case["b"]));
    let found: Vec<f64> = objects
        .iter()
        .flat_map(|object| boxes.iter().map(|other| f64::from(super::matching::overlap(*object, *other))))
        .collect();
    golden::close("overlap", &found, &golden::numbers(&case["iou"]), 1e-6);

    let objects = [[0.0, 0.0, 10.0, 10.0], [100.0, 0.0, 110.0, 10.0]];
    let boxes = [
        [0.0, 0.0, 10.0, 8.0],
        [0.0, 0.0, 10.0, 5.0],
        [0.0, 0.0, 10.0, 2.0],
        [100.0, 0.0, 110.0, 4.0],
        [100.0, 6.0, 110.0, 10.0],
        [100.0, 0.0, 110.0, 3.0],
        [50.0, 0.0, 60.0, 10.0],
    ];
    use Label::{Background, Ignored, Object};
    let found = matched(&objects, boxes.into_iter(), [0.3, 0.7], true);
    assert_eq!(found.labels, [Object, Ignored, Background, Object, Object, Ignored, Background]);
    assert_eq!(found.objects, [0, 0, 0, 1, 1, 1, 0]);
    let found = matched(&objects, boxes.into_iter(), [0.3, 0.7], false);
    assert_eq!(found.labels[3..5], [Ignored, Ignored]);
    // An object that no box touches makes all that touch nothing objects.
    let far = [[0.0, 0.0, 10.0, 10.0], [500.0, 0.0, 510.0, 10.0]];
    let found = matched(&far, boxes.into_iter(), [0.3, 0.7], true);
    assert_eq!(found.labels, [Object, Object, Object, Object, Object, Object, Object]);
    assert_eq!(matched(&[], boxes.into_iter(), [0.3, 0.7], true).labels, [Background; 7]);
}

#[test]
fn samples_are_drawn_from_all_and_follow_from_the_seed() {
    let labels: Vec<Label> =
        (0..100).map(|index| if index % 4 == 0 { Label::Object } else { Label::Background }).collect();
    let draw = |seed| Sampling::Random(nn::Random::new(seed)).sample(&labels, 40, 0.25);
    let [objects, background] = draw(1);
    assert_eq!((objects.len(), background.len()), (10, 30));
    assert!(objects.iter().all(|index| index % 4 == 0) && background.iter().all(|index| index % 4 != 0));
    assert_eq!(draw(1), [objects.clone(), background]);
    assert_ne!(draw(2)[0], objects);
    let [objects, background] = Sampling::First.sample(&labels, 90, 0.5);
    assert_eq!((objects.len(), background.len()), (25, 65));
}

#[test]
fn gradients_of_roi_align_are_its_transpose() {
    let units = units();
    let case = &units["roi_align"];
    let [_, channels, height, width] = golden::indices(&case["feature"]["shape"]).try_into().unwrap();
    let boxes = singles::<4>(&case["boxes"]);
    // Level 0 has the case's scale, and small regions only: others are in a larger copy of it in other tests.
    let small: Vec<usize> =
        (0..boxes.len()).filter(|index| crate::faster_rcnn::roi_align::level(boxes[*index]) == 0).collect();
    assert!(small.len() > 5, "{small:?}");
    let feature = made_up("unit.roi_align.feature", channels * height * width);
    let device = Device::Cpu.burn();
    let maps = Tensor::<4>::from_data(TensorData::new(feature, [1, channels, height, width]), &device);
    let maps = maps.permute([0, 2, 3, 1]).autodiff().require_grad();
    let other = || Tensor::<4>::zeros([1, 1, 1, channels], &device).autodiff();
    let regions = small.iter().map(|index| Roi { image: 0, corners: boxes[*index] }).collect();
    let out = roi_align::of_batch([maps.clone(), other(), other(), other()], regions);
    let per_region = channels * 49;
    let expected = golden::array("faster_rcnn/units/roi_align");
    let expected: Vec<f32> =
        small.iter().flat_map(|index| &expected[index * per_region..][..per_region]).copied().collect();
    let found: Vec<f32> = out.clone().inner().into_data().try_into_vec().unwrap();
    golden::close("roi_align", &golden::doubles(&found), &golden::doubles(&expected), 1e-5);
    // The gradient is the transpose of ROIAlign, which is linear: both products with any numbers are the same.
    let weights = made_up("unit.roi_align.gradient", boxes.len() * per_region);
    let weights: Vec<f32> =
        small.iter().flat_map(|index| &weights[index * per_region..][..per_region]).copied().collect();
    let rows = small.len();
    let weighed =
        out.clone() * Tensor::<2>::from_data(TensorData::new(weights, [rows, per_region]), &device).autodiff();
    let total = weighed.sum();
    let value = f64::from(total.clone().inner().into_scalar::<f32>());
    let gradients = total.backward();
    let gradient = maps.grad(&gradients).unwrap();
    let product = f64::from((gradient * maps.inner()).sum().into_scalar::<f32>());
    assert!((value - product).abs() < 1e-4 * value.abs().max(1.0), "{value} {product}");
}
