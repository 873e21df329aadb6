//! Against what the authors' own code (PyTorch, float32, CPU) makes of the made-up weights and the sample portrait.
//! `tests/golden/README.md` says how its answers came to be.

use std::path::{Path, PathBuf};

use ndarray::{ArrayD, Axis, s};
use ndarray_npy::{ReadableElement, read_npy};

use super::*;

const AGES: [u8; 4] = [20, 40, 60, 80];
/// The greatest difference that codes and pictures may have.
const TOLERANCE: f32 = 2e-3;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn answer<T: ReadableElement>(name: &str) -> ArrayD<T> {
    read_npy(golden(&format!("{name}.npy"))).unwrap()
}

fn face(sam: &Sam) -> Face {
    let file = std::fs::read(golden("astronaut_aligned256.png")).unwrap();
    sam.face(&crate::decode(&file).unwrap())
}

#[track_caller]
fn close(what: &str, found: &ArrayD<f32>, answer: &ArrayD<f32>) {
    assert_eq!(found.shape(), answer.shape(), "{what}");
    let furthest = (found - answer).iter().fold(0.0, |furthest: f32, difference| furthest.max(difference.abs()));
    assert!(furthest <= TOLERANCE, "{what} is off by {furthest}");
    println!("{what}: at most {furthest:.1e} off");
}

fn shaped(values: Vec<f32>, shape: &[usize]) -> ArrayD<f32> {
    ArrayD::from_shape_vec(shape, values).unwrap()
}

#[test]
fn the_network_computes_what_the_authors_code_computes() {
    let sam = Sam::load(&made_up(256), Device::Cpu, Precision::Float32).unwrap();
    let face = face(&sam);
    let pretrained = sam.pretrained_codes(&face);
    close("pretrained codes", &shaped(pretrained.clone().into_values(), &[1, 14, 512]), &answer("pretrained_codes"));
    for age in AGES {
        let codes = sam.codes(&face, age);
        let found = shaped(codes.clone().into_values(), &[1, 14, 512]);
        close(&format!("codes at {age}"), &found, &answer(&format!("codes_{age}")));

        let picture = sam.picture(&pretrained, &codes);
        let raw = shaped(picture.clone().into_values(), &[1, 3, 256, 256]);
        let blocks = raw.to_shape((1, 3, 32, 8, 32, 8)).unwrap();
        let pooled = blocks.mean_axis(Axis(5)).unwrap().mean_axis(Axis(3)).unwrap();
        close(&format!("pooled picture at {age}"), &pooled.into_dyn(), &answer(&format!("image_{age}_pooled32")));
        let middle = raw.slice(s![.., .., 112..144, 112..144]).to_owned().into_dyn();
        close(&format!("middle of the picture at {age}"), &middle, &answer(&format!("image_{age}_crop")));

        let panel = ArrayD::from_shape_vec(vec![256, 256, 3], picture.into_rgb().into_raw()).unwrap();
        let middle = panel.slice(s![96..160, 96..160, ..]).to_owned().into_dyn();
        let levels: ArrayD<u8> = answer(&format!("panel_{age}_u8_crop"));
        assert_eq!(middle.shape(), levels.shape());
        let far = middle.iter().zip(&levels).filter(|(found, level)| found.abs_diff(**level) > 2).count();
        assert!(1000 * far <= levels.len(), "{far} levels of the panel at {age} are more than 2 off");
    }
}

#[test]
fn bfloat16_is_off_by_less_than_two_levels() {
    let sam = Sam::load(&made_up(256), Device::Cpu, Precision::BFloat16).unwrap();
    let face = face(&sam);
    let panel = sam.picture(&sam.pretrained_codes(&face), &sam.codes(&face, 60)).into_rgb();
    let levels: ArrayD<u8> = answer("panel_60_u8_crop");
    let panel = ArrayD::from_shape_vec(vec![256, 256, 3], panel.into_raw()).unwrap();
    let middle = panel.slice(s![96..160, 96..160, ..]);
    let sum: u32 = middle.iter().zip(&levels).map(|(found, level)| u32::from(found.abs_diff(*level))).sum();
    let mean = f64::from(sum) / levels.len() as f64;
    assert!(mean < 2.0, "{mean}");
    println!("bfloat16: {mean:.2} levels off in the mean");
}
