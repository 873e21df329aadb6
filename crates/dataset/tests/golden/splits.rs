use std::path::PathBuf;

use dataset::export::{Exporter, Filter, Placement};
use dataset::split::stratify;
use dataset::{Format, LocalPictures, Options, Reading, Target};
use serde_json::{Value, json};

use crate::{fixture, samples};

fn jobs(case: &str) -> (Vec<PathBuf>, Value) {
    let cleaned = crate::json(&format!("{case}/cleaned.json"));
    let files = cleaned["job_files"].as_array().unwrap().iter();
    (files.map(|name| fixture(&format!("{case}/jobs/{}", name.as_str().unwrap()))).collect(), cleaned)
}

/// The lines of all jobs, cleaned: renamed to the main job, those without annotations left out.
fn cleaned_lines(case: &str) -> (Vec<String>, Vec<Vec<u64>>, Value) {
    let (files, cleaned) = jobs(case);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("all.manifest");
    let filter = Filter { drops_empty: true, ..Filter::default() };
    let target = Target { job: cleaned["main_job_name"].as_str().unwrap().to_owned(), ..Target::default() };
    let pictures = LocalPictures;
    let mut exporter =
        Exporter::create(&out, Format::GroundTruth, &target, &filter, Placement::default(), &pictures).unwrap();
    let mut reading = Reading::default();
    let options = Options { keeps_lines: true, ..Options::default() };
    let classes = cleaned["n_class"].as_u64().unwrap() as usize;
    let mut counts = Vec::new();
    for sample in samples(&files, &options, &mut reading).unwrap() {
        let mut row = vec![0; classes];
        for object in &sample.objects {
            row[reading.classes.get(object.class).unwrap().number.unwrap() as usize] += 1;
        }
        if !sample.objects.is_empty() {
            counts.push(row);
        }
        exporter.write(sample, &mut reading).unwrap();
    }
    exporter.finish(&mut reading).unwrap();
    assert_eq!(reading.findings.fault_count(), 0, "{:?}", reading.findings.faults());
    (std::fs::read_to_string(out).unwrap().lines().map(str::to_owned).collect(), counts, cleaned)
}

#[test]
fn cleaned_lines_are_those_of_the_original_to_the_byte() {
    for (case, main) in [("goods", "goods-main"), ("late", "late")] {
        let (lines, counts, cleaned) = cleaned_lines(case);
        assert_eq!(json!(counts), cleaned["y"], "{case}");
        // The fixtures have line `n` in the split of `n` modulo 5.
        for (split, remainders) in [("train", &[0, 1, 2][..]), ("val", &[3]), ("test", &[4])] {
            let theirs =
                std::fs::read_to_string(fixture(&format!("{case}/manifests/{main}-{split}.manifest"))).unwrap();
            let ours = lines.iter().enumerate().filter(|(n, _)| remainders.contains(&(n % 5))).map(|(_, line)| line);
            assert!(ours.eq(theirs.lines()), "{case} {split}");
        }
    }
}

#[test]
fn splits_are_as_balanced_as_those_of_the_reference() {
    let (lines, counts, _) = cleaned_lines("goods");
    let reference = crate::json("goods/reference_split.json");
    let shown: Vec<Box<[u32]>> = counts
        .iter()
        .map(|row| row.iter().zip(0..).filter(|(count, _)| **count > 0).map(|(_, class)| class).collect())
        .collect();
    for seed in 0..200 {
        let splits = stratify(&shown, &[0.6, 0.2, 0.2], seed);
        assert_eq!(splits.len(), lines.len());
        for (split, name) in ["train", "val", "test"].iter().enumerate() {
            let theirs = &reference["splits"][name];
            let within = |what: &str, found: usize, bounds: &Value, class: Option<usize>| {
                let bound = |end: &str| match class {
                    Some(class) => bounds[end][class].as_u64().unwrap() as usize,
                    None => bounds[end].as_u64().unwrap() as usize,
                };
                let (low, high) = (bound("min").saturating_sub(1), bound("max") + 1);
                assert!((low..=high).contains(&found), "seed {seed}, {name}, {what}: {found} is not in {low}..={high}");
            };
            let members: Vec<usize> = (0..lines.len()).filter(|index| usize::from(splits[*index]) == split).collect();
            within("size", members.len(), &theirs["size"], None);
            for class in 0..5 {
                let showing = members.iter().filter(|index| shown[**index].contains(&(class as u32))).count();
                within(&format!("class {class}"), showing, &theirs["images_with_class"], Some(class));
            }
        }
    }
}
