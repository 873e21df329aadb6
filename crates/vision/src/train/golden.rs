//! Five steps of training against the reference code (fastai 1.0.39 on PyTorch 1.0.0, float32, CPU), on made-up weights.

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Tensor, TensorData};
use nn::layers::{Execution, Loader};
use nn::{AdamW, Device, Group, Parameters, weights};
use serde_json::Value;

use crate::classifier::{Body, Network};
use crate::golden::{indices, json, made_up_of, numbers};

/// The tolerances of a tensor's sum and L2 norm, as shares of its norm.
const SUM: f64 = 1e-3;
const NORM: f64 = 1e-4;
const CLASSES: usize = 5;
const SIZE: usize = 64;

fn network(loader: &Loader) -> Network {
    Network::with_dropouts(loader, Body::ResNet18, CLASSES, [0.0; 2])
}

/// The made-up pictures, `(8, 64, 64, 3)`.
fn batch() -> Tensor<4> {
    let shape = [8, 3, SIZE, SIZE];
    let made_up = nn::made_up("batch", [("batch".to_owned(), shape.to_vec())], |_, _| (2.0, 0.0));
    let values = made_up.floats("batch").unwrap();
    let device = Device::Cpu.burn();
    Tensor::<4>::from_data(TensorData::new(values, shape), (&device, DType::F32)).permute([0, 2, 3, 1])
}

/// Sum and L2 norm, in 64 bits.
fn sums(values: &[f32]) -> [f64; 2] {
    let values = values.iter().map(|value| f64::from(*value));
    [values.clone().sum(), values.map(|value| value * value).sum::<f64>().sqrt()]
}

#[track_caller]
fn within(what: &str, found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{what}: {found}, not {expected}, by more than {tolerance:e}");
}

fn equals_the_reference(case: &str, execution: Execution) {
    let golden = json(&format!("train/{case}.json"));
    let load = |weights: &weights::Weights| network(&Loader::new(weights, execution));
    let checkpoint = made_up_of("classifier/tensors_small.json", 0, "resnet18", weights::list(load));
    let mut parameters = Parameters::load(&checkpoint, Device::Cpu, load).unwrap();
    let trained: Vec<&str> = golden["trainable"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    parameters.freeze(|name| !trained.contains(&name));
    let (rates, decay) = (numbers(&golden["lr"]), golden["wd"].as_f64().unwrap());
    let [momentum, beta2] = numbers(&golden["betas"])[..] else { panic!("two betas") };
    let group = |name: &str| {
        let group = if name.starts_with("1.") { 2 } else { usize::from(name.as_bytes()[2] >= b'6') };
        Group { rate: rates[group], momentum, decay }
    };
    let epsilon = golden["eps"].as_f64().unwrap();
    let mut optimizer = AdamW::new(beta2, epsilon);
    let labels: Vec<i64> = indices(&golden["labels"]).into_iter().map(|label| label as i64).collect();
    let labels = Tensor::<1, burn::tensor::Int>::from_data(TensorData::new(labels, [8]), &Device::Cpu.burn());
    for expected in golden["steps"].as_array().unwrap() {
        let step = &expected["step"];
        let pass = parameters.pass(0);
        let logits = pass.network(load).forward(batch());
        let labels = labels.clone().reshape([8, 1]);
        let loss = -log_softmax(logits, 1).gather(1, labels.autodiff()).mean();
        within(
            &format!("loss {step}"),
            f64::from(loss.clone().inner().into_scalar::<f32>()),
            expected["loss"].as_f64().unwrap(),
            1e-4,
        );
        let (gradients, statistics) = pass.backward(loss);
        assert_eq!(gradients.len(), trained.len(), "every trained tensor has a gradient");
        let norms = |name: &str| sums(&gradients[name].clone().into_data().try_to_vec::<f32>().unwrap())[1];
        let total = trained.iter().map(|name| norms(name).powi(2)).sum::<f64>().sqrt();
        let expected_total = expected["gradient_global_l2"].as_f64().unwrap();
        within(&format!("gradient {step}"), total / expected_total, 1.0, 2e-3);
        for (name, norm) in expected["gradient_l2"].as_object().into_iter().flatten() {
            // Gradients that cancel are rounding alone: a thousandth of the whole gradient does not count.
            let norm = norm.as_f64().unwrap();
            within(
                &format!("gradient of {name}, step {step}"),
                norms(name),
                norm,
                2e-3 * norm.max(1e-3 * expected_total),
            );
        }
        parameters.apply(statistics);
        // PyTorch 1.0.0 adds epsilon before it corrects the second moment, and later versions do it afterwards. Gradients that are rounding
        // alone are as small as epsilon. In 64 bits, the order changes the sum of `1.4` by 8.3e-4 of its norm after five steps.
        optimizer.epsilon = epsilon / (1.0 - beta2.powi(step.as_i64().unwrap() as i32)).sqrt();
        optimizer.step(&mut parameters, gradients, group);
        let mut worst = [(0.0, ""), (0.0, "")];
        for (name, after) in expected["after"].as_object().into_iter().flatten() {
            let found = sums(&parameters.checkpoint("").floats(name).unwrap());
            let after = numbers(after);
            for (worst, (found, expected)) in worst.iter_mut().zip(found.iter().zip(&after)) {
                let difference = (found - expected).abs() / after[1];
                if difference > worst.0 || difference.is_nan() {
                    *worst = (difference, name);
                }
            }
        }
        println!("{case}, {execution:?}, step {step}: sum and L2 off by {worst:?} of L2");
        let [(sum, _), (norm, _)] = worst;
        assert!(sum <= SUM && norm <= NORM, "{case}, {execution:?}, step {step}: {worst:?}");
    }
}

#[test]
fn frozen_steps_are_those_of_fastai() {
    equals_the_reference("frozen", Execution::Kernels);
}

#[test]
fn unfrozen_steps_are_those_of_fastai() {
    equals_the_reference("unfrozen", Execution::Burn);
    equals_the_reference("unfrozen", Execution::Kernels);
}
