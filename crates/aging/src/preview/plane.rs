use rayon::prelude::*;

/// Rows that one task of a vertical pass takes. Fixed, so that sums do not depend on the number of threads.
const BAND: usize = 128;

/// One channel of a picture: `width` x `height` values, row after row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plane {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) values: Vec<f32>,
}

impl Plane {
    /// A plane of zeros.
    pub(crate) fn new(width: usize, height: usize) -> Self {
        Self { width, height, values: vec![0.0; width * height] }
    }

    /// A plane of this plane's size, a function of every position (x, y).
    pub(crate) fn filled(width: usize, height: usize, value: impl Fn(usize, usize) -> f32 + Sync) -> Self {
        let mut plane = Self::new(width, height);
        plane.values.par_chunks_mut(width).enumerate().for_each(|(y, row)| {
            for (x, to) in row.iter_mut().enumerate() {
                *to = value(x, y);
            }
        });
        plane
    }

    /// A function of every value of this plane and another of its size.
    pub(crate) fn with(&self, other: &Self, value: impl Fn(f32, f32) -> f32 + Sync) -> Self {
        let mut plane = self.clone();
        plane.values.par_iter_mut().zip(&other.values).for_each(|(to, &other)| *to = value(*to, other));
        plane
    }

    /// The mean over the square of `2 * radius + 1` pixels around each pixel, cut at the border. O(1) per pixel.
    pub(crate) fn mean(&self, radius: usize) -> Self {
        let (width, height) = (self.width, self.height);
        let mut across = Self::new(width, height);
        across.values.par_chunks_mut(width).zip(self.values.par_chunks(width)).for_each(|(to, from)| {
            let mut sum: f32 = from.iter().take(radius).sum();
            for x in 0..width {
                if x + radius < width {
                    sum += from[x + radius];
                }
                if x > radius {
                    sum -= from[x - radius - 1];
                }
                let count = (x + radius + 1).min(width) - x.saturating_sub(radius);
                to[x] = sum / count as f32;
            }
        });
        let row = |y: usize| &across.values[y * width..(y + 1) * width];
        let mut mean = Self::new(width, height);
        mean.values.par_chunks_mut(width * BAND).enumerate().for_each(|(band, rows)| {
            let first = band * BAND;
            let mut sums = vec![0.0; width];
            for y in first.saturating_sub(radius)..(first + radius).min(height) {
                add(&mut sums, row(y), 1.0);
            }
            for (y, to) in (first..).zip(rows.chunks_mut(width)) {
                if y + radius < height {
                    add(&mut sums, row(y + radius), 1.0);
                }
                if y > first && y > radius {
                    add(&mut sums, row(y - radius - 1), -1.0);
                }
                let count = (y + radius + 1).min(height) - y.saturating_sub(radius);
                let scale = 1.0 / count as f32;
                to.iter_mut().zip(&sums).for_each(|(to, sum)| *to = sum * scale);
            }
        });
        mean
    }

    /// Blurred as a picture that was enlarged by `factor` is: nothing finer than its pixels is left.
    pub(crate) fn softened(self, factor: f32) -> Self {
        let radius = (0.6 * (factor - 1.0)).round() as usize;
        if radius == 0 { self } else { self.mean(radius).mean(radius) }
    }

    /// The means of blocks of `factor` x `factor` pixels. Sizes are multiples of `factor`.
    pub(crate) fn reduced(&self, factor: usize) -> Self {
        let scale = 1.0 / (factor * factor) as f32;
        let mut small = Self::new(self.width / factor, self.height / factor);
        small.values.par_chunks_mut(self.width / factor).enumerate().for_each(|(y, to)| {
            for from in self.values[y * factor * self.width..(y + 1) * factor * self.width].chunks(self.width) {
                for (to, block) in to.iter_mut().zip(from.chunks_exact(factor)) {
                    *to += block.iter().sum::<f32>() * scale;
                }
            }
        });
        small
    }

    /// This plane `factor` times as large, bilinear between the centres of its pixels.
    pub(crate) fn enlarged(&self, factor: usize) -> Self {
        let place = |at: usize, length: usize| {
            let position = ((at as f32 + 0.5) / factor as f32 - 0.5).clamp(0.0, (length - 1) as f32);
            let low = position as usize;
            (low, (low + 1).min(length - 1), position - low as f32)
        };
        let columns: Vec<_> = (0..self.width * factor).map(|x| place(x, self.width)).collect();
        let mut large = Self::new(self.width * factor, self.height * factor);
        large.values.par_chunks_mut(self.width * factor).enumerate().for_each_init(Vec::new, |blend, (y, to)| {
            let (low, high, part) = place(y, self.height);
            let rows = self.values[low * self.width..].iter().zip(&self.values[high * self.width..]);
            blend.clear();
            blend.extend(rows.take(self.width).map(|(low, high)| low + (high - low) * part));
            for (to, &(low, high, part)) in to.iter_mut().zip(&columns) {
                *to = blend[low] + (blend[high] - blend[low]) * part;
            }
        });
        large
    }
}

fn add(sums: &mut [f32], row: &[f32], sign: f32) {
    sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += sign * value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_those_of_the_definition() {
        let plane = Plane::filled(37, 300, |x, y| ((x * 31 + y * 17) % 29) as f32 / 29.0);
        for radius in [1, 4, 40] {
            let mean = plane.mean(radius);
            for (x, y) in [(0, 0), (36, 299), (5, 127), (5, 128), (18, 129), (30, 255), (2, 256)] {
                let window = |at: usize, length: usize| at.saturating_sub(radius)..(at + radius + 1).min(length);
                let (columns, rows) = (window(x, 37), window(y, 300));
                let count = (columns.len() * rows.len()) as f32;
                let sum: f32 = rows
                    .flat_map(|y| columns.clone().map(move |x| (x, y)))
                    .map(|(x, y)| plane.values[y * 37 + x])
                    .sum();
                assert!((mean.values[y * 37 + x] - sum / count).abs() < 1e-4, "{radius} {x} {y}");
            }
        }
    }

    #[test]
    fn reducing_undoes_enlarging_of_a_slope() {
        let plane = Plane::filled(16, 12, |x, y| x as f32 + 2.0 * y as f32);
        let back = plane.enlarged(4).reduced(4);
        assert!((back.values[5 * 16 + 7] - plane.values[5 * 16 + 7]).abs() < 1e-4);
        assert_eq!((back.width, back.height), (16, 12));
    }
}
