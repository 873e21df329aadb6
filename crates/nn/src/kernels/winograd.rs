//! Winograd's minimal filtering algorithms (Lavin and Gray 2016, arXiv 1509.09308): convolutions with three taps along one axis
//! by few products. [`Winograd2d`](super::Winograd2d) applies one along both axes. The algorithms for stride 2 and for transposed
//! convolutions filter even and odd values separately.

use pulp::Simd;

/// The most inputs, products or outputs of a tile along an axis, over all algorithms.
pub const MOST: usize = 9;

/// Values of a tile along an axis, for a vector of channels.
pub type Values<S> = [<S as Simd>::f32s; MOST];

/// A minimal filtering algorithm along one axis. The patch of inputs and the weights are transformed, multiplied position by
/// position, and the products are transformed into the outputs of a tile. The transformations are additions and few factors.
pub trait Winograd: Copy + std::fmt::Debug + Send + Sync + 'static {
    /// Outputs of a tile.
    const OUTPUTS: usize;
    /// Inputs from tile to tile.
    const STEP: usize;
    /// Inputs that a tile depends on. The first is the one before the tile.
    const PATCH: usize;
    /// Products of a tile.
    const POSITIONS: usize;
    /// Distinct transformed weights.
    const WEIGHTS: usize;
    /// The factors of the three taps in each of them: the matrix G of the paper. Rows after the first [`WEIGHTS`](Self::WEIGHTS) are
    /// arbitrary.
    const FACTORS: [[f64; 3]; MOST];

    /// The transformed weight of a position.
    fn weight(position: usize) -> usize;
    /// Transforms the weights of three taps. Values after the first [`WEIGHTS`](Self::WEIGHTS) are arbitrary.
    #[inline(always)]
    fn weights([first, second, third]: [f64; 3]) -> [f64; MOST] {
        Self::FACTORS.map(|[a, b, c]| a * first + b * second + c * third)
    }
    /// Transforms the first [`PATCH`](Self::PATCH) values into the first [`POSITIONS`](Self::POSITIONS) ones.
    fn patch<S: Simd>(simd: S, inputs: Values<S>) -> Values<S>;
    /// Transforms the first [`POSITIONS`](Self::POSITIONS) values into the first [`OUTPUTS`](Self::OUTPUTS) ones.
    fn outputs<S: Simd>(simd: S, products: Values<S>) -> Values<S>;
}

/// A row of [factors](Winograd::FACTORS) after the last one.
const NONE: [f64; 3] = [0.0; 3];

/// The factors of the taps in the weight of a point.
const fn of_point(point: f64, divisor: f64) -> [f64; 3] {
    [1.0 / divisor, point / divisor, point * point / divisor]
}

/// `a + factor * b`.
#[inline(always)]
pub(super) fn more<S: Simd>(simd: S, a: S::f32s, factor: f32, b: S::f32s) -> S::f32s {
    simd.mul_add_e_f32s(simd.splat_f32s(factor), b, a)
}

/// Stride 1: F(4, 3) with the points 0, ±3/4, ±3/2 and infinity. Its rounding errors are a third of those of the usual points 0,
/// ±1, ±2.
#[derive(Clone, Copy, Debug)]
pub struct F43;

/// Its points, and their squares.
const A: f32 = 0.75;
const B: f32 = 1.5;
const A2: f32 = A * A;
const B2: f32 = B * B;

impl Winograd for F43 {
    const OUTPUTS: usize = 4;
    const STEP: usize = 4;
    const PATCH: usize = 6;
    const POSITIONS: usize = 6;
    const WEIGHTS: usize = 6;
    const FACTORS: [[f64; 3]; MOST] = {
        let (a, b) = (A as f64, B as f64);
        let (near, far) = (2.0 * a * a * (a * a - b * b), 2.0 * b * b * (b * b - a * a));
        [
            [1.0 / (a * a * b * b), 0.0, 0.0],
            of_point(a, near),
            of_point(-a, near),
            of_point(b, far),
            of_point(-b, far),
            [0.0, 0.0, 1.0],
            NONE,
            NONE,
            NONE,
        ]
    };

    fn weight(position: usize) -> usize {
        position
    }

    #[inline(always)]
    fn patch<S: Simd>(simd: S, [d0, d1, d2, d3, d4, d5, none, ..]: Values<S>) -> Values<S> {
        let (even, odd) = (more(simd, d4, -B2, d2), more(simd, d3, -B2, d1));
        let (even_far, odd_far) = (more(simd, d4, -A2, d2), more(simd, d3, -A2, d1));
        [
            more(simd, more(simd, d4, -(A2 + B2), d2), A2 * B2, d0),
            more(simd, even, A, odd),
            more(simd, even, -A, odd),
            more(simd, even_far, B, odd_far),
            more(simd, even_far, -B, odd_far),
            more(simd, more(simd, d5, -(A2 + B2), d3), A2 * B2, d1),
            none,
            none,
            none,
        ]
    }

    #[inline(always)]
    fn outputs<S: Simd>(simd: S, [m0, m1, m2, m3, m4, m5, none, ..]: Values<S>) -> Values<S> {
        let (near, near_odd) = (simd.add_f32s(m1, m2), simd.sub_f32s(m1, m2));
        let (far, far_odd) = (simd.add_f32s(m3, m4), simd.sub_f32s(m3, m4));
        // Products of the points' powers are exact.
        let (first, second) = (more(simd, near_odd, B / A, far_odd), more(simd, near, B2 / A2, far));
        let third = more(simd, near_odd, B2 * B / (A2 * A), far_odd);
        [
            simd.add_f32s(m0, simd.add_f32s(near, far)),
            simd.mul_f32s(simd.splat_f32s(A), first),
            simd.mul_f32s(simd.splat_f32s(A2), second),
            more(simd, m5, A2 * A, third),
            none,
            none,
            none,
            none,
            none,
        ]
    }
}

/// Stride 1: F(6, 3) with the points 0, ±1/2, ±1, ±2 and infinity. It has a fifth fewer products than [`F43`], and four times its rounding
/// errors. Its weights take 7.1 times the memory of the taps.
#[derive(Clone, Copy, Debug)]
pub struct F63;

/// The squares of its points except 0 and 1.
const C2: f32 = 0.25;
const D2: f32 = 4.0;

impl Winograd for F63 {
    const OUTPUTS: usize = 6;
    const STEP: usize = 6;
    const PATCH: usize = 8;
    const POSITIONS: usize = 8;
    const WEIGHTS: usize = 8;
    const FACTORS: [[f64; 3]; MOST] = {
        let (c, d) = (C2 as f64, D2 as f64);
        let (of_c, of_1, of_d) =
            (2.0 * c * (c - 1.0) * (c - d), 2.0 * (1.0 - c) * (1.0 - d), 2.0 * d * (d - c) * (d - 1.0));
        [
            [-1.0 / (c * d), 0.0, 0.0],
            of_point(0.5, of_c),
            of_point(-0.5, of_c),
            of_point(1.0, of_1),
            of_point(-1.0, of_1),
            of_point(2.0, of_d),
            of_point(-2.0, of_d),
            [0.0, 0.0, 1.0],
            NONE,
        ]
    };

    fn weight(position: usize) -> usize {
        position
    }

    #[inline(always)]
    fn patch<S: Simd>(simd: S, [d0, d1, d2, d3, d4, d5, d6, d7, none]: Values<S>) -> Values<S> {
        // The polynomial of two squares, and that of all three.
        let two = |low, middle, high, one: f32, other: f32| {
            more(simd, more(simd, high, -(one + other), middle), one * other, low)
        };
        let three = |low, lower, higher, high| {
            let sum = more(simd, more(simd, high, -(C2 + 1.0 + D2), higher), C2 + D2 + C2 * D2, lower);
            more(simd, sum, -(C2 * D2), low)
        };
        let (even_c, odd_c) = (two(d2, d4, d6, 1.0, D2), two(d1, d3, d5, 1.0, D2));
        let (even_1, odd_1) = (two(d2, d4, d6, C2, D2), two(d1, d3, d5, C2, D2));
        let (even_d, odd_d) = (two(d2, d4, d6, C2, 1.0), two(d1, d3, d5, C2, 1.0));
        [
            three(d0, d2, d4, d6),
            more(simd, even_c, 0.5, odd_c),
            more(simd, even_c, -0.5, odd_c),
            simd.add_f32s(even_1, odd_1),
            simd.sub_f32s(even_1, odd_1),
            more(simd, even_d, 2.0, odd_d),
            more(simd, even_d, -2.0, odd_d),
            three(d1, d3, d5, d7),
            none,
        ]
    }

    #[inline(always)]
    fn outputs<S: Simd>(simd: S, [m0, m1, m2, m3, m4, m5, m6, m7, none]: Values<S>) -> Values<S> {
        let (even_c, odd_c) = (simd.add_f32s(m1, m2), simd.sub_f32s(m1, m2));
        let (even_1, odd_1) = (simd.add_f32s(m3, m4), simd.sub_f32s(m3, m4));
        let (even_d, odd_d) = (simd.add_f32s(m5, m6), simd.sub_f32s(m5, m6));
        let sum = |c, one, d, of_c: f32, of_d: f32| more(simd, more(simd, one, of_c, c), of_d, d);
        [
            simd.add_f32s(m0, simd.add_f32s(even_c, simd.add_f32s(even_1, even_d))),
            sum(odd_c, odd_1, odd_d, 0.5, 2.0),
            sum(even_c, even_1, even_d, C2, D2),
            sum(odd_c, odd_1, odd_d, 0.5 * C2, 2.0 * D2),
            sum(even_c, even_1, even_d, C2 * C2, D2 * D2),
            simd.add_f32s(m7, sum(odd_c, odd_1, odd_d, 0.5 * C2 * C2, 2.0 * D2 * D2)),
            none,
            none,
            none,
        ]
    }
}

/// Stride 1: F(2, 3) with the points 0, ±1 and infinity. Its weights take less than half the memory of those of [`F43`].
#[derive(Clone, Copy, Debug)]
pub struct F23;

impl Winograd for F23 {
    const OUTPUTS: usize = 2;
    const STEP: usize = 2;
    const PATCH: usize = 4;
    const POSITIONS: usize = 4;
    const WEIGHTS: usize = 4;
    const FACTORS: [[f64; 3]; MOST] =
        [[1.0, 0.0, 0.0], of_point(1.0, 2.0), of_point(-1.0, 2.0), [0.0, 0.0, 1.0], NONE, NONE, NONE, NONE, NONE];

    fn weight(position: usize) -> usize {
        position
    }

    #[inline(always)]
    fn patch<S: Simd>(simd: S, [d0, d1, d2, d3, none, ..]: Values<S>) -> Values<S> {
        let (a, b) = (simd.sub_f32s(d0, d2), simd.add_f32s(d1, d2));
        let (c, d) = (simd.sub_f32s(d2, d1), simd.sub_f32s(d3, d1));
        [a, b, c, d, none, none, none, none, none]
    }

    #[inline(always)]
    fn outputs<S: Simd>(simd: S, [m0, m1, m2, m3, none, ..]: Values<S>) -> Values<S> {
        let (sum, difference) = (simd.add_f32s(m1, m2), simd.sub_f32s(m1, m2));
        [simd.add_f32s(m0, sum), simd.add_f32s(difference, m3), none, none, none, none, none, none, none]
    }
}

/// Stride 2: an output is the sum of two odd inputs times the outer taps, by F(2, 2) with the points 0, 1 and infinity, and of an
/// even input times the middle tap.
#[derive(Clone, Copy, Debug)]
pub struct Stride2;

impl Winograd for Stride2 {
    const OUTPUTS: usize = 2;
    const STEP: usize = 4;
    const PATCH: usize = 5;
    const POSITIONS: usize = 5;
    const WEIGHTS: usize = 4;
    const FACTORS: [[f64; 3]; MOST] =
        [[1.0, 0.0, 0.0], [1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0], NONE, NONE, NONE, NONE, NONE];

    fn weight(position: usize) -> usize {
        position.min(3)
    }

    #[inline(always)]
    fn patch<S: Simd>(simd: S, [d0, d1, d2, d3, d4, none, ..]: Values<S>) -> Values<S> {
        [simd.sub_f32s(d0, d2), d2, simd.sub_f32s(d4, d2), d1, d3, none, none, none, none]
    }

    #[inline(always)]
    fn outputs<S: Simd>(simd: S, [m0, m1, m2, m3, m4, none, ..]: Values<S>) -> Values<S> {
        let first = simd.add_f32s(simd.add_f32s(m0, m1), m3);
        [first, simd.add_f32s(simd.add_f32s(m1, m2), m4), none, none, none, none, none, none, none]
    }
}

/// The same by F(4, 2) with the points 0, ±1, 2 and infinity. It has a fifth fewer products than [`Stride2`]. Its weights take four times the
/// memory of the taps.
#[derive(Clone, Copy, Debug)]
pub struct Stride2F42;

impl Winograd for Stride2F42 {
    const OUTPUTS: usize = 4;
    const STEP: usize = 8;
    const PATCH: usize = 9;
    const POSITIONS: usize = 9;
    const WEIGHTS: usize = 6;
    const FACTORS: [[f64; 3]; MOST] = [
        [0.5, 0.0, 0.0],
        [-0.5, 0.0, -0.5],
        [-1.0 / 6.0, 0.0, 1.0 / 6.0],
        [1.0 / 6.0, 0.0, 1.0 / 3.0],
        [0.0, 0.0, 1.0],
        [0.0, 1.0, 0.0],
        NONE,
        NONE,
        NONE,
    ];

    fn weight(position: usize) -> usize {
        position.min(5)
    }

    #[inline(always)]
    fn patch<S: Simd>(simd: S, [d0, d1, d2, d3, d4, d5, d6, d7, d8]: Values<S>) -> Values<S> {
        // d0, d2 and so on lie under the outer taps, the others under the middle one.
        let (low, high) = (simd.sub_f32s(d6, d2), simd.sub_f32s(d8, d4));
        [
            more(simd, low, 2.0, simd.sub_f32s(d0, d4)),
            more(simd, simd.sub_f32s(d6, d4), -2.0, d2),
            more(simd, more(simd, d6, -3.0, d4), 2.0, d2),
            low,
            more(simd, high, -2.0, low),
            d1,
            d3,
            d5,
            d7,
        ]
    }

    #[inline(always)]
    fn outputs<S: Simd>(simd: S, [m0, m1, m2, m3, m4, m5, m6, m7, m8]: Values<S>) -> Values<S> {
        let (sum, difference) = (simd.add_f32s(m1, m2), simd.sub_f32s(m1, m2));
        let last = simd.add_f32s(more(simd, difference, 8.0, m3), m4);
        [
            simd.add_f32s(simd.add_f32s(simd.add_f32s(m0, sum), m3), m5),
            simd.add_f32s(more(simd, difference, 2.0, m3), m6),
            simd.add_f32s(more(simd, sum, 4.0, m3), m7),
            simd.add_f32s(last, m8),
            m8,
            m8,
            m8,
            m8,
            m8,
        ]
    }
}

/// Transposed with stride 2: even outputs are sums of two inputs times the outer taps, by F(3, 2) with the points 0, ±1 and
/// infinity. Odd outputs are inputs times the middle tap.
#[derive(Clone, Copy, Debug)]
pub struct Transposed;

impl Winograd for Transposed {
    const OUTPUTS: usize = 6;
    const STEP: usize = 3;
    const PATCH: usize = 4;
    const POSITIONS: usize = 7;
    const WEIGHTS: usize = 5;
    const FACTORS: [[f64; 3]; MOST] =
        [[0.0, 0.0, -1.0], [0.5, 0.0, 0.5], [-0.5, 0.0, 0.5], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], NONE, NONE, NONE, NONE];

    fn weight(position: usize) -> usize {
        position.min(4)
    }

    #[inline(always)]
    fn patch<S: Simd>(simd: S, [d0, d1, d2, d3, ..]: Values<S>) -> Values<S> {
        let (a, b) = (simd.sub_f32s(d2, d0), simd.add_f32s(d1, d2));
        let (c, d) = (simd.sub_f32s(d2, d1), simd.sub_f32s(d3, d1));
        [a, b, c, d, d1, d2, d3, d3, d3]
    }

    #[inline(always)]
    fn outputs<S: Simd>(simd: S, [m0, m1, m2, m3, m4, m5, m6, none, _]: Values<S>) -> Values<S> {
        let (sum, difference) = (simd.add_f32s(m1, m2), simd.sub_f32s(m1, m2));
        [simd.add_f32s(m0, sum), m4, difference, m5, simd.add_f32s(sum, m3), m6, none, none, none]
    }
}
