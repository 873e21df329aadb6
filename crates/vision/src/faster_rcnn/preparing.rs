//! From a picture to the network's input.

use picture::RgbImage;
use picture::resize::bilinear;

use super::config::Input;

/// The sides of inputs are multiples of this, the stride of the smallest maps that the pyramid adds to others.
const MULTIPLE: usize = 32;

/// The input for a picture.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Rows by columns by channels, with zeros to the right and below.
    pub(crate) values: Vec<f32>,
    /// Width and height of the values.
    pub(crate) padded: [usize; 2],
    /// Width and height of the resized picture in it.
    pub(crate) size: [usize; 2],
}

/// The width and height that a picture is resized to: its shorter side to `short`, unless its longer side became longer than
/// `longest`.
pub(crate) fn output_size([width, height]: [usize; 2], short: usize, longest: usize) -> [usize; 2] {
    if short == 0 {
        return [width, height];
    }
    let (short, longest) = (short as f64, longest as f64);
    let scale = short / width.min(height) as f64;
    let (mut new_width, mut new_height) =
        if height < width { (scale * width as f64, short) } else { (short, scale * height as f64) };
    let side = new_width.max(new_height);
    if side > longest {
        let scale = longest / side;
        (new_width, new_height) = (new_width * scale, new_height * scale);
    }
    // A picture that is far longer than wide would else have no pixels.
    [new_width, new_height].map(|side| ((side + 0.5) as usize).max(1))
}

/// Resizes a picture that has pixels.
pub(crate) fn resized(picture: &RgbImage, input: &Input) -> RgbImage {
    let [width, height] =
        output_size([picture.width() as usize, picture.height() as usize], input.short, input.longest);
    bilinear(picture, width as u32, height as u32)
}

/// The values of a resized picture.
pub(crate) fn prepared(picture: &RgbImage, input: &Input) -> Prepared {
    let size = [picture.width() as usize, picture.height() as usize];
    let padded = size.map(|side| side.next_multiple_of(MULTIPLE));
    let mut values = vec![0.0; padded[0] * padded[1] * 3];
    let rows = picture.as_raw().chunks_exact(size[0] * 3);
    for (out, row) in values.chunks_exact_mut(padded[0] * 3).zip(rows) {
        for (out, pixel) in out.as_chunks_mut::<3>().0.iter_mut().zip(row.as_chunks::<3>().0) {
            for channel in 0..3 {
                let level = pixel[if input.is_rgb { channel } else { 2 - channel }];
                out[channel] = (f32::from(level) - input.means[channel]) / input.deviations[channel];
            }
        }
    }
    Prepared { values, padded, size }
}
