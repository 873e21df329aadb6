//! What reading and writing found wrong or had to leave out.

use std::fmt;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;

/// The most faults that are kept with their places. All are counted.
const MAX_FAULTS: usize = 1000;
/// The most bytes of a fault's text. A file decides parts of it.
const MAX_TEXT: usize = 300;

/// A record that cannot be read. It is passed over, and the others are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// What the place in the file counts, such as `line` or `byte`, and the place.
    pub at: Option<(&'static str, u64)>,
    /// What is wrong.
    pub reason: String,
}

/// Faults of the input, and what was left out because a format cannot hold it.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    faults: Vec<Fault>,
    fault_count: u64,
    losses: IndexMap<String, u64>,
}

impl Findings {
    /// Notes a record that cannot be read.
    pub fn fault(&mut self, file: &Path, at: Option<(&'static str, u64)>, reason: impl Into<String>) {
        self.fault_count += 1;
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault { file: file.to_owned(), at, reason: shortened(reason.into()) });
        }
    }

    /// Notes `count` things that are left out or changed. `what` follows a number: `boxes are no whole pixels: rounded`.
    pub fn loss(&mut self, what: &str, count: usize) {
        if count > 0 {
            match self.losses.get_mut(what) {
                Some(known) => *known += count as u64,
                None => drop(self.losses.insert(what.to_owned(), count as u64)),
            }
        }
    }

    /// The first thousand faults.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The number of all faults.
    #[must_use]
    pub fn fault_count(&self) -> u64 {
        self.fault_count
    }

    /// What was left out or changed, each with its number.
    pub fn losses(&self) -> impl Iterator<Item = (&str, u64)> {
        self.losses.iter().map(|(what, count)| (what.as_str(), *count))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((what, place)) = self.at {
            write!(f, ", {what} {place}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// Cuts a text that a file made long.
fn shortened(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text.push('…');
    }
    text
}
