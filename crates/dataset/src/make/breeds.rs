//! Classes with the names of breeds. As in the Oxford-IIIT pets, the names of cats begin with a capital letter.

/// The names.
pub const BREEDS: [&str; 12] = [
    "Bengal",
    "Sphynx",
    "american_bulldog",
    "great_pyrenees",
    "pug",
    "Maine_Coon",
    "beagle",
    "Russian_Blue",
    "shiba_inu",
    "Egyptian_Mau",
    "saint_bernard",
    "Birman",
];

/// The hue of a class on a circle of 0 to 6: red, yellow, green, cyan, blue, magenta. Classes of one shape have opposite hues.
pub(super) fn hue(class: usize) -> f64 {
    let step = 6.0 / BREEDS.len() as f64;
    (step * (class * 7 % BREEDS.len()) as f64) % 6.0
}

/// The colour of a hue, with channels of `low` to `high`.
pub(super) fn colour(hue: f64, low: f64, high: f64) -> [f64; 3] {
    let channel = |centre: f64| {
        let apart = (hue - centre).abs();
        let apart = apart.min(6.0 - apart);
        low + (high - low) * (2.0 - apart).clamp(0.0, 1.0)
    };
    [channel(0.0), channel(2.0), channel(4.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_breed_has_a_hue_of_its_own() {
        let mut hues: Vec<f64> = (0..BREEDS.len()).map(hue).collect();
        hues.sort_by(f64::total_cmp);
        assert!(hues.windows(2).all(|pair| pair[1] - pair[0] > 0.4), "{hues:?}");
        assert_eq!(colour(0.0, 20.0, 220.0), [220.0, 20.0, 20.0]);
        assert_eq!(colour(3.0, 20.0, 220.0), [20.0, 220.0, 220.0]);
        assert_eq!(colour(5.5, 20.0, 220.0), [220.0, 20.0, 120.0]);
    }
}
