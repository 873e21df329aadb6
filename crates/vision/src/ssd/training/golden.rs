//! Training against TensorFlow 1.15.5, on made-up weights. `tests/golden/README.md` documents the figures.

use std::time::Duration;

use nn::layers::{Execution, Loader};
use nn::{Device, Parameters};
use serde_json::Value;

use super::super::config::Config;
use super::super::input::Input;
use super::super::network::{Network, Outputs};
use super::super::tensors;
use super::super::variables::{as_layers, variable};
use super::trainer::Sample;
use super::*;
use crate::golden::{self, array, array_i32, close, doubles, json, numbers, picture};
use crate::train::Spoiled;

/// No examples: batches are made by the tests.
struct Nothing;

impl Examples for Nothing {
    fn count(&self) -> usize {
        0
    }

    fn example(&self, index: usize) -> Result<(picture::RgbImage, Vec<Truth>), Spoiled> {
        Err(Spoiled { example: index.to_string(), reason: "there is none".to_owned() })
    }
}

fn training<'a>(config: &'a Config, settings: &'a TrainingSettings, execution: Execution) -> Training<'a, Nothing> {
    Training {
        config,
        settings,
        examples: &Nothing,
        seed: 0,
        execution,
        round: 1,
        begins: "",
        checkpoints: None,
        checkpoint_every: Duration::MAX,
    }
}

/// What a case trains, and with what.
struct Case {
    answer: Value,
    config: Config,
    settings: TrainingSettings,
    samples: Vec<Sample>,
    parameters: Parameters,
    anchors: Vec<[f32; 4]>,
    execution: Execution,
}

impl Case {
    fn open(name: &str, config: &str, execution: Execution) -> Self {
        let answer = json(&format!("ssd/train/{name}/train.json"));
        let text = String::from_utf8(golden::bytes(&format!("ssd/small/{config}"))).unwrap();
        let mut config = Config::parse(&text).unwrap();
        // The same as `freeze_batchnorm` in the text.
        config.extractor.backbone_norm.is_fixed = answer["freeze_batchnorm"].as_bool().unwrap();
        let mut settings = TrainingSettings::parse(&text).unwrap();
        settings.schedule = Schedule::Constant(answer["learning_rate"].as_f64().unwrap());
        let variables = golden::made_up_of("ssd/small/tensors.json", 0, "SSD", tensors(&config));
        let load = |weights: &nn::weights::Weights| Network::load(&Loader::new(weights, execution), &config);
        let parameters = Parameters::load(&as_layers(&variables), Device::Cpu, load).unwrap();
        let training = training(&config, &settings, execution);
        let anchors = training.anchors();
        let sample = |image: &Value| {
            let picture = picture(&format!("ssd/train/{}", image["image"].as_str().unwrap()));
            let values: Vec<f32> = picture.as_raw().iter().map(|value| f32::from(*value)).collect();
            let weights = numbers(&image["weights"]);
            let classes = golden::indices(&image["classes"]);
            let truths = golden::rows::<4>(&image["boxes"]).into_iter().zip(classes).zip(weights);
            let truth = |((corners, class), weight): (([f64; 4], usize), f64)| Truth {
                corners: corners.map(|place| place as f32),
                class: class - 1,
                weight: weight as f32,
            };
            let truths: Vec<Truth> = truths.map(truth).collect();
            let targets = settings.matcher.targets(&truths, &anchors, config.box_scales);
            let size = [picture.height() as usize, picture.width() as usize];
            Sample { input: Input::of_values(&values, size, config.picture), targets }
        };
        let samples = answer["batch"].as_array().unwrap().iter().map(sample).collect();
        Self { answer, samples, parameters, anchors, execution, settings: settings.clone(), config: config.clone() }
    }

    fn training(&self) -> Training<'_, Nothing> {
        let Self { config, settings, execution, .. } = self;
        training(config, settings, *execution)
    }

    /// The losses of each anchor: boxes, classes.
    fn of_anchors(&self) -> [Vec<f64>; 2] {
        let training = self.training();
        let load = |weights: &nn::weights::Weights| Network::load(&Loader::new(weights, self.execution), &self.config);
        let pass = self.parameters.pass(0);
        let network = pass.network(load);
        let Outputs { boxes, classes } = training.outputs(&network, &self.samples, pass.device());
        let targets: Vec<Targets> = self.samples.iter().map(|sample| sample.targets.clone()).collect();
        let losses = self.settings.loss.of_anchors(boxes, classes, &targets, pass.device());
        [losses.boxes, losses.classes].map(|losses| doubles(&losses.inner().into_data().try_into_vec::<f32>().unwrap()))
    }
}

/// The greatest difference, in multiples of the larger number.
fn relative(found: f64, expected: f64) -> f64 {
    (found - expected).abs() / found.abs().max(expected.abs()).max(1e-30)
}

#[test]
fn targets_are_those_of_tensorflow() {
    let case = Case::open("bn_frozen", "pipeline.config", Execution::Kernels);
    let all = |of: &dyn Fn(&Targets) -> Vec<f64>| -> Vec<f64> {
        case.samples.iter().flat_map(|sample| of(&sample.targets)).collect()
    };
    let exact = |what: &str, found: Vec<f64>, expected: Vec<i32>| {
        assert_eq!(found, expected.into_iter().map(f64::from).collect::<Vec<f64>>(), "{what}");
    };
    let file = |name: &str| format!("ssd/train/bn_frozen/{name}");
    let matches = all(&|targets| {
        let number = |of: &Match| match of {
            Match::Object(index) => *index as f64,
            Match::Background => -1.0,
            Match::Ignored => -2.0,
        };
        targets.matches.iter().map(number).collect()
    });
    exact("matches", matches, array_i32(&file("match")));
    exact(
        "classes",
        all(&|targets| targets.classes.iter().map(|class| *class as f64).collect()),
        array_i32(&file("cls_targets")),
    );
    // TensorFlow repeats them for each class.
    let class_weights: Vec<f32> = array(&file("cls_weights")).into_iter().step_by(6).collect();
    close("class weights", &all(&|targets| doubles(&targets.class_weights)), &doubles(&class_weights), 1e-6);
    let boxes = all(&|targets| doubles(targets.boxes.as_flattened()));
    close("boxes", &boxes, &doubles(&array(&file("reg_targets"))), 1e-4);
    close("box weights", &all(&|targets| doubles(&targets.box_weights)), &doubles(&array(&file("reg_weights"))), 1e-6);
}

#[test]
fn losses_are_those_of_tensorflow() {
    for (name, config) in [("bn_frozen", "pipeline.config"), ("focal", "pipeline_focal_strict.config")] {
        let case = Case::open(name, config, Execution::Kernels);
        let [boxes, classes] = case.of_anchors();
        for (what, found, expected) in [
            ("loc_losses", boxes, array(&format!("ssd/train/{name}/loc_losses"))),
            ("cls_losses", classes, array(&format!("ssd/train/{name}/cls_losses"))),
        ] {
            close(&format!("{name}: {what}"), &found, &doubles(&expected), 1e-3);
        }
    }
}

/// As many steps as the case has: the losses before each and the lengths of variables after it, at the step's tolerance, and the
/// lengths of the first gradients.
fn steps_are_those_of_tensorflow(
    [name, config]: [&str; 2],
    execution: Execution,
    of_gradients: f64,
    tolerances: &[f64],
) {
    let mut case = Case::open(name, config, execution);
    let mut optimizer = nn::Optimizer::new(case.settings.rule);
    let global = case.answer["gradient_global_l2"].as_f64().unwrap();
    let steps = case.answer["steps"].as_array().unwrap().clone();
    assert_eq!(steps.len(), tolerances.len());
    for (index, (step, tolerance)) in steps.iter().zip(tolerances.iter().copied()).enumerate() {
        let (losses, gradients, statistics) = case.training().step(&case.parameters, &case.samples, &case.anchors);
        for (part, loss) in losses {
            let expected = step["losses"][format!("Loss/{part}")].as_f64().unwrap();
            let off = relative(f64::from(loss), expected);
            assert!(off <= tolerance, "{name}, step {}: {part} is {loss}, not {expected}", index + 1);
        }
        if index == 0 {
            let values = case.parameters.checkpoint("values");
            let mut compared = 0;
            for (layer, gradient) in &gradients {
                let variable = variable(layer, values.tensors()[layer].shape()).unwrap();
                let Some(expected) = case.answer["gradient_l2"][&variable].as_f64() else { continue };
                // The square of a weight is a part of the loss.
                let l2 = case.settings.l2(layer);
                let gradient: Vec<f32> = gradient.clone().into_data().try_into_vec().unwrap();
                let weights = values.floats(layer).unwrap();
                let squares = gradient
                    .iter()
                    .zip(weights)
                    .map(|(gradient, weight)| (f64::from(*gradient) + l2 * f64::from(weight)).powi(2));
                let found = squares.sum::<f64>().sqrt();
                let off = (found - expected).abs() / expected.max(1e-3 * global);
                assert!(off <= of_gradients, "{name}: the gradient of {variable} is {found}, not {expected}");
                compared += 1;
            }
            assert_eq!(compared, case.answer["gradient_l2"].as_object().unwrap().len());
        }
        case.parameters.apply(statistics);
        let settings = &case.settings;
        let rate = settings.schedule.at(index);
        optimizer.step(&mut case.parameters, gradients, rate, |name| settings.l2(name), None);
        let Some(after) = step["after_l2"].as_object() else { continue };
        let values = case.parameters.checkpoint("values");
        let mut compared = 0;
        for (layer, stored) in values.tensors() {
            let variable = variable(layer, stored.shape()).unwrap();
            let Some(expected) = after.get(&variable).and_then(Value::as_f64) else { continue };
            let found =
                values.floats(layer).unwrap().into_iter().map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt();
            assert!(
                relative(found, expected) <= tolerance,
                "{name}, step {}: {variable}: {found}, not {expected}",
                index + 1
            );
            compared += 1;
        }
        assert_eq!(compared, after.len());
    }
}

/// With Burn's operations, which are the reference for the kernels.
#[test]
fn five_steps_with_fixed_normalizations_are_those_of_tensorflow() {
    steps_are_those_of_tensorflow(["bn_frozen", "pipeline.config"], Execution::Burn, 1e-4, &[1e-4; 5]);
}

/// Tolerances here and below are four times what rounding does: TensorFlow itself, with each weight changed by a factor of 3e-7.
#[test]
fn two_steps_with_a_focal_loss_are_those_of_tensorflow() {
    let case = ["focal", "pipeline_focal_strict.config"];
    steps_are_those_of_tensorflow(case, Execution::Kernels, 0.075, &[3e-4, 1.5e-2]);
}

/// Statistics of two pictures make the gradients chaotic: rounding alone changes them by up to 5 %.
#[test]
fn steps_with_statistics_of_the_batch_are_those_of_tensorflow() {
    let case = ["bn_train", "pipeline.config"];
    steps_are_those_of_tensorflow(case, Execution::Kernels, 0.2, &[1.5e-3, 2.4e-2, 7e-2, 7e-2, 0.1]);
}
