use super::look::ramp;
use crate::plane::Plane;

/// Where the face is, as far as colour tells: the densest cluster of what may be skin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// Centre, in pixels from the left.
    pub(super) x: f32,
    /// Centre, in pixels from the top.
    pub(super) y: f32,
    /// Half the extent of the face, in pixels.
    pub(super) radius: f32,
}

impl Head {
    /// The cluster nearest the middle in a map of 0 to 1; `None` where hardly anything is above 0.
    pub(super) fn find(map: &Plane) -> Option<Self> {
        let (width, height) = (map.width as f32, map.height as f32);
        let side = width.min(height);
        // Two box means are near enough to a Gaussian.
        let dense = map.mean(map.width / 28).mean(map.width / 28);
        let central = |x: usize, y: usize| {
            let (u, v) = ((x as f32 - 0.5 * width) / side, (y as f32 - 0.45 * height) / side);
            (-(u * u + v * v) / (2.0 * 0.3 * 0.3)).exp()
        };
        let peak = (0..map.values.len())
            .map(|at| (at, dense.values[at] * central(at % map.width, at / map.width)))
            .fold((0, 0.0), |best, here| if here.1 > best.1 { here } else { best });
        if peak.1 < 0.1 {
            return None;
        }
        let mut head = Self { x: (peak.0 % map.width) as f32, y: (peak.0 / map.width) as f32, radius: 0.12 * side };
        // Edges and folds of warm things lie scattered all over a picture.
        let core = map.with(&dense, |value, dense| value * ramp(dense, 0.12, 0.35));
        for _ in 0..8 {
            head = head.shifted(&core, side);
        }
        Some(head)
    }

    /// One step of mean shift, in position and in size.
    fn shifted(self, map: &Plane, side: f32) -> Self {
        let (mut sum, mut sum_x, mut sum_y, mut spread) = (1e-3, 1e-3 * self.x, 1e-3 * self.y, 0.0);
        for (y, row) in map.values.chunks(map.width).enumerate() {
            for (x, value) in row.iter().enumerate() {
                let (dx, dy) = (x as f32 - self.x, y as f32 - self.y);
                let far = (dx * dx + dy * dy) / (self.radius * self.radius);
                let weight = value * (-0.5 * far).exp();
                sum += weight;
                sum_x += weight * x as f32;
                sum_y += weight * y as f32;
                spread += weight * (dx * dx + dy * dy);
            }
        }
        // An even disc seen through the window of its own radius has a mean square of 0.4 radius^2.
        let radius = (spread / sum / 0.4).sqrt().clamp(0.045 * side, 0.36 * side);
        Self { x: sum_x / sum, y: sum_y / sum, radius }
    }

    /// The mean of a map over the inner part of the face.
    pub(super) fn density(&self, map: &Plane) -> f32 {
        let inside = |at: &usize| self.distance(at % map.width, at / map.width, 0.0, 1.0) < 0.8;
        let (count, sum) = (0..map.values.len())
            .filter(inside)
            .fold((1e-3, 0.0), |(count, sum), at| (count + 1.0, sum + map.values[at]));
        sum / count
    }

    /// The distance of a pixel from the centre, in units of the radius, the vertical one stretched by `stretch`.
    pub(super) fn distance(&self, x: usize, y: usize, up: f32, stretch: f32) -> f32 {
        let u = (x as f32 - self.x) / self.radius;
        let v = (y as f32 - self.y + up * self.radius) / self.radius * stretch;
        (u * u + v * v).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_disc_beside_a_smaller_one() {
        let inside = |x: usize, y: usize, cx: f32, cy: f32, r: f32| (x as f32 - cx).hypot(y as f32 - cy) < r;
        let map = Plane::filled(256, 256, |x, y| {
            f32::from(u8::from(inside(x, y, 110.0, 120.0, 50.0) || inside(x, y, 230.0, 240.0, 15.0)))
        });
        let head = Head::find(&map).unwrap();
        assert!((head.x - 110.0).abs() < 4.0 && (head.y - 120.0).abs() < 4.0, "{head:?}");
        assert!((head.radius - 50.0).abs() < 10.0, "{head:?}");
        assert!(Head::find(&Plane::new(256, 256)).is_none());
    }
}
