//! The matrix product of every convolution: rows of values times packed weights, with the sums in registers.

use pulp::Simd;

use super::prefetch::prefetch_read;

/// Output channels whose weights are adjacent in memory. Numbers of channels are multiples of it.
pub const COLUMNS: usize = 16;
/// The weights of one input for [`COLUMNS`] outputs, or the values of as many channels.
pub type Line = [f32; COLUMNS];

/// Packed weights: panels of [`COLUMNS`] outputs, each with a line for every input.
#[derive(Clone, Copy, Debug)]
pub struct Panels<'a> {
    /// The lines of all panels.
    pub lines: &'a [Line],
    /// Lines from one panel to the next one.
    pub stride: usize,
    /// Lines of a panel.
    pub depth: usize,
    /// The number of panels.
    pub count: usize,
}

impl<'a> Panels<'a> {
    #[inline(always)]
    fn panel(&self, index: usize) -> &'a [Line] {
        &self.lines[index * self.stride..][..self.depth]
    }
}

/// Where the values of a row are, counted from its first one. They are adjacent by default.
pub trait Places: Copy {
    /// Whether the next rows are brought into the cache while these are multiplied.
    const ARE_FAR: bool = false;

    /// The place after the last of `depth` values.
    #[inline(always)]
    fn end(self, depth: usize) -> usize {
        depth
    }

    /// The place of a value.
    #[inline(always)]
    fn of(self, index: usize) -> usize {
        index
    }
}

/// The values of a row are adjacent.
#[derive(Clone, Copy, Debug)]
pub struct Adjacent;

impl Places for Adjacent {}

/// The values of a row are adjacent, and not yet in the core's cache.
#[derive(Clone, Copy, Debug)]
pub struct Far;

impl Places for Far {
    const ARE_FAR: bool = true;
}

/// A list of places, in ascending order.
impl Places for &[usize] {
    #[inline(always)]
    fn end(self, depth: usize) -> usize {
        self[..depth].last().map_or(0, |last| last + 1)
    }

    #[inline(always)]
    fn of(self, index: usize) -> usize {
        self[index]
    }
}

/// Where the sums of a product go.
pub trait Sink<S: Simd> {
    /// Brings the memory that sums of these rows and panels will be put into to the cache, before they are computed.
    #[inline(always)]
    fn prefetch<const ROWS: usize, const PANELS: usize>(&mut self, _row: usize, _panel: usize) {}

    /// Takes the sums of a row in some panels, from `panel` on.
    fn put<const PANELS: usize, const VECTORS: usize>(
        &mut self,
        simd: S,
        row: usize,
        panel: usize,
        sums: [[S::f32s; VECTORS]; PANELS],
    );
}

/// Multiplies rows with all panels.
///
/// `row` returns the values of a row, at least as many as a panel has lines. `out` has a line for each panel of each row; with
/// `add`, the products are added to it. The terms of a sum keep their order for any number of rows.
#[inline(always)]
pub fn multiply<'a, S: Simd>(
    simd: S,
    rows: usize,
    row: impl Fn(usize) -> &'a [f32],
    weights: Panels,
    out: &mut [Line],
    add: bool,
) {
    multiply_into(simd, rows, row, Adjacent, weights, &mut Sums { out, stride: weights.count, add });
}

/// The same with values at these places of a row, and with sums that go elsewhere from the registers.
#[inline(always)]
pub fn multiply_into<'a, S: Simd>(
    simd: S,
    rows: usize,
    row: impl Fn(usize) -> &'a [f32],
    places: impl Places,
    weights: Panels,
    sink: &mut impl Sink<S>,
) {
    macro_rules! panels {
        ($vectors:literal: $first:expr, $panels:literal by $($rows:literal),+) => {{
            let mut done = 0;
            while done < rows {
                $(if rows - done >= $rows {
                    block::<S, _, $rows, $panels, $vectors>(simd, rows, [done, $first], &row, places, weights, sink);
                    done += $rows;
                    continue;
                })+
            }
        }};
    }
    // The sums fill the registers, except a few for the factors.
    match COLUMNS / S::F32_LANES {
        1 => {
            for panel in (0..weights.count / 4 * 4).step_by(4) {
                panels!(1: panel, 4 by 6, 4, 2, 1);
            }
            for panel in (weights.count / 4 * 4..weights.count / 2 * 2).step_by(2) {
                panels!(1: panel, 2 by 8, 4, 2, 1);
            }
            for panel in weights.count / 2 * 2..weights.count {
                panels!(1: panel, 1 by 8, 2, 1);
            }
        }
        2 => {
            for panel in 0..weights.count {
                panels!(2: panel, 1 by 6, 4, 2, 1);
            }
        }
        4 => {
            for panel in 0..weights.count {
                panels!(4: panel, 1 by 6, 2, 1);
            }
        }
        _ => {
            for panel in 0..weights.count {
                panels!(16: panel, 1 by 1);
            }
        }
    }
}

/// Sums in memory: a line for each panel of each row.
pub(super) struct Sums<'a> {
    pub(super) out: &'a mut [Line],
    /// Lines from row to row.
    pub(super) stride: usize,
    /// Whether the sums are added to its values.
    pub(super) add: bool,
}

impl<S: Simd> Sink<S> for Sums<'_> {
    #[inline(always)]
    fn put<const PANELS: usize, const VECTORS: usize>(
        &mut self,
        simd: S,
        row: usize,
        panel: usize,
        sums: [[S::f32s; VECTORS]; PANELS],
    ) {
        let lines = &mut self.out[row * self.stride + panel..][..PANELS];
        let lines = S::as_mut_simd_f32s(lines.as_flattened_mut()).0.as_chunks_mut::<VECTORS>().0;
        let lines: &mut [[S::f32s; VECTORS]; PANELS] = lines.first_chunk_mut().expect("whole panels");
        for panel in 0..PANELS {
            for vector in 0..VECTORS {
                let sum = sums[panel][vector];
                lines[panel][vector] = if self.add { simd.add_f32s(lines[panel][vector], sum) } else { sum };
            }
        }
    }
}

/// Multiplies `ROWS` of all rows with `PANELS` panels, from the first ones on.
#[inline(always)]
fn block<'a, S: Simd, P: Places, const ROWS: usize, const PANELS: usize, const VECTORS: usize>(
    simd: S,
    rows: usize,
    [first_row, first_panel]: [usize; 2],
    row: &impl Fn(usize) -> &'a [f32],
    places: P,
    weights: Panels,
    sink: &mut impl Sink<S>,
) {
    let depth = weights.depth;
    // Slices of one length spare the bounds checks below.
    let mut values: [&[f32]; ROWS] = [&[]; ROWS];
    for index in 0..ROWS {
        values[index] = &row(first_row + index)[..places.end(depth)];
    }
    let mut panels: [&[[S::f32s; VECTORS]]; PANELS] = [&[]; PANELS];
    for index in 0..PANELS {
        let lines = weights.panel(first_panel + index).as_flattened();
        panels[index] = &S::as_simd_f32s(lines).0.as_chunks::<VECTORS>().0[..depth];
    }
    sink.prefetch::<ROWS, PANELS>(first_row, first_panel);
    let mut found = [[[simd.splat_f32s(0.0); VECTORS]; PANELS]; ROWS];
    macro_rules! add {
        ($index:expr, $row:ident, $panel:ident, $vector:ident, $value:ident, $line:ident, $sum:expr) => {
            let mut lines = [[simd.splat_f32s(0.0); VECTORS]; PANELS];
            for panel in 0..PANELS {
                lines[panel] = panels[panel][$index];
            }
            let place = places.of($index);
            for $row in 0..ROWS {
                let $value = simd.splat_f32s(values[$row][place]);
                for $panel in 0..PANELS {
                    for $vector in 0..VECTORS {
                        let $line = lines[$panel][$vector];
                        found[$row][$panel][$vector] = $sum;
                    }
                }
            }
        };
    }
    // The first terms are no sums with zero: the compiler would clear memory for the zeros of every block.
    add!(0, row, panel, vector, value, line, simd.mul_f32s(value, line));
    macro_rules! add_all {
        ($range:expr) => {
            for index in $range {
                add!(
                    index,
                    row,
                    panel,
                    vector,
                    value,
                    line,
                    simd.mul_add_e_f32s(value, line, found[row][panel][vector])
                );
            }
        };
    }
    if P::ARE_FAR {
        let mut next: [&[f32]; ROWS] = [&[]; ROWS];
        for index in 0..ROWS {
            next[index] = row((first_row + ROWS + index).min(rows - 1));
        }
        let mut first = 1;
        while first < depth {
            let end = depth.min(first + COLUMNS);
            for index in 0..ROWS {
                prefetch_read(next[index], places.of(first));
            }
            add_all!(first..end);
            first = end;
        }
    } else {
        add_all!(1..depth);
    }
    // Each row has a constant index. With a loop, the compiler would keep the sums in memory, and store them after every few terms.
    macro_rules! put {
        ($($index:literal),+) => {
            $(if $index < ROWS {
                sink.put(simd, first_row + $index, first_panel, found[$index]);
            })+
        };
    }
    put!(0, 1, 2, 3, 4, 5, 6, 7);
}
