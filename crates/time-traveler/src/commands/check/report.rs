//! The rules of the contract, and whether a server keeps them.

use serde_json::{Value, json};

pub(super) struct Report {
    rules: Vec<Rule>,
    /// Whether each rule is printed when it has been checked.
    lines: bool,
    /// The first failure to print a rule.
    printed: anyhow::Result<()>,
}

struct Rule {
    name: &'static str,
    kept: bool,
    seen: String,
}

impl Report {
    pub(super) fn new(lines: bool) -> Self {
        Self { rules: Vec::new(), lines, printed: Ok(()) }
    }

    /// Adds a rule, `Ok` if it is kept, with what was seen of it. Returns whether it is kept.
    pub(super) fn rule(&mut self, name: &'static str, found: Result<String, String>) -> bool {
        let kept = found.is_ok();
        let (Ok(seen) | Err(seen)) = found;
        // A server's text must not break the line.
        let seen: String = seen.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
        if self.lines && self.printed.is_ok() {
            self.printed = print_line!("{}  {name:<18} {seen}", if kept { "ok  " } else { "FAIL" });
        }
        self.rules.push(Rule { name, kept, seen });
        kept
    }

    pub(super) fn len(&self) -> usize {
        self.rules.len()
    }

    pub(super) fn failed(&self) -> usize {
        self.rules.iter().filter(|rule| !rule.kept).count()
    }

    /// Whether all rules could be printed.
    pub(super) fn printed(self) -> anyhow::Result<()> {
        self.printed
    }

    pub(super) fn json(&self) -> Value {
        let rules = self.rules.iter().map(|Rule { name, kept, seen }| json!({"rule": name, "ok": kept, "seen": seen}));
        json!({"ok": self.failed() == 0, "rules": rules.collect::<Vec<_>>()})
    }
}
