use std::io::Cursor;

use aging::Stages;
use aging::strip::{self, StripError};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder};
use pipeline::ImageType;

use crate::answer_type::AnswerType;
use crate::device::{Order, Outcome};
use crate::metrics::Metrics;
use crate::model::Model;
use crate::npy;
use crate::refusal::Refusal;

const JPEG_QUALITY: u8 = 92;

const _: () = assert!(aging::PANEL as usize == pipeline::strip::PANEL, "one size of a panel");

/// From the encoded picture to the encoded strip.
pub(crate) fn infer(model: &Model, order: &Order, wanted: &dyn Fn() -> bool, metrics: &Metrics) -> Outcome {
    let ages = order.ages.as_slice();
    let mut stages = Stages::default();
    let picture = stages.measure("decode", || aging::decode(&order.picture)).map_err(logged)?;
    let portrait = stages.measure("align", || model.portrait(&picture))?;
    drop(picture);
    metrics.stages(&stages);
    let append = |out: &mut Vec<u8>| {
        let stages = strip::append(&model.engine, &portrait, ages, out, &|_| wanted())?;
        metrics.stages(&stages);
        Ok::<_, StripError>(())
    };
    let (rows, columns, channels) = pipeline::strip::shape(ages.len());
    match order.answer_type {
        AnswerType::Npy => {
            let mut file = npy::begin((rows, columns, channels));
            append(&mut file)?;
            Ok(file)
        }
        AnswerType::Picture(format) => {
            let mut pixels = Vec::new();
            append(&mut pixels)?;
            let mut stages = Stages::default();
            let file = stages.measure("encode", || encoded(&pixels, columns as u32, rows as u32, format));
            metrics.stages(&stages);
            file.map_err(|error| {
                tracing::error!(%error, "the strip cannot be encoded");
                Refusal::broken()
            })
        }
    }
}

/// The client is told what would work; why the decoder gave up is for whoever reads the log.
fn logged(error: aging::ImageError) -> aging::ImageError {
    if let Some(source) = std::error::Error::source(&error) {
        tracing::info!(%error, %source, "picture refused");
    }
    error
}

fn encoded(pixels: &[u8], width: u32, height: u32, format: ImageType) -> image::ImageResult<Vec<u8>> {
    let mut file = Cursor::new(Vec::new());
    let rgb = ExtendedColorType::Rgb8;
    match format {
        ImageType::Jpeg => {
            JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY).write_image(pixels, width, height, rgb)?;
        }
        ImageType::Png => PngEncoder::new(&mut file).write_image(pixels, width, height, rgb)?,
        ImageType::WebP => WebPEncoder::new_lossless(&mut file).write_image(pixels, width, height, rgb)?,
    }
    Ok(file.into_inner())
}
