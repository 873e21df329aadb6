use image::RgbImage;

/// A picture of one `u32` a pixel, with red in the lowest byte: the layout that vector units read fastest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) pixels: Vec<u32>,
}

impl Packed {
    pub(crate) fn new(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![0; width * height] }
    }

    pub(crate) fn row(&self, y: usize) -> &[u32] {
        &self.pixels[y * self.width..][..self.width]
    }
}

impl From<&RgbImage> for Packed {
    fn from(picture: &RgbImage) -> Self {
        let pack = |&[red, green, blue]: &[u8; 3]| u32::from_le_bytes([red, green, blue, 0]);
        Self {
            width: picture.width() as usize,
            height: picture.height() as usize,
            pixels: picture.as_raw().as_chunks().0.iter().map(pack).collect(),
        }
    }
}

/// One channel of a packed pixel.
#[inline(always)]
pub(crate) fn channel<const INDEX: u32>(pixel: u32) -> f32 {
    // Vector units convert i32 to f32 in one instruction, u32 not.
    ((pixel >> (8 * INDEX)) & 0xff) as i32 as f32
}

/// The whole part of a number from 0 to 255. Rounding errors below 0 are tolerated.
#[inline(always)]
pub(crate) fn whole(value: f32) -> u32 {
    // A saturating cast is not vectorized. After adding 2^23, the lowest bits hold the whole part.
    (value.trunc() + 8_388_608.0).to_bits() & 0xff
}
