//! `evaluate`, as its users run it.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{repository, run};

/// Runs `evaluate` and returns its exit code, its stdout and its stderr.
fn evaluate(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let arguments: Vec<&str> = ["evaluate"].iter().chain(arguments).copied().collect();
    let output = run(folder, &arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn golden(case: &str) -> std::path::PathBuf {
    repository().join("crates/dataset/tests/evaluation/golden").join(case)
}

#[test]
fn coco_files_give_the_figures_of_pycocotools_and_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let case = golden("coco_a");
    let file = |name: &str| case.join(name).display().to_string();
    let (truth, detections) = (file("gt.json"), file("dt.json"));
    let (code, stdout, stderr) = evaluate(folder.path(), &[&truth, &detections, "--json", "--out", "report"]);
    assert_eq!((code, &*stderr), (Some(0), ""));
    let found: Value = serde_json::from_str(&stdout).unwrap();
    let expected: Value = serde_json::from_slice(&std::fs::read(case.join("expected.json")).unwrap()).unwrap();
    for (name, value) in expected["stats"].as_object().unwrap() {
        let away = found["figures"][name].as_f64().unwrap() - value.as_f64().unwrap();
        assert!(away.abs() <= 1e-9, "{name}: {away}");
    }
    let report: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("report/report.json")).unwrap()).unwrap();
    assert_eq!(report, found);
    let page = std::fs::read_to_string(folder.path().join("report/report.html")).unwrap();
    // The names of SVG and of its links are no addresses that a browser asks.
    let asked = page.replace("http://www.w3.org/", "");
    assert!(
        page.contains("phone case")
            && !asked.contains("http:")
            && !asked.contains("https:")
            && !page.contains("<script"),
        "{page}"
    );
    let (code, stdout, _) = evaluate(folder.path(), &[&truth, &detections]);
    assert!(code == Some(0) && stdout.starts_with("AP      45.75 %"), "{stdout}");
}

#[test]
fn what_cannot_be_compared_is_named_and_the_rest_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    };
    write("truth/a.txt", "cap 0 0 9 9\nmug 20 20 39 39 difficult\n");
    write("found/a.txt", "cap 0.9 0 0 9 9\ncap 0.9 0 zero 9 9\ncap 0 0 9 9\n");
    write("found/b.txt", "cap 0.9 0 0 9 9\n");
    let (code, stdout, stderr) = evaluate(folder.path(), &["truth", "found", "--json", "--out", "report"]);
    let found: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &found["style"], &found["figures"]), (Some(1), &json!("voc"), &json!({"mAP": 1.0})));
    for named in ["found/a.txt, line 2", "has no score", "picture b"] {
        assert!(stderr.contains(named), "{named}: {stderr}");
    }
    let report = std::fs::read_to_string(folder.path().join("report/output.txt")).unwrap();
    assert!(report.contains("100.00% = cap AP"), "{report}");

    write("empty.json", "{\"images\": [], \"annotations\": [], \"categories\": []}");
    write("none.json", "[]");
    for (arguments, message) in [
        (["gone", "found"], "gone does not exist"),
        (["empty.json", "none.json"], "has no object"),
        (["none.json", "found"], "has no object"),
    ] {
        let (code, _, stderr) = evaluate(folder.path(), &arguments);
        assert!(code == Some(1) && stderr.contains(message), "{arguments:?}: {stderr}");
    }
}
