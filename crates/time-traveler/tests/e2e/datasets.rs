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

#[test]
fn nothing_is_written_over_what_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeeded(folder, "make data --name train --pictures 6 --side 32");
    succeeded(folder, "make records --tfrecord --name train --shards 2 --pictures 6 --side 32");
    succeeded(folder, "make classes --classification --pictures 6 --side 32");
    for (line, kept, reason) in [
        ("split data/train.json --out data", "data/train.json", "data/train.json is the input too"),
        (
            "convert records/train.record --label-map records/label_map.pbtxt --to tfrecord --out records/train.record --shards 2",
            "records/train.record-00001-of-00002",
            "records/train.record-00000-of-00002 is the input too",
        ),
        ("split classes --out classes", "classes/circle/000000.jpg", "classes/train lies in the input"),
    ] {
        let before = std::fs::read(folder.join(kept)).unwrap();
        let output = ran(folder, line);
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(reason), "{line}: {said}");
        assert_eq!(std::fs::read(folder.join(kept)).unwrap(), before, "{line}");
    }
}

/// Writes a COCO file: classes by their ids, and a picture with one object of each class.
fn write_coco(file: &Path, classes: &[(i64, &str)], score: Option<f64>) {
    let name = file.file_stem().unwrap().to_str().unwrap();
    let categories: Vec<Value> = classes.iter().map(|(id, name)| json!({"id": id, "name": name})).collect();
    let annotations: Vec<Value> = (classes.iter().zip(0..))
        .map(|((id, name), n)| {
            // Every class has a place of its own, in all files.
            let left = 10 * name.len();
            let mut annotation = json!({"id": n, "image_id": 7, "category_id": id, "bbox": [left, 5, 8, 9]});
            annotation.as_object_mut().unwrap().extend(score.map(|score| ("score".to_owned(), json!(score))));
            annotation
        })
        .collect();
    let images = json!([{"id": 7, "file_name": format!("{name}.jpg"), "width": 200, "height": 50}]);
    // Annotations come before the categories, as in COCO's own files.
    let text = format!(
        "{{\"images\": {images}, \"annotations\": {}, \"categories\": {}}}",
        json!(annotations),
        json!(categories)
    );
    std::fs::write(file, text).unwrap();
}

#[test]
fn data_sets_with_other_numbers_are_joined_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_coco(&folder.join("a.json"), &[(1, "cat"), (2, "horse")], None);
    write_coco(&folder.join("b.json"), &[(1, "giraffe"), (2, "cat")], None);
    let output = ran(folder, "convert a.json b.json --to coco --out c.json");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("another number than in their data set"), "{said}");
    let coco: Value = serde_json::from_slice(&std::fs::read(folder.join("c.json")).unwrap()).unwrap();
    let name_of = |id: &Value| {
        let category = coco["categories"].as_array().unwrap().iter().find(|category| category["id"] == *id).unwrap();
        category["name"].as_str().unwrap().to_owned()
    };
    let annotations = coco["annotations"].as_array().unwrap();
    assert_eq!((annotations.len(), coco["categories"].as_array().unwrap().len()), (4, 3));
    for annotation in annotations {
        assert_eq!(annotation["bbox"][0], json!(10 * name_of(&annotation["category_id"]).len()), "{coco}");
    }

    // Categories from 0 keep their order.
    write_coco(&folder.join("zero.json"), &[(0, "zebra"), (1, "ant")], None);
    let said = text(&ran(folder, "convert zero.json --to coco --out from-one.json").stderr);
    assert!(said.contains("another number than in their data set"), "{said}");
    let coco: Value = serde_json::from_slice(&std::fs::read(folder.join("from-one.json")).unwrap()).unwrap();
    let numbers: Vec<_> =
        coco["categories"].as_array().unwrap().iter().map(|class| (&class["id"], &class["name"])).collect();
    assert_eq!(numbers, [(&json!(1), &json!("zebra")), (&json!(2), &json!("ant"))]);
}

#[test]
fn detections_are_of_the_classes_that_their_file_names() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let figures = |truth: &str, found: &str| -> Value {
        let output = run(folder, &["evaluate", truth, found, "--json"]);
        assert_eq!(output.status.code(), Some(0), "{truth} {found}: {}", text(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["figures"].clone()
    };
    write_coco(&folder.join("truth.json"), &[(1, "cat"), (2, "horse")], None);
    std::fs::create_dir(folder.join("found")).unwrap();
    write_coco(&folder.join("found/truth.json"), &[(1, "horse"), (2, "cat")], Some(0.9));
    let found = figures("truth.json", "found/truth.json");
    assert_eq!(found["AP"], 1.0, "{found}");
    // VOC's classes have no numbers.
    succeeded(folder, "convert truth.json --to voc --out voc");
    let found = figures("voc", "found/truth.json");
    assert_eq!(found["mAP"], 1.0, "{found}");
    // The shards of a record have one name.
    succeeded(folder, "make records --tfrecord --name all --shards 2 --pictures 4 --side 32");
    let output = run(folder, &["evaluate", "records/all.record", "found/truth.json"]);
    assert!(!text(&output.stderr).contains("does not exist"), "{}", text(&output.stderr));
}

#[test]
fn the_label_map_of_a_folder_keeps_its_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_coco(&folder.join("train.json"), &[(1, "cat"), (2, "horse"), (3, "giraffe")], None);
    write_coco(&folder.join("val.json"), &[(1, "giraffe"), (2, "horse")], None);
    for name in ["train", "val"] {
        image::RgbImage::new(200, 50).save(folder.join(format!("{name}.jpg"))).unwrap();
        succeeded(folder, &format!("convert {name}.json --to voc --out {name}-voc --pictures {name}-voc/JPEGImages"));
    }
    succeeded(folder, "convert train-voc --to tfrecord --out records/training.record");
    let map = std::fs::read_to_string(folder.join("records/label_map.pbtxt")).unwrap();
    let output = ran(folder, "convert val-voc --to tfrecord --out records/validation.record");
    let said = text(&output.stderr);
    assert!(output.status.success() && said.contains("its classes keep their numbers"), "{said}");
    assert_eq!(std::fs::read_to_string(folder.join("records/label_map.pbtxt")).unwrap(), map);
    let labels = |record: &str| -> Value {
        let line = format!(
            "convert records/{record}.record --label-map records/label_map.pbtxt --to coco --out {record}.json"
        );
        succeeded(folder, &line);
        let coco: Value =
            serde_json::from_slice(&std::fs::read(folder.join(format!("{record}.json"))).unwrap()).unwrap();
        let mut labels: Vec<_> = (coco["annotations"].as_array().unwrap().iter())
            .map(|annotation| (annotation["bbox"][0].as_f64().unwrap() as u32, annotation["category_id"].clone()))
            .collect();
        labels.sort_by_key(|(left, _)| *left);
        json!(labels)
    };
    // In the order of names, of 3, 5 and 7 letters.
    assert_eq!(labels("training"), json!([[30, 1], [50, 3], [70, 2]]));
    assert_eq!(labels("validation"), json!([[50, 3], [70, 2]]));

    std::fs::write(folder.join("records/label_map.pbtxt"), "item { id: 1 name: 'cat' } item { id: 1 name: 'cow' }")
        .unwrap();
    let output = ran(folder, "convert val-voc --to tfrecord --out records/validation.record");
    assert!(text(&output.stderr).contains("have the id 1"), "{}", text(&output.stderr));
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
