//! What a start found damaged, and what it did about it.

use std::fmt;
use std::path::PathBuf;

/// The most objects that are named.
const NAMED: usize = 20;

/// What a start found damaged, and what it did about it. Empty after a stop, a kill, and a power cut on a disk that keeps its promises.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The databases that are older than they had been, with what shows it.
    pub damage: Vec<String>,
    /// The objects whose bytes are gone, as `bucket/key`. They are no longer listed.
    pub lost: Vec<String>,
    /// The number of files with bytes that belong to no known object.
    pub kept: usize,
    /// The folder that they are kept in.
    pub quarantine: PathBuf,
    /// The number of objects that were announced again, so that functions make again what is missing.
    pub announced: usize,
}

impl Recovery {
    /// Whether nothing was damaged.
    pub fn is_empty(&self) -> bool {
        self.damage.is_empty() && self.lost.is_empty() && self.kept == 0
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<String> =
            self.damage.iter().map(|damage| format!("{damage}: the last changes may be lost")).collect();
        lines.extend(self.lost.iter().take(NAMED).map(|object| format!("lost: the bytes of {object}")));
        if self.lost.len() > NAMED {
            lines.push(format!("lost: the bytes of {} more objects", self.lost.len() - NAMED));
        }
        if self.kept > 0 {
            lines.push(format!(
                "{} files that belong to no known object are kept in {}",
                self.kept,
                self.quarantine.display()
            ));
        }
        if self.announced > 0 {
            lines
                .push(format!("{} objects are announced again, so that what is missing is made again", self.announced));
        }
        f.write_str(&lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_one_line_each() {
        let lost = (0..22).map(|number| format!("b/{number}")).collect();
        let damage = vec!["journal.db-wal is missing".to_owned()];
        let found = Recovery { damage, lost, kept: 3, quarantine: "s3/quarantine".into(), announced: 5 };
        let text = found.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 24);
        assert_eq!(lines[0], "journal.db-wal is missing: the last changes may be lost");
        assert_eq!(lines[20..22], ["lost: the bytes of b/19", "lost: the bytes of 2 more objects"]);
        assert_eq!(lines[22], "3 files that belong to no known object are kept in s3/quarantine");
        assert!(Recovery::default().is_empty() && !found.is_empty());
    }
}
