//! The folders that pictures are written into, and the ids in their names.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::support::{Up, picture, run, sample};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a command that has to succeed, and returns what it says on stderr.
fn succeeded(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    stderr(&output)
}

/// The visible files of a folder.
fn files(folder: &Path) -> BTreeSet<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with('.')).collect()
}

fn named(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn an_output_folder_holds_one_portrait_and_the_users_own_files() {
    let up = Up::start();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("one.png"), picture(1)).unwrap();
    std::fs::write(folder.join("two.png"), picture(2)).unwrap();
    for command in ["age", "demo", "send"] {
        let api: &[&str] = if command == "send" { &["--api", &up.api] } else { &[] };
        let out = folder.join(command);
        succeeded(folder, &[&[command, "one.png", "--ages", "20,40,60", "--out", command], api].concat());
        assert_eq!(files(&out), named(&["0.jpg", "1.jpg", "2.jpg", "3.jpg", "animation.gif", "strip.npy"]));
        std::fs::write(out.join("5.png"), "own").unwrap();
        succeeded(folder, &[&[command, "two.png", "--ages", "70", "--no-animation", "--out", command], api].concat());
        assert_eq!(files(&out), named(&["0.jpg", "1.jpg", "5.png", "strip.npy"]), "{command}");
        assert_eq!(std::fs::read(out.join("5.png")).unwrap(), b"own");
        let strip = std::fs::read(out.join("strip.npy")).unwrap();
        assert_eq!(strip.len(), 128 + 1024 * 1024 * 3 * 2, "{command}");

        // A picture that the user changed is the user's own.
        std::fs::write(out.join("1.jpg"), "retouched").unwrap();
        let output = run(folder, &[&[command, "one.png", "--ages", "30", "--out", command], api].concat());
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert!(stderr(&output).contains("1.jpg is another file than this program wrote"), "{}", stderr(&output));
        assert_eq!(std::fs::read(out.join("1.jpg")).unwrap(), b"retouched", "{command}");
        assert_eq!(std::fs::read(out.join("strip.npy")).unwrap(), strip, "{command}");
    }
}

#[test]
fn names_without_latin_letters_are_portraits_of_their_own() {
    let up = Up::start();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let long = "x".repeat(50);
    let names = ["日本.png", "東京.png", "José.png", "Josè.png", &format!("{long}a.png"), &format!("{long}b.png")];
    for (n, name) in (0..).zip(names) {
        std::fs::write(folder.join(name), picture(n)).unwrap();
    }
    let arguments = [&["send"], &names[..], &["--api", &up.api, "--ages", "50", "--json", "--no-animation"]].concat();
    let output = run(folder, &arguments);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    let jobs = line["jobs"].as_array().unwrap();
    let ids: Vec<&str> = jobs.iter().map(|job| job["id"].as_str().unwrap()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), names.len(), "{ids:?}");
    for (name, id) in names.iter().zip(&ids) {
        let line = format!("{name} is portrait {id}\n");
        assert!(said.contains(&line) && said.find(&line) < said.find(": uploading"), "no {line} in {said}");
        assert!(folder.join("out").join(id).join("1.jpg").exists());
    }
    assert!(ids[0].starts_with("Ri-Ben-") && ids[2].starts_with("Jose-"), "{ids:?}");
    // The same name is the same portrait again, here and for the other commands.
    let said = succeeded(folder, &["age", names[0], "--ages", "60"]);
    assert!(!said.contains("another file"), "{said}");
    assert_eq!(files(&folder.join("out").join(ids[0])), named(&["0.jpg", "1.jpg", "animation.gif", "strip.npy"]));
}

#[test]
fn a_photo_is_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let made = std::process::Command::new("mkfifo").arg(folder.join("pipe")).status().unwrap();
    assert!(made.success());
    for command in ["faces", "age", "send", "demo"] {
        for photo in ["/dev/zero", "pipe", "/tmp"] {
            let output = run(folder, &[command, photo]);
            assert_eq!(output.status.code(), Some(1), "{command} {photo}");
            assert!(stderr(&output).contains("is no file"), "{command} {photo}: {}", stderr(&output));
        }
    }
    // What a shell passes is read, up to a limit.
    let script = format!("\"$0\" faces <(cat {:?}) && ! \"$0\" send /dev/stdin < /dev/zero", sample());
    let output = std::process::Command::new("bash").args(["-c", &script, crate::support::BINARY]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("52428801 bytes or more: at most 52428800 work"), "{}", stderr(&output));
}
