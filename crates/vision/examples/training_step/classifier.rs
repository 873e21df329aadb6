//! The step of a classifier: forward, backward and AdamW.

use std::error::Error;
use std::time::Instant;

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Tensor, TensorData};
use nn::layers::{Execution, Loader};
use nn::weights::Weights;
use nn::{AdamW, Device, Group, Parameters, Random};
use vision::classifier::{Body, Network};

use crate::times::{self, Times};

const CLASSES: usize = 5;

pub(crate) fn run(
    body: Body,
    size: usize,
    batch: usize,
    steps: usize,
    execution: Execution,
) -> Result<(), Box<dyn Error>> {
    let load = |weights: &Weights| Network::load(&Loader::new(weights, execution), body, CLASSES);
    let mut parameters = Parameters::initial(Device::Cpu, 1, load);
    let mut optimizer = AdamW::new(0.99, 1e-8);
    let mut random = Random::new(2);
    let values: Vec<f32> = (0..batch * size * size * 3).map(|_| random.normal() as f32).collect();
    let targets: Vec<f32> = (0..batch * CLASSES)
        .map(|index| if index % CLASSES == index / CLASSES % CLASSES { 1.0 } else { 0.0 })
        .collect();
    let device = Device::Cpu.burn();
    let pictures = Tensor::<4>::from_data(TensorData::new(values, [batch, size, size, 3]), (&device, DType::F32));
    let targets = Tensor::<2>::from_data(TensorData::new(targets, [batch, CLASSES]), (&device, DType::F32));
    let mut times = Times::new(["step", "forward", "backward", "update"]);
    for _ in 0..steps + times::WARM_UP {
        let start = Instant::now();
        let pass = parameters.pass(random.bits());
        let logits = pass.network(load).forward(pictures.clone());
        let loss = -(log_softmax(logits, 1) * targets.clone().autodiff()).sum() / batch as f64;
        let forward = start.elapsed();
        let (gradients, statistics) = pass.backward(loss);
        let backward = start.elapsed() - forward;
        parameters.apply(statistics);
        optimizer.step(&mut parameters, gradients, |_| Group { rate: 1e-5, momentum: 0.9, decay: 0.01 });
        let total = start.elapsed();
        times.push([total, forward, backward, total - forward - backward]);
    }
    times.print();
    Ok(())
}
