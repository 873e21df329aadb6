//! `age`: the same work on one portrait with no cloud.

use std::time::Instant;

use aging::strip;
use anyhow::{Context, anyhow, bail, ensure};
use container::{Model, face_error_code};
use face::{Aligned, FaceError, RgbImage};
use lambda::ImageFormat;
use ndarray::ArrayView3;
use ndarray_npy::WriteNpyExt;
use serde_json::json;

use crate::cli::{Age, Device};
use crate::output;

pub(crate) fn run(age: &Age) -> anyhow::Result<()> {
    if age.device == Device::Cuda {
        bail!("there is no engine for CUDA in this build: --device cpu would work");
    }
    let model = Model::load(age.model.as_deref()).context("the model cannot be loaded")?;
    let photo = &age.photo;
    let bytes = std::fs::read(photo).with_context(|| format!("the photo {} cannot be read", photo.display()))?;
    let picture = aging::decode(&bytes).with_context(|| format!("the photo {}", photo.display()))?;
    let (width, height) = picture.dimensions();
    ensure!(!age.aligned || width == height, "an aligned crop is square, but {} is {width}x{height}", photo.display());
    let start = Instant::now();
    let aligned = if age.aligned { as_it_is(&model, &picture) } else { model.align(&picture) };
    let Aligned { picture: portrait, landmarks } =
        aligned.map_err(|error| anyhow!("{}: {}: {error}", face_error_code(&error), photo.display()))?;
    let mut pixels = Vec::new();
    strip::append(&model.engine, &portrait, &landmarks, age.ages.as_slice(), &mut pixels, &|| true)?;
    let seconds = start.elapsed().as_secs_f64();

    let shape = pipeline::strip::shape(age.ages.len());
    let mut npy = Vec::with_capacity(pixels.len() + 128);
    ArrayView3::from_shape(shape, &pixels)?.write_npy(&mut npy)?;
    let id = output::id_of(photo);
    let folder = age.out.clone().unwrap_or_else(|| output::default_folder(&id));
    let mut files = Vec::new();
    for panel in lambda::split(&npy, age.ages.len(), ImageFormat::Jpeg)? {
        files.push(output::write(&folder, &format!("{}.jpg", panel.number), &panel.bytes)?);
    }
    files.push(output::write(&folder, "strip.npy", &npy)?);
    if age.json {
        let line =
            json!({"id": id, "model": model.engine.name(), "ages": age.ages, "seconds": seconds, "files": files});
        println!("{line}");
    } else {
        println!("{} made {} ages in {seconds:.2} s", model.engine.name(), age.ages.len());
        files.iter().for_each(|file| println!("{}", file.display()));
    }
    Ok(())
}

/// A crop that is aligned already, as a panel; only its landmarks are looked for.
fn as_it_is(model: &Model, square: &RgbImage) -> Result<Aligned, FaceError> {
    let picture = aging::to_panel(square);
    let landmarks = model.faces.portrait(&picture)?.landmarks;
    Ok(Aligned { picture, landmarks })
}
