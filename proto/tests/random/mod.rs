//! Random bytes that look like messages of a schema: fields in any order and any number of times,
//! packed and not, some unknown, some of the wrong type, some broken.

use std::collections::BTreeMap;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// Levels of messages in messages.
const DEPTH: usize = 4;
const VARINT: u64 = 0;
const LENGTH_DELIMITED: u64 = 2;

/// An encoder of messages in the wire format.
pub(crate) struct Wire {
    messages: BTreeMap<String, DescriptorProto>,
    state: u64,
}

impl Wire {
    /// Knows the messages of an encoded schema.
    pub(crate) fn new(schema: &[u8], seed: u64) -> Self {
        let mut messages = BTreeMap::new();
        for file in FileDescriptorSet::decode(schema).unwrap().file {
            for message in &file.message_type {
                let name = format!("{}.{}", file.package(), message.name());
                messages.insert(name, message.clone());
            }
        }
        Self { messages, state: seed }
    }

    /// Returns the full names of all messages.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.messages.keys().map(String::as_str).collect()
    }

    /// Writes a message that can be decoded, most of the time.
    pub(crate) fn message(&mut self, name: &str) -> Vec<u8> {
        self.nested(name, DEPTH)
    }

    /// Breaks a message at a place or two.
    pub(crate) fn mutate(&mut self, wire: &mut Vec<u8>) {
        for _ in 0..=self.below(2) {
            let place = self.place(wire);
            match self.below(4) {
                0 => wire.truncate(place),
                1 => wire.insert(place, self.byte()),
                _ if place == wire.len() => {}
                2 => wire[place] ^= 1 << self.below(8),
                _ => {
                    wire.remove(place);
                }
            }
        }
    }

    /// Returns a number below `end`, by `SplitMix64`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn nested(&mut self, name: &str, depth: usize) -> Vec<u8> {
        let fields = self.messages[name].field.clone();
        let mut wire = Vec::new();
        for _ in 0..self.below(7) {
            match self.below(24) {
                0 => self.unknown(&mut wire),
                _ if fields.is_empty() => {}
                1 => {
                    let number = fields[self.index(fields.len())].number();
                    self.of_any_type(u64::try_from(number).unwrap(), &mut wire);
                }
                _ => {
                    let field = fields[self.index(fields.len())].clone();
                    self.field(&field, depth, &mut wire);
                }
            }
        }
        wire
    }

    fn field(&mut self, field: &FieldDescriptorProto, depth: usize, wire: &mut Vec<u8>) {
        let tag = u64::try_from(field.number()).unwrap() << 3;
        let text = match field.r#type() {
            Type::Message if depth == 0 => return,
            Type::Message => self.nested(field.type_name().trim_start_matches('.'), depth - 1),
            Type::Bytes => self.bytes(),
            Type::String => self.string(),
            _ if field.label() == Label::Repeated && self.below(2) == 0 => {
                let mut packed = Vec::new();
                for _ in 0..self.below(4) {
                    let number = self.number();
                    varint(number, &mut packed);
                }
                packed
            }
            _ => {
                varint(tag | VARINT, wire);
                let number = self.number();
                return varint(number, wire);
            }
        };
        varint(tag | LENGTH_DELIMITED, wire);
        varint(u64::try_from(text.len()).unwrap(), wire);
        wire.extend(text);
    }

    /// Writes a field that no message has.
    fn unknown(&mut self, wire: &mut Vec<u8>) {
        let number = 900 + self.below(100);
        self.of_any_type(number, wire);
    }

    /// Writes a field without a look at its type: a group now and then, ended or not.
    fn of_any_type(&mut self, number: u64, wire: &mut Vec<u8>) {
        let kind = self.below(8);
        varint(number << 3 | kind, wire);
        match kind {
            0 => varint(self.number(), wire),
            1 => wire.extend(self.next().to_le_bytes()),
            2 => {
                let bytes = self.bytes();
                varint(u64::try_from(bytes.len()).unwrap(), wire);
                wire.extend(bytes);
            }
            3 if self.below(2) == 0 => varint(number << 3 | 4, wire),
            5 => wire.extend(&self.next().to_le_bytes()[..4]),
            _ => {}
        }
    }

    fn number(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => self.next(),
            3 => 1 << self.below(64),
            _ => self.below(6),
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        (0..self.below(6)).map(|_| self.byte()).collect()
    }

    fn string(&mut self) -> Vec<u8> {
        let texts = ["", "a", "etcd", "grün", "\0"];
        match self.below(16) {
            0 => vec![0xff],
            _ => texts[self.index(texts.len())].into(),
        }
    }

    fn place(&mut self, wire: &[u8]) -> usize {
        self.index(wire.len() + 1)
    }

    fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(u64::try_from(end).unwrap())).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn varint(mut number: u64, wire: &mut Vec<u8>) {
    while number >= 0x80 {
        wire.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    wire.push(number.to_le_bytes()[0]);
}
