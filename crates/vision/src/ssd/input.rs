use picture::{RgbImage, lanczos};

/// A picture as the network takes it: `(height, width, 3)`, red first, with values of -1 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    pub(super) values: Vec<f32>,
}

impl Input {
    /// Resized twice, whatever the picture's shape is: to a square of `image_size` pixels as Pillow does with `LANCZOS`, and then to the
    /// network's height and width as the exported graph does.
    ///
    /// # Panics
    /// If the picture has no pixels, or `image_size` is 0.
    pub fn of(picture: &RgbImage, image_size: u32, size: [usize; 2]) -> Self {
        let square = lanczos(picture, image_size, image_size);
        let values: Vec<f32> = square.as_raw().iter().map(|value| f32::from(*value)).collect();
        Self::of_values(&values, [image_size as usize; 2], size)
    }

    /// Resized once, as the exported graph does: what the network sees in training and in evaluation.
    pub fn of_original(picture: &RgbImage, size: [usize; 2]) -> Self {
        let values: Vec<f32> = picture.as_raw().iter().map(|value| f32::from(*value)).collect();
        Self::of_values(&values, [picture.height() as usize, picture.width() as usize], size)
    }

    /// Its values, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Of values of 0 to 255, `(height, width, 3)`, resized as the exported graph does.
    pub(super) fn of_values(values: &[f32], from: [usize; 2], to: [usize; 2]) -> Self {
        let values = bilinear(values, from, to).into_iter().map(|value| 2.0 / 255.0 * value - 1.0);
        Self { values: values.collect() }
    }
}

/// `tf.image.resize_bilinear` of TensorFlow 1: corners are not aligned, and there is no shift by half a pixel.
fn bilinear(values: &[f32], [rows, columns]: [usize; 2], [height, width]: [usize; 2]) -> Vec<f32> {
    if [rows, columns] == [height, width] {
        return values.to_vec();
    }
    let pixels = values.as_chunks::<3>().0;
    let places = |from: usize, to: usize| -> Vec<(usize, usize, f32)> {
        let scale = from as f32 / to as f32;
        let place = |index: usize| {
            let place = index as f32 * scale;
            let first = (place.floor() as usize).min(from - 1);
            (first, (first + 1).min(from - 1), place - first as f32)
        };
        (0..to).map(place).collect()
    };
    let across = places(columns, width);
    let mut values = Vec::with_capacity(height * width * 3);
    for (top, bottom, down) in places(rows, height) {
        let [above, below] = [top, bottom].map(|row| &pixels[row * columns..][..columns]);
        for (left, right, along) in &across {
            values.extend([0, 1, 2].map(|channel| {
                let at = |row: &[[f32; 3]], column: &usize| row[*column][channel];
                let between = |first: f32, second: f32, share: f32| first + (second - first) * share;
                let upper = between(at(above, left), at(above, right), *along);
                between(upper, between(at(below, left), at(below, right), *along), down)
            }));
        }
    }
    values
}
