//! The reference of the command line in `docs/cli.md`: what `--help` prints.

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};

use crate::{binary, repository};

const BEGIN: &str = "<!-- reference: begin -->\n";
const END: &str = "<!-- reference: end -->";

#[test]
fn reference() {
    let file = repository().join("docs/cli.md");
    let document = fs::read_to_string(&file).unwrap();
    let (before, rest) = document.split_once(BEGIN).expect("the beginning of the reference");
    let (kept, after) = rest.split_once(END).expect("the end of the reference");
    let mut made = String::new();
    describe(&mut Vec::new(), &mut made);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(file, format!("{before}{BEGIN}{made}\n{END}{after}")).unwrap();
    } else {
        assert!(
            kept.trim() == made.trim(),
            "the reference in docs/cli.md is not what --help prints: \
             UPDATE_DOCS=1 cargo test -p time-traveler --test docs reference"
        );
    }
}

/// Appends the help of a command and of those below it.
fn describe(command: &mut Vec<String>, out: &mut String) {
    let help = help(command);
    let level = "#".repeat(3 + command.len().saturating_sub(1));
    let name = [&["time-traveler".to_owned()], &command[..]].concat().join(" ");
    writeln!(out, "\n{level} {name}\n\n```text\n{help}\n```").unwrap();
    for below in commands(&help) {
        command.push(below);
        describe(command, out);
        command.pop();
    }
}

/// As wide as a document, whatever the terminal is.
fn help(command: &[String]) -> String {
    let output =
        Command::new(binary()).args(command).arg("--help").env("COLUMNS", "100").stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// The commands that a help lists.
fn commands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A continued description is indented further than a name.
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}
