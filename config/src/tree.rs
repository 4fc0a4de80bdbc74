//! What was written, as a tree that knows where each value stands.
//!
//! Input: TOML or JSON text. Output: [`Tree`], the same for both, so that one reader and one set of checks serve both.
//! Errors: syntax errors only, with line and column. Invariants: a table's keys are unique; offsets are byte offsets
//! into the text and lie on character boundaries.

mod json;
mod toml;

use std::borrow::Cow;

pub use json::Part;

use crate::path::{Path, PathStep};

/// A parsed document.
#[derive(Debug)]
pub struct Tree<'a> {
    /// The outermost value.
    pub root: Node<'a>,
}

/// A value and where it begins.
#[derive(Debug)]
pub struct Node<'a> {
    /// Byte offset of its first character.
    pub offset: usize,
    /// The value.
    pub value: Value<'a>,
}

/// A value as written.
#[derive(Debug)]
pub enum Value<'a> {
    /// JSON's null: the same as a key that is not given.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction or an exponent; in TOML also `inf` and `nan`.
    Float(f64),
    /// A string.
    String(Cow<'a, str>),
    /// A TOML date or time, which no key takes.
    Datetime(String),
    /// A list.
    Array(Vec<Node<'a>>),
    /// A list whose elements are taken apart one after the other.
    Parts(Vec<Part<'a>>),
    /// A table.
    Table(Vec<Entry<'a>>),
}

/// One key of a table.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The key.
    pub key: Cow<'a, str>,
    /// Byte offset of the key.
    pub offset: usize,
    /// Its value.
    pub node: Node<'a>,
}

/// Text that is not TOML or not JSON.
#[derive(Debug)]
pub struct SyntaxError {
    /// Byte offset, when known.
    pub offset: Option<usize>,
    /// What is wrong. Never quotes the text, which may hold secrets.
    pub message: String,
}

/// How the text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// TOML 1.0.
    Toml,
    /// JSON (RFC 8259).
    Json,
}

impl<'a> Tree<'a> {
    /// Reads a text; every syntax error that can be told apart is reported. Of JSON's long lists, which are the outermost
    /// ones, the elements are left as [`Part`]s, so that only one at a time is in memory: what is taken apart of a large
    /// configuration is many times its text.
    pub fn parse(text: &'a str, format: Format) -> Result<Tree<'a>, Vec<SyntaxError>> {
        let root = match format {
            Format::Toml => toml::parse(text)?,
            Format::Json => json::parse_in_parts(text).map_err(|error| vec![error])?,
        };
        Ok(Tree { root })
    }

    /// The same text without [`Part`]s, to find in it what stands where.
    pub fn whole(self, text: &'a str, format: Format) -> Result<Tree<'a>, Vec<SyntaxError>> {
        match format {
            Format::Toml => Ok(self),
            Format::Json => json::parse(text).map(|root| Tree { root }).map_err(|error| vec![error]),
        }
    }

    /// The value at a path, if there is one.
    pub fn get(&self, path: &Path) -> Option<&Node<'a>> {
        self.walk(path).1
    }

    /// Where to point for a path: at its key's value, or else at the nearest value around it.
    pub fn offset(&self, path: &Path) -> usize {
        self.walk(path).0
    }

    fn walk(&self, path: &Path) -> (usize, Option<&Node<'a>>) {
        let mut node = &self.root;
        for step in &path.0 {
            let next = match (step, &node.value) {
                (PathStep::Key(key), Value::Table(entries)) => {
                    entries.iter().find(|entry| entry.key == *key).map(|entry| &entry.node)
                }
                (PathStep::Index(index), Value::Array(items)) => items.get(*index),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => return (node.offset, None),
            }
        }
        (node.offset, Some(node))
    }
}

impl Node<'_> {
    /// What kind of value it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a number",
            Value::String(_) => "a string",
            Value::Datetime(_) => "a date",
            Value::Array(_) | Value::Parts(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// A table's value of a key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Table(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node),
            _ => None,
        }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

/// Turns byte offsets into lines and columns, both counted from 1, columns in characters.
#[derive(Debug)]
pub struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    /// Looks through a text once.
    pub fn new(text: &'a str) -> Self {
        let after_newlines =
            text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Lines { text, starts: std::iter::once(0).chain(after_newlines).collect() }
    }

    /// Line and column of a byte offset.
    pub fn position(&self, offset: usize) -> (u32, u32) {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }
}
