//! The tables of SageMaker's rules: every test that they name exists.

use std::fs;
use std::path::{Path, PathBuf};

/// The files that begin with a table, and how many rules each has at least.
const TABLES: [(&str, usize); 2] = [("tests/training/main.rs", 28), ("tests/sagemaker/transform.rs", 29)];

/// What a rule names: a test by its whole name, or by its beginning; or a file with tests.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    Test(String),
    Beginning(String),
    File(String),
}

/// The last cell of each row of a table.
fn rules(source: &str) -> Vec<Vec<Named>> {
    let rows = source.lines().filter_map(|line| line.strip_prefix("//! | ")?.strip_suffix(" |"));
    let rows = rows.filter(|row| row.as_bytes()[1].is_ascii_digit());
    let cell = |row: &str| row.rsplit_once(" | ").unwrap().1.to_owned();
    let words = |cell: String| cell.split('`').skip(1).step_by(2).map(named).collect();
    rows.map(|row| words(cell(row))).collect()
}

fn named(word: &str) -> Named {
    match (word.strip_suffix('…'), word.contains('/') || !word.contains('_')) {
        (Some(beginning), _) => Named::Beginning(beginning.to_owned()),
        (None, true) => Named::File(format!("{word}.rs")),
        (None, false) => Named::Test(word.to_owned()),
    }
}

/// The sources of the crate and their texts.
fn sources() -> Vec<(PathBuf, String)> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

fn exists(sources: &[(PathBuf, String)], named: &Named) -> bool {
    let is_test = |text: &str, beginning: &str| {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let at = |(at, line): (usize, &&str)| line.contains(beginning) && lines[at.saturating_sub(1)].contains("test");
        lines.iter().enumerate().any(at)
    };
    sources.iter().any(|(path, text)| match named {
        Named::Test(name) => is_test(text, &format!("fn {name}(")),
        Named::Beginning(name) => is_test(text, &format!("fn {name}")),
        Named::File(file) => path.ends_with(file) && (text.contains("#[test]") || text.contains("#[tokio::test")),
    })
}

#[test]
fn every_rule_of_a_table_has_a_test() {
    let sources = sources();
    for (file, least) in TABLES {
        let rules = rules(&fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap());
        assert!(rules.len() >= least, "{file} has {} rules", rules.len());
        for (number, rule) in rules.iter().enumerate() {
            assert!(!rule.is_empty(), "rule {} of {file} names no test", number + 1);
            for named in rule {
                assert!(exists(&sources, named), "rule {} of {file}: there is no {named:?}", number + 1);
            }
        }
    }
    for missing in ["nothing_of_this_name", "no_test…", "no/such/file"] {
        assert!(!exists(&sources, &named(missing)), "{missing}");
    }
    // A function that is no test does not count.
    assert!(!exists(&sources, &named("every_rule")) && !exists(&sources, &named("is_test")));
}
