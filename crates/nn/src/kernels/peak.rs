//! The floating-point peak of this machine, as a reference for the kernels' speed.

use std::hint::black_box;
use std::time::Instant;

use pulp::{Arch, Simd, WithSimd};

/// Independent chains of multiplications, enough to hide their latency.
const CHAINS: usize = 12;
const STEPS: usize = 20_000_000;

/// Measures the most floating-point operations of all cores per second: fused multiply-adds on registers alone, each of which
/// counts as two operations.
pub fn peak_operations() -> f64 {
    let start = Instant::now();
    let operations = rayon::broadcast(|_| Arch::new().dispatch(Chains));
    operations.into_iter().sum::<f64>() / start.elapsed().as_secs_f64()
}

struct Chains;

impl WithSimd for Chains {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let (factor, addend) = (simd.splat_f32s(black_box(0.999)), simd.splat_f32s(black_box(0.001)));
        let mut chains = [addend; CHAINS];
        let steps = STEPS * 8 / S::F32_LANES.max(8);
        for _ in 0..steps {
            for chain in &mut chains {
                *chain = simd.mul_add_e_f32s(factor, *chain, addend);
            }
        }
        black_box(chains.map(|chain| simd.reduce_sum_f32s(chain)));
        (2 * CHAINS * steps * S::F32_LANES) as f64
    }
}
