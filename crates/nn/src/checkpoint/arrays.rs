//! Pickles of NumPy arrays by name, without PyTorch: `{"model": {name: array}}`. A small machine reads the opcodes of Python's
//! `pickletools`. Nothing is run: the few classes that arrays are made of are known, and any other is refused.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use memmap2::Mmap;
use safetensors::Dtype;

use super::mapped::Mapped;
use super::stored::Values;
use super::{Checkpoint, CheckpointError, Format, StoredTensor};

/// The most values of a pickle. An array takes about twenty.
const MOST_VALUES: usize = 1 << 20;
/// The most dictionaries around an array.
const DEEPEST: usize = 8;
/// The most dimensions of an array.
const MOST_DIMENSIONS: usize = 8;
/// The longest name of an array, with those of the dictionaries around it, in bytes.
const LONGEST: usize = 1 << 12;
/// The length of all names, in bytes. Dictionaries may hold each other.
const ALL_NAMES: usize = 16 << 20;
/// The size of all arrays, in multiples of the file's. They may share values.
const MAX_EXPANSION: u64 = 8;

/// Why a pickle has no arrays.
#[derive(Debug, thiserror::Error)]
pub enum ArraysError {
    /// It ends too early.
    #[error("it ends in the middle of a value, at byte {at}")]
    Truncated {
        /// The place in the file.
        at: usize,
    },
    /// An opcode is none, or makes something else than arrays.
    #[error("byte {at} is the opcode {code:#04x}, which arrays need not have")]
    Opcode {
        /// The place in the file.
        at: usize,
        /// The opcode.
        code: u8,
    },
    /// An opcode has other values before it than it needs.
    #[error("the values before byte {at} do not make an array")]
    Values {
        /// The place in the file.
        at: usize,
    },
    /// There are too many values.
    #[error("it has more than {MOST_VALUES} values")]
    Many,
    /// A class is none of NumPy's arrays.
    #[error("Python would use {python:?}, and nothing of a pickle is run")]
    Class {
        /// The class or function.
        python: String,
    },
    /// An array cannot be used.
    #[error("the array {name:?} {why}")]
    Array {
        /// Its name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Whether a file that begins so is such a pickle. PyTorch's begin with a number.
pub(super) fn is_one(head: &[u8]) -> bool {
    let Some((0x80, rest)) = head.split_first().map(|(first, rest)| (*first, rest)) else { return false };
    let rest = rest.get(1..).unwrap_or_default();
    let rest = if rest.first() == Some(&0x95) { rest.get(9..).unwrap_or_default() } else { rest };
    rest.first() == Some(&b'}')
}

pub(super) fn open(file: &Path, mapping: &Arc<Mmap>, whole: Bytes) -> Result<Checkpoint, CheckpointError> {
    let broken = |source| CheckpointError::Arrays { file: file.to_owned(), source };
    let file_bytes = whole.len() as u64;
    let arrays = read(&whole).map_err(broken)?;
    let stored = |(name, Array { dtype, shape, values })| {
        // Texts that stood for bytes are elsewhere.
        let is_mapped = mapping.as_ptr_range().contains(&values.as_ptr());
        let values =
            if is_mapped { Values::Mapped(Mapped::new(values, mapping.clone())) } else { Values::Held(values) };
        (name, StoredTensor::new(dtype, shape, values))
    };
    let tensors: BTreeMap<String, StoredTensor> = arrays.into_iter().map(stored).collect();
    let claimed = tensors.values().fold(0_u64, |sum, tensor| sum.saturating_add(tensor.bytes()));
    if claimed > file_bytes.saturating_mul(MAX_EXPANSION) {
        return Err(CheckpointError::Bomb { file: file.to_owned(), tensors: claimed, bytes: file_bytes });
    }
    Ok(Checkpoint {
        file: file.to_owned(),
        file_bytes,
        format: Format::NumpyPickle,
        tensors,
        flags: BTreeMap::new(),
        prefix: String::new(),
        entries: BTreeMap::new(),
    })
}

/// An array of a pickle.
#[derive(Debug)]
pub(super) struct Array {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// Little-endian, row-major; a part of the pickle.
    pub(super) values: Bytes,
}

/// The arrays in the dictionaries of a pickle, by the names there with points between.
pub(super) fn read(pickle: &Bytes) -> Result<BTreeMap<String, Array>, ArraysError> {
    let mut machine = Machine {
        pickle,
        at: 0,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        pushes: 0,
        copied: 0,
    };
    let root = machine.run()?;
    let (mut arrays, mut names) = (BTreeMap::new(), ALL_NAMES);
    machine.collect(root, String::new(), 0, &mut names, &mut arrays)?;
    Ok(arrays)
}

/// A value, by its index among the machine's. Dictionaries and lists can change after they were put somewhere.
type Index = usize;

#[derive(Clone, Debug)]
enum Value {
    /// Numbers beyond 64 bits, `None` and the like.
    Other,
    Whole(i64),
    Bytes(Bytes),
    Text(Bytes),
    Sequence(Vec<Index>),
    Dictionary(Vec<(Index, Index)>),
    Class(Class),
    /// An array before its state is known.
    EmptyArray,
    Array {
        shape: Index,
        dtype: Index,
        values: Index,
        is_column_major: bool,
    },
    /// A type of elements: its letter and its size, `f4`.
    Type {
        letters: Bytes,
        is_swapped: bool,
    },
}

/// A class or a function that arrays are made with.
#[derive(Clone, Copy, Debug)]
enum Class {
    /// `numpy.core.multiarray._reconstruct`.
    Reconstruct,
    /// `numpy.core.numeric._frombuffer`, of pickles with the protocol 5.
    FromBuffer,
    Ndarray,
    Type,
    /// `numpy.core.multiarray.scalar`.
    Scalar,
    /// `_codecs.encode`, by which protocol 2 holds bytes.
    Encode,
    OrderedDict,
}

impl Class {
    fn of(python: &str) -> Option<Self> {
        Some(match python.replace("numpy._core.", "numpy.core.").as_str() {
            "numpy.core.multiarray._reconstruct" => Self::Reconstruct,
            "numpy.core.numeric._frombuffer" => Self::FromBuffer,
            "numpy.ndarray" => Self::Ndarray,
            "numpy.dtype" => Self::Type,
            "numpy.core.multiarray.scalar" => Self::Scalar,
            "_codecs.encode" => Self::Encode,
            "collections.OrderedDict" => Self::OrderedDict,
            _ => return None,
        })
    }
}

struct Machine<'a> {
    pickle: &'a Bytes,
    at: usize,
    values: Vec<Value>,
    stack: Vec<Index>,
    /// The heights of the stack at its marks.
    marks: Vec<usize>,
    memo: HashMap<u64, Index>,
    /// The values that were ever on the stack, and the marks.
    pushes: usize,
    /// The bytes that texts stood for.
    copied: usize,
}

impl Machine<'_> {
    /// Reads to the end, and returns the root.
    fn run(&mut self) -> Result<Index, ArraysError> {
        loop {
            let at = self.at;
            let code = self.bytes(1)?[0];
            match code {
                b'.' => return self.pop(),
                // PROTO, FRAME.
                0x80 => drop(self.bytes(1)?),
                0x95 => drop(self.bytes(8)?),
                b'(' => {
                    self.marks.push(self.stack.len());
                    self.count()?;
                }
                b'0' => drop(self.pop()?),
                b'N' | 0x88 | 0x89 => {
                    let value = if code == b'N' { Value::Other } else { Value::Whole(i64::from(code == 0x88)) };
                    self.push(value)?;
                }
                // Whole numbers: BININT, BININT1, BININT2, LONG1.
                b'J' => {
                    let bytes = self.bytes(4)?;
                    self.push(Value::Whole(i64::from(
                        bytes.iter().rev().fold(0, |sum, byte| sum << 8 | i32::from(*byte)),
                    )))?;
                }
                b'K' | b'M' => {
                    let number = self.number(if code == b'K' { 1 } else { 2 })?;
                    self.push(Value::Whole(number as i64))?;
                }
                0x8a => {
                    let count = self.number(1)? as usize;
                    let bytes = self.bytes(count)?;
                    let value = if count > 8 {
                        Value::Other
                    } else {
                        let negative = bytes.last().is_some_and(|byte| *byte >= 0x80);
                        let start = if negative { -1 } else { 0 };
                        Value::Whole(bytes.iter().rev().fold(start, |sum, byte| sum << 8 | i64::from(*byte)))
                    };
                    self.push(value)?;
                }
                // BINFLOAT.
                b'G' => {
                    self.bytes(8)?;
                    self.push(Value::Other)?;
                }
                // Texts of UTF-8: SHORT_BINUNICODE, BINUNICODE, BINUNICODE8.
                0x8c | b'X' | 0x8d => {
                    let text = self.counted(match code {
                        0x8c => 1,
                        b'X' => 4,
                        _ => 8,
                    })?;
                    self.push(Value::Text(text))?;
                }
                // Bytes: SHORT_BINBYTES, SHORT_BINSTRING, BINBYTES, BINSTRING, BINBYTES8, BYTEARRAY8.
                b'C' | b'U' | b'B' | b'T' | 0x8e | 0x96 => {
                    let bytes = self.counted(match code {
                        b'C' | b'U' => 1,
                        b'B' | b'T' => 4,
                        _ => 8,
                    })?;
                    self.push(Value::Bytes(bytes))?;
                }
                b'}' => self.push(Value::Dictionary(Vec::new()))?,
                b']' | b')' => self.push(Value::Sequence(Vec::new()))?,
                b't' | b'l' => {
                    let items = self.marked()?;
                    self.push(Value::Sequence(items))?;
                }
                0x85..=0x87 => {
                    let count = usize::from(code - 0x84);
                    let first = self.stack.len().checked_sub(count).ok_or(ArraysError::Values { at })?;
                    let items = self.stack.split_off(first);
                    self.push(Value::Sequence(items))?;
                }
                // SETITEM, SETITEMS, APPEND, APPENDS.
                b's' | b'u' => {
                    let items = if code == b's' { self.last(2)? } else { self.marked()? };
                    let pairs: Vec<(Index, Index)> =
                        items.as_chunks::<2>().0.iter().map(|[key, value]| (*key, *value)).collect();
                    match self.top()? {
                        Value::Dictionary(entries) => entries.extend(pairs),
                        _ => return Err(ArraysError::Values { at }),
                    }
                }
                b'a' | b'e' => {
                    let items = if code == b'a' { self.last(1)? } else { self.marked()? };
                    match self.top()? {
                        Value::Sequence(entries) => entries.extend(items),
                        _ => return Err(ArraysError::Values { at }),
                    }
                }
                // GLOBAL and STACK_GLOBAL.
                b'c' => {
                    let python = format!("{}.{}", self.line()?, self.line()?);
                    self.class(python)?;
                }
                0x93 => {
                    let names = self.last(2)?;
                    let name = |index: usize| match &self.values[names[index]] {
                        Value::Text(text) => Ok(String::from_utf8_lossy(text).into_owned()),
                        _ => Err(ArraysError::Values { at }),
                    };
                    let python = format!("{}.{}", name(0)?, name(1)?);
                    self.class(python)?;
                }
                // REDUCE, BUILD.
                b'R' => self.call(at)?,
                b'b' => self.build(at)?,
                // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET.
                b'q' | b'r' | 0x94 => {
                    let key = match code {
                        b'q' => self.number(1)?,
                        b'r' => self.number(4)?,
                        _ => self.memo.len() as u64,
                    };
                    let value = *self.stack.last().ok_or(ArraysError::Values { at })?;
                    self.memo.insert(key, value);
                    self.count()?;
                }
                b'h' | b'j' => {
                    let key = self.number(if code == b'h' { 1 } else { 4 })?;
                    let value = *self.memo.get(&key).ok_or(ArraysError::Values { at })?;
                    self.pushed(value)?;
                }
                code => return Err(ArraysError::Opcode { at, code }),
            }
        }
    }

    fn class(&mut self, python: String) -> Result<(), ArraysError> {
        let class = Class::of(&python).ok_or(ArraysError::Class { python })?;
        self.push(Value::Class(class))
    }

    /// Applies a class or function to its arguments.
    fn call(&mut self, at: usize) -> Result<(), ArraysError> {
        let wrong = ArraysError::Values { at };
        let called = self.last(2)?;
        let (Value::Class(class), Value::Sequence(arguments)) = (&self.values[called[0]], &self.values[called[1]])
        else {
            return Err(wrong);
        };
        let argument = |index: usize| arguments.get(index).copied();
        let value = match class {
            Class::Reconstruct => Value::EmptyArray,
            Class::OrderedDict => Value::Dictionary(Vec::new()),
            Class::Scalar => Value::Other,
            Class::Ndarray => return Err(wrong),
            Class::Type => match argument(0).map(|index| &self.values[index]) {
                Some(Value::Text(letters) | Value::Bytes(letters)) => {
                    Value::Type { letters: letters.clone(), is_swapped: false }
                }
                _ => return Err(wrong),
            },
            Class::Encode => match argument(0).map(|index| &self.values[index]) {
                // Each character stands for a byte.
                Some(Value::Text(text)) => {
                    // A text may be named again and again.
                    self.copied += text.len();
                    if self.copied > self.pickle.len() {
                        return Err(ArraysError::Many);
                    }
                    let text = str::from_utf8(text).map_err(|_| ArraysError::Values { at })?;
                    let bytes: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
                    Value::Bytes(bytes.map_err(|_| ArraysError::Values { at })?.into())
                }
                _ => return Err(wrong),
            },
            Class::FromBuffer => {
                let [Some(values), Some(dtype), Some(shape)] = [argument(0), argument(1), argument(2)] else {
                    return Err(wrong);
                };
                let is_column_major = argument(3)
                    .is_some_and(|order| matches!(&self.values[order], Value::Text(order) if order.as_ref() == b"F"));
                Value::Array { shape, dtype, values, is_column_major }
            }
        };
        self.push(value)
    }

    /// Gives the value below the top of the stack its state.
    fn build(&mut self, at: usize) -> Result<(), ArraysError> {
        let state = self.pop()?;
        let Value::Sequence(state) = &self.values[state] else { return Err(ArraysError::Values { at }) };
        let state: Vec<Index> = state.iter().take(5).copied().collect();
        let of = |index: usize| state.get(index).copied().ok_or(ArraysError::Values { at });
        let built = match self.top()?.clone() {
            // Version, shape, type, order, values.
            Value::EmptyArray => {
                let is_column_major = matches!(self.values[of(3)?], Value::Whole(1));
                Value::Array { shape: of(1)?, dtype: of(2)?, values: of(4)?, is_column_major }
            }
            // Version, order of bytes, and what other types need.
            Value::Type { letters, .. } => {
                let order = match &self.values[of(1)?] {
                    Value::Text(order) | Value::Bytes(order) => order.clone(),
                    _ => return Err(ArraysError::Values { at }),
                };
                Value::Type { letters, is_swapped: order.as_ref() == b">" }
            }
            _ => return Err(ArraysError::Values { at }),
        };
        *self.top()? = built;
        Ok(())
    }

    /// Collects the arrays of a dictionary.
    fn collect(
        &self,
        index: Index,
        path: String,
        depth: usize,
        names: &mut usize,
        arrays: &mut BTreeMap<String, Array>,
    ) -> Result<(), ArraysError> {
        match &self.values[index] {
            Value::Dictionary(entries) if depth < DEEPEST => {
                for (key, value) in entries {
                    let (Value::Text(key) | Value::Bytes(key)) = &self.values[*key] else { continue };
                    let key = String::from_utf8_lossy(&key[..key.len().min(LONGEST + 1)]);
                    let path = if path.is_empty() { key.into_owned() } else { format!("{path}.{key}") };
                    *names = names.checked_sub(path.len() + 1).ok_or(ArraysError::Many)?;
                    if path.len() > LONGEST {
                        return Err(ArraysError::Many);
                    }
                    self.collect(*value, path, depth + 1, names, arrays)?;
                }
            }
            Value::Array { shape, dtype, values, is_column_major } => {
                let wrong = |why| ArraysError::Array { name: path.clone(), why };
                let array = self.array([*shape, *dtype, *values], *is_column_major).map_err(wrong)?;
                arrays.insert(path, array);
            }
            _ => {}
        }
        Ok(())
    }

    fn array(&self, [shape, dtype, values]: [Index; 3], is_column_major: bool) -> Result<Array, &'static str> {
        let Value::Sequence(extents) = &self.values[shape] else { return Err("has no shape") };
        if extents.len() > MOST_DIMENSIONS {
            return Err("has too many dimensions");
        }
        let extent = |index: &Index| match &self.values[*index] {
            Value::Whole(extent) => usize::try_from(*extent).ok(),
            _ => None,
        };
        let shape: Option<Vec<usize>> = extents.iter().map(extent).collect();
        let shape = shape.ok_or("has no shape of numbers")?;
        if is_column_major && shape.iter().filter(|extent| **extent > 1).count() > 1 {
            return Err("is stored column by column: one in NumPy's usual order would work");
        }
        let Value::Type { letters, is_swapped: false } = &self.values[dtype] else {
            return Err("has elements with their largest byte first: little-endian ones would work");
        };
        let dtype = match letters.as_ref() {
            b"f2" => Dtype::F16,
            b"f4" => Dtype::F32,
            b"f8" => Dtype::F64,
            b"i4" => Dtype::I32,
            b"i8" => Dtype::I64,
            b"u1" => Dtype::U8,
            b"b1" => Dtype::BOOL,
            _ => return Err("has elements of a type that tensors do not have: f4 would work"),
        };
        let Value::Bytes(values) = &self.values[values] else { return Err("has no values") };
        let count = shape.iter().try_fold(dtype.bitsize() / 8, |bytes, extent| bytes.checked_mul(*extent));
        if count != Some(values.len()) {
            return Err("has more or fewer values than its shape");
        }
        Ok(Array { dtype, shape, values: values.clone() })
    }

    fn bytes(&mut self, count: usize) -> Result<Bytes, ArraysError> {
        let truncated = ArraysError::Truncated { at: self.at };
        let end = self.at.checked_add(count).filter(|end| *end <= self.pickle.len()).ok_or(truncated)?;
        let bytes = self.pickle.slice(self.at..end);
        self.at = end;
        Ok(bytes)
    }

    fn number(&mut self, bytes: usize) -> Result<u64, ArraysError> {
        Ok(self.bytes(bytes)?.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    fn counted(&mut self, bytes: usize) -> Result<Bytes, ArraysError> {
        let count = self.number(bytes)?;
        self.bytes(usize::try_from(count).map_err(|_| ArraysError::Truncated { at: self.at })?)
    }

    fn line(&mut self) -> Result<String, ArraysError> {
        let rest = &self.pickle[self.at..];
        let end = rest.iter().take(LONGEST).position(|byte| *byte == b'\n');
        let line = self.bytes(end.ok_or(ArraysError::Truncated { at: self.at })? + 1)?;
        Ok(String::from_utf8_lossy(&line[..line.len() - 1]).into_owned())
    }

    fn push(&mut self, value: Value) -> Result<(), ArraysError> {
        self.values.push(value);
        self.pushed(self.values.len() - 1)
    }

    fn pushed(&mut self, index: Index) -> Result<(), ArraysError> {
        self.stack.push(index);
        self.count()
    }

    fn count(&mut self) -> Result<(), ArraysError> {
        self.pushes += 1;
        if self.pushes > MOST_VALUES { Err(ArraysError::Many) } else { Ok(()) }
    }

    fn pop(&mut self) -> Result<Index, ArraysError> {
        self.stack.pop().ok_or(ArraysError::Values { at: self.at })
    }

    fn last(&mut self, count: usize) -> Result<Vec<Index>, ArraysError> {
        let first = self.stack.len().checked_sub(count).ok_or(ArraysError::Values { at: self.at })?;
        Ok(self.stack.split_off(first))
    }

    /// The values above the last mark.
    fn marked(&mut self) -> Result<Vec<Index>, ArraysError> {
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len());
        Ok(self.stack.split_off(mark.ok_or(ArraysError::Values { at: self.at })?))
    }

    fn top(&mut self) -> Result<&mut Value, ArraysError> {
        let at = self.at;
        let index = *self.stack.last().ok_or(ArraysError::Values { at })?;
        Ok(&mut self.values[index])
    }
}

#[cfg(test)]
mod tests;
