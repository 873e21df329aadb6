use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A time in UTC, to the millisecond. Its text, `2026-11-21T13:08:00.123Z`, sorts in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time in milliseconds since 1970.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// The time `seconds` later, or earlier if negative.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1000)))
    }

    /// This time, or the millisecond after `previous` if that is later: the clock may have been set back.
    #[must_use]
    pub fn later_than(self, previous: Self) -> Self {
        Self(self.0.max(previous.0.saturating_add(1)))
    }

    /// This time, or a millisecond later if it is `previous`: a record that is written again differs from the one before.
    #[must_use]
    pub fn other_than(self, previous: Self) -> Self {
        Self(self.0.saturating_add(i64::from(self == previous)))
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

/// The text is not a timestamp.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not a timestamp: one such as 2026-11-21T13:08:00.123Z would work")]
pub struct TimestampError {
    /// Only its beginning, since a text from outside may be long.
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
    fn an_error_quotes_only_the_beginning() {
        let error = format!("2022-01-10{}", "\x1d".repeat(200)).parse::<Timestamp>().unwrap_err().to_string();
        assert!(error.starts_with("\"2022-01-10") && error.len() < 400, "{error}");
    }

    #[test]
    fn always_writes_milliseconds() {
        let moment = Timestamp::from_millis(1_795_266_480_120);
        assert_eq!(moment.to_string(), "2026-11-21T13:08:00.120Z");
        assert_eq!(moment.to_string().parse::<Timestamp>().unwrap(), moment);
        assert_eq!(Timestamp::from_millis(0).plus_seconds(1).to_string(), "1970-01-01T00:00:01.000Z");
    }
}
