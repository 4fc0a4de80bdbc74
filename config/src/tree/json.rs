//! JSON text to a [`Node`], in one pass.
//!
//! serde_json reads, and tells no positions; but what it has just read says how far the text has come. So a [`Cursor`] goes
//! along, over white space, commas and colons to where the next value begins.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Entry, Node, SyntaxError, Value};
use crate::limits::NESTING_MAX;

/// Takes a text apart.
pub fn parse(text: &str) -> Result<Node<'_>, SyntaxError> {
    Cursor::new(text, 0, usize::MAX).read(text, 0)
}

/// The same, but the elements of the outermost lists are [`Part`]s.
pub fn parse_in_parts(text: &str) -> Result<Node<'_>, SyntaxError> {
    Cursor::new(text, 0, PARTS_AT).read(text, 0)
}

/// JSON inside of a text that has been looked through, but not taken apart.
#[derive(Debug)]
pub struct Part<'a> {
    text: &'a str,
    offset: usize,
    raw: &'a RawValue,
}

impl<'a> Part<'a> {
    /// Takes it apart.
    pub fn read(&self) -> Result<Node<'a>, SyntaxError> {
        Cursor::new(self.text, self.offset, usize::MAX).read(self.raw.get(), PARTS_AT)
    }
}

/// How deep [`Part`]s stand: in lists of the outermost table.
const PARTS_AT: usize = 2;

/// How far the text has been read.
struct Cursor<'a> {
    text: &'a str,
    at: Cell<usize>,
    /// How deep values are not taken apart.
    parts_at: usize,
    /// What is wrong besides JSON's grammar, once something is.
    wrong: RefCell<Option<SyntaxError>>,
}

impl<'a> Cursor<'a> {
    fn new(text: &'a str, at: usize, parts_at: usize) -> Self {
        Cursor { text, at: Cell::new(at), parts_at, wrong: RefCell::default() }
    }

    /// Reads the part of the text that begins here, which is so deep in it.
    fn read(self, part: &'a str, depth: usize) -> Result<Node<'a>, SyntaxError> {
        let offset = self.at.get();
        let mut deserializer = serde_json::Deserializer::from_str(part);
        let read = Here { cursor: &self, depth }.deserialize(&mut deserializer);
        let whole = read.and_then(|node| deserializer.end().map(|()| node));
        whole.map_err(|error| self.wrong.take().unwrap_or_else(|| syntax_error(self.text, offset, &error)))
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at.get()..).unwrap_or_default()
    }

    fn skip(&self, bytes: usize) {
        self.at.set(self.at.get() + bytes);
    }

    /// Goes on to where a key or a value begins, and says where that is.
    fn find(&self) -> usize {
        let between = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b':');
        self.skip(self.rest().bytes().take_while(between).count());
        self.at.get()
    }

    /// Goes over white space and the bracket that closes a list or a table.
    fn close(&self) {
        self.find();
        self.skip(1);
    }

    /// Goes over a string that has escapes, quotes included.
    fn skip_escaped(&self) {
        let mut bytes = self.rest().bytes().enumerate().skip(1);
        while let Some((index, byte)) = bytes.next() {
            match byte {
                b'\\' => _ = bytes.next(),
                b'"' => return self.skip(index + 1),
                _ => {}
            }
        }
    }

    /// Notes what is wrong, and stops the reading.
    fn fail<E: Error>(&self, offset: usize, message: String) -> E {
        self.wrong.replace(Some(SyntaxError { offset: Some(offset), message }));
        E::custom("see what is noted")
    }
}

/// What stands at the cursor: a key or a value.
struct Here<'c, 'a> {
    cursor: &'c Cursor<'a>,
    depth: usize,
}

impl<'a> DeserializeSeed<'a> for Here<'_, 'a> {
    type Value = Node<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Node<'a>, D::Error> {
        let offset = self.cursor.find();
        if self.depth > NESTING_MAX {
            return Err(self.cursor.fail(offset, format!("nested more than {NESTING_MAX} levels deep")));
        }
        Ok(Node { offset, value: deserializer.deserialize_any(self)? })
    }
}

impl<'a> Here<'_, 'a> {
    fn inner(&self) -> Self {
        Here { cursor: self.cursor, depth: self.depth + 1 }
    }

    /// std's parser is exact to the last bit; serde_json's is only with a feature that all its users would pay for.
    fn number<E: Error>(&self) -> Result<Value<'a>, E> {
        let of_number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
        let (offset, rest) = (self.cursor.at.get(), self.cursor.rest());
        let text = rest.get(..rest.bytes().take_while(of_number).count()).unwrap_or_default();
        self.cursor.skip(text.len());
        if text.contains(['.', 'e', 'E']) {
            let parsed = text.parse().map(Value::Float);
            return parsed.map_err(|_| self.cursor.fail(offset, "not a number".to_owned()));
        }
        let too_large = "the integer does not fit into 64 bits";
        text.parse().map(Value::Integer).map_err(|_| self.cursor.fail(offset, too_large.to_owned()))
    }

    fn parts<A: SeqAccess<'a>>(&self, mut items: A) -> Result<Value<'a>, A::Error> {
        let mut parts = Vec::new();
        while let Some(raw) = items.next_element::<&RawValue>()? {
            parts.push(Part { text: self.cursor.text, offset: self.cursor.find(), raw });
            self.cursor.skip(raw.get().len());
        }
        self.cursor.close();
        Ok(Value::Parts(parts))
    }
}

impl<'a> Visitor<'a> for Here<'_, 'a> {
    type Value = Value<'a>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value<'a>, E> {
        self.cursor.skip("null".len());
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value<'a>, E> {
        self.cursor.skip(if value { "true".len() } else { "false".len() });
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Value<'a>, E> {
        self.number()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Value<'a>, E> {
        self.number()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Value<'a>, E> {
        self.number()
    }

    fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<Value<'a>, E> {
        self.cursor.skip(text.len() + 2);
        Ok(Value::String(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value<'a>, E> {
        self.cursor.skip_escaped();
        Ok(Value::String(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<Value<'a>, A::Error> {
        self.cursor.skip(1);
        if self.depth + 1 == self.cursor.parts_at {
            return self.parts(items);
        }
        let mut nodes = Vec::new();
        while let Some(node) = items.next_element_seed(self.inner())? {
            nodes.push(node);
        }
        self.cursor.close();
        Ok(Value::Array(nodes))
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<Value<'a>, A::Error> {
        self.cursor.skip(1);
        let mut entries: Vec<Entry<'a>> = Vec::new();
        while let Some(Node { offset, value: Value::String(key) }) = members.next_key_seed(self.inner())? {
            entries.push(Entry { key, offset, node: members.next_value_seed(self.inner())? });
        }
        self.cursor.close();
        match given_twice(&entries) {
            Some(twice) => Err(self.cursor.fail(twice.offset, "the key is given twice".to_owned())),
            None => Ok(Value::Table(entries)),
        }
    }
}

/// The first entry whose key an earlier one has.
fn given_twice<'e, 'a>(entries: &'e [Entry<'a>]) -> Option<&'e Entry<'a>> {
    // Most tables are so small that comparing all keys is less than hashing them.
    const FEW: usize = 8;
    if entries.len() <= FEW {
        let is_twice =
            |(index, entry): &(usize, &Entry)| entries[..*index].iter().any(|it| it.key == entry.key);
        return entries.iter().enumerate().find(is_twice).map(|(_, entry)| entry);
    }
    let mut seen = HashSet::with_capacity(entries.len());
    entries.iter().find(|entry| !seen.insert(&entry.key))
}

/// serde_json tells line and column within the part that it read, which starts at `offset`.
fn syntax_error(text: &str, offset: usize, error: &serde_json::Error) -> SyntaxError {
    let part = text.get(offset..).unwrap_or("");
    let line_start: usize =
        part.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let mut at = offset + line_start + error.column().saturating_sub(1);
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default().to_owned();
    SyntaxError { offset: Some(at), message }
}

#[cfg(test)]
mod tests;
