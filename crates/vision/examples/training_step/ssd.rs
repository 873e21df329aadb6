//! The step of an SSD: forward, mining, backward and TensorFlow's RMSProp. Batches are made ahead, on the same cores.

use std::error::Error;
use std::time::{Duration, Instant};

use nn::layers::Execution;
use nn::{Device, Parameters};
use picture::RgbImage;
use vision::ssd::training::{Examples, Schedule, Training, TrainingSettings, Truth, beginning, initial};
use vision::ssd::{Config, tensors};
use vision::train::{Control, Event, Spoiled};

use crate::golden;
use crate::times::{self, Times};

/// Pictures with their objects.
struct Pictures(Vec<(RgbImage, Vec<Truth>)>);

impl Examples for Pictures {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn example(&self, index: usize) -> Result<(RgbImage, Vec<Truth>), Spoiled> {
        Ok(self.0[index].clone())
    }
}

pub(crate) fn run(steps: usize, execution: Execution) -> Result<(), Box<dyn Error>> {
    let text = std::fs::read_to_string(golden::file("ssd/small/pipeline.config"))?;
    let (config, mut settings) = (Config::parse(&text)?, TrainingSettings::parse(&text)?);
    settings.steps = steps + times::WARM_UP;
    settings.schedule = Schedule::Constant(1e-4);
    settings.augmentations.clear();
    let parameters = parameters(&config, &settings)?;
    let training = Training {
        config: &config,
        settings: &settings,
        examples: &pictures()?,
        seed: 1,
        execution,
        round: usize::MAX,
        begins: "",
        checkpoints: None,
        checkpoint_every: Duration::MAX,
    };
    let mut times = Times::new(["step"]);
    let mut since = Instant::now();
    training.run(parameters, &mut |_| Vec::new(), &mut |event| {
        if let Event::Step { steps, loss, .. } = event {
            if steps == 1 {
                println!("loss: {loss}");
            }
            times.push([since.elapsed()]);
            since = Instant::now();
        }
        Control::GoOn
    })?;
    times.print();
    Ok(())
}

fn parameters(config: &Config, settings: &TrainingSettings) -> Result<Parameters, Box<dyn Error>> {
    let mut parameters = initial(config, settings, 0, Device::Cpu)?;
    let weights = golden::weights("ssd/small/tensors.json", tensors(config))?;
    parameters.take_over(&beginning(&weights))?;
    Ok(parameters)
}

fn pictures() -> Result<Pictures, Box<dyn Error>> {
    let answer = golden::json("ssd/train/bn_train/train.json")?;
    let mut pictures = Vec::new();
    for image in answer["batch"].as_array().ok_or("the batch is no list")? {
        let boxes: Vec<[f32; 4]> = serde_json::from_value(image["boxes"].clone())?;
        let classes: Vec<usize> = serde_json::from_value(image["classes"].clone())?;
        let truth = |(corners, class)| Truth { corners, class: class - 1, weight: 1.0 };
        let name = image["image"].as_str().ok_or("an image has no name")?;
        let picture = golden::picture(&format!("ssd/train/{name}"))?;
        pictures.push((picture, boxes.into_iter().zip(classes).map(truth).collect()));
    }
    Ok(Pictures(pictures))
}
