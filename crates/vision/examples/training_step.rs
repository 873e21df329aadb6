//! Times steps of training a classifier: forward, backward and update, on made-up pictures.
//!
//! `cargo run --release -p vision --example training_step -- resnet18 64 8 20`: body, size, batch, steps. It prints the median and the
//! least time in milliseconds. `notebooks/compare_training_with_pytorch.py` runs the same with PyTorch, in turns.

use std::time::Instant;

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Tensor, TensorData};
use nn::layers::{Execution, Loader};
use nn::weights::Weights;
use nn::{AdamW, Device, Group, Parameters, Random};
use vision::classifier::{Body, Network};

const CLASSES: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [body, size, batch, steps] = &arguments[..] else { return Err("BODY SIZE BATCH STEPS would work".into()) };
    let (body, size, batch, steps): (Body, usize, usize, usize) =
        (body.parse()?, size.parse()?, batch.parse()?, steps.parse()?);
    let execution = if std::env::var_os("REFERENCE").is_some() { Execution::Burn } else { Execution::Kernels };
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
    let mut times = Vec::new();
    for _ in 0..steps + 2 {
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
        times.push([total, forward, backward, total - forward - backward].map(|time| 1e3 * time.as_secs_f64()));
    }
    // The first steps take memory from the system.
    times.drain(..2);
    let column = |index: usize| {
        let mut column: Vec<f64> = times.iter().map(|times| times[index]).collect();
        column.sort_by(f64::total_cmp);
        (column[column.len() / 2], column[0])
    };
    let names = ["step", "forward", "backward", "update"];
    for (index, name) in names.into_iter().enumerate() {
        let (median, least) = column(index);
        println!("{name}: median {median:.1} ms, least {least:.1} ms");
    }
    Ok(())
}
