//! The singular value decomposition (SVD) of a small matrix.

/// The most sweeps over all pairs of columns. A handful is usually enough.
const MAX_SWEEPS: usize = 60;

/// One summand of a matrix: `column` times `row`. They are a pair of singular vectors, scaled so that the singular
/// value is in their product.
pub(crate) struct OuterProduct {
    /// The singular value.
    pub(crate) strength: f64,
    pub(crate) column: Vec<f64>,
    pub(crate) row: Vec<f64>,
}

/// Decomposes a matrix, given row by row in `values`, into outer products that add up to it, the strongest first.
///
/// One-sided Jacobi rotations (Hestenes 1958) find small singular values as precisely as large ones.
pub(crate) fn outer_products(values: &[f64], rows: usize, columns: usize) -> Vec<OuterProduct> {
    // The matrix's columns, rotated until they are orthogonal, and the product of the rotations, column by column.
    let mut rotated: Vec<Vec<f64>> =
        (0..columns).map(|column| (0..rows).map(|row| values[row * columns + column]).collect()).collect();
    let mut rotation: Vec<Vec<f64>> =
        (0..columns).map(|column| (0..columns).map(|row| f64::from(u8::from(row == column))).collect()).collect();
    for _ in 0..MAX_SWEEPS {
        let mut orthogonal = true;
        for first in 0..columns {
            for second in first + 1..columns {
                let [one, other] = [first, second].map(|column| dot(&rotated[column], &rotated[column]));
                let common = dot(&rotated[first], &rotated[second]);
                if common.abs() <= 1e-15 * (one * other).sqrt() {
                    continue;
                }
                orthogonal = false;
                let cotangent = (other - one) / (2.0 * common);
                let tangent = cotangent.signum() / (cotangent.abs() + cotangent.hypot(1.0));
                let cosine = 1.0 / tangent.hypot(1.0);
                for columns in [&mut rotated, &mut rotation] {
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
    let mut products: Vec<OuterProduct> = rotated
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
    fn the_outer_products_add_up_to_the_matrix() {
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
    fn the_rank_and_small_singular_values_are_found() {
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
