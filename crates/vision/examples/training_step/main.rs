//! Times steps of training: forward, backward and update.
//!
//! | arguments | what |
//! |---|---|
//! | `resnet18 64 8 20` | a classifier: body, size, batch, steps; made-up pictures |
//! | `ssd 20` | the small SSD of `tests/golden/ssd`, with a batch of two pictures: steps |
//! | `faster-rcnn 20` | the small Faster R-CNN of `tests/golden/faster_rcnn`, with a batch of two pictures: steps |
//!
//! `cargo run --release -p vision --example training_step -- ssd 20`. It prints the median and the least time in milliseconds, and the
//! loss of the first step of a detector. `notebooks/compare_training_with_pytorch.py` runs the same with PyTorch, in turns.

mod classifier;
mod faster_rcnn;
mod golden;
mod ssd;
mod times;

use nn::layers::Execution;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let execution = if std::env::var_os("REFERENCE").is_some() { Execution::Burn } else { Execution::Kernels };
    match arguments[..] {
        ["ssd", steps] => ssd::run(steps.parse()?, execution),
        ["faster-rcnn", steps] => faster_rcnn::run(steps.parse()?, execution),
        [body, size, batch, steps] => {
            classifier::run(body.parse()?, size.parse()?, batch.parse()?, steps.parse()?, execution)
        }
        _ => Err("BODY SIZE BATCH STEPS, ssd STEPS or faster-rcnn STEPS would work".into()),
    }
}
