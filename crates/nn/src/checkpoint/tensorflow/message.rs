//! The parts of TensorFlow's messages that hold tensors. Fields that nobody reads are passed over.

use bytes::{Buf, Bytes};
use prost::encoding::{self, DecodeContext, WireType};
use prost::{DecodeError, Message};

/// The next field of a message that is text, bytes or a message itself: its tag and its content. Others are passed over.
///
/// Lists of messages are read one by one, as each takes far more memory than its bytes.
pub(super) fn next(message: &mut Bytes) -> Result<Option<(u32, Bytes)>, DecodeError> {
    while message.has_remaining() {
        let (tag, wire_type) = encoding::decode_key(message)?;
        if wire_type == WireType::LengthDelimited {
            let mut content = Bytes::new();
            encoding::bytes::merge(wire_type, &mut content, message, DecodeContext::default())?;
            return Ok(Some((tag, content)));
        }
        encoding::skip_field(wire_type, tag, message, DecodeContext::default())?;
    }
    Ok(None)
}

/// `NodeDef`, with one of its attributes.
#[derive(Default)]
pub(super) struct Node {
    pub(super) name: Bytes,
    pub(super) operation: Bytes,
    pub(super) value: Option<Tensor>,
}

impl Node {
    /// The attribute `value` is kept.
    pub(super) fn read(mut message: Bytes) -> Result<Self, DecodeError> {
        let mut node = Self::default();
        while let Some((tag, content)) = next(&mut message)? {
            match tag {
                1 => node.name = content,
                2 => node.operation = content,
                5 => {
                    let attribute = Attribute::decode(content)?;
                    if attribute.name == "value" {
                        node.value = attribute.value.and_then(|value| value.tensor);
                    }
                }
                _ => {}
            }
        }
        Ok(node)
    }
}

/// An entry of the map of a node's attributes.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Attribute {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, optional, tag = "2")]
    pub(super) value: Option<AttributeValue>,
}

/// `AttrValue`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AttributeValue {
    #[prost(message, optional, tag = "8")]
    pub(super) tensor: Option<Tensor>,
}

/// `TensorProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Tensor {
    #[prost(int32, tag = "1")]
    pub(super) dtype: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) shape: Option<Shape>,
    /// All values, little-endian.
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) content: Bytes,
    /// The first values of a float32 tensor; the last one counts for those that follow.
    #[prost(float, repeated, tag = "5")]
    pub(super) floats: Vec<f32>,
}

/// `TensorShapeProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Shape {
    #[prost(message, repeated, tag = "2")]
    pub(super) dimensions: Vec<Dimension>,
    #[prost(bool, tag = "3")]
    pub(super) unknown_rank: bool,
}

/// `TensorShapeProto.Dim`.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Dimension {
    #[prost(int64, tag = "1")]
    pub(super) size: i64,
}

/// `BundleHeaderProto`.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct BundleHeader {
    #[prost(int32, tag = "1")]
    pub(super) shards: i32,
    /// 1 is big.
    #[prost(int32, tag = "2")]
    pub(super) endianness: i32,
}

/// `BundleEntryProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct BundleEntry {
    #[prost(int32, tag = "1")]
    pub(super) dtype: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) shape: Option<Shape>,
    #[prost(int32, tag = "3")]
    pub(super) shard: i32,
    #[prost(int64, tag = "4")]
    pub(super) offset: i64,
    #[prost(int64, tag = "5")]
    pub(super) size: i64,
    /// The masked CRC-32C of the values.
    #[prost(fixed32, tag = "6")]
    pub(super) checksum: u32,
    /// Parts of a partitioned variable.
    #[prost(message, repeated, tag = "7")]
    pub(super) slices: Vec<Slice>,
}

/// `TensorSliceProto`, of which only the presence matters.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Slice {}
