//! JSON text to a [`Node`].
//!
//! serde_json keeps no positions, but a borrowed [`RawValue`] is a slice of the text, and where it starts tells the
//! position. Each level of nesting is scanned once more, which the depth limit bounds.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Entry, Node, SyntaxError, Value};
use crate::limits::NESTING_MAX;

pub fn parse(text: &str) -> Result<Node<'_>, SyntaxError> {
    let whole: &RawValue = serde_json::from_str(text).map_err(|error| syntax_error(text, 0, &error))?;
    Reader { text }.node(whole, 0)
}

struct Reader<'a> {
    text: &'a str,
}

impl<'a> Reader<'a> {
    fn node(&self, raw: &'a RawValue, depth: usize) -> Result<Node<'a>, SyntaxError> {
        let offset = self.offset(raw.get());
        if depth > NESTING_MAX {
            let message = format!("nested more than {NESTING_MAX} levels deep");
            return Err(SyntaxError { offset: Some(offset), message });
        }
        let value = match raw.get().as_bytes().first() {
            Some(b'{') => {
                let Object(members) = self.read(raw, offset)?;
                Value::Table(self.entries(members, depth)?)
            }
            Some(b'[') => {
                let items: Vec<&'a RawValue> = self.read(raw, offset)?;
                Value::Array(
                    items.into_iter().map(|item| self.node(item, depth + 1)).collect::<Result<_, _>>()?,
                )
            }
            Some(b'"') => Value::String(self.string(raw, offset)?),
            Some(b't' | b'f') => Value::Bool(self.read(raw, offset)?),
            Some(b'n') => Value::Null,
            _ => Self::number(raw, offset)?,
        };
        Ok(Node { offset, value })
    }

    fn entries(
        &self,
        members: Vec<(&'a RawValue, &'a RawValue)>,
        depth: usize,
    ) -> Result<Vec<Entry<'a>>, SyntaxError> {
        let mut entries: Vec<Entry<'a>> = Vec::with_capacity(members.len());
        for (key, value) in members {
            let offset = self.offset(key.get());
            let key = self.string(key, offset)?;
            entries.push(Entry { key, offset, node: self.node(value, depth + 1)? });
        }
        match given_twice(&entries) {
            Some(twice) => {
                let message = "the key is given twice".to_owned();
                Err(SyntaxError { offset: Some(twice.offset), message })
            }
            None => Ok(entries),
        }
    }

    /// A string, borrowed when it has no escapes: what a [`RawValue`] holds was looked through when it was made.
    fn string(&self, raw: &'a RawValue, offset: usize) -> Result<Cow<'a, str>, SyntaxError> {
        let quoted = raw.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        match quoted.filter(|inside| !inside.contains('\\')) {
            Some(inside) => Ok(Cow::Borrowed(inside)),
            None => self.read(raw, offset).map(|Text(text)| text),
        }
    }

    fn number(raw: &'a RawValue, offset: usize) -> Result<Value<'a>, SyntaxError> {
        let whole = !raw.get().contains(['.', 'e', 'E']);
        if whole {
            let too_large = |_| SyntaxError {
                offset: Some(offset),
                message: "the integer does not fit into 64 bits".to_owned(),
            };
            return Ok(Value::Integer(raw.get().parse().map_err(too_large)?));
        }
        // std's parser is exact to the last bit; serde_json's is only with a feature that all its users would pay for.
        let not_a_number = |_| SyntaxError { offset: Some(offset), message: "not a number".to_owned() };
        Ok(Value::Float(raw.get().parse().map_err(not_a_number)?))
    }

    fn read<T: Deserialize<'a>>(&self, raw: &'a RawValue, offset: usize) -> Result<T, SyntaxError> {
        serde_json::from_str(raw.get()).map_err(|error| syntax_error(self.text, offset, &error))
    }

    fn offset(&self, part: &'a str) -> usize {
        // `part` is a slice of `text`: RawValue borrows, and only what was taken from `text` comes here.
        (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize)
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

/// A string, borrowed when it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// An object's members in order, keys that are given twice included.
struct Object<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Vec<(&'de RawValue, &'de RawValue)>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Members).map(Object)
    }
}
