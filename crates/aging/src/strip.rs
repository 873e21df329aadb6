//! The strip: the aligned original and every age side by side, as bytes.

use std::collections::VecDeque;

use image::RgbImage;
use nn::Stages;

use crate::preview::{Analysis, Preview};
use crate::sam::{Codes, Face, Picture, Sam, SamError};
use crate::{Engine, EngineKind, PANEL, Portrait, View, to_panel};

/// Ages that go through an encoder together, so that its weights are read once for them: more gain nothing on a CPU.
pub const AT_ONCE: usize = 4;

/// Why there is no strip.
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
        /// The name of the engine that was to age it.
        engine: &'static str,
    },
    /// The network makes nothing of it.
    #[error(transparent)]
    Sam(#[from] SamError),
    /// Nobody wants it any more.
    #[error("given up between two ages, as nobody waits for the strip any more")]
    Cancelled,
}

/// The bytes of a strip of so many ages: [`PANEL`] rows of `1 + ages` panels of RGB.
pub fn byte_count(ages: usize) -> usize {
    PANEL as usize * row_bytes(ages)
}

fn row_bytes(ages: usize) -> usize {
    PANEL as usize * (1 + ages) * 3
}

/// Appends the strip of an aligned portrait to `out`: [`byte_count`] bytes, `u8`, shape `(PANEL, PANEL * (1 + ages), 3)` in C
/// order; panel 0 is the portrait itself. Ages are years, 0 to 100; what one looks like depends on no other.
///
/// `wanted` is asked before each step, and told how many ages are done. How long the engine's stages took is answered.
///
/// # Errors
/// [`StripError`]: a portrait that the engine cannot take, or no longer wanted. `out` is empty then.
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

/// Takes strips that are being made one step further, the first of them first. Where the engine gains by it, up to `at_once` ages
/// share a step, whichever strips they are of; what a strip looks like does not depend on that.
///
/// # Errors
/// [`StripError`]: one of the strips cannot be made. Which one it is, each alone would tell, after [`Strip::restart`].
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

/// A strip that is being made: [`step`] by [`step`], until it [`is_done`](Self::is_done).
#[derive(Debug)]
pub struct Strip {
    panel: RgbImage,
    ages: Vec<u8>,
    sight: Sight,
    /// What comes before the panels, and from the first step on the panels.
    bytes: Vec<u8>,
    header: usize,
    /// Ages whose panels are there.
    done: usize,
}

/// What the engine knows of the face: nothing but the view, before its first step.
#[derive(Debug)]
enum Sight {
    Preview { landmarks: Box<face::Landmarks>, analysis: Option<Box<Analysis>> },
    Sam { view: RgbImage, seen: Option<Box<Seen>> },
}

/// What SAM's encoders said.
#[derive(Debug)]
struct Seen {
    face: Face,
    pretrained: Codes,
    /// Of the ages after those that are done.
    aged: VecDeque<Codes>,
}

impl Strip {
    /// The strip of an aligned portrait at ages in years, 0 to 100, to be written behind `header`.
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
        Ok(Self { panel, ages: ages.to_vec(), sight, header: header.len(), bytes: header, done: 0 })
    }

    /// The ages that it is to have.
    pub fn ages(&self) -> &[u8] {
        &self.ages
    }

    /// Whether every age is there.
    pub fn is_done(&self) -> bool {
        self.is_laid_out() && self.done == self.ages.len()
    }

    /// The header and the strip behind it, shape `(PANEL, PANEL * (1 + ages), 3)`.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Forgets all that was done.
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

    /// Makes room for the panels, which a strip that waits does not need, and puts the portrait there.
    fn lay_out(&mut self) {
        if self.is_laid_out() {
            return;
        }
        // New zeros come from the system as they are: nothing is written twice.
        let mut bytes = vec![0; self.header + byte_count(self.ages.len())];
        bytes[..self.header].copy_from_slice(&self.bytes);
        self.bytes = bytes;
        let row_bytes = row_bytes(self.ages.len());
        put(&mut self.bytes[self.header..], row_bytes, &self.panel);
    }

    /// Sets the panel of the next age.
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

    /// Ages that went through the encoder.
    fn encoded(&self) -> usize {
        match &self.sight {
            Sight::Sam { seen: Some(seen), .. } => self.done + seen.aged.len(),
            _ => self.done,
        }
    }
}

/// The bytes of a row of a panel.
const PANEL_ROW: usize = PANEL as usize * 3;

/// Sets a panel that begins at the first byte of `strip`.
fn put(strip: &mut [u8], row_bytes: usize, panel: &RgbImage) {
    for (row, from) in strip.chunks_mut(row_bytes).zip(panel.as_raw().chunks_exact(PANEL_ROW)) {
        row[..PANEL_ROW].copy_from_slice(from);
    }
}

/// The strips, by number, whose next ages are encoded and wait for the generator; a strip once for each.
fn ready(strips: &mut [&mut Strip], most: usize) -> Vec<usize> {
    let waiting = strips.iter_mut().enumerate().flat_map(|(number, strip)| {
        let ages = strip.seen().map_or(0, |seen| seen.aged.len());
        std::iter::repeat_n(number, ages)
    });
    waiting.take(most).collect()
}

/// Has the next ages encoded, and before them the faces that were not seen yet.
fn encode(sam: &Sam, strips: &mut [&mut Strip], at_once: usize, stages: &mut Stages) -> Result<(), StripError> {
    let ages = strips
        .iter()
        .enumerate()
        .flat_map(|(number, strip)| strip.ages[strip.encoded()..].iter().map(move |age| (number, *age)));
    let next: Vec<(usize, u8)> = ages.take(at_once.max(1)).collect();
    let mut unseen = Vec::new();
    // A strip without ages waits for none.
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

/// Has the next encoded age of each of these strips generated.
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
    fn panels_from_left_to_right_after_what_is_there() {
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
    fn refuses_what_another_engine_needs() {
        let portrait = Portrait { view: View::Face(RgbImage::new(FACE, FACE)), ..portrait() };
        let result = append(&Engine::Preview(Preview), portrait, &[1], &mut Vec::new(), &|_| true);
        assert_eq!(result.unwrap_err().to_string(), "the portrait was prepared for another engine than preview");
    }
    /// One for SAM of a size that takes seconds.
    fn engine_of_sam() -> Engine {
        let sam = Sam::load(&made_up(256), Device::Cpu, Precision::Float32).unwrap();
        Engine::Sam(Box::new(sam))
    }

    fn striped(spacing: u32) -> Portrait {
        let view = RgbImage::from_fn(FACE, FACE, |x, y| Rgb([((x / spacing) % 2 * 200) as u8, (x + y) as u8 / 2, 90]));
        Portrait { view: View::Face(view), ..portrait() }
    }

    #[test]
    fn strips_that_share_steps_are_strips_made_alone() {
        let engine = engine_of_sam();
        let orders: [(u32, &[u8]); 3] = [(9, &[20, 40]), (31, &[70]), (55, &[5, 95])];
        let begin = |(spacing, ages)| Strip::begin(striped(spacing), ages, b"header".to_vec()).unwrap();
        let alone = orders.map(|(spacing, ages)| {
            let mut out = b"header".to_vec();
            append(&engine, striped(spacing), ages, &mut out, &|_| true).unwrap();
            out
        });
        let (mut stages, mut strips) = (Stages::default(), orders.map(begin));
        // Part of the work is done in vain.
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
        // The second was encoded before, and four ages share the encoder: all but the last.
        assert_eq!(order[0], [(0, 0), (1, 1), (0, 0)]);
        assert_eq!(order[1], [(2, 0), (1, 1), (2, 0)]);
        for (strip, alone) in strips.into_iter().zip(alone) {
            assert!(strip.into_bytes() == alone);
        }
    }
}
