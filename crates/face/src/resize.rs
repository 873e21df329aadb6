//! dlib's bilinear `resize_image` for colour pictures, and its two uses: the next level of a pyramid
//! (`pyramid_down<6>`) and the doubled picture (`pyramid_up` over `pyramid_down<2>`).
//!
//! The arithmetic is dlib's to the last bit, single precision and truncation included. In a flat region, a difference
//! of one level turns the gradients, and normalization makes such gradients as strong as any.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::packed::{Packed, channel, whole};

/// Rows that one task resamples.
const BAND: usize = 16;

/// The position of a sample between two pixels, along one axis.
struct Between {
    first: usize,
    second: usize,
    /// The weight of the second pixel, 0 to 1.
    share: f64,
}

/// The next pyramid level: 5/6 of the size.
pub(crate) fn down(picture: &Packed) -> Packed {
    resize(picture, 5 * picture.width / 6, 5 * picture.height / 6)
}

/// The picture at about twice its size.
pub(crate) fn up(picture: &Packed) -> Packed {
    if picture.pixels.is_empty() {
        return picture.clone();
    }
    let last = |size: usize, shift: f64| (((size - 1) as f64 + shift) * 2.0).round() as usize;
    resize(picture, last(picture.width, 1.25) + 1, last(picture.height, 0.75) + 1)
}

fn resize(picture: &Packed, width: usize, height: usize) -> Packed {
    let mut resized = Packed::new(width, height);
    if resized.pixels.is_empty() || picture.pixels.is_empty() {
        return resized;
    }
    let rows = along(picture.height, height, 0);
    let columns = Columns::new(picture.width, width);
    let arch = Arch::new();
    resized.pixels.par_chunks_mut(BAND * width).zip(rows.par_chunks(BAND)).for_each(|(band, rows)| {
        let mut pairs = [Pairs::default(), Pairs::default()];
        for (out, between) in band.chunks_exact_mut(width).zip(rows) {
            let (above, below) = (picture.row(between.first), picture.row(between.second));
            let (head, tail) = out.split_at_mut(columns.left.len());
            pairs.iter_mut().zip([above, below]).for_each(|(pairs, row)| pairs.gather(row, &columns.left));
            let [top, bottom] = &pairs;
            arch.dispatch(Blend { top, bottom, across: &columns.share, down: between.share, out: head });
            for (pixel, column) in tail.iter_mut().zip(&columns.tail) {
                *pixel = blend_one(above, below, column, between.share);
            }
        }
    });
    resized
}

/// The positions of `count` samples spread evenly over `size` pixels, from the first pixel to the last. Only those from
/// index `start` on are returned.
fn along(size: usize, count: usize, start: usize) -> Vec<Between> {
    let step = (size - 1) as f64 / (count - 1).max(1) as f64;
    let mut at = -step + start as f64 * step;
    let place = |_| {
        at += step;
        let first = (at.floor() as usize).min(size - 1);
        Between { first, second: (first + 1).min(size - 1), share: at - first as f64 }
    };
    (start..count).map(place).collect()
}

/// The positions of a row's samples. dlib computes them by fours in single precision while both neighbours of all four
/// are within the picture, and the rest in double precision.
struct Columns {
    left: Vec<usize>,
    share: Vec<f32>,
    tail: Vec<Between>,
}

impl Columns {
    fn new(size: usize, count: usize) -> Self {
        let step = (size - 1) as f64 / (count - 1).max(1) as f64;
        let start = -4.0 * step;
        let mut four = [start, start + step, start + 2.0 * step, start + 3.0 * step].map(|x| x as f32);
        let (mut left, mut share) = (Vec::with_capacity(count), Vec::with_capacity(count));
        loop {
            four = four.map(|x| x + (4.0 * step) as f32);
            // A group that reaches beyond `count` also reaches beyond the picture.
            if four[3] as i32 + 1 >= size as i32 || left.len() + 4 > count {
                break;
            }
            left.extend(four.map(|x| x as i32 as usize));
            share.extend(four.map(|x| x - (x as i32) as f32));
        }
        let tail = along(size, count, left.len());
        Self { left, share, tail }
    }
}

/// The pixels of a row to the left and to the right of every sample.
#[derive(Default)]
struct Pairs {
    left: Vec<u32>,
    right: Vec<u32>,
}

impl Pairs {
    fn gather(&mut self, row: &[u32], left: &[usize]) {
        self.left.clear();
        self.left.extend(left.iter().map(|&at| row[at]));
        self.right.clear();
        self.right.extend(left.iter().map(|&at| row[at + 1]));
    }
}

/// Blends the four pixels around each sample.
struct Blend<'a> {
    top: &'a Pairs,
    bottom: &'a Pairs,
    across: &'a [f32],
    down: f64,
    out: &'a mut [u32],
}

impl WithSimd for Blend<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { top, bottom, across, down, out } = self;
        let count = out.len();
        let (top_left, top_right) = (&top.left[..count], &top.right[..count]);
        let (bottom_left, bottom_right) = (&bottom.left[..count], &bottom.right[..count]);
        let across = &across[..count];
        let (up, down) = ((1.0 - down) as f32, down as f32);
        for i in 0..count {
            let (left, right) = (1.0 - across[i], across[i]);
            let weights = [up * left, up * right, down * left, down * right];
            let corners = [top_left[i], top_right[i], bottom_left[i], bottom_right[i]];
            out[i] = mix::<0>(corners, weights) | mix::<1>(corners, weights) << 8 | mix::<2>(corners, weights) << 16;
        }
    }
}

#[inline(always)]
fn mix<const INDEX: u32>(corners: [u32; 4], weights: [f32; 4]) -> u32 {
    let sum = weights[0] * channel::<INDEX>(corners[0])
        + weights[1] * channel::<INDEX>(corners[1])
        + weights[2] * channel::<INDEX>(corners[2])
        + weights[3] * channel::<INDEX>(corners[3]);
    whole(sum)
}

fn blend_one(above: &[u32], below: &[u32], column: &Between, down: f64) -> u32 {
    let corners = [above[column.first], above[column.second], below[column.first], below[column.second]];
    let right = column.share;
    let mix = |index: usize| {
        let [a, b, c, d] = corners.map(|pixel| f64::from(pixel.to_le_bytes()[index]));
        ((1.0 - down) * ((1.0 - right) * a + right * b) + down * ((1.0 - right) * c + right * d)) as u8
    };
    u32::from_le_bytes([mix(0), mix(1), mix(2), 0])
}
