//! The step of a Faster R-CNN: forward, sampling, backward and SGD.

use std::error::Error;
use std::time::Instant;

use nn::layers::{Execution, Loader};
use nn::weights::Weights;
use nn::{Device, Group, Parameters, Sgd};
use serde_json::Value;
use vision::faster_rcnn::config::{Document, Solver, TrainingConfig};
use vision::faster_rcnn::training::{Example, Sampling, Trained};
use vision::faster_rcnn::{Config, tensors};

use crate::golden;
use crate::times::{self, Times};

pub(crate) fn run(steps: usize, execution: Execution) -> Result<(), Box<dyn Error>> {
    let mut document = Document::default();
    document.merge_file(&golden::file("faster_rcnn/small/config.yaml"))?;
    let (config, training) = (Config::of(&document)?, TrainingConfig::of(&document)?);
    let solver = Solver::of(&document)?;
    let load = |weights: &Weights| Trained::load(&Loader::new(weights, execution), &config, &training);
    let weights = golden::weights("faster_rcnn/small/tensors.json", tensors(&config.form))?;
    let mut parameters = Parameters::load(&weights, Device::Cpu, load)?;
    parameters.freeze(|name| solver.is_frozen(name));
    let (examples, mut optimizer) = (examples()?, Sgd::default());
    let mut times = Times::new(["step", "forward", "backward", "update"]);
    for step in 0..steps + times::WARM_UP {
        let start = Instant::now();
        let pass = parameters.pass(0);
        let network = pass.network(load);
        let batch = network.losses(&examples, &mut Sampling::First, pass.device());
        drop(network);
        let [first, second, third, fourth] = batch.losses.map(|(_, loss)| loss);
        let loss = first + second + third + fourth;
        if step == 0 {
            println!("loss: {}", loss.clone().inner().into_scalar::<f32>());
        }
        let forward = start.elapsed();
        let (gradients, statistics) = pass.backward(loss);
        let backward = start.elapsed() - forward;
        let group = |name: &str| Group { rate: 1e-5, momentum: solver.momentum, decay: solver.decay(name) };
        optimizer.step(&mut parameters, gradients, group);
        parameters.apply(statistics);
        let total = start.elapsed();
        times.push([total, forward, backward, total - forward - backward]);
    }
    times.print();
    Ok(())
}

/// The two pictures of the tests.
fn examples() -> Result<Vec<Example>, Box<dyn Error>> {
    let coco = golden::json("faster_rcnn/train/train.json")?;
    let list = |name: &str| coco[name].as_array().ok_or("a list is missing");
    let mut examples = Vec::new();
    for image in list("images")? {
        let of = |annotation: &&Value| annotation["image_id"] == image["id"];
        let (mut boxes, mut classes) = (Vec::new(), Vec::new());
        for annotation in list("annotations")?.iter().filter(of) {
            let [left, top, width, height]: [f32; 4] = serde_json::from_value(annotation["bbox"].clone())?;
            boxes.push([left, top, left + width, top + height]);
            let class: usize = serde_json::from_value(annotation["category_id"].clone())?;
            classes.push(class - 1);
        }
        let name = image["file_name"].as_str().ok_or("a picture has no name")?;
        examples.push(Example { picture: golden::picture(&format!("faster_rcnn/train/{name}"))?, boxes, classes });
    }
    Ok(examples)
}
