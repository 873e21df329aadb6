//! An animated GIF of a portrait that grows older, then younger again.

use std::iter;

use anyhow::{Context, ensure};
use gif::{DisposalMethod, Encoder, Frame, Repeat};
use image::RgbImage;
use rayon::prelude::*;

use super::palette::{MAX_COLOURS, Palette};
use super::panels;

/// Width and height in pixels. Files of a few megabytes are accepted by messengers and bug trackers.
const SIDE: u32 = 480;
/// How long an age is shown, in hundredths of a second.
const HOLD: u16 = 90;
/// How long a step of a cross-fade is shown, in hundredths of a second.
const STEP: u16 = 6;
/// Steps of a cross-fade between two ages.
const STEPS: usize = 7;
/// Frames from the youngest to the oldest age, at most. Many ages get fewer steps, which limits the file's size.
const ONE_WAY: usize = 40;
/// The index of a pixel that is unchanged since the frame before.
const SAME: u8 = MAX_COLOURS as u8;

/// Makes the animation of a portrait, a GIF. `panels` are the original and then `ages`, in their order.
pub(crate) fn make(panels: &[RgbImage], ages: &[u8]) -> anyhow::Result<Vec<u8>> {
    animate(panels, ages).context("the animation cannot be made")
}

/// The panels to show, youngest first, each age once. A single age is shown after the original.
fn order(ages: &[u8]) -> Vec<usize> {
    let mut panels: Vec<usize> = (1..=ages.len()).collect();
    panels.sort_by_key(|panel| ages[panel - 1]);
    panels.dedup_by_key(|panel| ages[*panel - 1]);
    if panels.len() == 1 {
        panels.insert(0, 0);
    }
    panels
}

/// The file: from the youngest to the oldest and back, endlessly.
fn animate(pictures: &[RgbImage], ages: &[u8]) -> anyhow::Result<Vec<u8>> {
    ensure!(!ages.is_empty(), "there are no ages");
    let order = order(ages);
    let shown: Option<Vec<&RgbImage>> = order.iter().map(|&panel| pictures.get(panel)).collect();
    let shown = shown.with_context(|| format!("{} panels are not the original and {:?}", pictures.len(), ages))?;
    let shown: Vec<RgbImage> = shown.par_iter().map(|panel| panels::resized(panel, SIDE)).collect();
    let palette = Palette::of(&shown);

    let steps = (ONE_WAY / (shown.len() - 1)).clamp(2, STEPS + 1) - 1;
    // The panel, and the number of steps towards the next one.
    let one_way: Vec<(usize, usize)> = (0..shown.len() - 1)
        .flat_map(|panel| (0..=steps).map(move |step| (panel, step)))
        .chain([(shown.len() - 1, 0)])
        .collect();
    let frames: Vec<Vec<u8>> = one_way
        .par_iter()
        .map(|&(panel, step)| {
            let next = &shown[(panel + 1).min(shown.len() - 1)];
            blend(&shown[panel], next, step as f32 / (steps + 1) as f32, &palette)
        })
        .collect();

    let last = one_way.len() - 1;
    // There and back; the first frame follows the last one.
    let sequence: Vec<usize> = (0..=last).chain((1..last).rev()).collect();
    let before = iter::once(None).chain(sequence.iter().copied().map(Some));
    let pairs: Vec<(usize, Option<usize>)> = sequence.iter().copied().zip(before).collect();
    let encoded: Vec<Frame<'static>> = pairs
        .into_par_iter()
        .map(|(now, before)| {
            let delay = if one_way[now].1 == 0 { HOLD } else { STEP };
            encode(&frames[now], before.map(|before| frames[before].as_slice()), delay)
        })
        .collect();

    // 256 colours; the last one is the transparent index.
    let colours = palette.colours().iter().flatten().copied().chain([0; 3]).collect::<Vec<_>>();
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, SIDE as u16, SIDE as u16, &colours)?;
    encoder.set_repeat(Repeat::Infinite)?;
    for frame in &encoded {
        encoder.write_lzw_pre_encoded_frame(frame)?;
    }
    drop(encoder);
    Ok(file)
}

/// The palette's indices of a blend of two pictures; `way` is the share of the other one, from 0 to 1.
fn blend(one: &RgbImage, other: &RgbImage, way: f32, palette: &Palette) -> Vec<u8> {
    // Smoothstep: slow at both ends.
    let weight = (256.0 * way * way * (3.0 - 2.0 * way)).round() as u16;
    let width = one.width() as usize;
    let mut indices = Vec::with_capacity(one.len() / 3);
    for (y, (one, other)) in one.chunks_exact(3 * width).zip(other.chunks_exact(3 * width)).enumerate() {
        let (one, other) = (one.as_chunks::<3>().0, other.as_chunks::<3>().0);
        indices.extend(one.iter().zip(other).enumerate().map(|(x, (one, other))| {
            let channel = |n: usize| ((u16::from(one[n]) * (256 - weight) + u16::from(other[n]) * weight) >> 8) as u8;
            palette.index([channel(0), channel(1), channel(2)], x, y)
        }));
    }
    indices
}

/// A frame that draws only the pixels that differ from the frame before.
fn encode(indices: &[u8], before: Option<&[u8]>, delay: u16) -> Frame<'static> {
    let buffer = match before {
        Some(before) => {
            indices.iter().zip(before).map(|(&now, before)| if now == *before { SAME } else { now }).collect()
        }
        None => indices.to_vec(),
    };
    let mut frame = Frame {
        delay,
        dispose: DisposalMethod::Keep,
        transparent: before.map(|_| SAME),
        width: SIDE as u16,
        height: SIDE as u16,
        buffer: buffer.into(),
        ..Frame::default()
    };
    frame.make_lzw_pre_encoded();
    frame
}

#[cfg(test)]
mod tests {
    use gif::{ColorOutput, DecodeOptions};
    use image::Rgb;

    use super::*;

    /// An animation's frames as a viewer shows them: how long each is shown, and the colour in its middle.
    fn shown(file: &[u8]) -> Vec<(u16, [u8; 3])> {
        let mut options = DecodeOptions::new();
        options.set_color_output(ColorOutput::RGBA);
        let mut decoder = options.read_info(file).unwrap();
        assert_eq!((decoder.width(), decoder.height()), (SIDE as u16, SIDE as u16));
        assert_eq!(decoder.repeat(), Repeat::Infinite);
        let mut seen = [0; 3];
        let mut frames = Vec::new();
        while let Some(frame) = decoder.read_next_frame().unwrap() {
            let middle = &frame.buffer[4 * (SIDE * SIDE + SIDE) as usize / 2..][..4];
            if middle[3] == u8::MAX {
                seen.copy_from_slice(&middle[..3]);
            }
            frames.push((frame.delay, seen));
        }
        frames
    }

    /// One colour each: red stands for the panel, by tens.
    fn panels(count: u8) -> Vec<RgbImage> {
        (0..count).map(|n| RgbImage::from_pixel(64, 64, Rgb([20 * n + 20, 90, 60]))).collect()
    }

    /// The panels that an animation holds on.
    fn held(count: u8, ages: &[u8]) -> Vec<u8> {
        let frames = shown(&animate(&panels(count), ages).unwrap());
        frames.iter().filter(|(delay, _)| *delay == HOLD).map(|(_, colour)| (colour[0] - 10) / 20).collect()
    }

    #[test]
    fn ages_are_shown_in_order_and_back() {
        assert_eq!(held(5, &[20, 40, 60, 80]), [1, 2, 3, 4, 3, 2]);
        assert_eq!(held(5, &[60, 20, 80, 40]), [2, 4, 1, 3, 1, 4]);
        assert_eq!(held(4, &[70, 30, 70]), [2, 1]);
        assert_eq!(held(2, &[70]), [0, 1]);
        assert_eq!(held(3, &[70, 70]), [0, 1]);
    }

    #[test]
    fn a_cross_fade_is_monotonic() {
        let frames = shown(&animate(&panels(5), &[20, 80, 20, 20]).unwrap());
        assert_eq!(frames.len(), 2 * (1 + STEPS));
        let reds: Vec<u8> = frames.iter().map(|(_, colour)| colour[0]).collect();
        assert!(reds[..=1 + STEPS].is_sorted() && reds[1 + STEPS..].is_sorted_by(|one, two| one >= two), "{reds:?}");
        assert_eq!(reds[1], reds[frames.len() - 1]);
    }

    #[test]
    fn many_ages_get_fewer_steps() {
        let ages: Vec<u8> = (0..16).map(|n| 5 * n).collect();
        let frames = shown(&animate(&panels(12).into_iter().chain(panels(5)).collect::<Vec<_>>(), &ages).unwrap());
        assert_eq!(frames.iter().filter(|(delay, _)| *delay == HOLD).count(), 30);
        assert!(frames.len() <= 2 * ONE_WAY + 2, "{}", frames.len());
    }

    #[test]
    fn missing_panels_are_reported() {
        let error = animate(&panels(2), &[20, 40]).unwrap_err();
        assert!(error.to_string().contains("2 panels are not the original and [20, 40]"), "{error}");
    }
}
