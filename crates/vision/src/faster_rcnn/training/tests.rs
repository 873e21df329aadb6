//! The loop, on a few pictures of rectangles.

use std::path::Path;

use nn::checkpoint::{Checkpoint, StoredTensor};
use nn::layers::Execution;
use nn::{Device, Parameters};
use picture::RgbImage;

use super::*;
use crate::faster_rcnn::config::{Config, Document, Solver, TrainingConfig};
use crate::train::{Control, Outcome, TrainError};

/// Pictures with a red and a blue rectangle each.
fn pictures(folder: &Path) -> Vec<Annotated> {
    let one = |index: u32| {
        let file = folder.join(format!("{index}.png"));
        let (red, blue) = ([4 + 3 * index, 6, 30 + 3 * index, 28], [30, 34 + index, 58, 60]);
        let inside =
            |[left, top, right, bottom]: [u32; 4], x, y| (left..right).contains(&x) && (top..bottom).contains(&y);
        let mut picture = RgbImage::new(64, 64);
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            pixel.0 = if inside(red, x, y) {
                [220, 30, 30]
            } else if inside(blue, x, y) {
                [30, 30, 220]
            } else {
                [90; 3]
            };
        }
        picture.save(&file).unwrap();
        let boxes = [red, blue].map(|corners| corners.map(|value| value as f32)).to_vec();
        Annotated { file, size: [64, 64], boxes, classes: vec![0, 1] }
    };
    (0..4).map(one).collect()
}

fn training(folder: &Path, options: &str) -> Training {
    let mut document = Document::pyramid();
    let small = "MODEL.RESNETS.DEPTH 18 MODEL.RESNETS.RES2_OUT_CHANNELS 64 MODEL.RESNETS.NORM BN MODEL.BACKBONE.FREEZE_AT 0 \
                 MODEL.FPN.OUT_CHANNELS 32 MODEL.ROI_BOX_HEAD.FC_DIM 64 MODEL.ROI_HEADS.NUM_CLASSES 2 \
                 MODEL.ANCHOR_GENERATOR.SIZES [[16],[24],[32],[48],[64]] INPUT.MIN_SIZE_TRAIN (64,) INPUT.MIN_SIZE_TEST 64 \
                 MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE 32 MODEL.RPN.BATCH_SIZE_PER_IMAGE 64 SOLVER.IMS_PER_BATCH 2 \
                 SOLVER.BASE_LR 0.02 SOLVER.WARMUP_ITERS 10 MODEL.RPN.POST_NMS_TOPK_TRAIN 50 SEED 3";
    document.merge_options(small.split_whitespace().chain(options.split_whitespace())).unwrap();
    Training {
        config: Config::of(&document).unwrap(),
        targets: TrainingConfig::of(&document).unwrap(),
        solver: Solver::of(&document).unwrap(),
        pictures: pictures(folder),
        validation: pictures(folder)[..1].to_vec(),
        execution: Execution::Kernels,
    }
}

fn values(parameters: &Parameters) -> Vec<Vec<f32>> {
    let checkpoint = parameters.checkpoint("");
    checkpoint.tensors().keys().map(|name| checkpoint.floats(name).unwrap()).collect()
}

#[test]
fn an_interrupted_training_equals_an_unbroken_one() {
    let folder = tempfile::tempdir().unwrap();
    let training = training(folder.path(), "SOLVER.MAX_ITER 6 SOLVER.CLIP_GRADIENTS.ENABLED True TEST.EVAL_PERIOD 4");
    let mut unbroken = training.initial(Device::Cpu);
    let (mut evaluated, mut losses) = (Vec::new(), Vec::new());
    let outcome = training.run(&mut unbroken, None, &mut |told| {
        match told {
            Told::Evaluate { steps, validation_loss, .. } => evaluated.push((steps, validation_loss.unwrap())),
            Told::Step { losses: of_step, .. } => losses.push(of_step.to_vec()),
            Told::Resumed(_) => panic!("there is no checkpoint"),
        }
        Control::GoOn
    });
    assert_eq!(outcome.unwrap(), Outcome::Done);
    assert_eq!(evaluated.iter().map(|(steps, _)| *steps).collect::<Vec<_>>(), [4, 6]);
    assert!(evaluated.iter().all(|(_, loss)| loss.is_finite() && *loss > 0.0), "{evaluated:?}");
    let names: Vec<&str> = losses[0].iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["total_loss", "loss_cls", "loss_box_reg", "loss_rpn_cls", "loss_rpn_loc"]);

    let checkpoints = folder.path().join("checkpoints");
    std::fs::create_dir(&checkpoints).unwrap();
    let mut parameters = training.initial(Device::Cpu);
    let mut steps = 0;
    let outcome = training.run(&mut parameters, Some(&checkpoints), &mut |told| {
        steps += usize::from(matches!(told, Told::Step { .. }));
        if steps == 3 { Control::Stop } else { Control::GoOn }
    });
    assert_eq!((outcome.unwrap(), steps), (Outcome::Stopped, 3));
    let mut parameters = training.initial(Device::Cpu);
    // One that is stopped before it goes on does no step.
    let mut events = 0;
    let outcome = training.run(&mut parameters, Some(&checkpoints), &mut |_| {
        events += 1;
        Control::Stop
    });
    assert_eq!((outcome.unwrap(), events), (Outcome::Stopped, 1));
    let mut parameters = training.initial(Device::Cpu);
    let mut resumed = None;
    let outcome = training.run(&mut parameters, Some(&checkpoints), &mut |told| {
        if let Told::Resumed(steps) = told {
            resumed = Some(steps);
        }
        Control::GoOn
    });
    assert_eq!((outcome.unwrap(), resumed), (Outcome::Done, Some(3)));
    assert_eq!(values(&parameters), values(&unbroken));

    let other = self::training(folder.path(), "SOLVER.MAX_ITER 7");
    let error = other.run(&mut parameters, Some(&checkpoints), &mut |_| Control::GoOn).unwrap_err();
    assert!(matches!(error, TrainError::OtherSettings { .. }), "{error}");
}

#[test]
fn the_loss_falls() {
    let folder = tempfile::tempdir().unwrap();
    let training = training(folder.path(), "SOLVER.MAX_ITER 40 SOLVER.BASE_LR 0.002 SOLVER.IMS_PER_BATCH 4");
    let mut parameters = training.initial(Device::Cpu);
    let mut losses = Vec::new();
    training
        .run(&mut parameters, None, &mut |told| {
            if let Told::Step { losses: of_step, .. } = told {
                losses.push(of_step[0].1);
            }
            Control::GoOn
        })
        .unwrap();
    let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
    let (first, last) = (mean(&losses[..8]), mean(&losses[32..]));
    println!("{first} {last}");
    assert!(last < 0.95 * first, "{first} {last}");
}

#[test]
fn a_loss_that_is_no_number_is_that_of_the_first_step() {
    let folder = tempfile::tempdir().unwrap();
    let training = training(folder.path(), "SOLVER.MAX_ITER 2");
    let mut parameters = training.initial(Device::Cpu);
    let broken = StoredTensor::computed(vec![3], || vec![f32::NAN; 3]);
    let broken = [("roi_heads.box_predictor.cls_score.bias".to_owned(), broken)];
    assert_eq!(parameters.take_over(&Checkpoint::computed("broken", broken)).unwrap().len(), 1);
    let error = training.run(&mut parameters, None, &mut |_| Control::GoOn).unwrap_err();
    assert!(matches!(error, TrainError::Diverged { step: 1, .. }), "{error}");
}

#[test]
fn a_picture_of_another_size_than_its_annotations_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let expected = "has 64 x 64 pixels, and its annotations are for 64 x 48: the picture that was annotated, or";
    let mut training = training(folder.path(), "SOLVER.MAX_ITER 1");
    let mut parameters = training.initial(Device::Cpu);
    training.validation[0].size = [64, 48];
    let error = training.run(&mut parameters, None, &mut |_| Control::GoOn).unwrap_err().to_string();
    assert!(error.contains("0.png ") && error.contains(expected), "{error}");
    training.validation.clear();
    training.pictures.iter_mut().for_each(|picture| picture.size = [64, 48]);
    let error = training.run(&mut parameters, None, &mut |_| Control::GoOn).unwrap_err().to_string();
    assert!(error.contains(".png ") && error.contains(expected), "{error}");
}

#[test]
fn pictures_that_are_missing_or_absent_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut training = training(folder.path(), "SOLVER.MAX_ITER 2");
    let mut parameters = training.initial(Device::Cpu);
    training.pictures.iter_mut().for_each(|picture| picture.file = folder.path().join("absent.png"));
    let error = training.run(&mut parameters, None, &mut |_| Control::GoOn).unwrap_err();
    assert!(error.to_string().contains("absent.png cannot be read"), "{error}");
    training.pictures.clear();
    let error = training.run(&mut parameters, None, &mut |_| Control::GoOn).unwrap_err();
    assert!(matches!(error, TrainError::NoExamples), "{error}");
}
