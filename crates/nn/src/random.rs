//! Random numbers that follow from a seed.

/// A sequence of random numbers by SplitMix64 (Steele et al. 2014). It is the same for one seed, on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The sequence of a part of something seeded: the third picture of the second epoch, say. Parts differ from each other, and
    /// do not depend on the order in which they are used.
    pub fn of(seed: u64, parts: &[u64]) -> Self {
        Self(parts.iter().fold(seed, |seed, part| Self(seed ^ part.wrapping_mul(0xd134_2543_de82_ef95)).bits()))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number of 0 to 1, without 1.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number of a range, without its end.
    pub fn between(&mut self, start: f64, end: f64) -> f64 {
        start + (end - start) * self.uniform()
    }

    /// A whole number below `count`, which is not 0.
    pub fn below(&mut self, count: usize) -> usize {
        // The bias is less than `count` in 2^64.
        ((u128::from(self.bits()) * count as u128) >> 64) as usize
    }

    /// A number of the normal distribution of mean 0 and variance 1, by the transform of Box and Muller (1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// A number of the gamma distribution of this shape and scale 1 (Marsaglia and Tsang 2000).
    pub fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let power = self.uniform().powf(1.0 / shape);
            return self.gamma(shape + 1.0) * power;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && (1.0 - self.uniform()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }

    /// A number of the beta distribution with both parameters `alpha`.
    pub fn beta(&mut self, alpha: f64) -> f64 {
        let [first, second] = [self.gamma(alpha), self.gamma(alpha)];
        // Both are 0 only where `alpha` is tiny.
        if first + second > 0.0 { first / (first + second) } else { f64::from(u8::from(self.uniform() < 0.5)) }
    }

    /// Shuffles items (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let values: Vec<f64> = (0..20_000).map(|_| draw()).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64)
    }

    #[test]
    fn distributions_have_their_means_and_variances() {
        let close = |(mean, variance): (f64, f64), expected: (f64, f64)| {
            assert!((mean - expected.0).abs() < 0.02 && (variance - expected.1).abs() < 0.02, "{mean} {variance}");
        };
        let mut random = Random::new(7);
        close(moments(|| random.uniform()), (0.5, 1.0 / 12.0));
        close(moments(|| random.normal()), (0.0, 1.0));
        close(moments(|| random.beta(0.4)), (0.5, 1.0 / (4.0 * 1.8)));
        close(moments(|| random.below(3) as f64), (1.0, 2.0 / 3.0));
    }

    #[test]
    fn parts_differ_and_a_shuffle_keeps_all_items() {
        let parts = [[0, 0], [0, 1], [1, 0]].map(|parts| Random::of(3, &parts).bits());
        assert!(parts[0] != parts[1] && parts[1] != parts[2] && parts[0] != parts[2]);
        let mut items: Vec<usize> = (0..50).collect();
        Random::new(1).shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
