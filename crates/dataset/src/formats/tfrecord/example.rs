//! `tf.train.Example` in protocol buffers' wire format (`example.proto` and `feature.proto` of TensorFlow).

/// An example: features by name, as slices of its bytes.
#[derive(Debug, Default, PartialEq)]
pub struct Example<'a> {
    features: Vec<(&'a str, Feature<'a>)>,
}

/// The values of a feature.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Feature<'a> {
    /// No list at all.
    #[default]
    Empty,
    /// Texts or files.
    Bytes(Vec<&'a [u8]>),
    /// Numbers.
    Floats(Vec<f32>),
    /// Whole numbers.
    Ints(Vec<i64>),
}

/// Bytes that are no example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no tf.train.Example: {0}")]
pub struct ExampleError(&'static str);

/// A field of a message.
enum Field<'a> {
    Number(u64),
    Fixed32([u8; 4]),
    Bytes(&'a [u8]),
    Other,
}

/// The fields of a message, one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Result<u64, ExampleError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(ExampleError("it ends within a number"))?;
            self.0 = rest;
            value |= u64::from(byte & 127) << shift;
            if byte & 128 == 0 {
                return Ok(value);
            }
        }
        Err(ExampleError("a number has more than ten bytes"))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], ExampleError> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (bytes, rest) =
            self.0.split_at_checked(length).ok_or(ExampleError("a field is longer than its message"))?;
        self.0 = rest;
        Ok(bytes)
    }

    /// The next field and its number.
    fn next(&mut self) -> Result<Option<(u64, Field<'a>)>, ExampleError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Number(self.varint()?),
            1 => {
                self.take(8)?;
                Field::Other
            }
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.take(length)?)
            }
            5 => {
                let mut bytes = [0; 4];
                bytes.copy_from_slice(self.take(4)?);
                Field::Fixed32(bytes)
            }
            _ => return Err(ExampleError("a field has a type that protocol buffers lack")),
        };
        Ok(Some((tag >> 3, field)))
    }
}

impl<'a> Example<'a> {
    /// Parses an example. Of features with one name, the last counts. Fields that the format does not know are passed over.
    ///
    /// # Errors
    /// [`ExampleError`]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ExampleError> {
        let mut example = Self::default();
        let mut message = Fields(bytes);
        while let Some((number, field)) = message.next()? {
            let (1, Field::Bytes(bytes)) = (number, field) else { continue };
            let mut features = Fields(bytes);
            while let Some((number, field)) = features.next()? {
                if let (1, Field::Bytes(entry)) = (number, field) {
                    example.push(entry)?;
                }
            }
        }
        Ok(example)
    }

    /// Adds an entry of the map from names to features.
    fn push(&mut self, entry: &'a [u8]) -> Result<(), ExampleError> {
        let (mut name, mut feature) = ("", Feature::Empty);
        let mut fields = Fields(entry);
        while let Some((number, field)) = fields.next()? {
            match (number, field) {
                (1, Field::Bytes(bytes)) => {
                    name = std::str::from_utf8(bytes).map_err(|_| ExampleError("a feature's name is no UTF-8"))?;
                }
                (2, Field::Bytes(bytes)) => feature = Feature::parse(bytes)?,
                _ => {}
            }
        }
        self.features.push((name, feature));
        Ok(())
    }

    /// A feature; `None` if there is none of this name, or it is empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Feature<'a>> {
        let found = self.features.iter().rev().find(|(known, _)| *known == name);
        found.map(|(_, feature)| feature).filter(|feature| **feature != Feature::Empty)
    }

    /// The names of all features.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.features.iter().map(|(name, _)| *name)
    }

    /// Adds a feature.
    pub fn insert(&mut self, name: &'a str, feature: Feature<'a>) {
        self.features.push((name, feature));
    }

    /// The example's bytes, with features in the order of their names, so that the same example is always the same bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut order: Vec<&(&str, Feature<'_>)> = self.features.iter().collect();
        order.sort_by_key(|(name, _)| *name);
        let mut features = Vec::new();
        for (name, feature) in order {
            let mut entry = Vec::new();
            put_bytes(&mut entry, 1, name.as_bytes());
            put_bytes(&mut entry, 2, &feature.encode());
            put_bytes(&mut features, 1, &entry);
        }
        let mut example = Vec::new();
        put_bytes(&mut example, 1, &features);
        example
    }
}

impl<'a> Feature<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, ExampleError> {
        let mut feature = Self::Empty;
        let mut fields = Fields(bytes);
        while let Some((number, field)) = fields.next()? {
            let Field::Bytes(list) = field else { continue };
            feature = match number {
                1 => Self::Bytes(bytes_of(list)?),
                2 => Self::Floats(floats(list)?),
                3 => Self::Ints(ints(list)?),
                _ => feature,
            };
        }
        Ok(feature)
    }

    fn encode(&self) -> Vec<u8> {
        let mut list = Vec::new();
        let number = match self {
            Self::Empty => return list,
            Self::Bytes(values) => {
                values.iter().for_each(|value| put_bytes(&mut list, 1, value));
                1
            }
            Self::Floats(values) => {
                let packed: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                put_bytes(&mut list, 1, &packed);
                2
            }
            Self::Ints(values) => {
                let mut packed = Vec::new();
                values.iter().for_each(|value| put_varint(&mut packed, *value as u64));
                put_bytes(&mut list, 1, &packed);
                3
            }
        };
        let mut feature = Vec::new();
        put_bytes(&mut feature, number, &list);
        feature
    }
}

fn bytes_of(list: &[u8]) -> Result<Vec<&[u8]>, ExampleError> {
    let (mut values, mut fields) = (Vec::new(), Fields(list));
    while let Some((number, field)) = fields.next()? {
        if let (1, Field::Bytes(value)) = (number, field) {
            values.push(value);
        }
    }
    Ok(values)
}

/// Numbers, packed or one by one.
fn floats(list: &[u8]) -> Result<Vec<f32>, ExampleError> {
    let (mut values, mut fields) = (Vec::new(), Fields(list));
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Fixed32(bytes)) => values.push(f32::from_le_bytes(bytes)),
            (1, Field::Bytes(packed)) => {
                let (whole, rest) = packed.as_chunks::<4>();
                if !rest.is_empty() {
                    return Err(ExampleError("a list of 32-bit numbers ends within one"));
                }
                values.extend(whole.iter().map(|bytes| f32::from_le_bytes(*bytes)));
            }
            _ => {}
        }
    }
    Ok(values)
}

/// Whole numbers, packed or one by one.
fn ints(list: &[u8]) -> Result<Vec<i64>, ExampleError> {
    let (mut values, mut fields) = (Vec::new(), Fields(list));
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Number(value)) => values.push(value as i64),
            (1, Field::Bytes(packed)) => {
                let mut packed = Fields(packed);
                while !packed.0.is_empty() {
                    values.push(packed.varint()? as i64);
                }
            }
            _ => {}
        }
    }
    Ok(values)
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value > 127 {
        bytes.push(value as u8 | 128);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn put_bytes(bytes: &mut Vec<u8>, number: u64, value: &[u8]) {
    put_varint(bytes, number << 3 | 2);
    put_varint(bytes, value.len() as u64);
    bytes.extend(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_read_as_it_was_written() {
        let mut example = Example::default();
        example.insert("b", Feature::Ints(vec![0, -1, i64::MIN, 300]));
        example.insert("a", Feature::Bytes(vec![b"x", b"", &[0; 300]]));
        example.insert("c", Feature::Floats(vec![0.5, f32::MAX]));
        let bytes = example.encode();
        let read = Example::parse(&bytes).unwrap();
        assert_eq!(read.names().collect::<Vec<_>>(), ["a", "b", "c"]);
        for name in ["a", "b", "c"] {
            assert_eq!(read.get(name), example.get(name));
        }
        for cut in 1..bytes.len() {
            assert!(Example::parse(&bytes[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn lists_may_be_unpacked_and_a_later_feature_counts() {
        let unpacked = [8, 1, 8, 150, 1];
        assert_eq!(ints(&unpacked).unwrap(), [1, 150]);
        assert_eq!(floats(&[13, 0, 0, 0, 63]).unwrap(), [0.5]);
        let mut example = Example::default();
        example.insert("a", Feature::Ints(vec![1]));
        example.insert("a", Feature::Ints(vec![2]));
        assert_eq!(example.get("a"), Some(&Feature::Ints(vec![2])));
        assert_eq!(Example::parse(b"").unwrap(), Example::default());
    }
}
