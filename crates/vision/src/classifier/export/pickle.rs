//! What a pickle describes, without running it: classes and functions are names, and calls are records of their arguments. Python's
//! `pickletools` documents the opcodes. Those of the text protocols 0 and 1 are not read.

use std::collections::HashMap;

/// Why bytes are no pickle that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    /// It ends in the middle.
    #[error("it ends after {0} bytes, before its end")]
    Truncated(usize),
    /// An opcode is none, or one of the text protocols.
    #[error("the byte {opcode:#04x} at {at} is no opcode of the protocols 2 to 5")]
    Opcode {
        /// The byte.
        opcode: u8,
        /// Its place.
        at: usize,
    },
    /// An opcode needs other values than there are.
    #[error("the opcode at {0} has not the values that it needs")]
    Values(usize),
}

/// The index of a value in its [`Pickle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Index(usize);

#[derive(Clone, Debug)]
enum Node {
    /// `None`, a number of no use here, or a set.
    Other,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Index>),
    Dict(Vec<(Index, Index)>),
    /// A class or function.
    Global(String),
    /// The call of a class or function, and the state that is set afterwards.
    Call {
        callee: Index,
        arguments: Index,
        state: Option<Index>,
    },
}

/// The values of a pickle. Each opcode adds one at most, so that there are no more than bytes.
#[derive(Debug)]
pub(super) struct Pickle {
    nodes: Vec<Node>,
    root: Index,
}

/// A value of a pickle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    pickle: &'a Pickle,
    index: Index,
}

impl<'a> Value<'a> {
    fn node(self) -> &'a Node {
        &self.pickle.nodes[self.index.0]
    }

    fn at(self, index: Index) -> Self {
        Self { index, ..self }
    }

    /// The entry of a dictionary, or of the dictionary that an object's state is. The last of several counts.
    pub(super) fn get(self, key: &str) -> Option<Self> {
        match self.node() {
            Node::Dict(entries) => {
                let is_key = |index: Index| matches!(self.at(index).node(), Node::Text(text) if text == key);
                entries.iter().rev().find(|(found, _)| is_key(*found)).map(|(_, value)| self.at(*value))
            }
            Node::Call { state: Some(state), .. } if matches!(self.at(*state).node(), Node::Dict(_)) => {
                self.at(*state).get(key)
            }
            _ => None,
        }
    }

    /// The items of a list or tuple.
    pub(super) fn items(self) -> Option<impl Iterator<Item = Self>> {
        match self.node() {
            Node::List(items) => Some(items.iter().map(move |index| self.at(*index))),
            _ => None,
        }
    }

    pub(super) fn text(self) -> Option<&'a str> {
        if let Node::Text(text) = self.node() { Some(text) } else { None }
    }

    pub(super) fn int(self) -> Option<i64> {
        if let Node::Int(number) = self.node() { Some(*number) } else { None }
    }

    pub(super) fn bytes(self) -> Option<&'a [u8]> {
        if let Node::Bytes(bytes) = self.node() { Some(bytes) } else { None }
    }

    /// The arguments of a call of this class or function.
    pub(super) fn arguments(self, called: &str) -> Option<Self> {
        let Node::Call { callee, arguments, .. } = self.node() else { return None };
        let is_called = matches!(self.at(*callee).node(), Node::Global(name) if name == called);
        is_called.then(|| self.at(*arguments))
    }
}

impl Pickle {
    pub(super) fn root(&self) -> Value<'_> {
        Value { pickle: self, index: self.root }
    }

    /// Reads a pickle to its end. What follows is ignored.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, PickleError> {
        let mut reader = Reader { bytes, at: 0, nodes: Vec::new(), stack: Vec::new(), marks: Vec::new() };
        let root = reader.run()?;
        Ok(Self { nodes: reader.nodes, root })
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Index>,
    marks: Vec<usize>,
}

impl Reader<'_> {
    fn run(&mut self) -> Result<Index, PickleError> {
        let mut memo: HashMap<usize, Index> = HashMap::new();
        loop {
            let at = self.at;
            let wrong = PickleError::Values(at);
            match self.number(1)? as u8 {
                b'.' => return self.pop(at),
                // PROTO, FRAME.
                0x80 => drop(self.take(1)?),
                0x95 => drop(self.take(8)?),
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop(at)?),
                b'1' => drop(self.marked(at)?),
                b'2' => {
                    let top = *self.stack.last().ok_or(wrong)?;
                    self.stack.push(top);
                }
                b'N' | 0x88 | 0x89 | 0x8f => self.push(Node::Other),
                // Numbers.
                b'K' => self.int(1)?,
                b'M' => self.int(2)?,
                b'J' => {
                    let number = self.number(4)? as u32;
                    self.push(Node::Int(i64::from(number.cast_signed())));
                }
                b'G' => {
                    self.take(8)?;
                    self.push(Node::Other);
                }
                code @ (0x8a | 0x8b) => {
                    self.counted(if code == 0x8a { 1 } else { 4 })?;
                    self.push(Node::Other);
                }
                // Texts and bytes.
                code @ (b'X' | 0x8c | 0x8d) => {
                    let text = self.counted(prefix(code))?;
                    let text = String::from_utf8_lossy(text).into_owned();
                    self.push(Node::Text(text));
                }
                code @ (b'B' | b'C' | b'T' | b'U' | 0x8e | 0x96) => {
                    let bytes = self.counted(prefix(code))?.to_vec();
                    self.push(Node::Bytes(bytes));
                }
                // Lists and tuples.
                b']' | b')' => self.push(Node::List(Vec::new())),
                b't' => {
                    let items = self.marked(at)?;
                    self.push(Node::List(items));
                }
                code @ 0x85..=0x87 => {
                    let count = usize::from(code - 0x84);
                    let start =
                        self.stack.len().checked_sub(count).filter(|start| *start >= self.floor()).ok_or(wrong)?;
                    let items = self.stack.split_off(start);
                    self.push(Node::List(items));
                }
                b'a' => {
                    let item = self.pop(at)?;
                    self.append(vec![item], at)?;
                }
                b'e' => {
                    let items = self.marked(at)?;
                    self.append(items, at)?;
                }
                // Sets: ADDITEMS, FROZENSET.
                0x90 => drop(self.marked(at)?),
                0x91 => {
                    self.marked(at)?;
                    self.push(Node::Other);
                }
                // Dictionaries.
                b'}' => self.push(Node::Dict(Vec::new())),
                b's' => {
                    let value = self.pop(at)?;
                    let key = self.pop(at)?;
                    self.insert(vec![key, value], at)?;
                }
                b'u' => {
                    let items = self.marked(at)?;
                    self.insert(items, at)?;
                }
                // The memo.
                b'q' | b'r' | 0x94 => {
                    let key = match self.bytes[at] {
                        b'q' => self.number(1)? as usize,
                        b'r' => self.number(4)? as usize,
                        _ => memo.len(),
                    };
                    memo.insert(key, *self.stack.last().ok_or(wrong)?);
                }
                code @ (b'h' | b'j') => {
                    let key = self.number(if code == b'h' { 1 } else { 4 })? as usize;
                    self.stack.push(*memo.get(&key).ok_or(wrong)?);
                }
                // Classes and functions, by lines and from the stack.
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push(Node::Global(format!("{module}.{name}")));
                }
                0x93 => {
                    let (name, module) = (self.pop(at)?, self.pop(at)?);
                    let text = |index: Index| match &self.nodes[index.0] {
                        Node::Text(text) => Ok(text.clone()),
                        _ => Err(wrong.clone()),
                    };
                    let global = format!("{}.{}", text(module)?, text(name)?);
                    self.push(Node::Global(global));
                }
                // Calls: REDUCE, NEWOBJ, NEWOBJ_EX; a persistent name is one.
                b'R' | 0x81 => {
                    let arguments = self.pop(at)?;
                    let callee = self.pop(at)?;
                    self.push(Node::Call { callee, arguments, state: None });
                }
                0x92 => {
                    let _keywords = self.pop(at)?;
                    let arguments = self.pop(at)?;
                    let callee = self.pop(at)?;
                    self.push(Node::Call { callee, arguments, state: None });
                }
                b'Q' => {
                    self.pop(at)?;
                    self.push(Node::Other);
                }
                b'b' => {
                    let state = self.pop(at)?;
                    let object = *self.stack.last().ok_or(wrong)?;
                    if let Node::Call { state: set, .. } = &mut self.nodes[object.0] {
                        *set = Some(state);
                    }
                }
                opcode => return Err(PickleError::Opcode { opcode, at }),
            }
        }
    }

    fn push(&mut self, node: Node) {
        self.stack.push(Index(self.nodes.len()));
        self.nodes.push(node);
    }

    /// The length of the stack at the last mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self, at: usize) -> Result<Index, PickleError> {
        if self.stack.len() <= self.floor() {
            return Err(PickleError::Values(at));
        }
        self.stack.pop().ok_or(PickleError::Values(at))
    }

    /// What is above the last mark, which is taken off.
    fn marked(&mut self, at: usize) -> Result<Vec<Index>, PickleError> {
        let mark = self.marks.pop().ok_or(PickleError::Values(at))?;
        Ok(self.stack.split_off(mark))
    }

    fn append(&mut self, new: Vec<Index>, at: usize) -> Result<(), PickleError> {
        let list = *self.stack.last().ok_or(PickleError::Values(at))?;
        // An object that is a list takes items too.
        if let Node::List(items) = &mut self.nodes[list.0] {
            items.extend(new);
        }
        Ok(())
    }

    fn insert(&mut self, new: Vec<Index>, at: usize) -> Result<(), PickleError> {
        let dict = *self.stack.last().ok_or(PickleError::Values(at))?;
        let (pairs, []) = new.as_chunks() else { return Err(PickleError::Values(at)) };
        if let Node::Dict(entries) = &mut self.nodes[dict.0] {
            entries.extend(pairs.iter().map(|[key, value]| (*key, *value)));
        }
        Ok(())
    }

    fn int(&mut self, bytes: usize) -> Result<(), PickleError> {
        let number = self.number(bytes)?;
        self.push(Node::Int(number.cast_signed()));
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<&[u8], PickleError> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(PickleError::Truncated(self.bytes.len()))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn number(&mut self, bytes: usize) -> Result<u64, PickleError> {
        let mut number = [0; 8];
        number[..bytes].copy_from_slice(self.take(bytes)?);
        Ok(u64::from_le_bytes(number))
    }

    /// Bytes behind their count.
    fn counted(&mut self, prefix: usize) -> Result<&[u8], PickleError> {
        let count = self.number(prefix)?;
        self.take(usize::try_from(count).unwrap_or(usize::MAX))
    }

    fn line(&mut self) -> Result<String, PickleError> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| *byte == b'\n').ok_or(PickleError::Truncated(self.bytes.len()))?;
        self.at += length + 1;
        Ok(String::from_utf8_lossy(&rest[..length]).into_owned())
    }
}

/// The bytes of the count before a text or bytes.
fn prefix(opcode: u8) -> usize {
    match opcode {
        b'C' | b'U' | 0x8c => 1,
        b'X' | b'B' | b'T' => 4,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_not_run_but_recorded() {
        // os.system("ls") in a list that is in itself.
        let pickle = Pickle::read(b"\x80\x02]q\x00(cos\nsystem\nX\x02\0\0\0ls\x85Rh\x00K\x07e.").unwrap();
        let items: Vec<Value> = pickle.root().items().unwrap().collect();
        assert_eq!(items.len(), 3);
        assert_eq!(items[0].arguments("os.system").unwrap().items().unwrap().next().unwrap().text(), Some("ls"));
        assert!(items[0].arguments("os.popen").is_none());
        assert_eq!(items[1].items().unwrap().count(), 3);
        assert_eq!(items[2].int(), Some(7));
    }

    #[test]
    fn states_and_the_memo_are_read() {
        let pickle = Pickle::read(b"\x80\x04\x8c\x01a\x94\x8c\x01B\x93)\x81}\x94h\x00\x8c\x03xyzsb.").unwrap();
        assert_eq!(pickle.root().get("a").unwrap().text(), Some("xyz"));
        assert!(pickle.root().get("b").is_none());
        // Much nesting neither recurses nor multiplies.
        let deep = [&b"\x80\x02)"[..], &[0x85; 100_000], &b"."[..]].concat();
        assert_eq!(Pickle::read(&deep).unwrap().root().items().unwrap().count(), 1);
    }

    #[test]
    fn other_bytes_are_errors() {
        use PickleError::{Opcode, Truncated, Values};
        for (bytes, error) in [
            (&b""[..], Truncated(0)),
            (b"\x80", Truncated(1)),
            (b".", Values(0)),
            (b"X\xff\xff\xff\xffab", Truncated(7)),
            (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff", Truncated(9)),
            (b"a", Values(0)),
            (b"(0", Values(1)),
            (b"N(\x85", Values(2)),
            (b"e", Values(0)),
            (b"}(Nu.", Values(3)),
            (b"h\x05", Values(0)),
            (b"NN\x93", Values(2)),
            (b"cos\nsystem", Truncated(10)),
            (b"S'text'\n.", Opcode { opcode: b'S', at: 0 }),
            (b"\xff", Opcode { opcode: 0xff, at: 0 }),
        ] {
            assert_eq!(Pickle::read(bytes).unwrap_err(), error, "{bytes:?}");
        }
    }
}
