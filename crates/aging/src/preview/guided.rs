//! The guided filter (He, Sun and Tang, *Guided Image Filtering*, 2010), O(1) per pixel.

use super::plane::Plane;

/// Smooths a plane over windows of `radius`, but not across edges. Contrasts well above `sqrt(epsilon)` are kept.
pub(super) fn smoothed(plane: &Plane, radius: usize, epsilon: f32) -> Plane {
    let mean = plane.mean(radius);
    let slope = plane.with(plane, |value, _| value * value).mean(radius).with(&mean, |square, mean| {
        let variance = (square - mean * mean).max(0.0);
        variance / (variance + epsilon)
    });
    let offset = mean.with(&slope, |mean, slope| mean * (1.0 - slope)).mean(radius);
    slope.mean(radius).with(plane, |slope, value| slope * value).with(&offset, |edges, offset| edges + offset)
}

/// Enlarges a small mask to the size of `guide`, and moves its borders to the guide's edges ("fast guided filter").
pub(super) fn enlarged_mask(mask: &Plane, guide: &Plane, radius: usize, epsilon: f32) -> Plane {
    let factor = guide.width / mask.width;
    let small = guide.reduced(factor);
    let (guide_mean, mask_mean) = (small.mean(radius), mask.mean(radius));
    let variance =
        small.with(&small, |value, _| value * value).mean(radius).with(&guide_mean, |s, m| (s - m * m).max(0.0));
    let product = guide_mean.with(&mask_mean, |guide, mask| guide * mask);
    let covariance = small.with(mask, |guide, mask| guide * mask).mean(radius).with(&product, |pm, p| pm - p);
    let slope = covariance.with(&variance, |covariance, variance| covariance / (variance + epsilon));
    let offset = mask_mean.with(&slope.with(&guide_mean, |slope, guide| slope * guide), |mask, part| mask - part);
    let slope = slope.mean(radius).enlarged(factor);
    let offset = offset.mean(radius).enlarged(factor);
    slope.with(guide, |slope, guide| slope * guide).with(&offset, |part, offset| (part + offset).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_keeps_edges_and_drops_texture() {
        let texture = |x: usize, y: usize| if (x + y).is_multiple_of(2) { 0.02 } else { -0.02 };
        let plane = Plane::filled(64, 64, |x, y| if x < 32 { 0.2 } else { 0.8 } + texture(x, y));
        let smooth = smoothed(&plane, 4, 0.05 * 0.05);
        let at = |x: usize| smooth.values[20 * 64 + x];
        assert!((at(16) - 0.2).abs() < 0.004 && (at(48) - 0.8).abs() < 0.004);
        assert!(at(33) - at(30) > 0.5);
    }

    #[test]
    fn an_enlarged_mask_follows_the_edges_of_the_guide() {
        let guide = Plane::filled(64, 64, |x, _| if x < 30 { 0.1 } else { 0.9 });
        let mask = Plane::filled(16, 16, |x, _| if x < 7 { 0.0 } else { 1.0 });
        let large = enlarged_mask(&mask, &guide, 3, 1e-3);
        assert!(large.values[32 * 64 + 28] < 0.3 && large.values[32 * 64 + 31] > 0.7);
    }
}
