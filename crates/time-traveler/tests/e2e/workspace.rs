//! Who may depend on whom.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::support::repository;

/// The other members that each member may use.
const ALLOWED: [(&str, &[&str]); 8] = [
    ("pipeline", &[]),
    ("face", &[]),
    ("aging", &["face"]),
    ("local-cloud", &[]),
    ("lambda", &["pipeline"]),
    ("container", &["aging", "face", "pipeline"]),
    ("time-traveler", &["aging", "container", "face", "lambda", "local-cloud", "pipeline", "web"]),
    ("web", &[]),
];

#[test]
fn members_depend_on_each_other_as_designed() {
    let allowed = BTreeMap::from(ALLOWED);
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert_eq!(packages.len(), allowed.len());
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let folder = package["manifest_path"].as_str().unwrap().rsplit('/').nth(1).unwrap();
        assert_eq!(name, folder, "folder and crate name are one");
        let allowed = allowed.get(name).unwrap_or_else(|| panic!("{name} is not in the table"));
        for dependency in package["dependencies"].as_array().unwrap() {
            let dependency_name = dependency["name"].as_str().unwrap();
            let member = dependency["path"].is_string();
            assert!(!member || allowed.contains(&dependency_name), "{name} must not depend on {dependency_name}");
        }
    }
}
