//! Names by the configuration's rules: 1 to 64 of A-Z a-z 0-9 _ . - and each once.

use std::collections::HashSet;

use coregate_config::limits::NAME_BYTES_MAX;

/// Names that are taken.
#[derive(Debug, Default)]
pub struct Names(HashSet<String>);

/// A name, and why it is another than the one that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// The name.
    pub name: String,
    /// `None`: it is the one that was asked for.
    pub changed: Option<&'static str>,
}

impl Names {
    /// Takes a name, or the nearest one that is free and follows the rules.
    pub fn take(&mut self, wanted: &str) -> Taken {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let mut name: String = wanted.chars().map(|c| if allowed(c) { c } else { '-' }).collect();
        let mut changed = (name != wanted).then_some("names consist of A-Z a-z 0-9 _ . -");
        if name.len() > NAME_BYTES_MAX {
            name.truncate(NAME_BYTES_MAX);
            changed = Some("names have at most 64 characters");
        }
        if name.is_empty() {
            "unnamed".clone_into(&mut name);
            changed = Some("it has no name");
        }
        if self.0.insert(name.clone()) {
            return Taken { name, changed };
        }
        let mut number = 2u64;
        loop {
            let suffix = format!("-{number}");
            let stem = name.get(..name.len().min(NAME_BYTES_MAX - suffix.len())).unwrap_or_default();
            let candidate = format!("{stem}{suffix}");
            if self.0.insert(candidate.clone()) {
                return Taken { name: candidate, changed: Some("the name is taken by a row before it") };
            }
            number += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_breaks_no_rule_stays() {
        assert_eq!(Names::default().take("Api_1.v-2"), Taken { name: "Api_1.v-2".into(), changed: None });
    }

    #[test]
    fn others_are_changed_and_stay_unique() {
        let mut names = Names::default();
        assert_eq!(names.take("a b").name, "a-b");
        assert_eq!(names.take("a/b").name, "a-b-2");
        assert_eq!(names.take("服务").name, "--");
        assert_eq!(names.take("").name, "unnamed");
        let long = "x".repeat(65);
        assert_eq!(names.take(&long).name, "x".repeat(64));
        assert_eq!(names.take(&long).name, format!("{}-2", "x".repeat(62)));
        assert!(names.take("a b").changed.is_some());
    }
}
