//! On files that are written here. `vision` compares with files that TensorFlow wrote.

use std::path::PathBuf;

use bytes::Bytes;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use tempfile::TempDir;

use super::message::{Attribute, AttributeValue, BundleEntry, BundleHeader, Dimension, Shape, Tensor};
use super::table::{self, masked};
use crate::checkpoint::{Checkpoint, CheckpointError, Format};

const FLOAT: i32 = 1;

fn shape(extents: &[i64]) -> Option<Shape> {
    let dimensions = extents.iter().map(|size| Dimension { size: *size }).collect();
    Some(Shape { dimensions, unknown_rank: false })
}

fn little(values: &[f32]) -> Bytes {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn floats(checkpoint: &Checkpoint, name: &str) -> Vec<f32> {
    checkpoint.tensors()[name].floats().unwrap().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn put(message: &mut Vec<u8>, tag: u32, content: &[u8]) {
    encode_key(tag, WireType::LengthDelimited, message);
    encode_varint(content.len() as u64, message);
    message.extend_from_slice(content);
}

/// A constant's node in a graph.
fn constant(graph: &mut Vec<u8>, name: &str, tensor: Tensor) {
    let value = Attribute { name: "value".to_owned(), value: Some(AttributeValue { tensor: Some(tensor) }) };
    let mut node = Vec::new();
    put(&mut node, 1, name.as_bytes());
    put(&mut node, 2, b"Const");
    put(&mut node, 5, &value.encode_to_vec());
    put(graph, 1, &node);
}

fn tensor(extents: &[i64], content: Bytes, floats: Vec<f32>) -> Tensor {
    Tensor { dtype: FLOAT, shape: shape(extents), content, floats }
}

fn opened(bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("graph.pb");
    std::fs::write(&file, bytes).unwrap();
    Checkpoint::open(&file)
}

/// The message and its source's.
fn told(error: &CheckpointError) -> String {
    let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    format!("{error}: {source}")
}

#[test]
fn constants_of_a_graph_are_read() {
    let mut graph = Vec::new();
    constant(&mut graph, "a/weights", tensor(&[1, 2], little(&[1.0, -2.5]), Vec::new()));
    constant(&mut graph, "a/gamma", tensor(&[3], Bytes::new(), vec![0.5, 4.0]));
    constant(&mut graph, "names", Tensor { dtype: 7, ..tensor(&[1], Bytes::from_static(b"x"), Vec::new()) });
    let checkpoint = opened(&graph).unwrap();
    assert_eq!((checkpoint.format(), checkpoint.tensors().len()), (Format::TensorFlowGraph, 2));
    assert_eq!(checkpoint.tensors()["a/weights"].shape(), [1, 2]);
    assert_eq!(floats(&checkpoint, "a/weights"), [1.0, -2.5]);
    // The last value counts for those that follow.
    assert_eq!(floats(&checkpoint, "a/gamma"), [0.5, 4.0, 4.0]);
}

#[test]
fn dimensions_are_rearranged() {
    let values: Vec<f32> = (0..24_u8).map(f32::from).collect();
    let mut graph = Vec::new();
    constant(&mut graph, "a", tensor(&[2, 3, 4], little(&values), Vec::new()));
    let checkpoint = opened(&graph).unwrap();
    let rearranged = checkpoint.mapped(|name, stored| Some((name.to_owned(), stored.permuted(&[2, 0, 1]))));
    assert_eq!(rearranged.tensors()["a"].shape(), [4, 2, 3]);
    let found = floats(&rearranged, "a");
    for (index, value) in found.iter().enumerate() {
        let (a, b, c) = (index / 6, index / 3 % 2, index % 3);
        assert_eq!(*value, values[(b * 3 + c) * 4 + a]);
    }
    let back = rearranged.mapped(|name, stored| Some((name.to_owned(), stored.permuted(&[1, 2, 0]))));
    assert_eq!(floats(&back, "a"), values);
}

#[test]
fn graphs_that_cannot_be_used_are_refused() {
    let mut graph = Vec::new();
    constant(&mut graph, "a/weights", tensor(&[3], little(&[1.0, 2.0]), Vec::new()));
    let error = told(&opened(&graph).unwrap_err());
    assert!(error.contains("the tensor \"a/weights\" has 8 bytes of values, and its size needs 12"), "{error}");
    let mut graph = Vec::new();
    constant(&mut graph, "huge", tensor(&[1 << 40], Bytes::new(), vec![1.0]));
    assert!(matches!(opened(&graph), Err(CheckpointError::Bomb { .. })));
    for extents in [&[-1][..], &[i64::MAX, i64::MAX], &[1; 300]] {
        let mut graph = Vec::new();
        constant(&mut graph, "a", tensor(extents, little(&[1.0]), Vec::new()));
        let error = told(&opened(&graph).unwrap_err());
        assert!(error.contains("has no size that can be used"), "{error}");
    }
    let mut graph = Vec::new();
    put(&mut graph, 1, &[0x0a, 1, b'x']);
    assert!(told(&opened(&graph).unwrap_err()).contains("the graph has no constants: a frozen graph, or a checkpoint"));
    assert!(told(&opened(b"\n\xff\xff").unwrap_err()).contains("it is no graph"));
}

/// A block with its trailer, and its place.
fn block(table: &mut Vec<u8>, pairs: &[(&[u8], Vec<u8>)]) -> Vec<u8> {
    let start = table.len();
    for (key, value) in pairs {
        for length in [0, key.len(), value.len()] {
            encode_varint(length as u64, table);
        }
        table.extend_from_slice(key);
        table.extend_from_slice(value);
    }
    // One restart, at the beginning.
    table.extend([0, 0, 0, 0, 1, 0, 0, 0]);
    let (mut place, length) = (Vec::new(), table.len() - start);
    table.push(0);
    let checksum = masked(crc32c::crc32c(&table[start..]));
    table.extend(checksum.to_le_bytes());
    encode_varint(start as u64, &mut place);
    encode_varint(length as u64, &mut place);
    place
}

/// An index as TensorFlow writes it.
fn index(entries: &[(&str, BundleEntry)]) -> Vec<u8> {
    let header = BundleHeader { shards: 1, endianness: 0 }.encode_to_vec();
    let mut pairs: Vec<(&[u8], Vec<u8>)> = vec![(b"", header)];
    pairs.extend(entries.iter().map(|(name, entry)| (name.as_bytes(), entry.encode_to_vec())));
    let mut table = Vec::new();
    let place = block(&mut table, &pairs);
    let (filters, blocks) = (block(&mut table, &[]), [(&b"\xff"[..], place)]);
    let blocks = block(&mut table, &blocks);
    let mut footer = [filters, blocks].concat();
    footer.resize(40, 0);
    footer.extend(table::MAGIC.to_le_bytes());
    [table, footer].concat()
}

fn entry(extents: &[i64], offset: i64, values: &[f32]) -> BundleEntry {
    let content = little(values);
    BundleEntry {
        dtype: FLOAT,
        shape: shape(extents),
        shard: 0,
        offset,
        size: content.len() as i64,
        checksum: masked(crc32c::crc32c(&content)),
        slices: Vec::new(),
    }
}

fn bundle(index: &[u8], data: Option<&[f32]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.ckpt-7.index");
    std::fs::write(&file, index).unwrap();
    if let Some(data) = data {
        std::fs::write(folder.path().join("model.ckpt-7.data-00000-of-00001"), little(data)).unwrap();
    }
    (folder, file)
}

#[test]
fn variables_of_a_checkpoint_are_read() {
    let index = index(&[("a/weights", entry(&[2], 0, &[1.0, 2.0])), ("b", entry(&[], 8, &[7.5]))]);
    let (_folder, file) = bundle(&index, Some(&[1.0, 2.0, 7.5]));
    let checkpoint = Checkpoint::open(&file).unwrap();
    assert_eq!(checkpoint.format(), Format::TensorFlowCheckpoint);
    assert_eq!((floats(&checkpoint, "a/weights"), floats(&checkpoint, "b")), (vec![1.0, 2.0], vec![7.5]));
    assert_eq!(checkpoint.tensors()["b"].shape(), [0; 0]);
}

#[test]
fn checkpoints_that_cannot_be_used_are_refused() {
    let refused = |entries: &[(&str, BundleEntry)], data: Option<&[f32]>| {
        let (_folder, file) = bundle(&index(entries), data);
        told(&Checkpoint::open(&file).unwrap_err())
    };
    let good = || entry(&[2], 0, &[1.0, 2.0]);
    for (entry, message) in [
        (good(), "model.ckpt-7.data-00000-of-00001 cannot be opened"),
        (BundleEntry { slices: vec![super::message::Slice {}], ..good() }, "is stored in parts"),
        (BundleEntry { shard: 3, ..good() }, "lies in a data file that does not exist"),
        (BundleEntry { size: 4, ..good() }, "has not as many values as its size needs"),
    ] {
        let error = refused(&[("a", entry)], None);
        assert!(error.contains(message), "{error}");
    }
    for (entry, message) in [
        (BundleEntry { checksum: 0, ..good() }, "the tensor \"a\" is damaged"),
        (BundleEntry { offset: 4, ..good() }, "lies behind the end of its data file"),
        (BundleEntry { offset: -4, ..good() }, "lies behind the end of its data file"),
    ] {
        let error = refused(&[("a", entry)], Some(&[1.0, 2.0]));
        assert!(error.contains(message), "{error}");
    }
    let error = refused(&[("a", good()), ("b", good())], Some(&[1.0, 2.0]));
    assert!(error.contains("and those before it need more bytes than their data file has"), "{error}");
}

#[test]
fn a_flipped_bit_of_an_index_is_found() {
    let whole = index(&[("a", entry(&[2], 0, &[1.0, 2.0]))]);
    let mut refused = 0;
    for place in 0..whole.len() {
        let mut broken = whole.clone();
        broken[place] ^= 1;
        let (_folder, file) = bundle(&broken, Some(&[1.0, 2.0]));
        match Checkpoint::open(&file) {
            // The block of filters and the bytes before the footer's end are not read.
            Ok(checkpoint) => assert_eq!(floats(&checkpoint, "a"), [1.0, 2.0]),
            Err(error) => {
                assert!(!told(&error).is_empty());
                refused += 1;
            }
        }
    }
    assert!(2 * refused > whole.len(), "{refused} of {}", whole.len());
    for end in 0..whole.len() {
        let (_folder, file) = bundle(&whole[..end], Some(&[1.0, 2.0]));
        assert!(Checkpoint::open(&file).is_err());
    }
}
