//! The reference page: every key of the schema, from the doc comments in [`raw`](crate::raw).

use std::fmt::Write as _;

use crate::raw::Gateway;
use crate::read::{Key, Kind, Read, Table};

/// `REFERENCE.md`, whole.
pub fn markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    if let Kind::Table(gateway) = Gateway::describe() {
        section("The whole file", &gateway, &mut page);
        tables(&gateway, "", &mut page);
    }
    page
}

const INTRODUCTION: &str = "\
# Configuration reference

<!-- Generated from the doc comments in src/raw.rs: cargo run -p coregate-config --example reference -->

The same schema in TOML and in JSON. An unknown key is an error, and so is a value out of bounds; `coregate check
--config FILE` tells all of them at once.

- **duration**: a string of a whole number and one of `ms`, `s`, `m`, `h`, `d`: `\"250ms\"`, `\"10s\"`, `\"1h\"`.
- **size**: a string of a whole number and one of `B`, `KiB`, `MiB`, `GiB`: `\"16KiB\"`; or a whole number of bytes.
- **integer**, **number**, **boolean**, **string**, **list**: TOML's own. In JSON, `null` is the same as leaving a key
  out.
";

/// One section for each table inside this one, each followed by those inside it.
fn tables(table: &Table, path: &str, page: &mut String) {
    for key in &table.keys {
        let path = if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
        let (heading, inner) = match &key.kind {
            Kind::Table(inner) => (format!("`[{path}]`"), inner),
            Kind::List(element) => match element.as_ref() {
                Kind::Table(inner) => (format!("`[[{path}]]`"), inner),
                _ => continue,
            },
            _ => continue,
        };
        section(&heading, inner, page);
        tables(inner, &path, page);
    }
}

fn section(heading: &str, table: &Table, page: &mut String) {
    let about = &table.about;
    // Writing to a String cannot fail.
    let _ =
        write!(page, "\n## {heading}\n\n{about}\n\n| key | value | default | |\n| --- | --- | --- | --- |\n");
    for key in &table.keys {
        let name = key.name;
        let _ =
            writeln!(page, "| `{name}` | {} | {} | {} |", kind(&key.kind), default(key), self::about(key));
    }
}

fn kind(kind: &Kind) -> String {
    match kind {
        Kind::Scalar(name) => (*name).to_owned(),
        Kind::Choice(words) => {
            words.iter().map(|(word, _)| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", ")
        }
        Kind::List(element) => match element.as_ref() {
            Kind::Table(_) => "list of tables".to_owned(),
            element => format!("list of {}s", self::kind(element)),
        },
        Kind::Table(_) => "table".to_owned(),
    }
}

fn default(key: &Key) -> String {
    match (&key.default, &key.kind) {
        _ if key.required => "**required**".to_owned(),
        (serde_json::Value::Null, _) | (_, Kind::Table(_)) => String::new(),
        (value, _) => format!("`{value}`"),
    }
}

fn about(key: &Key) -> String {
    let mut about = key.about.clone();
    if let Kind::Choice(words) = &key.kind {
        for (word, meaning) in words {
            let _ = write!(about, " `\"{word}\"`: {meaning}");
        }
    }
    about.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_is_current() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/REFERENCE.md")).unwrap();
        assert!(
            page == super::markdown(),
            "run `cargo run -p coregate-config --example reference` and commit config/REFERENCE.md"
        );
    }
}
