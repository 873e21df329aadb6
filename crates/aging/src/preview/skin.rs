use super::head::Head;
use super::look::ramp;
use super::plane::Plane;

/// A portrait at a quarter of its width and height: the means of blocks of 4 x 4 pixels.
pub(super) struct Small {
    pub(super) lightness: Plane,
    pub(super) a: Plane,
    pub(super) b: Plane,
    /// The mean difference of the lightness from its surroundings, 0 to about 0.1.
    pub(super) texture: Plane,
}

/// Candidates for skin, 0 to 1. Their hue is between red and yellow, they are neither grey nor highly saturated, and
/// not black. In a greyscale picture, they are smooth and lie within the face.
pub(super) fn candidates(small: &Small, head: &Head) -> Plane {
    let width = small.a.width;
    let (mut sum, mut count) = (0.0, 1e-3);
    for at in (0..small.a.values.len()).filter(|at| head.distance(at % width, at / width, 0.0, 1.0) < 0.7) {
        sum += small.a.values[at].hypot(small.b.values[at]);
        count += 1.0;
    }
    let grey = 1.0 - ramp(sum / count, 0.008, 0.02);
    Plane::filled(small.a.width, small.a.height, |x, y| {
        let at = y * small.a.width + x;
        let (lightness, a, b) = (small.lightness.values[at], small.a.values[at], small.b.values[at]);
        let chroma = a.hypot(b);
        let hue = b.atan2(a).to_degrees();
        let warm = ramp(hue, 5.0, 22.0) * (1.0 - ramp(hue, 66.0, 84.0));
        let coloured = ramp(chroma, 0.02, 0.05) * (1.0 - ramp(chroma, 0.115, 0.15));
        let smooth = 1.0 - ramp(small.texture.values[at], 0.03, 0.08);
        let within = 1.0 - ramp(head.distance(x, y, 0.0, 0.85), 0.9, 1.2);
        let kind =
            warm * coloured * ramp(lightness, 0.28, 0.42) * (1.0 - grey) + grey * within * ramp(lightness, 0.2, 0.35);
        kind * (0.3 + 0.7 * smooth)
    })
}

/// The likelihood of skin, 0 to 1, by the colours of this face.
pub(super) fn mask(small: &Small, candidates: &Plane, head: &Head) -> Plane {
    let planes = [&small.lightness, &small.a, &small.b];
    let width = candidates.width;
    let weight = |at: usize| {
        let far = head.distance(at % width, at / width, 0.0, 1.0);
        candidates.values[at] * (-1.2 * far * far).exp()
    };
    let total: f32 = (0..candidates.values.len()).map(weight).sum::<f32>() + 1e-6;
    let means = planes.map(|plane| plane.values.iter().enumerate().map(|(at, v)| weight(at) * v).sum::<f32>() / total);
    // Lightness varies over a face more than colour does. The floors keep flat pictures from having tiny variances.
    let floors = [0.09f32, 0.016, 0.018];
    let inverse: [f32; 3] = std::array::from_fn(|channel| {
        let plane = planes[channel];
        let squares = plane.values.iter().enumerate().map(|(at, v)| weight(at) * (v - means[channel]).powi(2));
        1.0 / (squares.sum::<f32>() / total + floors[channel].powi(2))
    });
    Plane::filled(width, candidates.height, |x, y| {
        let at = y * width + x;
        let square: f32 =
            (0..3).map(|channel| (planes[channel].values[at] - means[channel]).powi(2) * inverse[channel]).sum();
        let beyond = ((square.sqrt() - 1.6).max(0.0) / 0.8).powi(2);
        let near = 1.0 - 0.8 * ramp(head.distance(x, y, -0.2, 0.8), 1.2, 1.9);
        (-0.5 * beyond).exp() * near * ramp(candidates.values[at], 0.0, 0.25)
    })
}
