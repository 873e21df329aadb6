//! What synthetic pictures are painted with. Only sums, products, quotients and square roots are used, which are the same on
//! every machine.

use image::{Rgb, RgbImage};

use super::breeds;
use super::shape::Shape;
use crate::annotations::Rectangle;
use crate::random::Random;

/// Points of a pixel's side that are tested for a smooth edge.
const POINTS: u32 = 4;

type Colour = [f64; 3];

fn colour(random: &mut Random) -> Colour {
    [random.between(20.0, 235.0), random.between(20.0, 235.0), random.between(20.0, 235.0)]
}

fn mixed(one: Colour, other: Colour, share: f64) -> Colour {
    [0, 1, 2].map(|channel| one[channel] + (other[channel] - one[channel]) * share)
}

fn blend(picture: &mut RgbImage, x: u32, y: u32, paint: Colour, share: f64) {
    let pixel = picture.get_pixel_mut(x, y);
    let known = pixel.0.map(f64::from);
    *pixel = Rgb(mixed(known, paint, share).map(|value| (value + 0.5).clamp(0.0, 255.0) as u8));
}

/// A ground of two colours with soft spots and some clutter. Returns its middle colour too.
pub(super) fn background(side: u32, random: &mut Random) -> (RgbImage, Colour) {
    let first = colour(random);
    let second = mixed(first, colour(random), 0.5);
    let cells = 3 + random.below(6) as usize;
    let spots: Vec<f64> = (0..(cells + 2) * (cells + 2)).map(|_| random.share()).collect();
    let slant = [random.between(-0.5, 0.5), random.between(-0.5, 0.5)];
    let mut picture = RgbImage::new(side, side);
    let scale = cells as f64 / f64::from(side);
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        let (u, v) = (f64::from(x) * scale, f64::from(y) * scale);
        let (column, row) = (u as usize, v as usize);
        let (across, down) = (smooth(u - column as f64), smooth(v - row as f64));
        let spot = |column: usize, row: usize| spots[row * (cells + 2) + column];
        let top = spot(column, row) + (spot(column + 1, row) - spot(column, row)) * across;
        let bottom = spot(column, row + 1) + (spot(column + 1, row + 1) - spot(column, row + 1)) * across;
        let light = f64::from(x) / f64::from(side) * slant[0] + f64::from(y) / f64::from(side) * slant[1];
        let share = (top + (bottom - top) * down) * 0.8 + light;
        *pixel = Rgb(mixed(first, second, share).map(|value| value.clamp(0.0, 255.0) as u8));
    }
    for _ in 0..random.below(7) {
        line(&mut picture, random);
    }
    (picture, mixed(first, second, 0.4))
}

fn smooth(share: f64) -> f64 {
    share * share * (3.0 - 2.0 * share)
}

/// A thin line from edge to edge, as clutter.
fn line(picture: &mut RgbImage, random: &mut Random) {
    let side = f64::from(picture.width());
    let paint = colour(random);
    let strength = random.between(0.2, 0.7);
    let half = random.between(0.3, side / 60.0 + 0.4);
    let (from, to) = (random.between(0.0, side), random.between(0.0, side));
    let is_upright = random.below(2) == 0;
    let slope = (to - from) / side;
    let length = (1.0 + slope * slope).sqrt();
    for y in 0..picture.height() {
        for x in 0..picture.width() {
            let (along, across) = if is_upright { (y, x) } else { (x, y) };
            let far = (f64::from(across) - from - slope * f64::from(along)).abs() / length;
            let share = (half + 0.5 - far).clamp(0.0, 1.0);
            if share > 0.0 {
                blend(picture, x, y, paint, share * strength);
            }
        }
    }
}

/// Grain over the whole picture.
pub(super) fn noise(picture: &mut RgbImage, random: &mut Random) {
    let strength = random.between(0.0, 14.0);
    for pixel in picture.pixels_mut() {
        let grain = (random.share() + random.share() - 1.0) * strength;
        pixel.0 = pixel.0.map(|value| (f64::from(value) + grain).clamp(0.0, 255.0) as u8);
    }
}

/// How a shape is filled.
#[derive(Clone, Copy)]
enum Texture {
    Plain,
    Stripes,
    Checks,
    Shaded,
}

/// A shape with its place, turn and paint.
pub(super) struct Figure {
    shape: Shape,
    centre: [f64; 2],
    radius: f64,
    /// Cosine and sine of its turn.
    turn: [f64; 2],
    paint: [Colour; 2],
    texture: Texture,
    /// Stripes of a radius.
    rate: f64,
}

impl Figure {
    /// Painted in a colour of a hue, or in one that differs from the ground.
    pub(super) fn new(
        shape: Shape,
        hue: Option<f64>,
        centre: [f64; 2],
        radius: f64,
        ground: Colour,
        random: &mut Random,
    ) -> Self {
        // Half angles by a rational function, without a sine that differs from machine to machine.
        let half = random.between(-0.3, 0.3);
        let turn = [(1.0 - half * half) / (1.0 + half * half), 2.0 * half / (1.0 + half * half)];
        let contrast =
            |paint: &Colour| [0, 1, 2].iter().map(|channel| (paint[*channel] - ground[*channel]).abs()).sum::<f64>();
        let mut paint = colour(random);
        for _ in 0..20 {
            if contrast(&paint) >= 160.0 {
                break;
            }
            paint = colour(random);
        }
        if let Some(hue) = hue {
            paint = breeds::colour(hue, random.between(10.0, 60.0), random.between(190.0, 245.0));
        }
        let shade = random.between(0.2, 0.5);
        let dark = mixed(paint, [0.0; 3], shade);
        let textures = [Texture::Plain, Texture::Stripes, Texture::Checks, Texture::Shaded];
        let texture = textures[random.below(4) as usize];
        Self { shape, centre, radius, turn, paint: [paint, dark], texture, rate: random.between(2.5, 5.0) }
    }

    /// Paints the shape and returns the smallest box of whole pixels around it; `None` if no pixel is half covered.
    pub(super) fn paint(&self, picture: &mut RgbImage) -> Option<Rectangle> {
        let side = picture.width();
        let within = |place: f64| place.clamp(0.0, f64::from(side)) as u32;
        let [left, top] = self.centre.map(|place| within(place - self.radius - 1.0));
        let [right, bottom] = self.centre.map(|place| within(place + self.radius + 2.0));
        let mut bounds: Option<[u32; 4]> = None;
        for y in top..bottom {
            for x in left..right {
                let mut covered = 0;
                for point in 0..POINTS * POINTS {
                    let offset = |index: u32| (f64::from(index) + 0.5) / f64::from(POINTS);
                    let place = [f64::from(x) + offset(point % POINTS), f64::from(y) + offset(point / POINTS)];
                    covered += u32::from(self.shape.contains(self.own(place)));
                }
                if covered == 0 {
                    continue;
                }
                let share = f64::from(covered) / f64::from(POINTS * POINTS);
                blend(picture, x, y, self.colour(self.own([f64::from(x) + 0.5, f64::from(y) + 0.5])), share);
                if share >= 0.5 {
                    let [a, b, c, d] = bounds.unwrap_or([x, y, x, y]);
                    bounds = Some([a.min(x), b.min(y), c.max(x), d.max(y)]);
                }
            }
        }
        let [left, top, right, bottom] = bounds?.map(f64::from);
        Some(Rectangle::between([left, top, right + 1.0, bottom + 1.0]))
    }

    /// A point of the picture in the shape's own coordinates.
    fn own(&self, place: [f64; 2]) -> [f64; 2] {
        let [x, y] = [0, 1].map(|axis| (place[axis] - self.centre[axis]) / self.radius);
        let [cosine, sine] = self.turn;
        [x * cosine + y * sine, y * cosine - x * sine]
    }

    fn colour(&self, [x, y]: [f64; 2]) -> Colour {
        let band = |place: f64| ((place + 4.0) * self.rate) as i64 % 2;
        let share = match self.texture {
            Texture::Plain => 0.0,
            Texture::Stripes => band(x) as f64,
            Texture::Checks => ((band(x) + band(y)) % 2) as f64,
            Texture::Shaded => ((x + y + 2.0) / 4.0).clamp(0.0, 1.0),
        };
        mixed(self.paint[0], self.paint[1], share)
    }
}
