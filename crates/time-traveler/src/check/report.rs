use serde_json::{Value, json};

/// What was found, rule by rule.
pub(super) struct Report {
    rules: Vec<Rule>,
    /// Whether rules are told as they are found.
    lines: bool,
}

struct Rule {
    name: &'static str,
    kept: bool,
    seen: String,
}

impl Report {
    pub(super) fn new(lines: bool) -> Self {
        Self { rules: Vec::new(), lines }
    }

    /// What was seen of a rule: `Ok` if it is kept. Answers whether it is.
    pub(super) fn rule(&mut self, name: &'static str, found: Result<String, String>) -> bool {
        let kept = found.is_ok();
        let (Ok(seen) | Err(seen)) = found;
        // A line is a line, whatever a server says.
        let seen: String = seen.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
        if self.lines {
            println!("{}  {name:<18} {seen}", if kept { "ok  " } else { "FAIL" });
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

    pub(super) fn json(&self) -> Value {
        let rules = self.rules.iter().map(|Rule { name, kept, seen }| json!({"rule": name, "ok": kept, "seen": seen}));
        json!({"ok": self.failed() == 0, "rules": rules.collect::<Vec<_>>()})
    }
}
