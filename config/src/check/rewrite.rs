//! `[[services.routes.rewrites]]`: patterns compile, and replacements name groups that exist.

use regex::{Regex, RegexBuilder};

use super::values::count_is_sane;
use crate::checked::Rewrite;
use crate::limits::{PATH_BYTES_MAX, PATTERN_BYTES_MAX, PATTERN_COMPILED_BYTES_MAX, RULES_MAX};
use crate::path::At;
use crate::raw;
use crate::report::Problems;
use crate::units::Size;

/// A route's rewrites.
pub fn rewrites(raw: &[raw::Rewrite], at: &At, problems: &mut Problems) -> Option<Vec<Rewrite>> {
    if !count_is_sane(raw.len(), RULES_MAX, at, problems) {
        return None;
    }
    let mut rewrites = Vec::with_capacity(raw.len());
    for (index, one) in raw.iter().enumerate() {
        rewrites.push(rewrite(one, &at.index(index), problems));
    }
    rewrites.into_iter().collect()
}

fn rewrite(raw: &raw::Rewrite, at: &At, problems: &mut Problems) -> Option<Rewrite> {
    let at_replacement = at.key("replacement");
    let well_formed = replacement(&raw.replacement, &at_replacement, problems);
    let pattern = match compile(&raw.pattern) {
        Ok(pattern) => pattern,
        Err(message) => {
            problems.add(&at.key("pattern"), message);
            return None;
        }
    };
    if !problems.is_unread(&at.key("pattern")) {
        groups_exist(&pattern, &raw.replacement, &at_replacement, problems);
    }
    well_formed?;
    Some(Rewrite { pattern, replacement: raw.replacement.clone() })
}

fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.is_empty() || pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("must have 1 to {PATTERN_BYTES_MAX} bytes"));
    }
    let compiled = RegexBuilder::new(pattern)
        .size_limit(PATTERN_COMPILED_BYTES_MAX)
        .dfa_size_limit(PATTERN_COMPILED_BYTES_MAX)
        .build();
    compiled.map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => {
            let limit = Size(u64::try_from(limit).unwrap_or(u64::MAX));
            format!("takes more than {limit} when compiled; use smaller repetitions")
        }
        _ => explain_pattern(pattern),
    })
}

/// The regex crate draws an error over several lines; its parser tells the place as a number.
fn explain_pattern(pattern: &str) -> String {
    let (wrong, span) = match regex_syntax::Parser::new().parse(pattern) {
        Err(regex_syntax::Error::Parse(error)) => (error.kind().to_string(), *error.span()),
        Err(regex_syntax::Error::Translate(error)) => (error.kind().to_string(), *error.span()),
        _ => return "is no regular expression that can be compiled".to_owned(),
    };
    let before = pattern.get(..span.start.offset).unwrap_or_default();
    format!("is no regular expression: {wrong}, at its character {}", before.chars().count() + 1)
}

fn replacement(text: &str, at: &At, problems: &mut Problems) -> Option<()> {
    let odd = |c: &char| !c.is_ascii_graphic() || *c == '?' || *c == '#';
    if let Some(odd) = text.chars().find(odd) {
        let message = "becomes part of a path, so it must be visible ASCII without '?' and '#'";
        problems.add(at, format!("{message}: percent-encode {odd:?}"));
        return None;
    }
    if text.len() > PATH_BYTES_MAX {
        problems.add(at, format!("has {} bytes, at most {PATH_BYTES_MAX} are allowed", text.len()));
        return None;
    }
    Some(())
}

fn groups_exist(pattern: &Regex, replacement: &str, at: &At, problems: &mut Problems) {
    for group in groups(replacement) {
        let exists = match group.parse::<usize>() {
            Ok(number) => number < pattern.captures_len(),
            Err(_) => pattern.capture_names().flatten().any(|name| name == group),
        };
        if exists {
            continue;
        }
        let digits = group.len() - group.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let hint = match group.split_at_checked(digits) {
            // "$1x" means the group "1x".
            Some((number, rest)) if !number.is_empty() && !rest.is_empty() => {
                format!("; for group {number} followed by \"{rest}\" write \"${{{number}}}{rest}\"")
            }
            _ => format!("; it has {} numbered", pattern.captures_len() - 1),
        };
        problems.add(at, format!("names the group \"{group}\", which the pattern does not have{hint}"));
    }
}

/// The groups that a replacement names, by the regex crate's rules.
fn groups(replacement: &str) -> Vec<&str> {
    let mut groups = Vec::new();
    let mut rest = replacement;
    while let Some((_, after)) = rest.split_once('$') {
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
        } else if let Some((group, after)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            groups.push(group);
            rest = after;
        } else {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (group, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            if !group.is_empty() {
                groups.push(group);
            }
            rest = after;
        }
    }
    groups
}
