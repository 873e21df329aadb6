use dataset::export::{Exporter, Filter, Placement};
use dataset::formats::ground_truth::GroundTruth;
use dataset::{Format, LocalPictures, Options, Reading, Source, Target};
use serde_json::{Value, json};

use crate::{fixture, samples};

/// The parts of a COCO file that say something, in the fields that both writers have. Whole numbers are numbers with a fraction.
fn essence(coco: &Value) -> Value {
    let list = |name: &str, fields: &[&str]| -> Vec<Value> {
        let items = coco[name].as_array().unwrap().iter();
        items.map(|item| fields.iter().map(|field| plain(&item[*field])).collect()).collect()
    };
    json!({
        "categories": list("categories", &["id", "name", "supercategory"]),
        "images": list("images", &["id", "file_name", "width", "height"]),
        "annotations": list("annotations", &["id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation"]),
    })
}

fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(list) => list.iter().map(plain).collect(),
        value => value.clone(),
    }
}

#[test]
fn manifests_become_the_same_coco_files() {
    let folder = tempfile::tempdir().unwrap();
    for (case, job) in [("goods", "goods-main"), ("late", "late")] {
        // Categories accumulate from split to split, as in the original.
        let mut reading = Reading::default();
        for split in ["train", "val", "test"] {
            let job = if case == "late" { "late-job" } else { job };
            let names =
                [format!("{case}/manifests/{job}-{split}.manifest"), format!("late/manifests/late-{split}.manifest")];
            let manifest = names.iter().map(|name| fixture(name)).find(|file| file.exists()).unwrap();
            let out = folder.path().join(format!("{case}-{split}.json"));
            let (filter, target) = (Filter::default(), Target::default());
            let mut exporter =
                Exporter::create(&out, Format::Coco, &target, &filter, Placement::default(), &LocalPictures).unwrap();
            // The file's name has the job's name in neither case; each line has the main job and perhaps others.
            let main = job_of(&manifest);
            let options = Options { jobs: vec![main], ..Options::default() };
            for sample in samples(&[manifest], &options, &mut reading).unwrap() {
                exporter.write(sample, &mut reading).unwrap();
            }
            exporter.finish(&mut reading).unwrap();
            let ours: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
            let theirs = crate::json(&format!("{case}/coco/{split}.json"));
            assert_eq!(essence(&ours), essence(&theirs), "{case} {split}");
        }
        assert_eq!(reading.findings.fault_count(), 0, "{:?}", reading.findings.faults());
    }
}

/// The main job of a cleaned manifest: the last but one key of its first line.
fn job_of(manifest: &std::path::Path) -> String {
    let text = std::fs::read_to_string(manifest).unwrap();
    let line = dataset::formats::ground_truth::Line::parse(text.lines().next().unwrap().as_bytes()).unwrap();
    line.jobs().last().unwrap().to_owned()
}

#[test]
fn boxes_outside_are_counted_as_the_original_counts_them() {
    let expected = crate::json("goods/cleaned.json")["outside_boxes_reported"].clone();
    for split in ["train", "val", "test"] {
        let manifest = fixture(&format!("goods/manifests/goods-main-{split}.manifest"));
        let options = Options { jobs: vec!["goods-main".to_owned()], ..Options::default() };
        let mut outside = 0;
        for sample in samples(&[manifest], &options, &mut Reading::default()).unwrap() {
            let size = sample.size.unwrap();
            // The original does not look at left and top.
            let beyond = |object: &&dataset::Object| object.bounds.is_outside(size) && object.bounds.left >= 0.0;
            outside += sample.objects.iter().filter(beyond).count();
        }
        assert_eq!(json!(outside), expected[split], "{split}");
    }
}

#[test]
fn single_lines_are_kept_or_refused_by_name() {
    // What the original does where it raises, or where a notebook goes on and its converter fails later: named here at once.
    let expected = [
        ("metadata key missing", Err("the key \"j-metadata\" is missing")),
        ("job without annotations", Err("the value of \"j\" cannot be read: missing field `annotations`")),
        ("class beyond n_class (2)", Ok(1)),
        ("negative class", Ok(1)),
        ("no image size", Ok(1)),
        ("empty image size", Ok(1)),
        ("source-ref is a bare path", Ok(1)),
        ("no source-ref", Err("the key \"source-ref\" is missing")),
        (
            "class-map key is no number",
            Err("the value of \"class-map\" cannot be read: \"zero\" is no number of a class"),
        ),
        ("class-map missing", Ok(1)),
        ("class absent from class-map", Ok(1)),
        ("job key missing", Ok(0)),
        ("fine", Ok(1)),
    ];
    let cases = crate::json("errors.json");
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), expected.len());
    for (case, (name, expected)) in cases.iter().zip(expected) {
        assert_eq!(case["case"], name);
        let line = case["line"].to_string();
        let options = Options { jobs: vec!["j".to_owned()], ..Options::default() };
        let mut reading = Reading::default();
        let file = std::path::Path::new("errors.manifest");
        let sample = GroundTruth::new(file, line.as_bytes(), &options).next(&mut reading).unwrap();
        match expected {
            Ok(objects) => {
                let sample = sample.unwrap();
                assert_eq!((sample.objects.len(), sample.is_annotated), (objects, objects > 0), "{name}");
                assert_eq!(reading.findings.fault_count(), 0, "{name}");
                if let Some(annotations) = case["convert"]["annotations"].as_array() {
                    let number = reading.classes.get(sample.objects[0].class).unwrap().number.unwrap();
                    assert_eq!(json!(number + 1), annotations[0]["category_id"], "{name}");
                }
            }
            Err(reason) => {
                assert!(sample.is_none());
                let faults = reading.findings.faults();
                assert_eq!(faults[0].to_string(), format!("errors.manifest, line 1: {reason}"), "{name}");
                assert!(reading.classes.is_empty(), "{name}");
            }
        }
    }
}
