use super::number::Number;

/// Non-maximum suppression as torchvision's `nms`: the indices of the boxes that stay, best score first. Equal scores are in the
/// order of their indices.
///
/// A box goes if its overlap with a better one that stays, intersection over union, is above `overlap`, 0 to 1. The overlap is
/// rounded to the boxes' precision and then compared in 64 bits: an overlap of 3/10 in 32 bits is above 0.3. Two empty boxes do
/// not overlap.
pub fn suppress<T: Number>(boxes: &[[T; 4]], scores: &[f32], overlap: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..boxes.len()).collect();
    order.sort_by(|one, other| scores[*other].total_cmp(&scores[*one]));
    let area = |[left, top, right, bottom]: [T; 4]| (right - left) * (bottom - top);
    let mut grid = Grid::over(boxes);
    order.retain(|&index| {
        let this = boxes[index];
        let suppresses = |better: &usize| {
            let better = boxes[*better];
            let shared = intersection(better, this);
            let union = area(better) + area(this) - shared;
            Into::<f64>::into(shared / union) > overlap
        };
        let places = grid.places(this);
        let stays = !places.clone().any(|place| grid.cells[place].iter().any(suppresses));
        if stays {
            places.for_each(|place| grid.cells[place].push(index));
        }
        stays
    });
    order
}

fn intersection<T: Number>(one: [T; 4], other: [T; 4]) -> T {
    let least = |one, other| if one < other { one } else { other };
    let most = |one, other| if one > other { one } else { other };
    let along =
        |first: usize, last: usize| most(T::from(0.0), least(one[last], other[last]) - most(one[first], other[first]));
    along(0, 2) * along(1, 3)
}

/// The most rows and columns of a grid.
const MOST_ROWS: usize = 128;

/// Boxes by the cells of a grid that they touch. Boxes that share a point share a cell, so that a box need not be compared with
/// all others.
struct Grid {
    /// Rows, and as many columns.
    rows: usize,
    /// The left and the upper edge.
    edge: [f64; 2],
    /// Cells for a unit of length, across and down.
    density: [f64; 2],
    cells: Vec<Vec<usize>>,
}

impl Grid {
    /// Over the area of all boxes whose corners are finite.
    fn over<T: Number>(boxes: &[[T; 4]]) -> Self {
        let rows = boxes.len().isqrt().clamp(1, MOST_ROWS);
        let (mut least, mut most) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
        for corners in boxes {
            let corners = corners.map(Into::<f64>::into);
            if corners.iter().all(|value| value.is_finite()) {
                for axis in 0..2 {
                    least[axis] = least[axis].min(corners[axis]);
                    most[axis] = most[axis].max(corners[axis + 2]);
                }
            }
        }
        let density = [0, 1].map(|axis| rows as f64 / (most[axis] - least[axis]));
        Self { rows, edge: least, density, cells: vec![Vec::new(); rows * rows] }
    }

    /// The cells that a box touches.
    fn places<T: Number>(&self, corners: [T; 4]) -> impl Iterator<Item = usize> + Clone + use<T> {
        // The conversion saturates, and makes zero of what is no number.
        let place = |corner: usize| {
            let value: f64 = corners[corner].into();
            (((value - self.edge[corner % 2]) * self.density[corner % 2]) as usize).min(self.rows - 1)
        };
        let (across, down, rows) = (place(0)..=place(2), place(1)..=place(3), self.rows);
        down.flat_map(move |row| across.clone().map(move |column| row * rows + column))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every box with every better one that stays.
    fn plainly(boxes: &[[f32; 4]], scores: &[f32], overlap: f64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..boxes.len()).collect();
        order.sort_by(|one, other| scores[*other].total_cmp(&scores[*one]));
        let mut stay: Vec<usize> = Vec::new();
        for index in order {
            let area = |[left, top, right, bottom]: [f32; 4]| (right - left) * (bottom - top);
            let gone = stay.iter().any(|better| {
                let shared = intersection(boxes[*better], boxes[index]);
                f64::from(shared / (area(boxes[*better]) + area(boxes[index]) - shared)) > overlap
            });
            if !gone {
                stay.push(index);
            }
        }
        stay
    }

    #[test]
    fn the_grid_changes_no_box() {
        let mut state = 1_u32;
        let mut number = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        };
        let mut boxes = Vec::new();
        for _ in 0..3000 {
            let (x, y, side) = (number(), number(), 0.01 + 0.4 * number().powi(6));
            boxes.push([x, y, x + side, y + side * (0.5 + number())]);
        }
        boxes.extend([[0.2, 0.2, f32::INFINITY, 0.3], [f32::NAN, 0.0, 1.0, 1.0], [0.9, 0.9, 0.1, 0.1], [0.5; 4]]);
        // Some scores are equal.
        let scores: Vec<f32> = boxes.iter().map(|_| (number() * 500.0).round() / 500.0).collect();
        for overlap in [0.0, 0.3, 0.9, 1.0] {
            let stay = suppress(&boxes, &scores, overlap);
            assert_eq!(stay, plainly(&boxes, &scores, overlap), "{overlap}");
            assert!(stay.len() > 100);
        }
        assert!(suppress::<f32>(&[], &[], 0.3).is_empty());
    }
}
