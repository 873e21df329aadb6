//! Links between documents.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::{documents, read, repository};

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        for (line, target) in links(&read(&document)) {
            if let Err(reason) = follow(&document, &target) {
                broken.push(format!("{}:{line}: {target}: {reason}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn source_files_that_are_named_exist() {
    let files = source_files();
    let mut missing = Vec::new();
    for document in documents() {
        for (line, name) in source_names(&read(&document)) {
            if !files.iter().any(|file| file.ends_with(&name)) {
                missing.push(format!("{}:{line}: {name}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "no such file: {}", missing.join("\n"));
    assert_eq!(source_names("`hog.rs`, `a/b.rs` and\n`x.rs y`, `.rs`"), [(1, "hog.rs".into()), (1, "a/b.rs".into())]);
}

/// The lines and names of the Rust files that a document names in backticks, except the `foo.rs` of an example.
fn source_names(markdown: &str) -> Vec<(usize, String)> {
    let is_name = |code: &&str| {
        let of_path = |letter: char| letter.is_ascii_alphanumeric() || "_-/".contains(letter);
        code.strip_suffix(".rs").is_some_and(|stem| !stem.is_empty() && stem != "foo" && stem.chars().all(of_path))
    };
    let codes =
        prose(markdown).flat_map(|(line, text)| text.split('`').skip(1).step_by(2).map(move |code| (line, code)));
    codes.filter(|(_, code)| is_name(code)).map(|(line, code)| (line, code.to_owned())).collect()
}

/// The Rust files of the repository.
fn source_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![repository()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let hidden =
                path.file_name().is_some_and(|name| name == "target" || name.as_encoded_bytes().starts_with(b"."));
            match path.is_dir() {
                true if !hidden => folders.push(path),
                false if path.extension().is_some_and(|extension| extension == "rs") => files.push(path),
                _ => {}
            }
        }
    }
    files
}

/// The lines and targets of the links and pictures of a document, outside of its blocks.
fn links(markdown: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (line, text) in prose(markdown) {
        for after in text.split("](").skip(1) {
            links.extend(after.split_once(')').map(|(target, _)| (line, target.to_owned())));
        }
    }
    links
}

/// The lines that are in no fenced block.
fn prose(markdown: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    markdown.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((index + 1, line))
    })
}

fn follow(document: &Path, target: &str) -> Result<(), String> {
    if target.starts_with("https://") || target.starts_with("http://") {
        return Ok(());
    }
    let (path, heading) = target.split_once('#').map_or((target, None), |(path, heading)| (path, Some(heading)));
    let file = match path {
        "" => document.to_owned(),
        _ => normal(&document.parent().unwrap_or(Path::new("")).join(path)),
    };
    if !repository().join(&file).exists() {
        return Err(format!("{} is not there", file.display()));
    }
    match heading {
        Some(heading) if !anchors(&read(&file)).iter().any(|anchor| anchor == heading) => {
            Err(format!("{} has no heading #{heading}", file.display()))
        }
        _ => Ok(()),
    }
}

/// Without `..` in the middle.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            part => normal.push(part),
        }
    }
    normal
}

/// The anchors that GitHub gives to headings, and those that are written out.
fn anchors(markdown: &str) -> Vec<String> {
    let mut anchors = Vec::new();
    for (_, line) in prose(markdown) {
        if let Some(heading) = line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')) {
            let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
            anchors.push(kept.collect::<String>().to_lowercase().replace(' ', "-"));
        }
        anchors.extend(line.split("<a id=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
    }
    anchors
}

#[test]
fn headings_have_the_anchors_of_github() {
    let markdown =
        "# The SAM engine\n## `up`, and *more*: it's all\n```sh\n# no heading\n```\n<a id=\"models\"></a>#no heading\n";
    assert_eq!(anchors(markdown), ["the-sam-engine", "up-and-more-its-all", "models"]);
    let known = Path::new("docs/README.md");
    assert!(follow(known, "../README.md#status").is_ok() && follow(known, "https://example.com").is_ok());
    assert!(follow(known, "nothing.md").is_err() && follow(known, "../README.md#nothing").is_err());
}
