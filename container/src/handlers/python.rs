//! Numbers in the notation of Python.

/// Numbers from here on are written with an exponent.
const LARGE: f64 = 1e16;
/// Numbers below this too.
const SMALL: f64 = 1e-4;

/// A number as Python's `repr` writes it. Python has numbers of 64 bits only, so callers widen those of 32 bits. JSON has no number
/// that is not finite: it becomes `null`.
pub(super) fn float(value: f64) -> String {
    if !value.is_finite() {
        return "null".to_owned();
    }
    let size = value.abs();
    if value == 0.0 || (SMALL..LARGE).contains(&size) {
        let text = value.to_string();
        return if text.contains('.') { text } else { format!("{text}.0") };
    }
    let text = format!("{value:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_python() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (3.0, "3.0"),
            (f64::from(0.908_199_1_f32), "0.9081990718841553"),
            (f64::from(1e-8_f32), "9.99999993922529e-09"),
            (9.99e-6, "9.99e-06"),
            (0.0001, "0.0001"),
            (0.00009, "9e-05"),
            (123_456_789_012_345.0, "123456789012345.0"),
            (1e16, "1e+16"),
            (-2.5, "-2.5"),
            (1e-120, "1e-120"),
            (f64::NAN, "null"),
            (f64::NEG_INFINITY, "null"),
        ] {
            assert_eq!(float(value), text);
        }
    }
}
