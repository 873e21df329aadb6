//! The product at the heart of every convolution: a few rows of weights times a panel of columns, kept in registers.

use pulp::Simd;

/// Rows of weights that are worked on at once.
pub(super) const ROWS: usize = 6;
/// Columns of a panel.
pub(super) const COLUMNS: usize = 16;
/// Terms of a sum that are worked on before others, so that their part of a panel stays in the nearest cache.
pub(super) const DEPTH: usize = 256;

/// The part of a product that the kernel makes at once.
pub(super) type Block = [[f32; COLUMNS]; ROWS];

/// Weights times a panel, terms of the sums in order. `weights` are packed: [`ROWS`] of them for each row of the panel.
#[inline(always)]
pub(super) fn multiply_packed<S: Simd>(simd: S, weights: &[[f32; ROWS]], panel: &[[f32; COLUMNS]]) -> Block {
    match COLUMNS / S::F32_LANES {
        1 => packed::<S, 1>(simd, weights, panel),
        2 => packed::<S, 2>(simd, weights, panel),
        4 => packed::<S, 4>(simd, weights, panel),
        _ => packed::<S, 16>(simd, weights, panel),
    }
}

/// The same for weights row by row.
#[inline(always)]
pub(super) fn multiply_rows<S: Simd>(simd: S, weights: [&[f32]; ROWS], panel: &[[f32; COLUMNS]]) -> Block {
    match COLUMNS / S::F32_LANES {
        1 => rows::<S, 1>(simd, weights, panel),
        2 => rows::<S, 2>(simd, weights, panel),
        4 => rows::<S, 4>(simd, weights, panel),
        _ => rows::<S, 16>(simd, weights, panel),
    }
}

#[inline(always)]
fn packed<S: Simd, const VECTORS: usize>(simd: S, weights: &[[f32; ROWS]], panel: &[[f32; COLUMNS]]) -> Block {
    let columns = S::as_simd_f32s(panel.as_flattened()).0.as_chunks::<VECTORS>().0;
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    for (weights, columns) in weights.iter().zip(columns) {
        for row in 0..ROWS {
            let weight = simd.splat_f32s(weights[row]);
            for vector in 0..VECTORS {
                sums[row][vector] = simd.mul_add_f32s(weight, columns[vector], sums[row][vector]);
            }
        }
    }
    stored::<S, VECTORS>(&sums)
}

#[inline(always)]
fn rows<S: Simd, const VECTORS: usize>(simd: S, weights: [&[f32]; ROWS], panel: &[[f32; COLUMNS]]) -> Block {
    let columns = S::as_simd_f32s(panel.as_flattened()).0.as_chunks::<VECTORS>().0;
    let depth = columns.len();
    let [a, b, c, d, e, f] = weights;
    // So that no index below is beyond an end.
    let weights = [&a[..depth], &b[..depth], &c[..depth], &d[..depth], &e[..depth], &f[..depth]];
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    for index in 0..depth {
        let columns = columns[index];
        for row in 0..ROWS {
            let weight = simd.splat_f32s(weights[row][index]);
            for vector in 0..VECTORS {
                sums[row][vector] = simd.mul_add_f32s(weight, columns[vector], sums[row][vector]);
            }
        }
    }
    stored::<S, VECTORS>(&sums)
}

#[inline(always)]
fn stored<S: Simd, const VECTORS: usize>(sums: &[[S::f32s; VECTORS]; ROWS]) -> Block {
    let mut block = [[0.0; COLUMNS]; ROWS];
    for row in 0..ROWS {
        S::as_mut_simd_f32s(&mut block[row]).0.copy_from_slice(&sums[row]);
    }
    block
}
