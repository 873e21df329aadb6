//! Who may depend on whom, and on which crates from outside.

use std::process::Command;

use serde_json::Value;

use crate::repository;

/// What a member may use.
struct Rule {
    name: &'static str,
    /// Other members.
    members: &'static [&'static str],
    external: External,
}

/// Crates from outside the workspace. Development dependencies are free.
enum External {
    /// These and no others: the crates that compute, without network, clock or files of their own.
    Only(&'static [&'static str]),
    /// Any but those whose names begin so.
    Not(&'static [&'static str]),
}
use External::{Not, Only};

const RULES: [Rule; 12] = [
    Rule { name: "pipeline", members: &[], external: Only(&["jiff", "serde", "serde_json", "sha2", "thiserror"]) },
    Rule {
        name: "picture",
        members: &[],
        external: Only(&["crc32fast", "flate2", "image", "libjpeg-turbo-rs", "moxcms", "rayon", "thiserror"]),
    },
    Rule {
        name: "dataset",
        members: &["picture"],
        external: Only(&[
            "base64",
            "crc32c",
            "csv",
            "flate2",
            "font8x8",
            "image",
            "indexmap",
            "maud",
            "plotters",
            "quick-xml",
            "rayon",
            "serde",
            "serde_json",
            "sha2",
            "tempfile",
            "thiserror",
        ]),
    },
    Rule { name: "face", members: &[], external: Only(&["flate2", "image", "pulp", "rayon", "thiserror"]) },
    Rule {
        name: "nn",
        members: &[],
        external: Only(&[
            "burn",
            "burn-cubecl",
            "burn-std",
            "bytes",
            "crc32c",
            "crc32fast",
            "cubek",
            "half",
            "libc",
            "memmap2",
            "prost",
            "pulp",
            "pytorch-reader",
            "rayon",
            "safetensors",
            "serde_json",
            "tempfile",
            "thiserror",
            "zip",
        ]),
    },
    Rule {
        name: "aging",
        members: &["face", "nn", "picture"],
        external: Only(&["burn", "image", "pulp", "rayon", "thiserror"]),
    },
    Rule {
        name: "vision",
        members: &["nn", "picture"],
        external: Only(&[
            "burn",
            "flatbuffers",
            "flexbuffers",
            "maud",
            "prost",
            "rand_mt",
            "rayon",
            "regex",
            "saphyr-parser",
            "serde_json",
            "thiserror",
        ]),
    },
    Rule { name: "web", members: &[], external: Only(&["base64", "sha2"]) },
    // It speaks AWS's protocols itself. `aws-lc-rs` is cryptography, and none of them.
    Rule {
        name: "local-cloud",
        members: &[],
        external: Not(&["aws-config", "aws-credential", "aws-s", "aws-types", "lambda_runtime", "burn", "image"]),
    },
    // `reqwest` fetches the keys of an issuer of tokens, which is no service of AWS.
    Rule { name: "lambda", members: &["pipeline"], external: Not(&["axum", "burn", "rusqlite"]) },
    Rule {
        name: "container",
        members: &["aging", "dataset", "face", "nn", "picture", "pipeline", "vision"],
        external: Not(&["lambda_runtime", "rusqlite", "s3s"]),
    },
    Rule {
        name: "time-traveler",
        members: &[
            "aging",
            "container",
            "dataset",
            "face",
            "lambda",
            "local-cloud",
            "nn",
            "picture",
            "pipeline",
            "vision",
            "web",
        ],
        external: Not(&["axum", "burn", "rusqlite", "s3s"]),
    },
];

/// The names of all members.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|rule| rule.name)
}

/// What `cargo metadata` says of the members.
pub(crate) fn metadata() -> Value {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(repository())
        .output()
        .expect("cargo runs");
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    serde_json::from_slice(&metadata.stdout).expect("cargo writes JSON")
}

/// Dependencies that no rule allows, and members without a rule.
pub(crate) fn violations(metadata: &Value) -> Vec<String> {
    let mut violations = Vec::new();
    let packages = metadata["packages"].as_array().expect("packages");
    for rule in &RULES {
        if !packages.iter().any(|package| package["name"] == rule.name) {
            violations.push(format!("{} has a rule and is no member", rule.name));
        }
    }
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let folder = package["manifest_path"].as_str().and_then(|path| path.rsplit('/').nth(1));
        if folder != Some(name) {
            violations.push(format!("{name} lies in the folder {folder:?}: folder and crate have one name"));
        }
        let Some(rule) = RULES.iter().find(|rule| rule.name == name) else {
            violations.push(format!("{name} has no rule"));
            continue;
        };
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let other = dependency["name"].as_str().expect("a name");
            let allowed = if dependency["path"].is_string() {
                rule.members.contains(&other)
            } else {
                dependency["kind"] == "dev" || rule.external.allows(other)
            };
            if !allowed {
                violations.push(format!("{name} must not depend on {other}"));
            }
        }
    }
    violations
}

impl External {
    fn allows(&self, name: &str) -> bool {
        match self {
            Only(names) => names.contains(&name),
            Not(starts) => !starts.iter().any(|start| name.starts_with(start)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(name: &str, dependency: &Value) -> Vec<String> {
        let mut metadata = metadata();
        let package = metadata["packages"].as_array_mut().unwrap().iter_mut().find(|package| package["name"] == name);
        package.unwrap()["dependencies"].as_array_mut().unwrap().push(dependency.clone());
        violations(&metadata)
    }

    #[test]
    fn a_dependency_that_breaks_a_rule_is_found() {
        let cases = [
            ("pipeline", "tokio"),
            ("face", "reqwest"),
            ("nn", "image"),
            ("local-cloud", "aws-sdk-s3"),
            ("lambda", "axum"),
            ("time-traveler", "burn"),
        ];
        for (member, other) in cases {
            let dependency = json!({ "name": other, "kind": null });
            assert_eq!(with(member, &dependency), [format!("{member} must not depend on {other}")]);
            assert_eq!(with(member, &json!({ "name": other, "kind": "dev" })), Vec::<String>::new());
        }
    }

    #[test]
    fn a_member_that_uses_another_against_the_rules_is_found() {
        for (member, other) in [("nn", "aging"), ("local-cloud", "pipeline"), ("aging", "container")] {
            for kind in [Value::Null, json!("dev")] {
                let dependency = json!({ "name": other, "path": "somewhere", "kind": kind });
                assert_eq!(with(member, &dependency), [format!("{member} must not depend on {other}")]);
            }
        }
    }

    #[test]
    fn a_member_without_a_rule_is_found() {
        let mut metadata = metadata();
        let new = json!({ "name": "new", "manifest_path": "/x/crates/old/Cargo.toml", "dependencies": [] });
        metadata["packages"].as_array_mut().unwrap().push(new);
        let found = violations(&metadata);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("new lies in the folder Some(\"old\")") && found[1] == "new has no rule");
    }
}
