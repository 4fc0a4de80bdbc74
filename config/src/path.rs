//! Where in a configuration something stands: `services[0].nodes[1].weight`.
//!
//! [`At`] is what the reader and the checks carry: a chain of borrowed steps on the stack, so that a path costs nothing
//! until something is wrong. [`Path`] is the same, kept.

use std::fmt;

/// One step into a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

/// A path under construction: made with [`At::root`], extended with [`At::key`] and [`At::index`].
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

impl<'a> At<'a> {
    /// The whole document.
    pub fn root() -> At<'static> {
        At { parent: None, step: Step::Root }
    }

    /// Whether this is the whole document.
    pub fn is_root(&self) -> bool {
        self.step == Step::Root
    }

    /// The value of a key of this table.
    pub fn key<'b>(&'b self, key: &'b str) -> At<'b> {
        At { parent: Some(self), step: Step::Key(key) }
    }

    /// An element of this list.
    pub fn index(&self, index: usize) -> At<'_> {
        At { parent: Some(self), step: Step::Index(index) }
    }

    /// Keeps the path.
    pub fn path(&self) -> Path {
        let mut steps = Vec::new();
        let mut at = Some(self);
        while let Some(here) = at {
            match here.step {
                Step::Root => {}
                Step::Key(key) => steps.push(PathStep::Key(key.to_owned())),
                Step::Index(index) => steps.push(PathStep::Index(index)),
            }
            at = here.parent;
        }
        steps.reverse();
        Path(steps)
    }
}

/// A kept path; displayed as `services[0].nodes[1].weight`, the whole document as nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Path(pub Vec<PathStep>);

/// One step of a [`Path`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathStep {
    /// Into the value of a table's key.
    Key(String),
    /// Into an element of a list, counted from 0.
    Index(usize),
}

impl Path {
    /// The last key, if the path ends with one.
    pub fn last_key(&self) -> Option<&str> {
        match self.0.last() {
            Some(PathStep::Key(key)) => Some(key),
            Some(PathStep::Index(_)) | None => None,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (depth, step) in self.0.iter().enumerate() {
            match step {
                PathStep::Key(key) => {
                    let dot = if depth == 0 { "" } else { "." };
                    // A key that was written by hand may hold anything; what is not a bare key is quoted.
                    if !key.is_empty()
                        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
                    {
                        write!(f, "{dot}{key}")?;
                    } else {
                        write!(f, "{dot}{key:?}")?;
                    }
                }
                PathStep::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
