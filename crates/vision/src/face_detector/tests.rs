use super::*;
use crate::golden;

/// A detector with made-up weights on the CPU.
pub(crate) fn detector_of(network: FaceNetwork, list: &str, salt: u64) -> FaceDetector {
    let identity = identify(&golden::made_up(list, salt, network), None).unwrap();
    assert_eq!(identity.network, network);
    FaceDetector::load(&identity, Device::Cpu).unwrap()
}

/// A picture as the networks take it.
pub(crate) fn prepared(detector: &FaceDetector, picture: &RgbImage, order: ColorOrder) -> Tensor<4> {
    detector.prepare(picture, order).0
}

/// RetinaFace on MobileNetV1 with made-up weights.
fn checkpoint() -> Checkpoint {
    golden::made_up("retinaface/tensors_mnet025.json", 73286, FaceNetwork::RetinaFaceMobileNetV1)
}

#[test]
fn a_checkpoint_is_identified_with_and_without_a_prefix() {
    for prefix in ["", "module.", "net.module."] {
        let tensors = checkpoint().tensors().clone().into_iter();
        let tensors = tensors.map(|(name, stored)| (format!("{prefix}{name}"), stored));
        let identity = identify(&Checkpoint::computed("model.pth", tensors), None).unwrap();
        assert_eq!(identity.network, FaceNetwork::RetinaFaceMobileNetV1);
        assert_eq!(identity.checkpoint.prefix(), prefix);
    }
}

#[test]
fn a_checkpoint_of_another_network_is_refused() {
    let error = identify(&checkpoint(), Some(FaceNetwork::Dsfd)).unwrap_err();
    let message = error.to_string();
    assert!(message.starts_with("made-up weights of RetinaFace on MobileNetV1 is no checkpoint of DSFD"), "{message}");
    let mut tensors = checkpoint().tensors().clone();
    tensors.remove("ssh2.conv7x7_3.0.weight");
    let error = identify(&Checkpoint::computed("model.pth", tensors), None).unwrap_err();
    let message = error.to_string();
    assert!(
        message.starts_with("model.pth is no checkpoint of RetinaFace on MobileNetV1: 1 of 253 tensors do not fit"),
        "{message}"
    );
    assert!(message.contains("ssh2.conv7x7_3.0.weight"), "{message}");
}

#[test]
fn scores_that_are_no_numbers_are_an_error() {
    let mut tensors = checkpoint().tensors().clone();
    let nan = nn::checkpoint::StoredTensor::computed(vec![4], || vec![f32::NAN; 4]);
    tensors.insert("ClassHead.1.conv1x1.bias".to_owned(), nan);
    let identity = identify(&Checkpoint::computed("damaged.pth", tensors), None).unwrap();
    let detector = FaceDetector::load(&identity, Device::Cpu).unwrap();
    let error = detector.detect(&golden::astronaut(), ColorOrder::Rgb, Thresholds::default()).unwrap_err();
    assert!(matches!(error, VisionError::NotFinite), "{error}");
}

/// The faces of a picture by the kernels and by Burn's operations, which also run on a GPU.
fn the_kernels_equal_burn(network: FaceNetwork, list: &str, salt: u64, picture: &RgbImage) {
    let identity = identify(&golden::made_up(list, salt, network), None).unwrap();
    let [fast, reference] = [FaceDetector::load, FaceDetector::load_reference]
        .map(|load| load(&identity, Device::Cpu).unwrap())
        .map(|detector| detector.detect(picture, ColorOrder::Rgb, Thresholds::default()).unwrap());
    let priors = |faces: &[Face]| faces.iter().map(|face| face.prior).collect::<Vec<_>>();
    assert!(!fast.is_empty());
    assert_eq!(priors(&fast), priors(&reference));
    for (fast, reference) in fast.iter().zip(&reference) {
        golden::close("corners", &fast.corners, &reference.corners, 0.02);
        let points = |face: &Face| face.landmarks.iter().flatten().flatten().copied().collect::<Vec<f64>>();
        golden::close("points", &points(fast), &points(reference), 0.02);
    }
}

#[test]
fn the_kernels_equal_burn_on_mobile_net() {
    let (network, list) = (FaceNetwork::RetinaFaceMobileNetV1, "retinaface/tensors_mnet025.json");
    the_kernels_equal_burn(network, list, 73286, &golden::astronaut());
}

#[test]
fn the_kernels_equal_burn_on_resnet() {
    let (network, list) = (FaceNetwork::RetinaFaceResNet50, "retinaface/tensors_r50.json");
    the_kernels_equal_burn(network, list, 73286, &golden::astronaut());
}

#[test]
fn the_kernels_equal_burn_on_dsfd() {
    the_kernels_equal_burn(FaceNetwork::Dsfd, "dsfd/tensors.json", 41358, &golden::astronaut());
}
