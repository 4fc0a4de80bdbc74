//! What is wrong with a configuration: collected while it is read and checked, told at the end.
//!
//! [`Problems`] takes complaints by path and never stops anything; [`Problems::into_report`] finds line, column, value
//! and owner of each in the [`Tree`]. Invariant: no secret gets into a [`Problem`].

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use crate::path::{At, Path, PathStep};
use crate::redact;
use crate::tree::{Lines, Node, SyntaxError, Tree, Value};

/// Everything that is wrong with a configuration, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// At least one.
    pub errors: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, or whatever name the text was given.
    pub file: String,
    /// Line, from 1.
    pub line: Option<u32>,
    /// Column in characters, from 1.
    pub column: Option<u32>,
    /// The key, such as `services[0].nodes[1].weight`; empty for the document itself.
    pub key: String,
    /// What was given, shortened; `None` if nothing was, or if it is a whole table or list.
    pub value: Option<String>,
    /// What is wrong and what would be right, and whose key it is: `(service "a")`.
    pub message: String,
}

impl Report {
    /// One problem with a file as a whole.
    pub(crate) fn of_file(file: &str, message: String) -> Self {
        Report { errors: vec![Problem::of_file(file, message)] }
    }

    /// Text that could not even be parsed.
    pub(crate) fn of_syntax(file: &str, text: &str, mut errors: Vec<SyntaxError>) -> Self {
        errors.sort_by_key(|error| error.offset);
        let lines = Lines::new(text);
        let problem = |error: SyntaxError| {
            let position = error.offset.map(|offset| lines.position(offset));
            Problem {
                line: position.map(|(line, _)| line),
                column: position.map(|(_, column)| column),
                ..Problem::of_file(file, error.message)
            }
        };
        Report { errors: errors.into_iter().map(problem).collect() }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for problem in &self.errors {
            writeln!(f, "{problem}")?;
        }
        match self.errors.len() {
            1 => f.write_str("1 error"),
            count => write!(f, "{count} errors"),
        }
    }
}

impl std::error::Error for Report {}

impl Problem {
    fn of_file(file: &str, message: String) -> Self {
        Problem { file: file.to_owned(), line: None, column: None, key: String::new(), value: None, message }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Complaints so far.
#[derive(Debug, Default)]
pub struct Problems {
    found: Vec<Found>,
    /// Keys that could not be read, so that a default stands in for them: what the checks say about such a value, or
    /// about anything inside it, is not about what was written and is dropped.
    unread: HashSet<Path>,
}

#[derive(Debug)]
struct Found {
    path: Path,
    message: String,
    /// Where the other half of a clash stands.
    other: Option<Path>,
    /// For a key that is not known: its own offset, as the path leads to its value.
    offset: Option<usize>,
}

impl Problems {
    /// The value of a key is wrong.
    pub fn add(&mut self, at: &At, message: impl Into<String>) {
        self.push(at, message.into(), None);
    }

    /// The value of a key does not go together with that of another. `message` ends where the other's key, line and
    /// owner are to be named: `"the same name as"`.
    pub fn clash(&mut self, at: &At, message: impl Into<String>, other: &At) {
        self.push(at, message.into(), Some(other.path()));
    }

    /// The value of a key could not be read.
    pub fn unread(&mut self, at: &At, message: impl Into<String>) {
        self.push(at, message.into(), None);
        self.unread.insert(at.path());
    }

    /// A key that nobody knows.
    pub fn unknown(&mut self, at: &At, offset: usize, message: String) {
        self.found.push(Found { path: at.path(), message, other: None, offset: Some(offset) });
    }

    /// Whether a key could not be read; a rule that looks at several keys asks before it complains at one of them.
    pub fn is_unread(&self, at: &At) -> bool {
        !self.unread.is_empty() && self.stands_in(&at.path())
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    fn push(&mut self, at: &At, message: String, other: Option<Path>) {
        let path = at.path();
        if !self.stands_in(&path) && !other.as_ref().is_some_and(|other| self.stands_in(other)) {
            self.found.push(Found { path, message, other, offset: None });
        }
    }

    fn stands_in(&self, path: &Path) -> bool {
        if self.unread.is_empty() {
            return false;
        }
        (1..=path.0.len())
            .any(|depth| path.0.get(..depth).is_some_and(|steps| self.unread.contains(&Path(steps.to_vec()))))
    }

    /// Finds where each problem stands in the text, and tells them in that order.
    pub fn into_report(self, file: &str, text: &str, tree: &Tree) -> Report {
        let place = Place { tree, lines: Lines::new(text) };
        let mut found: Vec<(usize, Found)> = self
            .found
            .into_iter()
            .map(|it| (it.offset.unwrap_or_else(|| tree.offset(&it.path)), it))
            .collect();
        found.sort_by_key(|(offset, _)| *offset);
        let problem = |(offset, found): (usize, Found)| {
            let (line, column) = place.lines.position(offset);
            Problem {
                file: file.to_owned(),
                line: Some(line),
                column: Some(column),
                value: if found.offset.is_some() { None } else { place.value(&found.path) },
                message: place.message(&found),
                key: found.path.to_string(),
            }
        };
        Report { errors: found.into_iter().map(problem).collect() }
    }
}

/// What a problem's path means in the text.
struct Place<'a> {
    tree: &'a Tree<'a>,
    lines: Lines<'a>,
}

impl Place<'_> {
    fn message(&self, found: &Found) -> String {
        let owner = self.owner(&found.path).map(|owner| format!(" ({owner})")).unwrap_or_default();
        let Some(other) = &found.other else {
            return format!("{}{owner}", found.message);
        };
        let (line, _) = self.lines.position(self.tree.offset(other));
        let other_owner = self.owner(other).map(|owner| format!("{owner}, ")).unwrap_or_default();
        format!("{} {other} ({other_owner}line {line}){owner}", found.message)
    }

    /// `service "a"` for a key inside `services[0]`; `None` for the name itself, which the value shows.
    fn owner(&self, path: &Path) -> Option<String> {
        let (kind, name_key) = match path.0.first() {
            Some(PathStep::Key(key)) if key == "services" => ("service", "name"),
            Some(PathStep::Key(key)) if key == "listeners" => ("listener", "name"),
            Some(PathStep::Key(key)) if key == "certificates" => ("certificate", "name"),
            Some(PathStep::Key(key)) if key == "tenants" => ("tenant", "app_id"),
            _ => return None,
        };
        if path.0.len() == 3 && path.last_key() == Some(name_key) {
            return None;
        }
        let name = self.tree.get(&Path(path.0.get(..2)?.to_vec()))?.get(name_key)?.as_str()?;
        Some(format!("{kind} {}", quoted(name)))
    }

    fn value(&self, path: &Path) -> Option<String> {
        let node = self.tree.get(path)?;
        redact::given_value(path, node).map(Cow::into_owned).or_else(|| shown(node))
    }
}

/// A scalar as it may have been written; `None` for tables and lists.
fn shown(node: &Node) -> Option<String> {
    match &node.value {
        Value::Null => Some("null".to_owned()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::String(text) => Some(quoted(text)),
        Value::Datetime(text) => Some(text.clone()),
        Value::Array(_) | Value::Parts(_) | Value::Table(_) => None,
    }
}

/// A text in quotes, with what cannot be printed escaped, cut when it is long.
pub fn quoted(text: &str) -> String {
    const LENGTH_MAX: usize = 80;
    match text.char_indices().nth(LENGTH_MAX) {
        Some((end, _)) => format!("{:?}...", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}
