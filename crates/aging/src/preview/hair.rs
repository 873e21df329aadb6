use super::head::Head;
use super::look::ramp;
use super::skin::Small;
use crate::plane::Plane;

/// The likelihood of hair, 0 to 1: dark and of no garish colour, no skin, textured, around and above the face.
///
/// It is kept low where it may be something else: a wall that greys is worse than a strand that does not.
pub(super) fn mask(small: &Small, skin: &Plane, head: &Head) -> Plane {
    let width = skin.width;
    // Eyes, brows and lips are small things with skin around them.
    let around = skin.mean((0.25 * head.radius) as usize + 1);
    let texture = small.texture.mean(3);
    // A scatter of skin-coloured things is no face, and what is dark around it no hair.
    let face = head.density(skin);
    let sure = ramp(face, 0.3, 0.55);
    Plane::filled(width, skin.height, |x, y| {
        let at = y * width + x;
        let (lightness, a, b) = (small.lightness.values[at], small.a.values[at], small.b.values[at]);
        let chroma = a.hypot(b);
        // Blond hair is as light as a wall, but has more colour.
        let blond = 0.2 * ramp(chroma, 0.025, 0.05);
        let dark = 1.0 - ramp(lightness, 0.38 + blond, 0.62 + blond);
        // Hair is warm or neutral: what is blue or green is something else sooner than what is brown.
        let garish = if b < 0.0 || a < -0.4 * b { ramp(chroma, 0.008, 0.025) } else { ramp(chroma, 0.09, 0.13) };
        let place = 1.0 - ramp(head.distance(x, y, 0.35, 0.85), 1.15, 1.65);
        let textured = 0.12 + 0.88 * ramp(texture.values[at], 0.006, 0.024);
        let enclosed = ramp(around.values[at], 0.5, 0.75);
        sure * dark * (1.0 - garish) * place * textured * (1.0 - skin.values[at]) * (1.0 - enclosed)
    })
}
