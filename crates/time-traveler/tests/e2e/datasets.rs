//! `dataset`: annotated pictures, as its users handle them.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{BINARY, Up, encoded, portrait, run};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs `dataset` with arguments, which has to succeed.
fn succeeded(folder: &Path, line: &str) -> String {
    let output = ran(folder, line);
    assert_eq!(output.status.code(), Some(0), "{line}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn ran(folder: &Path, line: &str) -> Output {
    let arguments: Vec<&str> = ["dataset"].into_iter().chain(line.split_whitespace()).collect();
    run(folder, &arguments)
}

#[test]
fn a_made_set_goes_through_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeeded(folder, "make shapes --pictures 60 --side 64 --seed 5");
    succeeded(folder, "make again --pictures 60 --side 64 --seed 5");
    let bytes = |name: &str| std::fs::read(folder.join(name)).unwrap();
    assert_eq!(bytes("shapes/annotations.json"), bytes("again/annotations.json"));
    assert_eq!(bytes("shapes/images/000059.jpg"), bytes("again/images/000059.jpg"));

    let line: Value =
        serde_json::from_str(&succeeded(folder, "inspect shapes/annotations.json --strict --json")).unwrap();
    assert_eq!((&line["pictures"], line["problems"].as_array().unwrap().len()), (&json!([60]), 0));

    succeeded(
        folder,
        "convert shapes/annotations.json --to tfrecord --out records/all.record --shards 3 --compression gzip",
    );
    let said = succeeded(
        folder,
        "convert records/all.record --label-map records/label_map.pbtxt --to voc --out voc --pictures voc/JPEGImages",
    );
    assert!(said.contains("60 pictures, 3 classes"), "{said}");
    let counted = succeeded(folder, "inspect voc --json");
    let voc: Value = serde_json::from_str(&counted).unwrap();
    let boxes = |line: &Value| -> Vec<(String, u64)> {
        let classes = line["classes"].as_array().unwrap().iter();
        let mut boxes: Vec<_> = classes
            .map(|class| (class["name"].as_str().unwrap().to_owned(), class["boxes"].as_u64().unwrap()))
            .collect();
        boxes.sort();
        boxes
    };
    assert_eq!(boxes(&voc), boxes(&line));

    let said = succeeded(folder, "split voc --out splits --seed 3 --to coco --pictures splits/images --json");
    let balance: Value = serde_json::from_str(&said).unwrap();
    let counts: Vec<u64> = balance["pictures"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
    assert_eq!(counts.iter().sum::<u64>(), 60);
    assert!((34..=38).contains(&counts[0]), "{counts:?}");
    let leaks =
        succeeded(folder, "inspect splits/train.json splits/val.json splits/test.json --images splits/images/train");
    assert!(!leaks.contains("in two data sets"), "{leaks}");

    let said = succeeded(folder, "draw shapes/annotations.json --out sheet.png --columns 3 --rows 2 --side 96");
    assert_eq!(said, "sheet.png: 6 pictures\n");
    assert_eq!(image::open(folder.join("sheet.png")).unwrap().width(), 3 * 102 + 6);
}

#[test]
fn a_manifest_named_as_ground_truth_names_it_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeeded(folder, "make set --format ground-truth --name shapes-output --pictures 30 --side 32");
    let said = succeeded(folder, "split set/shapes-output.manifest --out splits --prefix shapes --json");
    let balance: Value = serde_json::from_str(&said).unwrap();
    let classes = balance["classes"].as_array().unwrap();
    assert_eq!(classes.len(), 3);
    assert!(classes.iter().all(|class| class["annotations"].as_array().unwrap().iter().any(|n| *n != 0)), "{said}");
    let lines = std::fs::read_to_string(folder.join("splits/shapes-train.manifest")).unwrap();
    assert!(lines.lines().all(|line| line.contains("\"shapes-metadata\"")), "{lines}");
}

#[test]
fn a_faulty_line_is_named_and_the_others_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeeded(folder, "make set --format ground-truth --pictures 3 --side 32");
    let manifest = folder.join("set/annotations.manifest");
    let mut lines = std::fs::read_to_string(&manifest).unwrap();
    lines.insert_str(0, "{\"source-ref\": \"x.jpg\", \"job\": {}, \"job-metadata\": {}}\nno JSON\n");
    std::fs::write(&manifest, lines).unwrap();
    let output = ran(folder, "convert set/annotations.manifest --to coco --out out.json");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("annotations.manifest, line 1: the value of \"job\" cannot be read: missing field"),
        "{said}"
    );
    assert!(said.contains("annotations.manifest, line 2: no object of JSON"), "{said}");
    assert!(text(&output.stdout).contains("3 pictures"), "{said}");
    let coco: Value = serde_json::from_slice(&std::fs::read(folder.join("out.json")).unwrap()).unwrap();
    assert_eq!(coco["images"].as_array().unwrap().len(), 3);

    for (line, reason) in [
        ("convert nothing.json --to coco --out out.json", "nothing.json cannot be opened"),
        ("convert set --from coco --to voc --out v", "set"),
        ("convert out.json --to coco --out out.json", "is the input too"),
        ("split out.json --out s --shares 0,1", "numbers above 0 work"),
        ("split out.json --out s --names a,a,b", "is no new name"),
        ("make m --format folders", "--classification makes those"),
    ] {
        let output = ran(folder, line);
        assert!(!output.status.success() && text(&output.stderr).contains(reason), "{line}: {}", text(&output.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_come_from_s3() {
    let up = Up::start();
    let s3 = up.s3().await;
    s3.create_bucket().bucket("sets").send().await.unwrap();
    let png = encoded(&portrait(), image::ImageFormat::Png);
    s3.put_object().bucket("sets").key("a/one.png").body(png.into()).send().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let line = |key: &str| {
        json!({"source-ref": format!("s3://sets/a/{key}"),
            "j": {"annotations": [{"class_id": 0, "left": 1, "top": 2, "width": 3, "height": 4}], "image_size": []},
            "j-metadata": {"class-map": {"0": "astronaut"}}})
    };
    std::fs::write(folder.path().join("j-output.manifest"), format!("{}\n{}\n", line("one.png"), line("two.png")))
        .unwrap();
    let output = Command::new(BINARY)
        .args(["dataset", "convert", "j-output.manifest", "--to", "coco", "--out", "out.json", "--pictures", "images"])
        .env("AWS_ENDPOINT_URL", &up.aws)
        .env_remove("AWS_PROFILE")
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("s3://sets/a/two.png") && said.contains("NoSuchKey"), "{said}");
    let coco: Value = serde_json::from_slice(&std::fs::read(folder.path().join("out.json")).unwrap()).unwrap();
    let (width, height) = portrait().dimensions();
    assert_eq!(coco["images"], json!([{"id": 0, "file_name": "one.png", "width": width, "height": height}]));
    assert!(folder.path().join("images/one.png").is_file());
}
