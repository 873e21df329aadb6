//! Maps of some rows, put at their place in the whole maps.

use rayon::prelude::*;

use super::extent::Extent;
use super::ops::{Maps, UpdateOp};

/// Copies maps to the rows of others from this one on.
#[derive(Debug)]
pub struct Place(pub usize);

impl UpdateOp for Place {
    fn update(&self, Maps { values, extent: part, channels }: Maps, extent: Extent, out: &mut [f32]) {
        let row = extent.width * channels;
        let images = out.par_chunks_exact_mut(extent.height * row).zip(values.par_chunks_exact(part.height * row));
        images.for_each(|(out, values)| {
            let rows = out[self.0 * row..][..values.len()].par_chunks_exact_mut(row);
            rows.zip(values.par_chunks_exact(row)).for_each(|(out, values)| out.copy_from_slice(values));
        });
    }
}
