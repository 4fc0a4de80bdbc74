//! `url_rewrite` and `header_transfor`: gogate's small languages.
//!
//! gogate split both at commas and then at single spaces, and passed over what did not have as many words as it expected,
//! so a comma within a pattern breaks it in two. The same is done here, and told.

use serde_json::{Value, json};

use super::lists::quoted;

/// `regex replacement`, comma-separated.
pub fn rewrites(column: &str, mut tell: impl FnMut(String)) -> Vec<Value> {
    let mut rewrites = Vec::new();
    for part in parts(column) {
        let words: Vec<&str> = part.split(' ').collect();
        let [pattern, replacement] = words[..] else {
            tell(format!(
                "url_rewrite has {}, which is not \"regex replacement\"; gogate passed over it: left out",
                quoted(part)
            ));
            continue;
        };
        if !pattern.starts_with('^') {
            tell(format!(
                "url_rewrite {}: gogate replaced every match, here the first is replaced; begin the pattern with ^ if \
                 there is only one",
                quoted(pattern)
            ));
        }
        rewrites.push(json!({ "pattern": pattern, "replacement": replacement }));
    }
    rewrites
}

/// `add|edit|del name value`, comma-separated. gogate's `add` set the field, as its `edit` did.
pub fn headers(column: &str, mut tell: impl FnMut(String)) -> Vec<Value> {
    let mut rules = Vec::new();
    for part in parts(column) {
        let words: Vec<&str> = part.split(' ').collect();
        match words[..] {
            ["add" | "edit", name, value] => rules.push(json!({ "set": name, "value": value })),
            ["del", name, _] => rules.push(json!({ "remove": name })),
            ["del", name] => {
                tell(format!(
                    "header_transfor has {}; gogate passed over it, as it has no value: carried over as it was meant, \
                     the field is removed",
                    quoted(part)
                ));
                rules.push(json!({ "remove": name }));
            }
            _ => tell(format!(
                "header_transfor has {}, which is not \"add|edit|del name value\"; gogate passed over it: left out",
                quoted(part)
            )),
        }
    }
    rules
}

fn parts(column: &str) -> impl Iterator<Item = &str> {
    column.split([',', '\n', '\r']).map(str::trim).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rewrites_as_gogate_did() {
        let mut told = Vec::new();
        let rewrites = rewrites("^/a/(.*) /b/$1,^/x{1,2} /y, ^/only", |message| told.push(message));
        assert_eq!(
            rewrites,
            [
                json!({ "pattern": "^/a/(.*)", "replacement": "/b/$1" }),
                json!({ "pattern": "2}", "replacement": "/y" })
            ]
        );
        assert!(told[0].contains("^/x{1") && told[1].contains("every match") && told[2].contains("^/only"));
    }

    #[test]
    fn reads_header_rules_as_gogate_did() {
        let mut told = Vec::new();
        let rules = headers("add x-a 1,edit x-b 2,del x-c c,del x-d,set x-e 5,add x-f a b", |message| {
            told.push(message);
        });
        assert_eq!(
            rules,
            [
                json!({ "set": "x-a", "value": "1" }),
                json!({ "set": "x-b", "value": "2" }),
                json!({ "remove": "x-c" }),
                json!({ "remove": "x-d" })
            ]
        );
        assert_eq!(told.len(), 3);
    }
}
