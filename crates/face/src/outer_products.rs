/// Turns of all pairs of columns before it is given up: a handful is enough.
const MAX_SWEEPS: usize = 60;

/// A singular value with its vectors, each times the root of the value: `column` times `row` is one summand of the
/// matrix.
pub(crate) struct OuterProduct {
    pub(crate) strength: f64,
    pub(crate) column: Vec<f64>,
    pub(crate) row: Vec<f64>,
}

/// The singular value decomposition of a matrix, row by row in `values`: outer products, the strongest first, which
/// add up to it.
///
/// One-sided Jacobi rotations (Hestenes 1958), which find small singular values as precisely as large ones.
pub(crate) fn outer_products(values: &[f64], rows: usize, columns: usize) -> Vec<OuterProduct> {
    // The matrix's columns, turned until they are orthogonal; and the rotations so far, column by column.
    let mut turned: Vec<Vec<f64>> =
        (0..columns).map(|column| (0..rows).map(|row| values[row * columns + column]).collect()).collect();
    let mut rotation: Vec<Vec<f64>> =
        (0..columns).map(|column| (0..columns).map(|row| f64::from(u8::from(row == column))).collect()).collect();
    for _ in 0..MAX_SWEEPS {
        let mut orthogonal = true;
        for first in 0..columns {
            for second in first + 1..columns {
                let [one, other] = [first, second].map(|column| dot(&turned[column], &turned[column]));
                let common = dot(&turned[first], &turned[second]);
                if common.abs() <= 1e-15 * (one * other).sqrt() {
                    continue;
                }
                orthogonal = false;
                let cotangent = (other - one) / (2.0 * common);
                let tangent = cotangent.signum() / (cotangent.abs() + cotangent.hypot(1.0));
                let cosine = 1.0 / tangent.hypot(1.0);
                for columns in [&mut turned, &mut rotation] {
                    let (head, tail) = columns.split_at_mut(second);
                    for (a, b) in head[first].iter_mut().zip(&mut tail[0]) {
                        (*a, *b) = (cosine * (*a - tangent * *b), cosine * (tangent * *a + *b));
                    }
                }
            }
        }
        if orthogonal {
            break;
        }
    }
    let mut products: Vec<OuterProduct> = turned
        .into_iter()
        .zip(rotation)
        .map(|(column, row)| (dot(&column, &column).sqrt(), column, row))
        .filter(|(strength, ..)| *strength > 0.0)
        .map(|(strength, column, row)| OuterProduct {
            strength,
            column: column.iter().map(|value| value / strength.sqrt()).collect(),
            row: row.iter().map(|value| value * strength.sqrt()).collect(),
        })
        .collect();
    products.sort_by(|one, other| other.strength.total_cmp(&one.strength));
    products
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(products: &[OuterProduct], rows: usize, columns: usize) -> Vec<f64> {
        let at = |index: usize| products.iter().map(|p| p.column[index / columns] * p.row[index % columns]).sum();
        (0..rows * columns).map(at).collect()
    }

    #[test]
    fn adds_up_to_the_matrix() {
        for (rows, columns) in [(1, 1), (3, 7), (7, 3), (12, 12)] {
            let matrix: Vec<f64> =
                (0..rows * columns).map(|i| ((i * i * 31 + 7 * i) % 101) as f64 / 50.0 - 1.0).collect();
            let products = outer_products(&matrix, rows, columns);
            assert!(products.is_sorted_by(|one, other| one.strength >= other.strength));
            for (found, value) in sum(&products, rows, columns).iter().zip(&matrix) {
                assert!((found - value).abs() < 1e-12, "{rows} x {columns}");
            }
        }
    }

    #[test]
    fn finds_rank_and_small_values() {
        // Two orthogonal outer products, 10^6 apart, in a 10 x 10 matrix.
        let (u, v): (Vec<f64>, Vec<f64>) =
            ((0..10).map(|i| (i as f64).sin()).collect(), (0..10).map(|i| (i as f64).cos()).collect());
        let projected: Vec<f64> = v.iter().zip(&u).map(|(b, a)| b - a * dot(&u, &v) / dot(&u, &u)).collect();
        let matrix: Vec<f64> =
            (0..100).map(|i| u[i / 10] * u[i % 10] + 1e-6 * projected[i / 10] * projected[i % 10]).collect();
        let products = outer_products(&matrix, 10, 10);
        assert!((products[0].strength / dot(&u, &u) - 1.0).abs() < 1e-12);
        assert!((products[1].strength / (1e-6 * dot(&projected, &projected)) - 1.0).abs() < 1e-6);
        assert!(products[2..].iter().all(|product| product.strength < 1e-13));
        assert!(outer_products(&[0.0; 6], 2, 3).is_empty());
    }
}
