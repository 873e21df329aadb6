//! The threat model: every test that it names exists.

use std::fs;
use std::path::Path;

use crate::{read, repository};

/// The tests that a document names in its tables: file and function.
fn named(document: &str) -> Vec<(String, String)> {
    let rows = document.lines().filter(|line| line.starts_with("| ") && line.contains(".rs` `"));
    let last = rows.filter_map(|row| row.trim_end_matches(" |").rsplit_once("| "));
    let code = last.map(|(_, cell)| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>());
    code.map(|words| (words[0].clone(), words[1].clone())).collect()
}

/// Whether a file has a test of this name.
fn exists(file: &str, name: &str) -> bool {
    let Ok(source) = fs::read_to_string(repository().join(file)) else { return false };
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let is_test = |at: usize| lines[at.saturating_sub(3)..at].iter().any(|line| line.contains("test"));
    lines.iter().enumerate().any(|(at, line)| line.contains(&format!("fn {name}(")) && is_test(at))
}

#[test]
fn every_attack_has_a_test() {
    let document = read(Path::new("docs/threat-model.md"));
    let rows = document.lines().filter(|line| line.starts_with("| ") && line.matches(" | ").count() == 2);
    let attacks = rows.filter(|line| !line.starts_with("| attack |")).count();
    let tests = named(&document);
    assert!(attacks > 20 && tests.len() == attacks, "{attacks} attacks, {} tests", tests.len());
    for (file, name) in tests {
        assert!(exists(&file, &name), "{file} has no test {name}");
    }
    assert!(!exists("container/tests/contract.rs", "nothing_of_this_name"));
    // A function that is no test does not count.
    assert!(!exists("container/tests/contract.rs", "slow"));
}
