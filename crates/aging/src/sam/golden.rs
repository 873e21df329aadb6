//! The network against the authors' own code (PyTorch, float32, CPU), on made-up weights and the sample portrait.
//! `tests/golden/README.md` documents the origin of the figures.

use std::path::{Path, PathBuf};

use ndarray::{ArrayD, Axis, s};
use ndarray_npy::{ReadableElement, read_npy};
use nn::checkpoint::StoredTensor;

use super::*;

const AGES: [u8; 4] = [20, 40, 60, 80];
/// The greatest difference of codes and pictures on the CPU, and on a GPU, which is used where build and machine support it.
const TOLERANCE: f32 = 2e-3;
const GPU_TOLERANCE: f32 = 2e-2;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn answer<T: ReadableElement>(name: &str) -> ArrayD<T> {
    read_npy(golden(&format!("{name}.npy"))).unwrap()
}

fn device() -> Device {
    nn::DeviceChoice::Auto.find().unwrap()
}

fn face(sam: &Sam) -> Face {
    let file = std::fs::read(golden("astronaut_aligned256.png")).unwrap();
    sam.face(&picture::decode(&file).unwrap())
}

fn pretrained(sam: &Sam, face: &Face) -> Codes {
    let [codes] = sam.pretrained_codes(&[face]).try_into().unwrap();
    codes
}

fn codes(sam: &Sam, face: &Face, ages: &[u8]) -> Vec<Codes> {
    sam.codes(&ages.iter().map(|age| (face, *age)).collect::<Vec<_>>())
}

fn pictures(sam: &Sam, pretrained: &Codes, aged: &[Codes]) -> Vec<Picture> {
    sam.pictures(&aged.iter().map(|aged| (pretrained.clone(), aged.clone())).collect::<Vec<_>>())
}

#[track_caller]
fn close(what: &str, found: &ArrayD<f32>, answer: &ArrayD<f32>) {
    assert_eq!(found.shape(), answer.shape(), "{what}");
    let furthest = (found - answer).iter().fold(0.0, |furthest: f32, difference| furthest.max(difference.abs()));
    let tolerance = if device() == Device::Cpu { TOLERANCE } else { GPU_TOLERANCE };
    assert!(furthest <= tolerance, "{what} is off by {furthest}");
    println!("{what}: at most {furthest:.1e} off");
}

fn shaped(values: Vec<f32>, shape: &[usize]) -> ArrayD<f32> {
    ArrayD::from_shape_vec(shape, values).unwrap()
}

#[test]
fn the_network_equals_the_authors_code() {
    let sam = Sam::load(&made_up(256), device(), Precision::Float32).unwrap();
    let face = face(&sam);
    let itself = pretrained(&sam, &face);
    close(
        "pretrained codes",
        &shaped(itself.clone().into_values().unwrap(), &[1, 14, 512]),
        &answer("pretrained_codes"),
    );
    for age in AGES {
        let [aged] = codes(&sam, &face, &[age]).try_into().unwrap();
        let found = shaped(aged.clone().into_values().unwrap(), &[1, 14, 512]);
        close(&format!("codes at {age}"), &found, &answer(&format!("codes_{age}")));

        let [picture] = pictures(&sam, &itself, &[aged]).try_into().unwrap();
        let raw = shaped(picture.clone().into_values().unwrap(), &[1, 3, 256, 256]);
        let blocks = raw.to_shape((1, 3, 32, 8, 32, 8)).unwrap();
        let pooled = blocks.mean_axis(Axis(5)).unwrap().mean_axis(Axis(3)).unwrap();
        close(&format!("pooled picture at {age}"), &pooled.into_dyn(), &answer(&format!("image_{age}_pooled32")));
        let middle = raw.slice(s![.., .., 112..144, 112..144]).to_owned().into_dyn();
        close(&format!("middle of the picture at {age}"), &middle, &answer(&format!("image_{age}_crop")));

        let panel = ArrayD::from_shape_vec(vec![256, 256, 3], picture.into_rgb().unwrap().into_raw()).unwrap();
        let middle = panel.slice(s![96..160, 96..160, ..]).to_owned().into_dyn();
        let levels: ArrayD<u8> = answer(&format!("panel_{age}_u8_crop"));
        assert_eq!(middle.shape(), levels.shape());
        let far = middle.iter().zip(&levels).filter(|(found, level)| found.abs_diff(**level) > 2).count();
        assert!(1000 * far <= levels.len(), "{far} levels of the panel at {age} are more than 2 off");
    }
}

/// The levels of one picture.
fn levels_of(pictures: Vec<Picture>) -> Vec<u8> {
    let [picture] = pictures.try_into().unwrap();
    picture.into_rgb().unwrap().into_raw()
}

/// Smooth shapes and noise without a face.
fn random_face(sam: &Sam, seed: u32) -> Face {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    };
    let waves: [[f32; 4]; 6] = std::array::from_fn(|_| [random() / 8.0, random() / 8.0, 6.3 * random(), random()]);
    let picture = RgbImage::from_fn(FACE, FACE, |x, y| {
        let level = |channel: usize| {
            let wave = |[across, down, phase, height]: [f32; 4]| {
                height * (across * x as f32 + down * y as f32 + phase + channel as f32).sin()
            };
            128.0 + 50.0 * waves.map(wave).iter().sum::<f32>()
        };
        image::Rgb([0, 1, 2].map(|channel| (level(channel) + 16.0 * random()) as u8))
    });
    sam.face(&picture)
}

#[test]
fn the_kernels_equal_burn() {
    let made_up = made_up(256);
    let fast = Sam::load(&made_up, device(), Precision::Float32).unwrap();
    let reference = Sam::load_reference(&made_up, device(), Precision::Float32).unwrap();
    let (mut levels, mut far) = (0, 0);
    for seed in 0..3 {
        let pretrained = [&fast, &reference].map(|sam| pretrained(sam, &random_face(sam, seed)));
        for age in [15, 65].map(|age| age + 10 * seed as u8) {
            let [fast, reference] = [(&fast, &pretrained[0]), (&reference, &pretrained[1])].map(|(sam, pretrained)| {
                levels_of(pictures(sam, pretrained, &codes(sam, &random_face(sam, seed), &[age])))
            });
            levels += fast.len();
            far += fast.into_iter().zip(reference).filter(|(fast, reference)| fast.abs_diff(*reference) > 1).count();
        }
    }
    println!("{far} of {levels} levels differ by more than one");
    assert!(10_000 * far <= levels);
}

#[test]
fn batched_ages_equal_single_ages() {
    let sam = Sam::load(&made_up(256), device(), Precision::Float32).unwrap();
    let face = face(&sam);
    let together = codes(&sam, &face, &AGES);
    for (age, together) in AGES.into_iter().zip(together) {
        let [alone] = codes(&sam, &face, &[age]).try_into().unwrap();
        let (together, alone) = (together.into_values().unwrap(), alone.into_values().unwrap());
        if device() == Device::Cpu {
            assert!(together == alone, "{age}");
        } else {
            let shape = [1, 14, 512];
            close(&format!("codes at {age}"), &shaped(together, &shape), &shaped(alone, &shape));
        }
    }
}

#[test]
fn batched_pictures_equal_single_pictures() {
    let sam = Sam::load_reference(&made_up(256), device(), Precision::Float32).unwrap();
    let itself = pretrained(&sam, &face(&sam));
    let aged = [0.0, 0.5].map(|value| Codes(Tensor::full([1, 14, 512], value, &device().burn())));
    let together = pictures(&sam, &itself, &aged);
    for (together, aged) in together.into_iter().zip(&aged) {
        let [alone] = pictures(&sam, &itself, std::slice::from_ref(aged)).try_into().unwrap();
        let shape = [1, 3, 256, 256];
        let [together, alone] = [together, alone].map(|picture| shaped(picture.into_values().unwrap(), &shape));
        close("a picture in a batch", &together, &alone);
    }
}

#[test]
fn multiplications_are_counted() {
    let Multiplications { pretrained_encoder, encoder, generator } = multiplications(1024);
    assert_eq!(encoder - pretrained_encoder, 256 * 256 * 64 * 9, "one channel of the first layer");
    let billions = |count: u64| (count as f64 / 1e8).round() / 10.0;
    assert_eq!((billions(encoder), billions(generator)), (72.5, 74.3));
}

#[test]
fn bfloat16_is_off_by_less_than_two_levels() {
    let sam = Sam::load(&made_up(256), device(), Precision::BFloat16).unwrap();
    let face = face(&sam);
    let panel = levels_of(pictures(&sam, &pretrained(&sam, &face), &codes(&sam, &face, &[60])));
    let levels: ArrayD<u8> = answer("panel_60_u8_crop");
    let panel = ArrayD::from_shape_vec(vec![256, 256, 3], panel).unwrap();
    let middle = panel.slice(s![96..160, 96..160, ..]);
    let sum: u32 = middle.iter().zip(&levels).map(|(found, level)| u32::from(found.abs_diff(*level))).sum();
    let mean = f64::from(sum) / levels.len() as f64;
    assert!(mean < 2.0, "{mean}");
    println!("bfloat16: {mean:.2} levels off in the mean");
}

#[test]
fn pictures_without_numbers_are_refused() {
    let made_up = made_up(256);
    let mut tensors = made_up.tensors().clone();
    tensors.insert(
        "decoder.to_rgb1.bias".to_owned(),
        StoredTensor::computed(vec![1, 3, 1, 1], || vec![0.0, f32::NAN, 0.0]),
    );
    let sam = Sam::load(&Checkpoint::computed("damaged", tensors), device(), Precision::Float32).unwrap();
    let none = Codes(Tensor::zeros([1, 14, 512], &device().burn()));
    let [picture] = pictures(&sam, &none, std::slice::from_ref(&none)).try_into().unwrap();
    let error = picture.into_rgb().unwrap_err();
    assert!(matches!(error, SamError::NotFinite), "{error}");
}
