use super::plane::Plane;

/// The strength with which slopes darken or brighten.
const SLOPE: f32 = 1.05;
/// The part of the light that does not reach the bottom of a deep crease.
const OCCLUSION: f32 = 0.34;

/// The light on a relief. Slopes that face the light are brighter, others darker, and less light reaches the bottom of
/// a crease.
#[derive(Debug)]
pub(super) struct Shade {
    /// The factors of the light. `None` where the relief is flat.
    factors: Option<Plane>,
}

impl Shade {
    /// `height` is in pixels. `light` points towards the light. `unit` is the distance between the eyes, in pixels.
    pub(super) fn of(height: &Plane, light: [f32; 2], unit: f32) -> Self {
        if height.values.iter().all(|&value| value == 0.0) {
            return Self { factors: None };
        }
        let deep = 0.012 * unit;
        let (width, rows) = (height.width, height.height);
        let at = |x: usize, y: usize| height.values[y * width + x];
        let factors = Plane::filled(width, rows, |x, y| {
            let across = (at((x + 1).min(width - 1), y) - at(x.saturating_sub(1), y)) / 2.0;
            let down = (at(x, (y + 1).min(rows - 1)) - at(x, y.saturating_sub(1))) / 2.0;
            // A slope that rises towards the light faces away from it.
            let slope = across * light[0] + down * light[1];
            let hidden = (-at(x, y) / deep).clamp(0.0, 1.0);
            (1.0 - SLOPE * slope).clamp(0.55, 1.3) * (1.0 - OCCLUSION * hidden)
        });
        Self { factors: Some(factors) }
    }

    /// The factor of the light at a pixel: 1 on even skin.
    pub(super) fn at(&self, x: usize, y: usize) -> f32 {
        self.factors.as_ref().map_or(1.0, |factors| factors.values[y * factors.width + x])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crease_is_dark_and_its_wall_towards_the_light_bright() {
        let crease = Plane::filled(40, 40, |_, y| -3.0 * (-((y as f32 - 20.0) / 3.0).powi(2)).exp());
        let shade = Shade::of(&crease, [0.0, -1.0], 200.0);
        assert!(shade.at(20, 20) < 0.75 && (shade.at(20, 2) - 1.0).abs() < 0.01);
        // The light comes from above: the upper wall faces away from it, the lower wall towards it.
        assert!(shade.at(20, 17) < shade.at(20, 23));
        assert_eq!(Shade::of(&Plane::new(8, 8), [0.0, -1.0], 200.0).at(3, 3), 1.0);
    }
}
