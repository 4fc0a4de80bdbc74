//! A configuration as TOML that loads back to the same.
//!
//! Input: a document as the store has it. Output: text, for an engine or for `import file`. Names stand first, then single
//! values, then tables, so that a person can read it. Secrets of tenants are hashes already. Keys of certificates are sealed
//! and of no use elsewhere: certificates are left out and told of in a comment, unless they come unsealed.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::model::Kind;

/// What stands in the first lines.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// The revision that it is.
    pub revision: u64,
    /// When it was exported.
    pub at: String,
}

/// Writes a document. Where `certificates` is false they are left out.
pub fn to_toml(document: &Value, certificates: bool, head: &Head) -> String {
    let mut out = format!(
        "# coregate: revision {}, exported {}.\n# What belongs to one engine ([server], [stats], [control]) is not in it.\n",
        head.revision, head.at
    );
    let of_kind = |kind: Kind| document[kind.list()].as_array().map_or(&[][..], Vec::as_slice);
    let left_out: Vec<&str> =
        of_kind(Kind::Certificate).iter().filter_map(|body| body["name"].as_str()).collect();
    if certificates && !left_out.is_empty() {
        out.push_str("# It holds private keys of certificates: keep it as private.\n");
    }
    if !certificates && !left_out.is_empty() {
        // Names are of letters, digits and _ . -, so none ends the comment.
        let _ = writeln!(
            out,
            "# Certificates are not in it, and listeners refer to them: {}.\n\
             # `coregate-admin export --with-keys` exports them, with their keys in clear.",
            left_out.join(", ")
        );
    }
    for kind in Kind::ALL {
        if kind == Kind::Certificate && !certificates {
            continue;
        }
        for body in of_kind(kind).iter().filter_map(Value::as_object) {
            let _ = writeln!(out, "\n[[{}]]", kind.list());
            table(&mut out, kind.list(), body, kind.name_key());
        }
    }
    out
}

fn table(out: &mut String, path: &str, members: &Map<String, Value>, first: &str) {
    let (mut single, mut tables): (Vec<_>, Vec<_>) =
        members.iter().filter(|(_, value)| !value.is_null()).partition(|(_, value)| !is_table(value));
    single.sort_by_key(|(key, _)| *key != first);
    tables.sort_by_key(|(_, value)| value.is_array());
    for (key, value) in single {
        let _ = writeln!(out, "{} = {}", bare(key), inline(value));
    }
    for (key, value) in tables {
        let path = format!("{path}.{}", bare(key));
        match value {
            Value::Object(members) => {
                let _ = writeln!(out, "[{path}]");
                table(out, &path, members, "name");
            }
            Value::Array(items) => {
                for members in items.iter().filter_map(Value::as_object) {
                    let _ = writeln!(out, "[[{path}]]");
                    table(out, &path, members, "address");
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// Whether it has a header of its own.
fn is_table(value: &Value) -> bool {
    match value {
        Value::Object(_) => true,
        Value::Array(items) => !items.is_empty() && items.iter().all(Value::is_object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn bare(key: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !key.is_empty() && key.bytes().all(is_bare) {
        key.to_owned()
    } else {
        toml::Value::String(key.to_owned()).to_string()
    }
}

fn inline(value: &Value) -> String {
    match value {
        // There are none: a key without a value is left out.
        Value::Null => "\"\"".to_owned(),
        Value::Bool(yes) => yes.to_string(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => number.to_string(),
            (None, Some(number)) => toml::Value::Float(number).to_string(),
            (None, None) => number.to_string(),
        },
        Value::String(text) => toml::Value::String(text.clone()).to_string(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().filter(|item| !item.is_null()).map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| format!("{} = {}", bare(key), inline(value)))
                .collect();
            format!("{{ {} }}", members.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::import::file::{Format, read};
    use crate::import::gogate;

    fn back(text: &str) -> Value {
        toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    #[test]
    fn a_name_stands_first_and_nodes_below() {
        let document = json!({ "services": [{
            "access": { "deny": ["10.0.0.1"] }, "enabled": true, "name": "a",
            "routes": [{ "path_prefix": "/", "rewrites": [{ "pattern": "^/\"x\\", "replacement": "/" }] }],
            "nodes": [{ "weight": 3, "address": "10.0.0.1:80" }],
            "limits": { "requests_per_second": 5.0, "burst": 15 },
        }]});
        let text = to_toml(&document, false, &Head { revision: 3, at: "today".into() });
        assert_eq!(
            text,
            "# coregate: revision 3, exported today.\n# What belongs to one engine ([server], [stats], [control]) is not in it.\n\n[[services]]\nname = \"a\"\nenabled = true\n[services.access]\n\
             deny = [\"10.0.0.1\"]\n[services.limits]\nburst = 15\nrequests_per_second = 5.0\n[[services.nodes]]\n\
             address = \"10.0.0.1:80\"\nweight = 3\n[[services.routes]]\npath_prefix = \"/\"\n\
             [[services.routes.rewrites]]\npattern = '^/\"x\\'\nreplacement = \"/\"\n"
        );
        assert_eq!(back(&text), document);
    }

    #[test]
    fn sealed_keys_stay_where_they_are() {
        let document = json!({
            "certificates": [{ "name": "site", "chain": "PEM\nPEM\n", "key": "enc:v1:AAAA" }],
            "listeners": [{ "name": "a", "address": "[::]:443", "certificates": [{ "certificate": "site" }] }],
        });
        let text = to_toml(&document, false, &Head::default());
        assert!(
            !text.contains("enc:v1")
                && text.contains("# Certificates are not in it")
                && text.contains(": site.")
        );
        let text = to_toml(&document, true, &Head::default());
        assert!(text.contains("# It holds private keys"));
        assert_eq!(back(&text), document);
    }

    /// JSON as a document can have it, nulls aside.
    fn member() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_filter("a number", |it| it.is_finite()).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-z_]{1,6}|[ \"é.\\]]{1,3}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_a_document_says_it_reads_back_the_same(
            members in proptest::collection::vec(proptest::collection::btree_map("[a-z_]{1,6}", member(), 0..5), 1..4),
        ) {
            let bodies: Vec<Value> = members.into_iter().map(|it| Value::Object(it.into_iter().collect())).collect();
            let document = json!({ "services": bodies });
            let text = to_toml(&document, true, &Head::default());
            prop_assert_eq!(back(&text), document, "{}", text);
        }

        #[test]
        fn export_then_import_is_the_identity(rows in gogate::tests::rows()) {
            let before = gogate::convert(&rows, &gogate::Options::default());
            let text = to_toml(&before.document(), true, &Head::default());
            let after = read(&text, "export.toml", Format::Toml);
            prop_assert!(after.is_ok(), "{}\n{}", after.unwrap_err(), text);
            prop_assert_eq!(after.unwrap().document(), before.document());
        }
    }
}
