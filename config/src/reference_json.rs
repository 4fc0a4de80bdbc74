//! The schema as JSON, for forms: every key of an element of the lists that an admin keeps.
//!
//! ```json
//! {"service": {"about": "..", "keys": [{"name": "name", "about": "..", "type": "string", "required": true, "default": null}]}}
//! ```
//!
//! `type` is `string`, `boolean`, `integer`, `number`, `duration`, `size`, `choice` (then `choices` has the words with their
//! meanings), `table` (then `keys` has its keys), `list of strings`, `list of tables` (then `keys` has an element's) and so
//! on. Generated from the doc comments in [`raw`](crate::raw), as the reference page is.

use serde_json::{Value, json};

use crate::raw::Gateway;
use crate::read::{Key, Kind, Read, Table};

/// An element of each list, by the word for one (`service`).
pub fn json() -> Value {
    let Kind::Table(gateway) = Gateway::describe() else { return Value::Null };
    let lists = gateway.keys.iter().filter_map(|key| match &key.kind {
        Kind::List(element) => match element.as_ref() {
            Kind::Table(element) => Some((key.name.trim_end_matches('s').to_owned(), table(element))),
            _ => None,
        },
        _ => None,
    });
    Value::Object(lists.collect())
}

fn table(table: &Table) -> Value {
    json!({ "about": table.about, "keys": keys(table) })
}

fn keys(table: &Table) -> Vec<Value> {
    table.keys.iter().map(key).collect()
}

fn key(key: &Key) -> Value {
    let mut value = json!({
        "name": key.name,
        "about": key.about,
        "type": type_of(&key.kind),
        "required": key.required,
        "default": key.default,
    });
    match &key.kind {
        Kind::Choice(words) => {
            let choice = |(word, about): &(&str, String)| json!({ "value": word, "about": about });
            value["choices"] = words.iter().map(choice).collect();
        }
        Kind::Table(inner) => value["keys"] = keys(inner).into(),
        Kind::List(element) => {
            if let Kind::Table(inner) = element.as_ref() {
                value["keys"] = keys(inner).into();
            }
        }
        Kind::Scalar(_) => {}
    }
    value
}

fn type_of(kind: &Kind) -> String {
    match kind {
        Kind::Scalar(name) => (*name).to_owned(),
        Kind::Choice(_) => "choice".to_owned(),
        Kind::Table(_) => "table".to_owned(),
        Kind::List(element) => format!("list of {}s", type_of(element)),
    }
}

#[cfg(test)]
mod tests {
    use super::json;

    #[test]
    fn every_list_of_an_admin_is_described_down_to_the_last_key() {
        let all = json();
        let kinds: Vec<&str> = all.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(kinds, ["certificate", "listener", "service", "tenant"]);
        let key = |kind: &str, name: &str| {
            let keys = all[kind]["keys"].as_array().unwrap();
            keys.iter().find(|key| key["name"] == name).unwrap_or_else(|| panic!("{kind}.{name}")).clone()
        };
        assert_eq!(key("service", "name")["required"], true);
        assert_eq!(key("service", "enabled")["default"], true);
        assert_eq!(key("service", "nodes")["type"], "list of tables");
        assert_eq!(key("service", "nodes")["keys"][1]["name"], "weight");
        assert_eq!(key("service", "timeouts")["keys"][0]["type"], "duration");
        assert_eq!(key("service", "load_balancer")["keys"][0]["choices"][0]["value"], "weighted_round_robin");
        assert_eq!(key("tenant", "allow")["type"], "list of strings");
        assert_eq!(key("listener", "max_header_bytes")["type"], "size");
        assert!(key("certificate", "chain")["about"].as_str().is_some_and(|about| !about.is_empty()));
    }
}
