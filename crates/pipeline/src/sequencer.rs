use serde::{Deserialize, Serialize};

/// The place of an S3 event among the events of its key. A later event has a greater sequencer.
///
/// S3 writes it as hex digits of varying length. They compare after the shorter one is padded on the right with zeros
/// (*Event message structure*, Amazon S3 User Guide). The digits are stored padded, so that DynamoDB can compare them as
/// strings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequencer(String);

impl Sequencer {
    const WIDTH: usize = 40;

    /// The sequencer of an event, in upper or lower case.
    pub fn new(hex: &str) -> Self {
        let digits = hex.trim().to_ascii_uppercase();
        Self(format!("{:0<width$}", digits.trim_end_matches('0'), width = Self::WIDTH))
    }

    /// The padded digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digits without the padding, for object keys.
    pub fn short(&self) -> &str {
        match self.0.trim_end_matches('0') {
            "" => "0",
            short => short,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_is_the_same_sequencer() {
        for digits in ["0", "10", "0055AED6DCD90281E50", &"A0".repeat(30)] {
            let sequencer = Sequencer::new(digits);
            assert_eq!(Sequencer::new(sequencer.short()), sequencer, "{digits}");
        }
    }

    #[test]
    fn orders_as_s3_documents() {
        assert!(Sequencer::new("0055AED6DCD90281E5") < Sequencer::new("0055AED6DCD90281E6"));
        assert!(Sequencer::new("0055AED6DCD9") < Sequencer::new("0055AED6DCD90281E5"));
        assert_eq!(Sequencer::new("00ab"), Sequencer::new("00AB000"));
        assert_eq!(Sequencer::new("00AB").short(), "00AB");
        assert_eq!(Sequencer::new("").short(), "0");
    }
}
