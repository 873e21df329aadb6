use image::RgbImage;
use image::imageops::{self, FilterType};

/// Width and height of an aligned portrait and of every panel, in pixels.
pub const PANEL: u32 = 1024;

/// Resizes an aligned square picture of any size to a panel of [`PANEL`] x [`PANEL`] pixels.
pub fn to_panel(square: RgbImage) -> RgbImage {
    let side = square.width();
    if (side, square.height()) == (PANEL, PANEL) {
        return square;
    }
    // A wide kernel over tens of megapixels takes seconds. Averaging first shrinks the picture to twice the panel's
    // size.
    if side > 4 * PANEL {
        let half_way = imageops::thumbnail(&square, 2 * PANEL, 2 * PANEL);
        return imageops::resize(&half_way, PANEL, PANEL, FilterType::CatmullRom);
    }
    imageops::resize(&square, PANEL, PANEL, FilterType::CatmullRom)
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn any_size_becomes_a_panel() {
        for side in [1, 48, 256, 1024, 1500, 4200] {
            // Red on the left, blue on the right.
            let square =
                RgbImage::from_fn(side, side, |x, _| Rgb(if 2 * x < side { [200, 40, 30] } else { [0, 0, 255] }));
            let panel = to_panel(square);
            assert_eq!(panel.dimensions(), (PANEL, PANEL));
            assert_eq!(panel.get_pixel(100, 900).0, [200, 40, 30]);
            assert!(side == 1 || panel.get_pixel(900, 100).0 == [0, 0, 255]);
        }
    }
}
