//! What a source file may say, and how long it may be.

use std::path::Path;

/// The most lines of a source file. A longer one holds two nouns.
const MAX_LINES: usize = 600;

/// Words that a part of the tree must not know.
struct Vocabulary {
    /// Paths that begin so.
    under: &'static str,
    /// Whole words, in lower case. A file's words are split at everything but letters, digits and hyphens, and at capitals within.
    forbidden: &'static [&'static str],
    why: &'static str,
}

const VOCABULARIES: [Vocabulary; 7] = [
    Vocabulary {
        under: "crates/local-cloud/",
        forbidden: &[
            "portrait",
            "portraits",
            "face",
            "faces",
            "ages",
            "aging",
            "ageing",
            "strip",
            "strips",
            "image-processor",
            "job-tracker",
            "time-traveler",
            "--data",
        ],
        why: "the local cloud knows nothing of the product",
    },
    Vocabulary {
        under: "crates/nn/",
        forbidden: &[
            "sam",
            "stylegan",
            "stylegan2",
            "psp",
            "retinaface",
            "dsfd",
            "ssd",
            "latent",
            "face",
            "faces",
            "ages",
            "portrait",
        ],
        why: "layers, kernels and checkpoints know no network",
    },
    Vocabulary {
        under: "crates/picture/",
        forbidden: &["portrait", "portraits", "face", "faces", "ages"],
        why: "pictures are pictures of anything",
    },
    Vocabulary {
        under: "crates/vision/src/",
        forbidden: &["http", "sagemaker", "invocation", "aging"],
        why: "networks know no wire format and no ageing",
    },
    Vocabulary {
        under: "crates/dataset/src/",
        forbidden: &["tensors", "checkpoint", "http", "invocation", "aging"],
        why: "data sets know no tensor, no network and no wire",
    },
    Vocabulary {
        under: "crates/face/src/",
        forbidden: &["std::fs", "std::net", "std::env", "std::process", "ages", "aging"],
        why: "`face` computes: no files, no network, no ageing",
    },
    Vocabulary {
        under: "crates/pipeline/src/",
        forbidden: &["std::fs", "std::net", "std::env", "std::process", "async"],
        why: "`pipeline` holds values and pure functions",
    },
];

/// Every Rust source of the repository: its path there, and its text.
pub(crate) fn all(repository: &Path) -> Vec<(String, String)> {
    let mut sources = Vec::new();
    for folder in ["container", "crates", "examples", "fuzz", "lambda"] {
        walk(repository, &repository.join(folder), &mut sources);
    }
    assert!(sources.len() > 200, "the sources are not where they are looked for");
    sources
}

fn walk(repository: &Path, folder: &Path, sources: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).expect("a folder can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            if !path.ends_with("target") {
                walk(repository, &path, sources);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(repository).expect("a path in the repository").display().to_string();
            sources.push((name, std::fs::read_to_string(&path).expect("a source is text")));
        }
    }
}

/// What is wrong with a file. The vocabulary is not that of test files: fixtures come from networks that exist.
pub(crate) fn violations(path: &str, text: &str) -> Vec<String> {
    let mut violations = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        violations.push(format!("{path} has {lines} lines: {MAX_LINES} are the most"));
    }
    let is_test = path.contains("/tests/") || path.ends_with("/tests.rs");
    for vocabulary in VOCABULARIES.iter().filter(|_| !is_test).filter(|vocabulary| path.starts_with(vocabulary.under)) {
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = vocabulary.forbidden.iter().find(|word| says(line, word)) {
                violations.push(format!("{path}:{}: says \"{word}\": {}", number + 1, vocabulary.why));
            }
        }
    }
    violations
}

/// Whether a line has a word, in any case, in prose or as a part of a name.
fn says(line: &str, word: &str) -> bool {
    let apart = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
    let lower = line.to_ascii_lowercase();
    lower.match_indices(word).any(|(at, _)| {
        let end = at + word.len();
        let bytes = line.as_bytes();
        let starts = at == 0 || apart(bytes.get(at - 1)) || bytes[at].is_ascii_uppercase();
        let ends = apart(bytes.get(end)) || (bytes[end].is_ascii_uppercase() && bytes[end - 1].is_ascii_lowercase());
        // What the standard library calls so.
        let standard =
            word == "strip" && ["strip_prefix", "strip_suffix"].iter().any(|name| line[at..].starts_with(name));
        starts && ends && !standard
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_prose_and_in_names() {
        for line in
            ["// of a portrait", "let portrait_key = 1;", "struct PortraitKey;", "fn new_portrait()", "\"Portrait\""]
        {
            assert!(says(line, "portrait"), "{line}");
        }
        for line in ["let surface = 1;", "packages", "// a self-portraitist", "Interfaces"] {
            assert!(!says(line, "face") && !says(line, "ages") && !says(line, "portrait"), "{line}");
        }
        assert!(says("the strip is long", "strip") && !says("line.strip_prefix(\"a\")", "strip"));
    }

    #[test]
    fn a_file_that_breaks_a_rule_is_found() {
        let cases = [
            ("crates/local-cloud/src/gateway.rs", "// the photograph of a face"),
            ("crates/nn/src/checkpoint.rs", "/// The network's `latent_avg`."),
            ("crates/picture/src/decode.rs", "fn portrait() {}"),
            ("crates/face/src/finder.rs", "use std::fs::File;"),
            ("crates/pipeline/src/job.rs", "async fn read() {}"),
        ];
        for (path, line) in cases {
            let found = violations(path, &format!("// a line\n{line}\n"));
            assert!(found.len() == 1 && found[0].starts_with(&format!("{path}:2: says")), "{path}: {found:?}");
            assert_eq!(violations("lambda/src/lib.rs", line), Vec::<String>::new());
        }
        let found = violations("lambda/src/lib.rs", &"\n".repeat(601));
        assert_eq!(found, ["lambda/src/lib.rs has 601 lines: 600 are the most"]);
        assert_eq!(violations("lambda/src/lib.rs", &"\n".repeat(600)), Vec::<String>::new());
    }
}
