//! How long `up` keeps what it is given.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use local_cloud::Expiration;

use super::OUTPUT_BUCKET;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// The longest time that can be named: ten years.
const LONGEST: u64 = 3650 * DAY;

/// How long strips are kept. The pictures that are cut from them stay with their job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StripRetention {
    /// For this many seconds, which are whole hours.
    Seconds(u64),
    /// As long as the job.
    Job,
}

impl Default for StripRetention {
    /// A day.
    fn default() -> Self {
        Self::Seconds(DAY)
    }
}

impl StripRetention {
    /// What is deleted when it is old enough.
    pub(super) fn expirations(self) -> Vec<Expiration> {
        match self {
            Self::Job => Vec::new(),
            Self::Seconds(seconds) => vec![Expiration {
                bucket: OUTPUT_BUCKET.to_owned(),
                prefix: "images/".to_owned(),
                suffix: "/strip.npy".to_owned(),
                after: Duration::from_secs(seconds),
            }],
        }
    }
}

impl FromStr for StripRetention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "job" {
            return Ok(Self::Job);
        }
        let unit = match text.chars().last() {
            Some('h') => HOUR,
            Some('d') => DAY,
            _ => 0,
        };
        let count = text.get(..text.len().saturating_sub(1)).and_then(|count| count.parse::<u64>().ok());
        match count.and_then(|count| count.checked_mul(unit)) {
            Some(seconds) if (HOUR..=LONGEST).contains(&seconds) => Ok(Self::Seconds(seconds)),
            _ => Err("hours such as 12h, days such as 7d, or job would work, for ten years at most".to_owned()),
        }
    }
}

impl fmt::Display for StripRetention {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job => formatter.write_str("job"),
            Self::Seconds(seconds) if seconds % DAY == 0 => write!(formatter, "{}d", seconds / DAY),
            Self::Seconds(seconds) => write!(formatter, "{}h", seconds / HOUR),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for (text, parsed) in [
            ("1d", StripRetention::default()),
            ("12h", StripRetention::Seconds(12 * HOUR)),
            ("job", StripRetention::Job),
            ("3650d", StripRetention::Seconds(LONGEST)),
        ] {
            assert_eq!(text.parse(), Ok(parsed));
            assert_eq!(parsed.to_string(), text);
        }
        assert_eq!("48h".parse(), "2d".parse::<StripRetention>());
        for wrong in ["", "h", "0h", "1", "1w", "-1d", "3651d", "99999999999999999999d", "é"] {
            assert!(wrong.parse::<StripRetention>().unwrap_err().contains("12h"), "{wrong}");
        }
    }
}
