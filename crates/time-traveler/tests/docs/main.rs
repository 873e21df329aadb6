//! The documents: that their commands run, that their links lead somewhere, and that the reference of the command line is
//! up to date.
//!
//! `DOCS=docs/api.md` runs the commands of one document; `DOCS_BINARY` is another build of the command line, with the
//! examples beside it in `examples`; `UPDATE_DOCS=1` writes the reference anew.

#![allow(clippy::unwrap_used, reason = "a missing part of a test is its failure")]

mod checkout;
mod document;
mod links;
#[path = "../e2e/python.rs"]
mod python;
mod reference;
mod threats;
mod up;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use checkout::Checkout;
use document::{Block, Language, blocks};
use up::Up;

/// The command line: `DOCS_BINARY`, or the one that was built with this test.
fn binary() -> PathBuf {
    std::env::var_os("DOCS_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_time-traveler").into(), PathBuf::from)
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every Markdown file of the repository, by its path from there.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(repository().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = folder.join(&name);
            if entry.file_type().unwrap().is_dir() {
                if !name.starts_with('.') && !["target", "out", "node_modules"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(document: &Path) -> String {
    fs::read_to_string(repository().join(document)).unwrap()
}

/// The blocks of a document; every mistake in its marks is a failure.
fn blocks_of(document: &Path) -> Result<Vec<Block>, String> {
    blocks(&read(document)).map_err(|(line, mistake)| format!("{}:{line}: {mistake}", document.display()))
}

#[test]
fn commands_run() {
    let only = std::env::var_os("DOCS").map(PathBuf::from);
    let chosen: Vec<_> = documents().into_iter().filter(|path| only.as_ref().is_none_or(|only| only == path)).collect();
    assert!(!chosen.is_empty(), "DOCS={only:?} is no document of the repository");
    let failures: Vec<String> = chosen.iter().filter_map(|document| run(document).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Runs the blocks of a document one after the other, in one shell.
fn run(document: &Path) -> Result<(), String> {
    let blocks = blocks_of(document)?;
    for block in &blocks {
        let verb = if block.reason.is_some() { "not run" } else { "run" };
        if block.language != Language::Text {
            println!("{verb} {}:{}", document.display(), block.line);
        }
    }
    let commands: Vec<&Block> =
        blocks.iter().filter(|block| block.language != Language::Text && block.reason.is_none()).collect();
    if commands.is_empty() {
        return Ok(());
    }
    let up = commands.iter().any(|block| up::is_needed_by(&block.text)).then(Up::start);
    Checkout::new(&binary()).run(document, &commands, up.as_ref())
}

/// A command that cannot run here has at least arguments that the command line takes.
#[test]
fn commands_that_are_not_run_are_parsed() {
    let mut failures = Vec::new();
    for document in documents() {
        let blocks = blocks_of(&document).unwrap_or_default();
        for block in blocks.iter().filter(|block| block.reason.is_some()) {
            for arguments in document::commands_of_ours(&block.text) {
                // What follows `--` is a command of its own.
                let own = arguments.iter().position(|word| word == "--").unwrap_or(arguments.len());
                let output = Command::new(binary()).args(&arguments[..own]).arg("--help").output().unwrap();
                if !output.status.success() {
                    let reason = String::from_utf8_lossy(&output.stderr).into_owned();
                    failures.push(format!("{}:{}: {arguments:?}: {reason}", document.display(), block.line));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_broken_block_is_found() {
    let document = Path::new("broken.md");
    let fails = |markdown: &str| {
        let blocks = blocks(markdown).unwrap();
        let blocks: Vec<&Block> = blocks.iter().filter(|block| block.reason.is_none()).collect();
        Checkout::new(&binary()).run(document, &blocks, None).unwrap_err()
    };
    // The examples' folder is the repository's, and `cd` and variables reach the next block.
    let whole = "```sh\ncd examples\npicture=astronaut.png\n```\n\n```python\nopen('astronaut.png')\n```\n\n```sh\ntest -f $picture";
    let blocks_of_whole = blocks(&format!("{whole}\n```\n")).unwrap();
    Checkout::new(&binary()).run(document, &blocks_of_whole.iter().collect::<Vec<_>>(), None).unwrap();
    let missing_arguments = "# A\n\n```sh\npython notebooks/compare_with_pillow.py\n```\n";
    let failure = fails(missing_arguments);
    assert!(failure.contains("broken.md:3") && failure.contains("required: --time-traveler"), "{failure}");
    let failure = fails("```sh\ntrue\n```\n\n```sh\ncargo run --release -- age no-photo.jpg\n```\n");
    assert!(failure.contains("broken.md:5") && failure.contains("no-photo.jpg"), "{failure}");
    assert!(fails("```python\nimport nothing_of_that_name\n```\n").contains("broken.md:1"));
    assert!(fails("```sh\nfalse | true\n```\n").contains("broken.md:1"), "a pipe hides no failure");
    assert!(fails("```sh\ncargo flood\n```\n").contains("stands for cargo"));
}

#[test]
fn the_first_pages_are_short() {
    for (document, most) in [("README.md", 150), ("ARCHITECTURE.md", 200)] {
        let lines = read(Path::new(document)).lines().count();
        assert!(lines <= most, "{document} has {lines} lines: {most} at most, the rest belongs in docs/");
    }
}
