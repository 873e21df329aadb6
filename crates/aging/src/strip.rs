//! The strip: the aligned portrait and one panel for each age, side by side, as bytes.

use std::collections::VecDeque;

use image::RgbImage;
use nn::Stages;

use crate::preview::{Analysis, Preview};
use crate::sam::{Codes, Face, Picture, Sam, SamError};
use crate::{Engine, EngineKind, PANEL, Portrait, View, to_panel};

/// Ages that share a step of an encoder, so that its weights are read once for them. More ages gain nothing on a CPU.
pub const AT_ONCE: usize = 4;

/// Why a strip cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum StripError {
    /// The portrait is not a panel.
    #[error("the aligned portrait has {width} x {height} pixels: {PANEL} x {PANEL} are needed")]
    Size {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// The portrait was prepared for another engine.
    #[error("the portrait was prepared for another engine than {engine}")]
    View {
        /// The name of the engine that was asked to age it.
        engine: &'static str,
    },
    /// The network failed.
    #[error(transparent)]
    Sam(#[from] SamError),
    /// The caller cancelled it.
    #[error("cancelled between two ages: the strip is not needed any more")]
    Cancelled,
}

/// The bytes of a strip of this number of ages: [`PANEL`] rows of `1 + ages` panels of RGB.
pub fn byte_count(ages: usize) -> usize {
    PANEL as usize * row_bytes(ages)
}

fn row_bytes(ages: usize) -> usize {
    PANEL as usize * (1 + ages) * 3
}

/// Appends the strip of an aligned portrait to `out`: [`byte_count`] bytes, `u8`, shape `(PANEL, PANEL * (1 + ages), 3)` in C
/// order. Panel 0 is the portrait itself. Ages are in years, 0 to 100. The panel of an age does not depend on the other ages.
///
/// `wanted` is called before each step with the number of ages that are done. The strip is cancelled when it returns false.
///
/// # Errors
/// [`StripError`]: the engine cannot use the portrait, fails, or the strip is cancelled. `out` is empty then.
pub fn append(
    engine: &Engine,
    portrait: Portrait,
    ages: &[u8],
    out: &mut Vec<u8>,
    wanted: &dyn Fn(usize) -> bool,
) -> Result<Stages, StripError> {
    let mut strip = Strip::begin(portrait, ages, std::mem::take(out))?;
    let mut stages = Stages::default();
    while !strip.is_done() {
        if !wanted(strip.done) {
            return Err(StripError::Cancelled);
        }
        step(engine, &mut [&mut strip], AT_ONCE, &mut stages)?;
    }
    *out = strip.into_bytes();
    Ok(stages)
}

/// Computes the next step of unfinished strips, the first strip first. Where the engine gains by it, up to `at_once` ages of any of
/// the strips share the step. The strips do not depend on that.
///
/// # Errors
/// [`StripError`]: one of the strips cannot be made. To find out which one, [restart](Strip::restart) each and step it alone.
pub fn step(engine: &Engine, strips: &mut [&mut Strip], at_once: usize, stages: &mut Stages) -> Result<(), StripError> {
    match engine {
        Engine::Preview(preview) => match strips.iter_mut().find(|strip| !strip.is_done()) {
            Some(strip) => strip.preview(preview, stages),
            None => Ok(()),
        },
        Engine::Sam(sam) => {
            let ready = ready(strips, sam.pictures_at_once());
            if ready.is_empty() { encode(sam, strips, at_once, stages) } else { generate(sam, strips, &ready, stages) }
        }
    }
}

/// An unfinished strip. [`step`] computes it, until it [`is_done`](Self::is_done).
#[derive(Debug)]
pub struct Strip {
    panel: RgbImage,
    ages: Vec<u8>,
    sight: Sight,
    /// The header, and from the first step on the panels.
    bytes: Vec<u8>,
    header: usize,
    /// Memory for the panels, with other bytes in it.
    buffer: Vec<u8>,
    /// Ages whose panels are computed.
    done: usize,
}

/// The engine's knowledge of the face: only the view, before its first step.
#[derive(Debug)]
enum Sight {
    Preview { landmarks: Box<face::Landmarks>, analysis: Option<Box<Analysis>> },
    Sam { view: RgbImage, seen: Option<Box<Seen>> },
}

/// The results of SAM's encoders.
#[derive(Debug)]
struct Seen {
    face: Face,
    pretrained: Codes,
    /// The codes of the next ages, which have no panel yet.
    aged: VecDeque<Codes>,
}

impl Strip {
    /// Begins the strip of an aligned portrait at ages in years, 0 to 100. Its bytes follow those of `header`.
    ///
    /// # Errors
    /// [`StripError::Size`]: the portrait is no panel.
    pub fn begin(portrait: Portrait, ages: &[u8], header: Vec<u8>) -> Result<Self, StripError> {
        let Portrait { panel, view } = portrait;
        let (width, height) = panel.dimensions();
        if (width, height) != (PANEL, PANEL) {
            return Err(StripError::Size { width, height });
        }
        let sight = match view {
            View::Landmarks(landmarks) => Sight::Preview { landmarks, analysis: None },
            View::Face(view) => Sight::Sam { view, seen: None },
        };
        let (ages, buffer, length) = (ages.to_vec(), Vec::new(), header.len());
        Ok(Self { panel, ages, sight, header: length, bytes: header, buffer, done: 0 })
    }

    /// Lays the panels out in this memory if it is large enough. Its bytes are overwritten.
    pub fn within(self, buffer: Vec<u8>) -> Self {
        Self { buffer, ..self }
    }

    /// The ages of the strip.
    pub fn ages(&self) -> &[u8] {
        &self.ages
    }

    /// Whether all panels are computed.
    pub fn is_done(&self) -> bool {
        self.is_laid_out() && self.done == self.ages.len()
    }

    /// The header, followed by the strip: shape `(PANEL, PANEL * (1 + ages), 3)`.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Discards all panels and results.
    pub fn restart(&mut self) {
        self.bytes.truncate(self.header);
        self.done = 0;
        match &mut self.sight {
            Sight::Preview { analysis, .. } => *analysis = None,
            Sight::Sam { seen, .. } => *seen = None,
        }
    }

    fn is_laid_out(&self) -> bool {
        self.bytes.len() > self.header
    }

    /// Allocates the panels, which a waiting strip does not need, and copies the portrait into the first.
    fn lay_out(&mut self) {
        if self.is_laid_out() {
            return;
        }
        let length = self.header + byte_count(self.ages.len());
        let mut bytes = std::mem::take(&mut self.buffer);
        if bytes.len() < length {
            // The system provides zeroed memory, so that no byte is written twice.
            bytes = vec![0; length];
        }
        bytes.truncate(length);
        bytes[..self.header].copy_from_slice(&self.bytes);
        self.bytes = bytes;
        let row_bytes = row_bytes(self.ages.len());
        put(&mut self.bytes[self.header..], row_bytes, &self.panel);
    }

    /// Copies the panel of the next age into the strip.
    fn add(&mut self, panel: &RgbImage) {
        self.done += 1;
        let row_bytes = row_bytes(self.ages.len());
        put(&mut self.bytes[self.header + self.done * PANEL_ROW..], row_bytes, panel);
    }

    fn preview(&mut self, preview: &Preview, stages: &mut Stages) -> Result<(), StripError> {
        self.lay_out();
        let Sight::Preview { landmarks, analysis } = &mut self.sight else {
            return Err(StripError::View { engine: EngineKind::Preview.name() });
        };
        let analysis = match analysis {
            Some(analysis) => analysis,
            None => analysis.insert(Box::new(stages.measure("analysis", || preview.analyse(&self.panel, landmarks)))),
        };
        if let Some(age) = self.ages.get(self.done) {
            let out = &mut self.bytes[self.header + (1 + self.done) * PANEL_ROW..];
            stages.measure("ages", || preview.render(analysis, *age, out, row_bytes(self.ages.len())));
            self.done += 1;
        }
        Ok(())
    }

    fn seen(&mut self) -> Option<&mut Seen> {
        match &mut self.sight {
            Sight::Sam { seen, .. } => seen.as_deref_mut(),
            Sight::Preview { .. } => None,
        }
    }

    /// Ages that are encoded.
    fn encoded(&self) -> usize {
        match &self.sight {
            Sight::Sam { seen: Some(seen), .. } => self.done + seen.aged.len(),
            _ => self.done,
        }
    }
}

/// The bytes of a row of a panel.
const PANEL_ROW: usize = PANEL as usize * 3;

/// Copies a panel to the first byte of `strip`.
fn put(strip: &mut [u8], row_bytes: usize, panel: &RgbImage) {
    for (row, from) in strip.chunks_mut(row_bytes).zip(panel.as_raw().chunks_exact(PANEL_ROW)) {
        row[..PANEL_ROW].copy_from_slice(from);
    }
}

/// The numbers of the strips that have encoded ages without panels: one for each such age, up to `most`.
fn ready(strips: &mut [&mut Strip], most: usize) -> Vec<usize> {
    let waiting = strips.iter_mut().enumerate().flat_map(|(number, strip)| {
        let ages = strip.seen().map_or(0, |seen| seen.aged.len());
        std::iter::repeat_n(number, ages)
    });
    waiting.take(most).collect()
}

/// Encodes the next ages, and before them the faces that are not encoded yet.
fn encode(sam: &Sam, strips: &mut [&mut Strip], at_once: usize, stages: &mut Stages) -> Result<(), StripError> {
    let ages = strips
        .iter()
        .enumerate()
        .flat_map(|(number, strip)| strip.ages[strip.encoded()..].iter().map(move |age| (number, *age)));
    let next: Vec<(usize, u8)> = ages.take(at_once.max(1)).collect();
    let mut unseen = Vec::new();
    // A strip without ages needs no encoder.
    let last = next.last().map_or(strips.len(), |(number, _)| number + 1);
    for (number, strip) in strips[..last].iter_mut().enumerate() {
        strip.lay_out();
        match &strip.sight {
            Sight::Sam { view, seen: None } if !strip.ages.is_empty() => unseen.push((number, sam.face(view))),
            Sight::Sam { .. } => {}
            Sight::Preview { .. } => return Err(StripError::View { engine: EngineKind::Sam.name() }),
        }
    }
    if !unseen.is_empty() {
        let faces: Vec<&Face> = unseen.iter().map(|(_, face)| face).collect();
        let codes = stages.measure("pretrainedEncoder", || {
            let codes = sam.pretrained_codes(&faces);
            sam.sync().map(|()| codes)
        })?;
        for ((number, face), pretrained) in unseen.into_iter().zip(codes) {
            let new = Seen { face, pretrained, aged: VecDeque::new() };
            if let Sight::Sam { seen, .. } = &mut strips[number].sight {
                *seen = Some(Box::new(new));
            }
        }
    }
    let faces: Vec<(&Face, u8)> = next
        .iter()
        .filter_map(|(number, age)| match &strips[*number].sight {
            Sight::Sam { seen: Some(seen), .. } => Some((&seen.face, *age)),
            _ => None,
        })
        .collect();
    if faces.is_empty() {
        return Ok(());
    }
    let codes = stages.measure("encoder", || {
        let codes = sam.codes(&faces);
        sam.sync().map(|()| codes)
    })?;
    for ((number, _), codes) in next.into_iter().zip(codes) {
        if let Some(seen) = strips[number].seen() {
            seen.aged.push_back(codes);
        }
    }
    Ok(())
}

/// Generates the panel of the next encoded age for each of these strips.
fn generate(sam: &Sam, strips: &mut [&mut Strip], ready: &[usize], stages: &mut Stages) -> Result<(), StripError> {
    let codes = ready.iter().filter_map(|&number| {
        let seen = strips[number].seen()?;
        Some((seen.pretrained.clone(), seen.aged.pop_front()?))
    });
    let codes: Vec<(Codes, Codes)> = codes.collect();
    let pictures = stages.measure("generator", || {
        let pictures = sam.pictures(&codes).into_iter();
        pictures.map(Picture::into_rgb).collect::<Result<Vec<_>, _>>()
    })?;
    for (&number, picture) in ready.iter().zip(pictures) {
        stages.measure("panels", || strips[number].add(&to_panel(picture)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use image::Rgb;
    use nn::{Device, Precision};

    use super::*;
    use crate::preview::face_like;
    use crate::sam::{FACE, made_up};

    fn portrait() -> Portrait {
        let panel = RgbImage::from_fn(PANEL, PANEL, |x, y| Rgb([(x / 4) as u8, (y / 4) as u8, ((x ^ y) & 0xff) as u8]));
        Portrait { panel, view: View::Landmarks(Box::new(face_like())) }
    }

    #[test]
    fn panels_follow_the_header_from_left_to_right() {
        let (engine, portrait) = (Engine::Preview(Preview), portrait());
        let original = portrait.panel.clone().into_raw();
        let mut out = b"header".to_vec();
        append(&engine, portrait.clone(), &[70, 35], &mut out, &|_| true).unwrap();
        assert_eq!((out.len(), &out[..6]), (6 + byte_count(2), &b"header"[..]));
        let panel = |n: usize| -> Vec<u8> {
            out[6..].chunks_exact(3 * 3072).flat_map(|row| row[n * 3072..(n + 1) * 3072].to_vec()).collect()
        };
        assert_eq!(panel(0), original);
        assert_ne!(panel(1), panel(0));
        assert!(panel(2).iter().zip(panel(0)).all(|(aged, original)| aged.abs_diff(original) <= 1));

        let mut again = Vec::new();
        append(&engine, portrait, &[70, 35], &mut again, &|_| true).unwrap();
        assert!(again == out[6..], "the same portrait and ages make the same bytes");
    }

    #[test]
    fn the_memory_of_an_earlier_strip_leaves_no_trace() {
        let (engine, ages) = (Engine::Preview(Preview), [70, 35]);
        let mut alone = b"header".to_vec();
        append(&engine, portrait(), &ages, &mut alone, &|_| true).unwrap();
        for length in [alone.len() + 1000, alone.len(), alone.len() - 1, 0] {
            let buffer = vec![213; length];
            let address = buffer.as_ptr();
            let mut strip = Strip::begin(portrait(), &ages, b"header".to_vec()).unwrap().within(buffer);
            while !strip.is_done() {
                step(&engine, &mut [&mut strip], AT_ONCE, &mut Stages::default()).unwrap();
            }
            let bytes = strip.into_bytes();
            assert_eq!(bytes.as_ptr() == address, length >= alone.len(), "{length} bytes");
            assert!(bytes == alone, "in a buffer of {length} bytes");
        }
    }

    #[test]
    fn stops_between_ages() {
        let asked = Cell::new(0);
        let wanted = |_| asked.replace(asked.get() + 1) < 3;
        let result = append(&Engine::Preview(Preview), portrait(), &[1, 2, 3, 4, 5], &mut Vec::new(), &wanted);
        assert!(matches!(result, Err(StripError::Cancelled)));
        assert_eq!(asked.get(), 4);
    }

    #[test]
    fn refuses_other_sizes() {
        let portrait = Portrait { panel: RgbImage::new(512, 1024), ..portrait() };
        let result = append(&Engine::Preview(Preview), portrait, &[1], &mut Vec::new(), &|_| true);
        assert_eq!(
            result.unwrap_err().to_string(),
            "the aligned portrait has 512 x 1024 pixels: 1024 x 1024 are needed"
        );
    }

    #[test]
    fn refuses_a_portrait_for_another_engine() {
        let portrait = Portrait { view: View::Face(RgbImage::new(FACE, FACE)), ..portrait() };
        let result = append(&Engine::Preview(Preview), portrait, &[1], &mut Vec::new(), &|_| true);
        assert_eq!(result.unwrap_err().to_string(), "the portrait was prepared for another engine than preview");
    }

    /// SAM at a size that takes seconds.
    fn engine_of_sam() -> Engine {
        let sam = Sam::load(&made_up(256), Device::Cpu, Precision::Float32).unwrap();
        Engine::Sam(Box::new(sam))
    }

    fn striped(spacing: u32) -> Portrait {
        let view = RgbImage::from_fn(FACE, FACE, |x, y| Rgb([((x / spacing) % 2 * 200) as u8, (x + y) as u8 / 2, 90]));
        Portrait { view: View::Face(view), ..portrait() }
    }

    #[test]
    fn strips_that_share_steps_equal_strips_made_alone() {
        let engine = engine_of_sam();
        let orders: [(u32, &[u8]); 3] = [(9, &[20, 40]), (31, &[70]), (55, &[5, 95])];
        let begin = |(spacing, ages)| Strip::begin(striped(spacing), ages, b"header".to_vec()).unwrap();
        let alone = orders.map(|(spacing, ages)| {
            let mut out = b"header".to_vec();
            append(&engine, striped(spacing), ages, &mut out, &|_| true).unwrap();
            out
        });
        let (mut stages, mut strips) = (Stages::default(), orders.map(begin));
        // The work on the first strip is discarded.
        let [first, second, _] = &mut strips;
        for _ in 0..2 {
            step(&engine, &mut [first, second], AT_ONCE, &mut stages).unwrap();
        }
        assert_eq!((first.done, first.encoded(), second.encoded()), (1, 2, 1));
        first.restart();
        let mut order = Vec::new();
        while strips.iter().any(|strip| !strip.is_done()) {
            step(&engine, &mut strips.each_mut(), AT_ONCE, &mut stages).unwrap();
            order.push(strips.each_ref().map(|strip| (strip.encoded(), strip.done)));
        }
        // The second strip was encoded before. Four ages share the encoder: all but the last.
        assert_eq!(order[0], [(0, 0), (1, 1), (0, 0)]);
        assert_eq!(order[1], [(2, 0), (1, 1), (2, 0)]);
        for (strip, alone) in strips.into_iter().zip(alone) {
            assert!(strip.into_bytes() == alone);
        }
    }
}
