//! The strip: the aligned original and every age side by side, as bytes.

use face::Landmarks;
use image::RgbImage;

use crate::preview::Preview;
use crate::sam::{Picture, Sam, SamError};
use crate::{Engine, PANEL, Portrait, Stages, View, to_panel};

/// Ages that go through the encoder together, so that its weights are read once for them.
const AT_ONCE: usize = 4;

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
/// `wanted` is asked at the start and before each age, and told how many ages are done. How long the engine's stages took is answered.
///
/// # Errors
/// [`StripError`]: a portrait that the engine cannot take, or no longer wanted. What `out` then holds beyond its former
/// length is of no use.
pub fn append(
    engine: &Engine,
    portrait: &Portrait,
    ages: &[u8],
    out: &mut Vec<u8>,
    wanted: &dyn Fn(usize) -> bool,
) -> Result<Stages, StripError> {
    let (width, height) = portrait.panel.dimensions();
    if (width, height) != (PANEL, PANEL) {
        return Err(StripError::Size { width, height });
    }
    if !wanted(0) {
        return Err(StripError::Cancelled);
    }
    let start = out.len();
    out.resize(start + byte_count(ages.len()), 0);
    let mut panels = Panels { strip: &mut out[start..], row_bytes: row_bytes(ages.len()) };
    panels.put(0, &portrait.panel);
    match (engine, &portrait.view) {
        (Engine::Preview(preview), View::Landmarks(landmarks)) => {
            panels.preview(preview, &portrait.panel, landmarks, ages, wanted)
        }
        (Engine::Sam(sam), View::Face(face)) => panels.sam(sam, face, ages, wanted),
        _ => Err(StripError::View { engine: engine.name() }),
    }
}

/// The bytes of a strip, to be filled panel by panel.
struct Panels<'a> {
    strip: &'a mut [u8],
    row_bytes: usize,
}

impl Panels<'_> {
    const ROW_BYTES: usize = PANEL as usize * 3;

    fn put(&mut self, panel: usize, picture: &RgbImage) {
        let rows = self.strip.chunks_exact_mut(self.row_bytes);
        for (row, from) in rows.zip(picture.as_raw().chunks_exact(Self::ROW_BYTES)) {
            row[panel * Self::ROW_BYTES..][..Self::ROW_BYTES].copy_from_slice(from);
        }
    }

    fn preview(
        &mut self,
        preview: &Preview,
        portrait: &RgbImage,
        landmarks: &Landmarks,
        ages: &[u8],
        wanted: &dyn Fn(usize) -> bool,
    ) -> Result<Stages, StripError> {
        let mut stages = Stages::default();
        let analysis = stages.measure("analysis", || preview.analyse(portrait, landmarks));
        for (panel, &age) in (1..).zip(ages) {
            if !wanted(panel - 1) {
                return Err(StripError::Cancelled);
            }
            let out = &mut self.strip[panel * Self::ROW_BYTES..];
            stages.measure("ages", || preview.render(&analysis, age, out, self.row_bytes));
        }
        Ok(stages)
    }

    fn sam(
        &mut self,
        sam: &Sam,
        face: &RgbImage,
        ages: &[u8],
        wanted: &dyn Fn(usize) -> bool,
    ) -> Result<Stages, StripError> {
        let mut stages = Stages::default();
        let face = sam.face(face);
        let pretrained = stages.measure("pretrainedEncoder", || {
            let codes = sam.pretrained_codes(&face);
            sam.sync().map(|()| codes)
        })?;
        let mut done_ages = 0;
        for ages in ages.chunks(AT_ONCE) {
            if !wanted(done_ages) {
                return Err(StripError::Cancelled);
            }
            let codes = stages.measure("encoder", || {
                let codes = sam.codes(&face, ages);
                sam.sync().map(|()| codes)
            })?;
            for codes in codes.chunks(sam.pictures_at_once()) {
                if !wanted(done_ages) {
                    return Err(StripError::Cancelled);
                }
                let pictures = stages.measure("generator", || {
                    let pictures = sam.pictures(&pretrained, codes).into_iter();
                    pictures.map(Picture::into_rgb).collect::<Result<Vec<_>, _>>()
                })?;
                for picture in pictures {
                    done_ages += 1;
                    stages.measure("panels", || self.put(done_ages, &to_panel(picture)));
                }
            }
        }
        Ok(stages)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use image::Rgb;

    use super::*;
    use crate::preview::face_like;
    use crate::sam::FACE;

    fn portrait() -> Portrait {
        let panel = RgbImage::from_fn(PANEL, PANEL, |x, y| Rgb([(x / 4) as u8, (y / 4) as u8, ((x ^ y) & 0xff) as u8]));
        Portrait { panel, view: View::Landmarks(Box::new(face_like())) }
    }

    #[test]
    fn panels_from_left_to_right_after_what_is_there() {
        let (engine, portrait) = (Engine::Preview(Preview), portrait());
        let mut out = b"header".to_vec();
        append(&engine, &portrait, &[70, 35], &mut out, &|_| true).unwrap();
        assert_eq!((out.len(), &out[..6]), (6 + byte_count(2), &b"header"[..]));
        let panel = |n: usize| -> Vec<u8> {
            out[6..].chunks_exact(3 * 3072).flat_map(|row| row[n * 3072..(n + 1) * 3072].to_vec()).collect()
        };
        assert_eq!(&panel(0), portrait.panel.as_raw());
        assert_ne!(panel(1), panel(0));
        assert!(panel(2).iter().zip(panel(0)).all(|(aged, original)| aged.abs_diff(original) <= 1));

        let mut again = Vec::new();
        append(&engine, &portrait, &[70, 35], &mut again, &|_| true).unwrap();
        assert!(again == out[6..], "the same portrait and ages make the same bytes");
    }

    #[test]
    fn stops_between_ages() {
        let asked = Cell::new(0);
        let wanted = |_| asked.replace(asked.get() + 1) < 3;
        let result = append(&Engine::Preview(Preview), &portrait(), &[1, 2, 3, 4, 5], &mut Vec::new(), &wanted);
        assert!(matches!(result, Err(StripError::Cancelled)));
        assert_eq!(asked.get(), 4);
    }

    #[test]
    fn refuses_other_sizes() {
        let portrait = Portrait { panel: RgbImage::new(512, 1024), ..portrait() };
        let result = append(&Engine::Preview(Preview), &portrait, &[1], &mut Vec::new(), &|_| true);
        assert_eq!(
            result.unwrap_err().to_string(),
            "the aligned portrait has 512 x 1024 pixels: 1024 x 1024 are needed"
        );
    }

    #[test]
    fn refuses_what_another_engine_needs() {
        let portrait = Portrait { view: View::Face(RgbImage::new(FACE, FACE)), ..portrait() };
        let result = append(&Engine::Preview(Preview), &portrait, &[1], &mut Vec::new(), &|_| true);
        assert_eq!(result.unwrap_err().to_string(), "the portrait was prepared for another engine than preview");
    }
}
