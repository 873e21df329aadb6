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
    for (body, classes) in [(Body::ResNet18, 3), (Body::ResNet34, 37), (Body::ResNet50, 1)] {
        let identity = identify(&nn::made_up("model.pth", tensors(body, classes), |_, _| (0.1, 0.0))).unwrap();
        assert_eq!((identity.body, identity.classes), (body, classes));
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
