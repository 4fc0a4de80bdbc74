//! From a [`Tree`](crate::tree::Tree) to the [`raw`](crate::raw) types: the one reader for TOML and JSON.
//!
//! serde's own `Deserialize` stops at the first error, and an operator wants them all; so [`Read`] never stops: what
//! cannot be read is reported and a default stands in for it. The [`table!`] and [`choice!`] macros write a type, its
//! defaults, its reader and its description for the reference page from one list of keys.
//!
//! Errors: unknown keys (with the nearest known one), missing keys, values of the wrong kind.

use crate::limits::LIST_LENGTH_MAX;
use crate::path::At;
use crate::raw::OWN_KEYS;
use crate::report::Problems;
use crate::tree::{Entry, Node, Part, Value};

/// A type that is read from a configuration.
pub trait Read: Sized + Default {
    /// Reads a value; reports what is wrong with it and goes on with a default.
    fn read(node: &Node, at: &At, problems: &mut Problems) -> Self;

    /// What the reference page says that such a value is.
    fn describe() -> Kind;
}

/// What a value is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A single value, in a word: "integer", "duration".
    Scalar(&'static str),
    /// One of these words, each with its meaning.
    Choice(Vec<(&'static str, String)>),
    /// A list of these.
    List(Box<Kind>),
    /// A table with these keys.
    Table(Table),
}

/// A table of the schema.
#[derive(Debug, Clone)]
pub struct Table {
    /// What it is.
    pub about: String,
    /// Its keys in the order of the reference page.
    pub keys: Vec<Key>,
}

/// A key of the schema.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it is, its unit, its bounds.
    pub about: String,
    /// What its value is.
    pub kind: Kind,
    /// Must be given.
    pub required: bool,
    /// What holds when it is not given.
    pub default: serde_json::Value,
}

/// Defines a table of the schema: `key: Type = default`, or `key: Type` for one that must be given.
macro_rules! table {
    (
        $(#[doc = $about:literal])*
        $name:ident { $( $(#[doc = $doc:literal])* $key:ident : $type:ty $(= $default:expr)? ),* $(,)? }
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize)]
        pub struct $name { $( $(#[doc = $doc])* pub $key: $type, )* }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $key: table!(@default $($default)?), )* }
            }
        }

        impl $crate::read::Read for $name {
            fn read(
                node: &$crate::tree::Node,
                at: &$crate::path::At,
                problems: &mut $crate::report::Problems,
            ) -> Self {
                const KEYS: &[&str] = &[$(stringify!($key)),*];
                const REQUIRED: &[&str] = &[$(table!(@required $key $($default)?)),*];
                let mut table = Self::default();
                for entry in $crate::read::entries(node, at, REQUIRED, problems) {
                    match &*entry.key {
                        $( stringify!($key) => {
                            table.$key = $crate::read::Read::read(&entry.node, &at.key(stringify!($key)), problems);
                        } )*
                        _ => $crate::read::unknown_key(entry, KEYS, at, problems),
                    }
                }
                table
            }

            fn describe() -> $crate::read::Kind {
                let defaults = serde_json::to_value(Self::default()).unwrap_or_default();
                $crate::read::Kind::Table($crate::read::Table {
                    about: $crate::read::paragraph(&[$($about),*]),
                    keys: vec![$( $crate::read::Key {
                        name: stringify!($key),
                        about: $crate::read::paragraph(&[$($doc),*]),
                        kind: <$type as $crate::read::Read>::describe(),
                        required: !table!(@required $key $($default)?).is_empty(),
                        default: defaults.get(stringify!($key)).cloned().unwrap_or_default(),
                    } ),*],
                })
            }
        }
    };
    (@default) => { Default::default() };
    (@default $default:expr) => { $default };
    (@required $key:ident) => { stringify!($key) };
    (@required $key:ident $default:expr) => { "" };
}
pub(crate) use table;

/// Defines a value that is one of a few words; the first is the default.
macro_rules! choice {
    ($(#[doc = $about:literal])* $name:ident { $( $(#[doc = $doc:literal])* $variant:ident = $word:literal ),* $(,)? }) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
        pub enum $name { $( $(#[doc = $doc])* #[serde(rename = $word)] $variant ),* }

        impl $name {
            const ALL: &[(&str, Self)] = &[$(($word, Self::$variant)),*];
        }

        impl Default for $name {
            fn default() -> Self {
                Self::ALL[0].1
            }
        }

        impl $crate::read::Read for $name {
            fn read(
                node: &$crate::tree::Node,
                at: &$crate::path::At,
                problems: &mut $crate::report::Problems,
            ) -> Self {
                $crate::read::one_of(Self::ALL, node, at, problems)
            }

            fn describe() -> $crate::read::Kind {
                $crate::read::Kind::Choice(vec![$( ($word, $crate::read::paragraph(&[$($doc),*])) ),*])
            }
        }
    };
}
pub(crate) use choice;

impl Read for bool {
    fn read(node: &Node, at: &At, problems: &mut Problems) -> Self {
        match node.value {
            Value::Bool(yes) => yes,
            _ => wrong_kind("true or false", node, at, problems),
        }
    }

    fn describe() -> Kind {
        Kind::Scalar("boolean")
    }
}

impl Read for i64 {
    fn read(node: &Node, at: &At, problems: &mut Problems) -> Self {
        match node.value {
            Value::Integer(number) => number,
            _ => wrong_kind("a whole number", node, at, problems),
        }
    }

    fn describe() -> Kind {
        Kind::Scalar("integer")
    }
}

impl Read for f64 {
    fn read(node: &Node, at: &At, problems: &mut Problems) -> Self {
        match node.value {
            Value::Float(number) => number,
            // Precise up to 2^53, far beyond any bound here.
            Value::Integer(number) => number as f64,
            _ => wrong_kind("a number", node, at, problems),
        }
    }

    fn describe() -> Kind {
        Kind::Scalar("number")
    }
}

impl Read for String {
    fn read(node: &Node, at: &At, problems: &mut Problems) -> Self {
        match &node.value {
            Value::String(text) => text.to_string(),
            _ => wrong_kind("a string", node, at, problems),
        }
    }

    fn describe() -> Kind {
        Kind::Scalar("string")
    }
}

impl<T: Read> Read for Option<T> {
    fn read(node: &Node, at: &At, problems: &mut Problems) -> Self {
        Some(T::read(node, at, problems))
    }

    fn describe() -> Kind {
        T::describe()
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(node: &Node, at: &At, problems: &mut Problems) -> Self {
        match &node.value {
            Value::Array(items) => elements(items, at, problems, T::read),
            Value::Parts(parts) => elements(parts, at, problems, part),
            _ => wrong_kind("a list", node, at, problems),
        }
    }

    fn describe() -> Kind {
        Kind::List(Box::new(T::describe()))
    }
}

/// Reads the elements of a list. What cannot be read keeps its place, so that indices stay those of the file.
fn elements<E, T>(
    list: &[E],
    at: &At,
    problems: &mut Problems,
    read: impl Fn(&E, &At, &mut Problems) -> T,
) -> Vec<T> {
    if list.len() > LIST_LENGTH_MAX {
        problems.unread(at, format!("{} elements, at most {LIST_LENGTH_MAX} can be read", list.len()));
        return Vec::new();
    }
    list.iter().enumerate().map(|(index, element)| read(element, &at.index(index), problems)).collect()
}

fn part<T: Read>(part: &Part, at: &At, problems: &mut Problems) -> T {
    match part.read() {
        Ok(node) => T::read(&node, at, problems),
        Err(error) => {
            problems.unread(at, error.message);
            T::default()
        }
    }
}

/// A table's entries without nulls; complains if it is no table or misses a required key ("" = none).
pub fn entries<'n, 'a>(
    node: &'n Node<'a>,
    at: &At,
    required: &[&str],
    problems: &mut Problems,
) -> impl Iterator<Item = &'n Entry<'a>> + use<'n, 'a> {
    let entries: &[Entry] = match &node.value {
        Value::Table(entries) => {
            let given = |key: &str| node.get(key).is_some_and(|node| !matches!(node.value, Value::Null));
            for key in required.iter().filter(|key| !key.is_empty() && !given(key)) {
                problems.unread(&at.key(key), "is missing and must be given");
            }
            entries
        }
        _ => {
            let () = wrong_kind("a table", node, at, problems);
            &[]
        }
    };
    entries.iter().filter(|entry| !matches!(entry.node.value, Value::Null))
}

/// Complains about a key that the table does not have.
pub fn unknown_key(entry: &Entry, known: &[&str], at: &At, problems: &mut Problems) {
    let message = match nearest(&entry.key, known.iter().copied()) {
        // The whole that does not know them is an admin's.
        _ if at.is_root() && OWN_KEYS.contains(&&*entry.key) => {
            "belongs to one engine: write it in that engine's own file, not here".to_owned()
        }
        Some(near) => format!("unknown key; did you mean `{near}`?"),
        None => format!("unknown key; here are known: {}", known.join(", ")),
    };
    problems.unknown(&at.key(&entry.key), entry.offset, message);
}

/// Reads one of a few words.
pub fn one_of<T: Copy + Default>(words: &[(&str, T)], node: &Node, at: &At, problems: &mut Problems) -> T {
    let all = || words.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(", ");
    let Some(given) = node.as_str() else {
        return wrong_kind(&format!("one of {}", all()), node, at, problems);
    };
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == given) {
        return *value;
    }
    let hint = nearest(given, words.iter().map(|(word, _)| *word))
        .map(|near| format!("; did you mean {near:?}?"))
        .unwrap_or_default();
    problems.unread(at, format!("must be one of {}{hint}", all()));
    T::default()
}

/// Complains that a value is of the wrong kind.
pub fn wrong_kind<T: Default>(expected: &str, node: &Node, at: &At, problems: &mut Problems) -> T {
    problems.unread(at, format!("must be {expected}, not {}", node.kind()));
    T::default()
}

/// The word that a misspelt one probably meant.
pub fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const SIMILARITY_MIN: f64 = 0.6;
    // The comparison takes the product of the lengths, and no known word is nearly as long.
    const GIVEN_BYTES_MAX: usize = 128;
    if given.len() > GIVEN_BYTES_MAX {
        return None;
    }
    let plain = |word: &str| word.to_lowercase().replace('-', "_");
    let given = plain(given);
    known
        .map(|word| (strsim::normalized_damerau_levenshtein(&given, &plain(word)), word))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|(a, word_a), (b, word_b)| a.total_cmp(b).then(word_b.cmp(word_a)))
        .map(|(_, word)| word)
}

/// A doc comment's lines as one text.
pub fn paragraph(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ").trim().to_owned()
}
