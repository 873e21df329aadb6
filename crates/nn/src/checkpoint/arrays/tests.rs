//! On pickles that NumPy wrote (`tests/make_arrays.py`), and on broken ones.

use proptest::prelude::*;

use super::*;

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checkpoints").join(name)
}

fn bytes(name: &str) -> Bytes {
    std::fs::read(fixture(name)).unwrap().into()
}

#[test]
fn arrays_of_every_protocol_are_read() {
    for protocol in [2, 4, 5] {
        let checkpoint = Checkpoint::open(&fixture(&format!("arrays_{protocol}.pkl"))).unwrap();
        assert_eq!(checkpoint.format(), Format::NumpyPickle);
        let names: Vec<&str> = checkpoint.tensors().keys().map(String::as_str).collect();
        assert_eq!(names, ["model.stem.bias", "model.stem.weight", "model.steps"], "protocol {protocol}");
        let expected: Vec<f32> = (0..24_u8).map(|value| f32::from(value) / 8.0 - 1.0).collect();
        assert_eq!(checkpoint.floats("model.stem.weight").unwrap(), expected);
        assert_eq!(checkpoint.floats("model.stem.bias").unwrap(), [0.5, -2.0]);
        assert_eq!(checkpoint.tensors()["model.stem.weight"].shape(), [1, 2, 3, 4]);
        assert_eq!((checkpoint.tensors()["model.stem.bias"].dtype(), checkpoint.parameters()), (Dtype::F64, 27));
        // Memory of the file alone is given back.
        checkpoint.tensors().values().for_each(StoredTensor::release);
        assert_eq!(checkpoint.floats("model.stem.weight").unwrap(), expected);
        let unwrapped = checkpoint.unwrapped(["stem.weight", "stem.bias"]).unwrap();
        assert_eq!(unwrapped.prefix(), "model.");
    }
}

#[test]
fn what_is_no_array_is_named() {
    let message = |pickle: Bytes| read(&pickle).unwrap_err().to_string();
    assert!(message(bytes("arrays_code.pkl")).contains("builtins.print"), "{}", message(bytes("arrays_code.pkl")));
    let error = Checkpoint::open(&fixture("arrays_code.pkl")).unwrap_err();
    assert!(matches!(error, CheckpointError::Arrays { source: ArraysError::Class { .. }, .. }), "{error}");
    assert!(message(bytes("arrays_columns.pkl")).contains("\"model.a\" is stored column by column"));
    let whole = bytes("arrays_4.pkl");
    for length in 0..whole.len() {
        read(&whole.slice(..length)).unwrap_err();
    }
    assert_eq!(message(b"\x80\x02}P1\n.".as_slice().into()), "byte 3 is the opcode 0x50, which arrays need not have");
    // Fewer values than the shape.
    let at = whole.windows(4).position(|bytes| bytes == b"K\x01K\x02").unwrap();
    let mut changed = whole.to_vec();
    changed[at + 1] = 7;
    assert!(message(changed.into()).contains("more or fewer values"));
}

#[test]
fn pickles_that_grow_are_refused() {
    // A dictionary that holds itself a thousand times.
    let mut itself = b"\x80\x02}q\x00(".to_vec();
    for index in 0..1000_u16 {
        itself.extend([b'M', 0, 0, b'0', b'X', 2, 0, 0, 0]);
        itself.extend(format!("{:02}", index % 100).bytes());
        itself.extend(b"h\x00");
    }
    itself.extend(b"u.");
    assert!(matches!(read(&itself.into()), Err(ArraysError::Many)));
    let long = [b"\x80\x02}".to_vec(), vec![b'('; 1 << 21]].concat();
    assert!(matches!(read(&long.into()), Err(ArraysError::Many)));
    let again = [b"\x80\x02}q\x00".to_vec(), b"h\x00".repeat(1 << 21)].concat();
    assert!(matches!(read(&again.into()), Err(ArraysError::Many)));
    // A text that stands for bytes, over and over.
    let mut texts = b"\x80\x02}c_codecs\nencode\nq\x00X\x10\x27\0\0".to_vec();
    texts.extend([b'a'; 10_000]);
    texts.extend(b"q\x01");
    texts.extend(b"h\x00h\x01\x85R0".repeat(1000));
    assert!(matches!(read(&texts.into()), Err(ArraysError::Many)));
}

proptest! {
    #[test]
    fn changed_bytes_never_panic(at in 0_usize..700, byte in any::<u8>(), protocol in prop_oneof![Just(2), Just(4), Just(5)]) {
        let mut pickle = bytes(&format!("arrays_{protocol}.pkl")).to_vec();
        let at = at % pickle.len();
        pickle[at] = byte;
        let _ = read(&pickle.into());
    }
}
