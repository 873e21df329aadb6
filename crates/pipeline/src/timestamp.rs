use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment in UTC, to the millisecond. Written `2026-11-21T13:08:00.123Z`, so its text sorts as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment so many milliseconds after 1970.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// The moment so many seconds later (or earlier, if negative).
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1000)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(moment) => write!(formatter, "{moment:.3}"),
            Err(_) => write!(formatter, "{} ms", self.0),
        }
    }
}

/// A text that is no moment.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is no moment: 2026-11-21T13:08:00.123Z would be one")]
pub struct TimestampError {
    /// Its beginning: what comes from elsewhere may be long.
    text: String,
    #[source]
    source: jiff::Error,
}

impl std::str::FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let refused = |source| TimestampError { text: text.chars().take(40).collect(), source };
        Ok(Self(text.parse::<jiff::Timestamp>().map_err(refused)?.as_millisecond()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_moment_is_quoted_but_not_at_length() {
        let error = format!("2022-01-10{}", "\x1d".repeat(200)).parse::<Timestamp>().unwrap_err().to_string();
        assert!(error.starts_with("\"2022-01-10") && error.len() < 400, "{error}");
    }

    #[test]
    fn writes_milliseconds_always() {
        let moment = Timestamp::from_millis(1_795_266_480_120);
        assert_eq!(moment.to_string(), "2026-11-21T13:08:00.120Z");
        assert_eq!(moment.to_string().parse::<Timestamp>().unwrap(), moment);
        assert_eq!(Timestamp::from_millis(0).plus_seconds(1).to_string(), "1970-01-01T00:00:01.000Z");
    }
}
