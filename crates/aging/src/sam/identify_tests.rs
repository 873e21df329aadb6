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
fn another_network_is_refused_with_the_names_of_both() {
    let error = identify(&open("zip.pt")).unwrap_err().to_string();
    let (_, message) = error.split_once("zip.pt ").unwrap();
    assert_eq!(
        message,
        "is no checkpoint of the SAM network for pictures of 1024 x 1024: 1278 of 1278 tensors do not fit\n\
         missing: 1275\n  encoder.input_layer.0.weight [64, 4, 3, 3]\n  \
         encoder.input_layer.1.weight [64]\n  encoder.input_layer.1.bias [64]\n  \
         encoder.input_layer.1.running_mean [64]\n  ...\n\
         of another shape: 3\n  encoder.latlayer1.weight [3, 2], [512, 256, 1, 1] is needed\n  \
         decoder.input.input [1, 2, 3, 4], [1, 512, 4, 4] is needed\n  latent_avg [2, 4], [18, 512] is needed\n\
         in the file, under names that are not needed: 1\n  encoder.input_layer.1.num_batches_tracked []"
    );
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
    assert_eq!(
        error,
        format!(
            "model.pt is no checkpoint of the SAM network for pictures of 256 x 256: 3 of {needed} tensors do not fit\n\
             missing: 1\n  decoder.to_rgb1.bias [1, 3, 1, 1]\n\
             of another shape: 1\n  latent_avg [512], [14, 512] is needed\n\
             of another type than F16, BF16, F32 and F64: 1\n  encoder.input_layer.2.weight [64], I64\n\
             in the file: no other tensors"
        )
    );
}

/// A made-up checkpoint whose names begin with a prefix, except `latent_avg`, which begins with another.
fn wrapped(size: usize, prefix: &str, beside: &str) -> Checkpoint {
    let named = |(name, tensor): (&String, &StoredTensor)| {
        (format!("{}{name}", if name == "latent_avg" { beside } else { prefix }), tensor.clone())
    };
    Checkpoint::computed("model.pt", made_up(size).tensors().iter().map(named))
}

#[test]
fn the_prefixes_of_wrappers_are_taken_off() {
    let bare = identify(&made_up(256)).unwrap();
    for (size, prefix, beside) in [
        (256, "module.", "module."),
        (512, "_orig_mod.", "_orig_mod."),
        (1024, "model_state_dict.module._orig_mod.", ""),
        (256, "run.net.", "run."),
        (256, "params_ema.", "params_ema."),
    ] {
        let found = identify(&wrapped(size, prefix, beside)).unwrap_or_else(|error| panic!("{prefix}: {error}"));
        assert_eq!((found.output_size, found.checkpoint.prefix()), (size, prefix));
        assert!(found.checkpoint.tensors().contains_key("latent_avg"));
        assert!(size > 256 || found.tensors == bare.tensors);
    }
    let mut tensors = wrapped(256, "module.", "module.").tensors().clone();
    tensors.remove("module.decoder.to_rgb1.bias");
    let error = identify(&Checkpoint::computed("model.pt", tensors)).unwrap_err().to_string();
    assert!(error.contains(" 1 of 1"), "{error}");
    assert!(error.contains("do not fit, the prefix \"module.\" of the names taken off\nmissing: 1\n"), "{error}");
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
