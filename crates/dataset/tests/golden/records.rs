use std::path::PathBuf;

use dataset::formats::tfrecord::{Compression, TfRecordWriter};
use dataset::{Options, Reading, Sample, Sink};
use serde_json::Value;

use crate::{fixture, samples};

const SHARD: &str = "records/shapes.record-00000-of-00002";

fn with_map() -> Options {
    Options { label_map: Some(fixture("records/label_map.pbtxt")), ..Options::default() }
}

fn read(file: PathBuf) -> (Vec<Sample>, Reading) {
    let mut reading = Reading::default();
    let samples = samples(&[file], &with_map(), &mut reading).unwrap();
    (samples, reading)
}

#[test]
fn records_of_tensorflow_are_what_its_decoder_makes_of_them() {
    let expected = crate::json("records/shapes.json");
    let (samples, reading) = read(fixture(SHARD));
    assert_eq!((samples.len(), reading.findings.fault_count()), (6, 0));
    for (sample, record) in samples.iter().zip(expected["records"].as_array().unwrap()) {
        let (features, decoder) = (&record["features"], &record["decoder"]);
        let size = sample.size.unwrap();
        assert_eq!(features["image/filename"][0], *sample.name);
        assert_eq!(features["image/width"][0], size.width);
        let boxes = decoder["groundtruth_boxes_ymin_xmin_ymax_xmax"].as_array().unwrap();
        assert_eq!(sample.objects.len(), boxes.len());
        for (index, (object, corners)) in sample.objects.iter().zip(boxes).enumerate() {
            let [left, top, right, bottom] = object.bounds.corners();
            let shares = [top / f64::from(size.height), left / f64::from(size.width)];
            let ends = [bottom / f64::from(size.height), right / f64::from(size.width)];
            for (ours, theirs) in shares.iter().chain(&ends).zip(corners.as_array().unwrap()) {
                assert_eq!(*ours as f32, theirs.as_f64().unwrap() as f32);
            }
            // The pictures were drawn on whole pixels.
            assert_eq!(left.fract(), 0.0);
            let number = reading.classes.get(object.class).unwrap().number.unwrap();
            assert_eq!(Value::from(number + 1), decoder["groundtruth_classes"][index]);
        }
        let picture = picture::decode(sample.encoded.as_deref().unwrap()).unwrap();
        assert_eq!(picture.dimensions(), (size.width, size.height));
        let centre = picture.get_pixel(size.width / 2, size.height / 2).0;
        for (ours, theirs) in centre.iter().zip(record["centre"].as_array().unwrap()) {
            assert!(i64::from(*ours).abs_diff(theirs.as_i64().unwrap()) <= 3, "{centre:?} {theirs}");
        }
    }
}

/// Examples with the features of records that the shard lacks: no text, marks, an unknown text, weights.
#[test]
fn the_rules_of_the_decoder_hold_for_every_record() {
    use dataset::formats::tfrecord::{Example, Feature, write_record};
    let expected = crate::json("records/shapes.json");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("made.record");
    let mut bytes = Vec::new();
    let records = expected["records"].as_array().unwrap();
    for record in records {
        let features = record["features"].as_object().unwrap();
        let texts: Vec<(&str, Vec<String>)> = features
            .iter()
            .filter(|(_, list)| {
                list.as_array().is_some_and(|list| list.iter().all(Value::is_string) && !list.is_empty())
            })
            .map(|(name, list)| {
                (&**name, list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect())
            })
            .collect();
        let mut example = Example::default();
        for (name, list) in &texts {
            example.insert(name, Feature::Bytes(list.iter().map(String::as_bytes).collect()));
        }
        for (name, list) in features {
            let Some(list) = list.as_array().filter(|list| !list.is_empty() && list.iter().all(Value::is_number))
            else {
                continue;
            };
            let feature = if name.contains("bbox") || name.ends_with("weight") {
                Feature::Floats(list.iter().map(|number| number.as_f64().unwrap() as f32).collect())
            } else {
                Feature::Ints(list.iter().map(|number| number.as_i64().unwrap()).collect())
            };
            example.insert(name, feature);
        }
        write_record(&mut bytes, &example.encode()).unwrap();
    }
    std::fs::write(&file, bytes).unwrap();
    let (samples, reading) = read(file);
    assert_eq!((samples.len(), reading.findings.fault_count()), (12, 0));
    for (sample, record) in samples.iter().zip(records) {
        let decoder = &record["decoder"];
        for (index, object) in sample.objects.iter().enumerate() {
            let number = reading.classes.get(object.class).unwrap().number;
            // The decoder gives -1 to a text that the map lacks; here such a class has a name and no number.
            let expected = decoder["groundtruth_classes"][index].as_i64().unwrap();
            assert_eq!(number.map_or(-1, |number| number + 1), expected, "{}", record["index"]);
            assert_eq!(object.weight.unwrap_or(1.0), decoder["groundtruth_weights"][index].as_f64().unwrap());
            let is_difficult = decoder["groundtruth_difficult"].get(index).is_some_and(|mark| mark == true);
            assert_eq!(object.flags.is_difficult, is_difficult);
        }
    }
    let losses: Vec<_> = reading.findings.losses().collect();
    assert_eq!(losses, [("annotations of a class that the label map lacks: kept by name", 1)]);
}

#[test]
fn broken_files_are_refused_by_name_and_good_records_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(fixture(SHARD)).unwrap();
    // The broken files that TensorFlow was given: the first three records, with a bit changed or an end missing.
    let three = 37_748;
    let flipped = |at: usize, bits: u8| {
        let mut bytes = whole[..three].to_vec();
        bytes[at] ^= bits;
        bytes
    };
    let expected = crate::json("records/shapes.json");
    let cases = [
        // After wrong bytes, the next record is read, where TensorFlow stops.
        ("broken_data_crc", flipped(31_716, 1), 2, Some((6429, "the checksum of the record's bytes is wrong"))),
        ("broken_length_crc", flipped(6437, 128), 1, Some((6429, "the checksum of the record's length is wrong"))),
        ("broken_payload", flipped(32_232, 16), 2, Some((31_720, "the checksum of the record's bytes is wrong"))),
        ("cut_in_data", whole[..32_432].to_vec(), 2, Some((31_720, "the file ends within the record"))),
        // TensorFlow says nothing here.
        ("cut_in_header", whole[..31_725].to_vec(), 2, Some((31_720, "the file ends within the record"))),
        ("empty", Vec::new(), 0, None),
    ];
    for (name, bytes, count, fault) in cases {
        let file = folder.path().join(format!("{name}.record"));
        std::fs::write(&file, bytes).unwrap();
        let (samples, reading) = read(file.clone());
        assert_eq!(samples.len(), count, "{name}");
        let theirs = expected["files"][format!("{name}.record")]["tensorflow_reads"].as_u64().unwrap();
        assert!(count as u64 >= theirs, "{name}");
        let faults = reading.findings.faults();
        match fault {
            None => assert!(faults.is_empty()),
            Some((at, reason)) => {
                assert_eq!(faults[0].at, Some(("byte", at)), "{name}");
                assert!(faults[0].reason.starts_with(reason), "{name}: {}", faults[0]);
            }
        }
    }
    let (samples, reading) = read(fixture("records/not_an_example.record"));
    assert_eq!(samples.len(), 0);
    let reasons: Vec<_> = reading.findings.faults().iter().map(|fault| &*fault.reason).collect();
    assert!(reasons[0].starts_with("this is no tf.train.Example"), "{reasons:?}");
    assert!(reasons[1].contains("shows no picture"), "{reasons:?}");
}

#[test]
fn compressed_files_are_the_same_records() {
    let (plain, _) = read(fixture(SHARD));
    let (gzip, reading) = read(fixture("records/gzip.record"));
    assert_eq!((&gzip[..], reading.findings.fault_count()), (&plain[..3], 0));
    let folder = tempfile::tempdir().unwrap();
    let mut reading = Reading::default();
    for (name, compression, shards) in
        [("n", Compression::None, 1), ("g", Compression::Gzip, 2), ("z", Compression::Zlib, 4)]
    {
        let base = folder.path().join(format!("{name}.record"));
        let mut writer = TfRecordWriter::create(&base, shards, compression).unwrap();
        for sample in samples(&[fixture(SHARD)], &with_map(), &mut reading).unwrap() {
            writer.write(&sample, &reading.classes, &mut reading.findings).unwrap();
        }
        assert_eq!(writer.finish(&reading.classes, &mut reading.findings).unwrap().len(), shards as usize);
        let (mut written, reading) = read(base);
        assert_eq!(reading.findings.fault_count(), 0, "{:?}", reading.findings.faults());
        written.sort_by(|a, b| a.name.cmp(&b.name));
        assert!(written.iter().map(|sample| &sample.objects).eq(plain.iter().map(|sample| &sample.objects)), "{name}");
        assert!(written.iter().map(|sample| &sample.encoded).eq(plain.iter().map(|sample| &sample.encoded)), "{name}");
    }
    assert_eq!(reading.findings.losses().count(), 0);
}
