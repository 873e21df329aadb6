use std::path::Path;
use std::time::Duration;

use burn::tensor::{Device as BurnDevice, Tensor, TensorData};
use nn::layers::{BatchNorm1d, Dropout, Execution, Linear, Loader};
use nn::{Device, Parameters, Random};

use super::*;

/// Points of the plane, in two classes: inside and outside of a circle.
struct Circle {
    points: Vec<([f32; 2], f32)>,
    /// The index of a point that cannot be used.
    spoiled: Option<usize>,
}

struct Perceptron {
    first: Linear,
    norm: BatchNorm1d,
    dropout: Dropout,
    last: Linear,
}

impl Circle {
    fn new() -> Self {
        let mut random = Random::new(3);
        let point = |_| {
            let [x, y] = [(); 2].map(|()| random.between(-1.0, 1.0) as f32);
            ([x, y], if x * x + y * y < 0.6 { 1.0 } else { -1.0 })
        };
        Self { points: (0..50).map(point).collect(), spoiled: None }
    }

    fn forward(network: &Perceptron, points: Tensor<2>) -> Tensor<2> {
        let hidden = burn::tensor::activation::relu(network.norm.forward(network.first.forward(points)));
        network.last.forward(network.dropout.forward(hidden))
    }

    fn parameters(&self) -> Parameters {
        Parameters::initial(Device::Cpu, 1, |weights| self.network(&Loader::new(weights, Execution::Burn)))
    }
}

fn tensors(samples: &[([f32; 2], f32)]) -> (Tensor<2>, Tensor<2>) {
    let count = samples.len();
    let device = Device::Cpu.burn();
    let points: Vec<f32> = samples.iter().flat_map(|(point, _)| *point).collect();
    let classes: Vec<f32> = samples.iter().map(|(_, class)| *class).collect();
    (
        Tensor::from_data(TensorData::new(points, [count, 2]), &device),
        Tensor::from_data(TensorData::new(classes, [count, 1]), &device),
    )
}

impl Task for Circle {
    type Sample = ([f32; 2], f32);
    type Network = Perceptron;

    fn network(&self, loader: &Loader) -> Perceptron {
        Perceptron {
            first: Linear::load(&loader.at("first"), [2, 16]),
            norm: BatchNorm1d::load(&loader.at("norm"), 16),
            dropout: Dropout::load(&loader.at("dropout"), 0.1),
            last: Linear::load(&loader.at("last"), [16, 1]),
        }
    }

    fn group(&self, parameter: &str) -> usize {
        usize::from(parameter.starts_with("last"))
    }

    fn is_frozen(&self, parameter: &str, phase: usize) -> bool {
        phase == 0 && parameter.starts_with("first")
    }

    fn examples(&self) -> usize {
        self.points.len()
    }

    fn sample(&self, index: usize, mut random: Random) -> Result<([f32; 2], f32), Spoiled> {
        if self.spoiled == Some(index) {
            return Err(Spoiled { example: format!("point {index}"), reason: "it is bent".to_owned() });
        }
        let (point, class) = self.points[index];
        Ok((point.map(|coordinate| coordinate + random.between(-0.02, 0.02) as f32), class))
    }

    fn losses(&self, network: &Perceptron, samples: Vec<([f32; 2], f32)>, _: Random, _: &BurnDevice) -> Losses {
        let (points, classes) = tensors(&samples);
        let difference = Self::forward(network, points.autodiff()) - classes.autodiff();
        let total = difference.square().mean();
        Losses { total: total.clone(), parts: vec![("square", total)] }
    }

    fn validate(&self, parameters: &Parameters) -> Validation {
        let network = parameters.network(|weights| self.network(&Loader::new(weights, Execution::Burn)));
        let (points, classes) = tensors(&self.points);
        let difference = Self::forward(&network, points) - classes;
        let loss = f64::from(difference.square().mean().into_scalar::<f32>());
        Validation { figures: vec![("valid_loss".to_owned(), loss)], spoiled: Vec::new() }
    }
}

fn plan() -> Plan {
    Plan {
        phases: vec![Phase { epochs: 2, rates: vec![0.005, 0.01] }, Phase { epochs: 3, rates: vec![0.02, 0.02] }],
        batch: 8,
        seed: 5,
        decay: 0.01,
        beta2: 0.99,
        epsilon: 1e-8,
        patience: None,
        keeps_best: false,
        checkpoint_every: Duration::MAX,
        settings: "points".to_owned(),
    }
}

/// All values of all parameters.
fn bits(parameters: &Parameters) -> Vec<(String, Vec<u32>)> {
    let checkpoint = parameters.checkpoint("");
    let bits = |name: &String| checkpoint.floats(name).unwrap().into_iter().map(f32::to_bits).collect();
    checkpoint.tensors().keys().map(|name| (name.clone(), bits(name))).collect()
}

/// Without the seconds.
fn figures(history: &History) -> Vec<Epoch> {
    history.epochs.iter().map(|epoch| Epoch { seconds: 0.0, ..epoch.clone() }).collect()
}

fn unbroken(task: &Circle, plan: &Plan) -> (Parameters, History) {
    let mut parameters = task.parameters();
    let (outcome, history) = train(task, plan, &mut parameters, Execution::Burn, None, &mut |_| Control::GoOn).unwrap();
    assert_eq!(outcome, Outcome::Done);
    (parameters, history)
}

/// Trains in one folder until the plan is done, and stops at every `stride`-th step.
fn interrupted(task: &Circle, plan: &Plan, folder: &Path, stride: usize) -> (Parameters, History, usize) {
    let mut resumed = 0;
    loop {
        let mut parameters = task.parameters();
        let mut heed = |event: Event| match event {
            Event::Resumed { .. } => {
                resumed += 1;
                Control::GoOn
            }
            Event::Step { steps, .. } if steps % stride == 0 => Control::Stop,
            _ => Control::GoOn,
        };
        let checkpoints = Checkpoints::new(folder);
        let (outcome, history) =
            train(task, plan, &mut parameters, Execution::Burn, Some(&checkpoints), &mut heed).unwrap();
        if outcome == Outcome::Done {
            return (parameters, history, resumed);
        }
    }
}

#[test]
fn a_training_learns_and_freezes() {
    let task = Circle::new();
    let before = bits(&task.parameters());
    let mut parameters = task.parameters();
    let phases = vec![Phase { epochs: 40, rates: vec![0.02, 0.02] }];
    let long = Plan { phases: [plan().phases[..1].to_vec(), phases].concat(), ..plan() };
    let (_, history) = train(&task, &long, &mut parameters, Execution::Burn, None, &mut |_| Control::GoOn).unwrap();
    let losses: Vec<f64> = history.epochs.iter().map(|epoch| epoch.figure("valid_loss").unwrap()).collect();
    assert!(losses.len() == 42 && losses[41] < 0.6 * losses[0], "{losses:?}");

    let mut frozen = task.parameters();
    let first_phase = Plan { phases: plan().phases[..1].to_vec(), ..plan() };
    train(&task, &first_phase, &mut frozen, Execution::Burn, None, &mut |_| Control::GoOn).unwrap();
    for ((name, before), (_, after)) in before.iter().zip(bits(&frozen)) {
        assert_eq!(*before == after, name.starts_with("first"), "{name}");
    }
    assert!(bits(&parameters).iter().zip(&before).all(|(after, before)| after != before));
}

#[test]
fn an_interrupted_training_equals_an_unbroken_one_to_the_bit() {
    let task = Circle::new();
    let (parameters, history) = unbroken(&task, &plan());
    // An epoch has 6 steps: 4 falls into the middle of epochs and on their ends.
    for stride in [4, 7] {
        let folder = tempfile::tempdir().unwrap();
        let (resumed, resumed_history, times) = interrupted(&task, &plan(), folder.path(), stride);
        assert!(times >= 30 / stride, "{times}");
        assert_eq!(bits(&resumed), bits(&parameters));
        assert_eq!(figures(&resumed_history), figures(&history));
    }
}

#[test]
fn the_best_epoch_is_kept_over_interruptions() {
    let task = Circle::new();
    // Rates that are far too large in the end.
    let worse = Phase { epochs: 3, rates: vec![20.0, 20.0] };
    let plan = Plan { phases: vec![plan().phases[0].clone(), worse], keeps_best: true, ..plan() };
    let (last, history) = unbroken(&task, &Plan { keeps_best: false, ..plan.clone() });
    let (best, _) = unbroken(&task, &plan);
    let losses: Vec<f64> = history.epochs.iter().map(|epoch| epoch.figure("valid_loss").unwrap()).collect();
    let smallest = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(losses[4] > smallest, "{losses:?}");
    assert_eq!(task.validate(&best).figures[0].1, smallest);
    assert_eq!(task.validate(&last).figures[0].1, losses[4]);
    let folder = tempfile::tempdir().unwrap();
    let (resumed, resumed_history, _) = interrupted(&task, &plan, folder.path(), 4);
    assert_eq!(bits(&resumed), bits(&best));
    assert_eq!(figures(&resumed_history), figures(&history));
}

#[test]
fn a_checkpoint_of_other_settings_or_of_something_else_is_refused() {
    let (task, folder) = (Circle::new(), tempfile::tempdir().unwrap());
    let checkpoints = Checkpoints::new(folder.path());
    let run = |plan: &Plan| {
        let mut stop = |_: Event| Control::Stop;
        train(&task, plan, &mut task.parameters(), Execution::Burn, Some(&checkpoints), &mut stop)
    };
    run(&plan()).unwrap();
    let error = run(&Plan { batch: 4, ..plan() }).unwrap_err().to_string();
    assert!(error.contains("batches of 8") && error.contains("batches of 4"), "{error}");

    let other = task.parameters().checkpoint("");
    nn::checkpoint::save(&other, None, &checkpoints.file(), &mut |_, _| ()).unwrap();
    assert!(matches!(run(&plan()), Err(TrainError::NoTraining { .. })));
    std::fs::write(checkpoints.file(), "rubbish").unwrap();
    assert!(matches!(run(&plan()), Err(TrainError::Checkpoint(_))));
}

#[test]
fn a_spoiled_example_costs_itself_and_is_told_once() {
    let task = Circle { spoiled: Some(7), ..Circle::new() };
    let mut told = Vec::new();
    let mut heed = |event: Event| {
        if let Event::Spoiled(spoiled) = event {
            told.push(spoiled.clone());
        }
        Control::GoOn
    };
    train(&task, &plan(), &mut task.parameters(), Execution::Burn, None, &mut heed).unwrap();
    assert_eq!(told, [Spoiled { example: "point 7".to_owned(), reason: "it is bent".to_owned() }]);
}

#[test]
fn nothing_and_infinity_are_errors() {
    let task = Circle { points: Vec::new(), spoiled: None };
    let run = |task: &Circle, plan: &Plan| {
        train(task, plan, &mut task.parameters(), Execution::Burn, None, &mut |_| Control::GoOn)
    };
    assert!(matches!(run(&task, &plan()), Err(TrainError::NoExamples)));
    let mut task = Circle::new();
    task.points.iter_mut().for_each(|(point, _)| *point = [f32::INFINITY; 2]);
    assert!(matches!(run(&task, &plan()), Err(TrainError::Diverged { step: 1, .. })));
}

#[test]
fn a_training_that_does_not_improve_ends_early() {
    let task = Circle::new();
    let phases = vec![Phase { epochs: 9, rates: vec![0.0, 0.0] }];
    let plan = Plan { phases, patience: Some(1), ..plan() };
    let mut ended = false;
    let mut heed = |event: Event| {
        ended |= matches!(event, Event::EndedEarly);
        Control::GoOn
    };
    let (outcome, history) = train(&task, &plan, &mut task.parameters(), Execution::Burn, None, &mut heed).unwrap();
    // Running statistics still move, so the loss may fall for an epoch or two.
    assert!(ended && outcome == Outcome::Done && history.epochs.len() < 9, "{history:?}");
}

#[test]
fn the_finder_suggests_a_rate_that_learns() {
    let task = Circle::new();
    let plan = Plan { batch: 50, ..plan() };
    let finding = find_rate(&task, &plan, &task.parameters(), Execution::Burn).unwrap();
    let rate = finding.suggestion().unwrap();
    assert!((1e-4..10.0).contains(&rate), "{rate:e}");
    assert!(finding.losses.windows(2).all(|pair| pair[0].0 < pair[1].0));
}

#[test]
fn the_report_shows_curves_and_escapes_names() {
    let (_, history) = unbroken(&Circle::new(), &plan());
    let page = report(&history, &[("data <folder>".to_owned(), "a & b".to_owned())]);
    assert!(page.contains("valid_loss") && page.contains("data &lt;folder&gt;") && page.contains("a &amp; b"));
    assert_eq!(page.matches("<svg").count(), 2, "losses and rates");
    assert!(!page.contains("//") && !page.contains("<script"), "nothing of a network");
}
