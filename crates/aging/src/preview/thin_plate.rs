/// A smoothing thin-plate spline (Bookstein 1989): a smooth map of the plane that takes given points close to others.
#[derive(Debug)]
pub(super) struct ThinPlate {
    centres: Vec<[f64; 2]>,
    /// The weights of every centre, then of 1, x and y.
    weights: Vec<[f64; 2]>,
}

impl ThinPlate {
    /// Fits the map that takes `from` to `to`. The fit is exact for a `stiffness` of 0, and looser the larger it is.
    pub(super) fn fit(from: &[[f64; 2]], to: &[[f64; 2]], stiffness: f64) -> Self {
        let count = from.len();
        let size = count + 3;
        // The matrix, extended by both right-hand sides.
        let mut rows = vec![vec![0.0; size + 2]; size];
        for (i, &[x, y]) in from.iter().enumerate() {
            for (j, &centre) in from.iter().enumerate() {
                rows[i][j] = bend([x, y], centre);
            }
            rows[i][i] += stiffness;
            for (k, value) in [1.0, x, y].into_iter().enumerate() {
                rows[i][count + k] = value;
                rows[count + k][i] = value;
            }
            rows[i][size..].copy_from_slice(&to[i]);
        }
        Self { centres: from.to_vec(), weights: solve(rows) }
    }

    pub(super) fn at(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let bends = self.centres.iter().map(|&centre| bend([x, y], centre)).chain([1.0, x, y]);
        let mut sum = [0.0; 2];
        for (bend, weight) in bends.zip(&self.weights) {
            sum[0] += bend * weight[0];
            sum[1] += bend * weight[1];
        }
        sum
    }
}

fn bend([x, y]: [f64; 2], [u, v]: [f64; 2]) -> f64 {
    let squared = (x - u).powi(2) + (y - v).powi(2);
    if squared == 0.0 { 0.0 } else { squared * squared.ln() }
}

/// Gaussian elimination with row pivots. An unknown that the equations leave free is 0.
fn solve(mut rows: Vec<Vec<f64>>) -> Vec<[f64; 2]> {
    let size = rows.len();
    for column in 0..size {
        let best = (column..size).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()));
        rows.swap(column, best.unwrap_or(column));
        let pivot = rows[column][column];
        if pivot.abs() < 1e-12 {
            continue;
        }
        let (head, tail) = rows.split_at_mut(column + 1);
        for row in tail {
            let factor = row[column] / pivot;
            if factor != 0.0 {
                row[column..].iter_mut().zip(&head[column][column..]).for_each(|(to, from)| *to -= factor * from);
            }
        }
    }
    let mut solution = vec![[0.0; 2]; size];
    for row in (0..size).rev() {
        for side in 0..2 {
            let known: f64 = (row + 1..size).map(|column| rows[row][column] * solution[column][side]).sum();
            let pivot = rows[row][row];
            solution[row][side] = if pivot.abs() < 1e-12 { 0.0 } else { (rows[row][size + side] - known) / pivot };
        }
    }
    solution
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stiffness_decides_how_close_the_map_is_to_the_points() {
        let from: Vec<[f64; 2]> = (0..30).map(|i| [f64::from(i % 6), f64::from(i / 6)]).collect();
        let to: Vec<[f64; 2]> = from.iter().map(|&[x, y]| [2.0 * x + (y * 1.3).sin(), 5.0 - y + 0.2 * x * y]).collect();
        let apart = |stiffness: f64| {
            let map = ThinPlate::fit(&from, &to, stiffness);
            let off = |(&from, to): (&[f64; 2], &[f64; 2])| {
                let [x, y] = map.at(from);
                (x - to[0]).hypot(y - to[1])
            };
            from.iter().zip(&to).map(off).fold(0.0, f64::max)
        };
        assert!(apart(0.0) < 1e-9 && apart(0.01) < apart(1.0) && apart(1.0) < 1.0);
    }

    #[test]
    fn points_in_one_place_do_not_panic() {
        let map = ThinPlate::fit(&[[1.0, 1.0]; 5], &[[3.0, 4.0]; 5], 0.0);
        assert!(map.at([0.0, 2.0]).iter().all(|value| value.is_finite()));
    }
}
