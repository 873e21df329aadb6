//! A data set that goes through two formats which can hold it is the same data set.

#![allow(clippy::unwrap_used, reason = "what a test finds missing is its failure")]

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use dataset::export::{Exporter, Filter, Placement};
use dataset::{
    Classes, Format, Input, Inputs, Label, LocalPictures, Object, Options, Reading, Rectangle, Sample, Size, Target,
};
use proptest::prelude::*;
use proptest::test_runner::Config;

const DETECTION: [Format; 6] =
    [Format::GroundTruth, Format::Coco, Format::TfRecord, Format::Voc, Format::PlainText, Format::OpenImages];
const CLASSIFICATION: [Format; 3] = [Format::GroundTruth, Format::TfRecord, Format::Folders];

/// A data set: for each picture its size, boxes in quarters of a pixel with their classes, and the class of the whole picture.
#[derive(Debug, Clone)]
struct Drawn {
    names: Vec<String>,
    pictures: Vec<Picture>,
}

#[derive(Debug, Clone)]
struct Picture {
    side: [u32; 2],
    boxes: Vec<([u32; 4], usize)>,
    class: usize,
}

/// Sets whose classes have names of this pattern.
fn drawn(pattern: &'static str) -> impl Strategy<Value = Drawn> {
    let names = proptest::collection::btree_set(pattern, 1..4);
    let edges = proptest::collection::vec((any::<[u16; 4]>(), 0..4_usize), 0..4);
    let picture = ([1..40_u32, 1..40_u32], edges, 0..4_usize);
    (names, proptest::collection::vec(picture, 1..5)).prop_map(|(names, pictures)| {
        let names: Vec<String> = names.into_iter().collect();
        let count = names.len();
        let pictures = pictures.into_iter().map(|(side, edges, class)| {
            let within = |edge: u16, side: u32| u32::from(edge) % (4 * side);
            let boxes = edges.into_iter().map(|([a, b, c, d], class)| {
                let (left, top) = (within(a, side[0]), within(b, side[1]));
                let (right, bottom) =
                    (left + 1 + u32::from(c) % (4 * side[0] - left), top + 1 + u32::from(d) % (4 * side[1] - top));
                ([left, top, right, bottom], class % count)
            });
            Picture { side, boxes: boxes.collect(), class: class % count }
        });
        Drawn { pictures: pictures.collect(), names }
    })
}

impl Drawn {
    fn samples(&self, classes: &mut Classes, of_wholes: bool) -> Vec<Sample> {
        let ids: Vec<_> = self.names.iter().map(|name| classes.of_name(name)).collect();
        let sample = |(index, picture): (usize, &Picture)| {
            let [width, height] = picture.side;
            let mut png = Cursor::new(Vec::new());
            image::RgbImage::new(width, height).write_to(&mut png, image::ImageFormat::Png).unwrap();
            let mut sample = Sample::at(format!("picture-{index}.png"));
            sample.is_annotated = true;
            sample.size = Some(Size { width, height, depth: 3 });
            sample.encoded = Some(png.into_inner());
            if of_wholes {
                sample.labels.push(Label { class: ids[picture.class], confidence: None });
            } else {
                sample.objects.extend(picture.boxes.iter().map(|(edges, class)| {
                    Object::new(ids[*class], Rectangle::between(edges.map(|edge| f64::from(edge) / 4.0)))
                }));
            }
            sample
        };
        self.pictures.iter().enumerate().map(sample).collect()
    }
}

/// What must be the same: by the picture's name its boxes and labels with their names. Pictures without any are left out, since not
/// every format has a place for them.
type Essence = BTreeMap<String, (Vec<([i64; 4], String)>, Vec<String>)>;

fn essence(samples: &[Sample], classes: &Classes) -> Essence {
    let of = |sample: &Sample| {
        let boxes = sample.objects.iter().map(|object| {
            // Tenths of thousandths of a pixel.
            let corners = object.bounds.corners().map(|edge| (edge * 1e4).round() as i64);
            (corners, classes.shown(object.class).into_owned())
        });
        let labels = sample.labels.iter().map(|label| classes.shown(label.class).into_owned());
        (boxes.collect(), labels.collect())
    };
    let shown = samples.iter().filter(|sample| !sample.classes().is_empty());
    shown.map(|sample| (sample.name.clone(), of(sample))).collect()
}

fn write(folder: &Path, format: Format, samples: Vec<Sample>, reading: &mut Reading) {
    let out = folder.join(format.file_name("set"));
    let target = Target { job: "job".to_owned(), shards: 2, ..Target::default() };
    let copies = (!matches!(format, Format::TfRecord | Format::Folders)).then(|| folder.join("images"));
    let (filter, placement) = (Filter::default(), Placement { copies, uri: None });
    let mut exporter = Exporter::create(&out, format, &target, &filter, placement, &LocalPictures).unwrap();
    for sample in samples {
        exporter.write(sample, reading).unwrap();
    }
    exporter.finish(reading).unwrap();
}

fn read(folder: &Path, format: Format) -> (Vec<Sample>, Reading) {
    let mut reading = Reading::default();
    let images = folder.join("images");
    let images = images.exists().then(|| images.to_string_lossy().into_owned());
    // A manifest names its pictures with their folder.
    let images = images.filter(|_| format != Format::GroundTruth);
    let options = Options { images, ..Options::default() };
    let inputs = [Input { path: folder.join(format.file_name("set")), format }];
    let mut samples = Vec::new();
    let all = Inputs { inputs: &inputs, options: &options, pictures: &LocalPictures };
    all.learn_classes(&mut reading).unwrap();
    all.for_each(&mut reading, |_, sample, _| {
        samples.push(sample);
        Ok(())
    })
    .unwrap();
    assert_eq!(reading.findings.fault_count(), 0, "{format}: {:?}", reading.findings.faults());
    (samples, reading)
}

fn check(drawn: &Drawn, formats: &[Format], of_wholes: bool) {
    for first in formats {
        let folder = tempfile::tempdir().unwrap();
        let mut reading = Reading::default();
        let samples = drawn.samples(&mut reading.classes, of_wholes);
        let expected = essence(&samples, &reading.classes);
        write(folder.path(), *first, samples, &mut reading);
        if expected.is_empty() {
            continue;
        }
        let (samples, reading) = read(folder.path(), *first);
        assert_eq!(essence(&samples, &reading.classes), expected, "{first}");
        for second in formats {
            let folder = tempfile::tempdir().unwrap();
            let mut reading = Reading { classes: reading.classes.clone(), ..Reading::default() };
            write(folder.path(), *second, samples.clone(), &mut reading);
            assert_eq!(reading.findings.fault_count(), 0, "{first} {second}: {:?}", reading.findings.faults());
            let (samples, reading) = read(folder.path(), *second);
            assert_eq!(essence(&samples, &reading.classes), expected, "from {first} to {second}");
        }
    }
}

proptest! {
    #![proptest_config(Config { cases: 12, failure_persistence: None, ..Config::default() })]

    #[test]
    fn boxes_survive_every_pair_of_formats(drawn in drawn("[a-zA-Zé<&'\"\\\\#眼-][a-zA-Z0-9é<&'\".-]{0,7}")) {
        check(&drawn, &DETECTION, false);
    }

    // Names of folders are small letters without slashes, since some file systems know no others.
    #[test]
    fn classes_of_pictures_survive_every_pair_of_formats(drawn in drawn("[a-zé&'#眼-][a-z0-9é&'.-]{0,7}")) {
        check(&drawn, &CLASSIFICATION, true);
    }
}
