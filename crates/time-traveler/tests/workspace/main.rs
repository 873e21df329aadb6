//! Holds the rules about the tree that ARCHITECTURE.md states. Each rule is a function that answers with what breaks it, so that the
//! rule itself is tested too.

mod circles;
mod members;
mod sources;

use std::path::{Path, PathBuf};

/// The root of the repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository is there")
}

/// Folders of the members of the workspace, by name.
fn member_folder(name: &str) -> PathBuf {
    match name {
        "container" | "lambda" => repository().join(name),
        _ => repository().join("crates").join(name),
    }
}

#[test]
fn members_depend_on_what_they_may() {
    assert_eq!(members::violations(&members::metadata()), Vec::<String>::new());
}

#[test]
fn sources_keep_their_crates_vocabulary_and_length() {
    let mut violations = Vec::new();
    for (path, text) in sources::all(&repository()) {
        violations.extend(sources::violations(&path, &text));
    }
    assert_eq!(violations, Vec::<String>::new());
}

#[test]
fn no_circle_of_files_across_folders() {
    let circles = members::names().flat_map(|name| {
        let circles = circles::Modules::of_crate(&member_folder(name).join("src")).circles();
        circles.into_iter().map(move |circle| format!("{name}: {}", circle.join(", ")))
    });
    assert_eq!(circles.collect::<Vec<_>>(), Vec::<String>::new());
}
