//! On made-up tensors, and on small files of PyTorch's (`crates/nn/tests/make_checkpoints.py`).

use std::path::Path;

use nn::checkpoint::StoredTensor;

use super::*;

fn open(name: &str) -> Checkpoint {
    Checkpoint::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../nn/tests/checkpoints").join(name)).unwrap()
}

/// A tensor `[64]` of 64-bit integers, which no layer has.
fn integers() -> StoredTensor {
    let header = br#"{"integers":{"dtype":"I64","shape":[64],"data_offsets":[0,512]}}"#;
    let file = tempfile::NamedTempFile::new().unwrap();
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 512]].concat();
    std::fs::write(file.path(), bytes).unwrap();
    Checkpoint::open(file.path()).unwrap().tensors()["integers"].clone()
}

#[test]
fn another_network_is_refused_with_ten_tensors() {
    let error = identify(&open("zip.pt")).unwrap_err().to_string();
    assert!(error.contains("zip.pt is no checkpoint of the SAM network for pictures of 1024 x 1024"), "{error}");
    assert!(error.contains("; encoder.input_layer.1.running_mean [64] is missing; "), "{error}");
    assert_eq!(error.matches(" is missing").count(), 10, "{error}");
}

#[test]
fn misfits_are_named_with_the_shape_that_is_needed() {
    let whole = made_up(256);
    let mut tensors = whole.tensors().clone();
    tensors.insert("encoder.input_layer.2.weight".to_owned(), integers());
    tensors.insert("latent_avg".to_owned(), StoredTensor::computed(vec![512], || vec![0.0; 512]));
    tensors.remove("decoder.to_rgb1.bias");
    let needed = whole.tensors().len();
    let error = identify(&Checkpoint::computed("model.pt", tensors)).unwrap_err().to_string();
    let (start, misfits) = error.split_once(": ").unwrap();
    let network = "model.pt is no checkpoint of the SAM network for pictures of 256 x 256";
    assert_eq!(start, network);
    assert_eq!(
        misfits,
        format!(
            "3 of {needed} tensors do not fit: \
             encoder.input_layer.2.weight has elements of I64: F16, BF16, F32 or F64 would work; \
             decoder.to_rgb1.bias [1, 3, 1, 1] is missing; latent_avg is [512], [14, 512] is needed"
        )
    );
}

#[test]
fn other_sizes_and_variants_are_refused() {
    let scales =
        (0..5).map(|index| (format!("decoder.to_rgbs.{index}.bias"), StoredTensor::computed(vec![], Vec::new)));
    let error = identify(&Checkpoint::computed("small.pt", scales)).unwrap_err();
    assert!(matches!(error, SamError::OutputSize { output_size: 128, .. }), "{error}");

    let error = identify(&open("variant.pt")).unwrap_err().to_string();
    assert!(error.contains("start_from_encoded_w_plus off"), "{error}");
}
