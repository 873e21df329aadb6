//! The wrinkles of every face: their courses in canonical coordinates, and their ages.

/// A wrinkle that comes with age, on the right half of the picture. It is drawn on both sides unless it crosses the
/// middle.
pub(super) struct Curve {
    /// Control points in canonical coordinates, joined by a smooth curve.
    pub(super) points: &'static [[f64; 2]],
    /// The age at which it starts to show, and the age at which it is complete.
    pub(super) years: [f32; 2],
    /// Depth and half width, in thousandths of the distance between the eyes.
    pub(super) depth: f32,
    pub(super) width: f32,
    /// The greatest shift towards an existing crease, in units of the distance between the eyes.
    pub(super) reach: f64,
    /// Whether it crosses the middle of the face.
    pub(super) central: bool,
}

const fn side(points: &'static [[f64; 2]], years: [f32; 2], depth: f32, width: f32, reach: f64) -> Curve {
    Curve { points, years, depth, width, reach, central: false }
}

const fn across(points: &'static [[f64; 2]], years: [f32; 2], depth: f32, width: f32, reach: f64) -> Curve {
    Curve { points, years, depth, width, reach, central: true }
}

/// The wrinkles of forehead, glabella, eyes, cheeks, mouth and chin, where anatomy textbooks show the skin's folds.
pub(super) const CURVES: &[Curve] = &[
    // Lines across the forehead. The lower ones follow the brows.
    across(
        &[[-0.74, -0.60], [-0.40, -0.66], [0.0, -0.60], [0.40, -0.66], [0.74, -0.60]],
        [44.0, 78.0],
        9.0,
        14.0,
        0.06,
    ),
    across(
        &[[-0.78, -0.74], [-0.38, -0.80], [0.02, -0.76], [0.42, -0.80], [0.76, -0.73]],
        [41.0, 72.0],
        10.0,
        15.0,
        0.06,
    ),
    across(
        &[[-0.70, -0.88], [-0.30, -0.93], [0.05, -0.91], [0.40, -0.93], [0.72, -0.87]],
        [43.0, 76.0],
        9.0,
        15.0,
        0.06,
    ),
    across(&[[-0.52, -1.01], [-0.20, -1.05], [0.15, -1.04], [0.50, -1.00]], [50.0, 84.0], 7.0, 14.0, 0.06),
    // Between the brows.
    side(&[[0.10, -0.46], [0.085, -0.32], [0.10, -0.17]], [42.0, 76.0], 11.0, 14.0, 0.05),
    side(&[[0.19, -0.42], [0.17, -0.33], [0.18, -0.26]], [52.0, 84.0], 6.0, 11.0, 0.04),
    across(&[[-0.13, -0.10], [0.0, -0.075], [0.13, -0.10]], [50.0, 82.0], 7.0, 13.0, 0.04),
    // Crow's feet.
    side(&[[0.78, -0.02], [0.88, -0.09], [0.98, -0.17]], [40.0, 72.0], 9.0, 11.0, 0.03),
    side(&[[0.79, 0.02], [0.91, 0.00], [1.02, -0.03]], [38.0, 68.0], 10.0, 11.0, 0.03),
    side(&[[0.78, 0.06], [0.89, 0.09], [1.00, 0.11]], [40.0, 72.0], 9.0, 11.0, 0.03),
    side(&[[0.75, 0.11], [0.85, 0.18], [0.93, 0.26]], [46.0, 80.0], 7.0, 11.0, 0.03),
    // The fold of the upper lid, the edge of the bag below the eye, and the trough from the nose.
    side(&[[0.31, -0.10], [0.44, -0.135], [0.60, -0.12], [0.74, -0.04]], [48.0, 84.0], 7.0, 14.0, 0.03),
    side(&[[0.27, 0.14], [0.40, 0.19], [0.55, 0.19], [0.69, 0.12]], [44.0, 76.0], 8.0, 14.0, 0.03),
    side(&[[0.25, 0.20], [0.36, 0.29], [0.52, 0.32], [0.68, 0.27]], [46.0, 84.0], 10.0, 30.0, 0.05),
    side(&[[0.60, 0.25], [0.70, 0.30], [0.80, 0.30]], [56.0, 88.0], 5.0, 12.0, 0.03),
    // From the nose to the mouth (nasolabial folds), and from the mouth to the jaw (marionette lines).
    side(&[[0.29, 0.56], [0.38, 0.68], [0.49, 0.83], [0.575, 0.99], [0.60, 1.10]], [37.0, 80.0], 17.0, 26.0, 0.12),
    side(&[[0.55, 1.10], [0.565, 1.24], [0.55, 1.38], [0.57, 1.50]], [46.0, 84.0], 13.0, 22.0, 0.05),
    side(&[[0.66, 0.86], [0.70, 1.02], [0.70, 1.20], [0.65, 1.34]], [54.0, 90.0], 8.0, 22.0, 0.05),
    // Fine lines above the upper lip and below the lower.
    side(&[[0.07, 0.76], [0.075, 0.82], [0.07, 0.87]], [56.0, 84.0], 5.0, 8.0, 0.01),
    side(&[[0.17, 0.77], [0.18, 0.83], [0.165, 0.87]], [56.0, 86.0], 5.5, 8.0, 0.01),
    side(&[[0.27, 0.80], [0.285, 0.85], [0.27, 0.89]], [58.0, 88.0], 5.0, 8.0, 0.01),
    side(&[[0.36, 0.84], [0.38, 0.89], [0.37, 0.93]], [60.0, 90.0], 4.5, 8.0, 0.01),
    side(&[[0.14, 1.31], [0.15, 1.36], [0.14, 1.40]], [60.0, 90.0], 4.0, 8.0, 0.01),
    side(&[[0.28, 1.26], [0.30, 1.32], [0.29, 1.37]], [60.0, 90.0], 4.0, 8.0, 0.01),
    across(&[[-0.32, 1.44], [-0.12, 1.40], [0.12, 1.40], [0.32, 1.44]], [48.0, 84.0], 8.0, 18.0, 0.04),
    // The cheek.
    side(&[[0.80, 0.42], [0.84, 0.58], [0.83, 0.76], [0.79, 0.92]], [56.0, 90.0], 6.0, 16.0, 0.04),
    side(&[[0.92, 0.40], [0.96, 0.60], [0.94, 0.82], [0.88, 1.02]], [60.0, 92.0], 5.5, 15.0, 0.04),
    side(&[[0.70, 0.50], [0.73, 0.62], [0.72, 0.74]], [62.0, 94.0], 4.0, 13.0, 0.04),
    // The upper end of the jowl.
    side(&[[0.62, 1.46], [0.68, 1.52], [0.76, 1.54]], [54.0, 88.0], 8.0, 26.0, 0.03),
];

/// A Catmull-Rom spline through the control points (Catmull and Rom 1974), sampled at `steps` equal parts of each span.
pub(super) fn smooth(points: &[[f64; 2]], steps: usize) -> Vec<[f64; 2]> {
    let last = points.len() - 1;
    let point = |at: isize| points[at.clamp(0, last as isize) as usize];
    let mut curve = Vec::with_capacity(last * steps + 1);
    for span in 0..last as isize {
        let [a, b, c, d] = [span - 1, span, span + 1, span + 2].map(point);
        for step in 0..steps {
            let t = step as f64 / steps as f64;
            curve.push([0, 1].map(|axis| {
                let (a, b, c, d) = (a[axis], b[axis], c[axis], d[axis]);
                b + 0.5 * t * (c - a + t * (2.0 * a - 5.0 * b + 4.0 * c - d + t * (3.0 * (b - c) + d - a)))
            }));
        }
    }
    curve.push(points[last]);
    curve
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrinkles_lie_on_the_face_and_start_after_the_source_age() {
        for curve in CURVES {
            assert!(curve.years[0] > 35.0 && curve.years[1] > curve.years[0] + 10.0);
            let right = |point: &[f64; 2]| curve.central || point[0] > 0.0;
            assert!(curve.points.iter().all(|point| right(point) && point[0].abs() < 1.1 && point[1].abs() < 1.6));
        }
    }

    #[test]
    fn smooth_curves_pass_through_their_control_points() {
        let curve = smooth(CURVES[0].points, 10);
        assert_eq!(curve.len(), 41);
        for (number, point) in CURVES[0].points.iter().enumerate() {
            assert!(curve[10 * number].iter().zip(point).all(|(a, b)| (a - b).abs() < 1e-12));
        }
    }
}
