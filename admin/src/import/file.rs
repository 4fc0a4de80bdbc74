//! Configuration files, TOML or JSON, as an engine takes them.
//!
//! Input: the text, and its name for errors. Output: an [`Outcome`] with the items as they are written; `[server]`, `[stats]`
//! and `[control]` belong to an engine and are told of. Errors are the config crate's, each with its line.

use std::path::Path;

use coregate_config::Report;
use serde_json::{Map, Value, json};

use super::gogate::names::Names;
use super::{Imported, Outcome};
use crate::model::Kind;

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// TOML
    Toml,
    /// JSON
    Json,
}

impl Format {
    /// By the file's name, as engines have it.
    pub fn of(path: &Path) -> Self {
        match path.extension() {
            Some(extension) if extension.eq_ignore_ascii_case("json") => Self::Json,
            _ => Self::Toml,
        }
    }
}

/// Reads a configuration.
///
/// # Errors
/// It does not check.
pub fn read(text: &str, name: &str, format: Format) -> Result<Outcome, Report> {
    let mut document: Value = match format {
        Format::Toml => {
            coregate_config::parse_toml(text, name)?;
            toml::from_str(text).unwrap_or_default()
        }
        Format::Json => {
            coregate_config::parse_json(text, name)?;
            serde_json::from_str(text).unwrap_or_default()
        }
    };
    remove_nulls(&mut document);
    let mut outcome = Outcome::default();
    let empty = Map::new();
    let document = document.as_object().unwrap_or(&empty);
    for section in coregate_config::raw::OWN_KEYS {
        if document.contains_key(section) {
            outcome.warn(
                format!("[{section}]"),
                "belongs to one engine and is not carried over: leave it in the engine's own file",
            );
        }
    }
    for kind in Kind::ALL {
        for body in document.get(kind.list()).and_then(Value::as_array).into_iter().flatten() {
            // The check has seen that there is one.
            let name = body[kind.name_key()].as_str().unwrap_or_default().to_owned();
            tell_paths(kind, &name, body, &mut outcome);
            outcome.items.push(Imported { kind, name, body: body.clone() });
        }
    }
    Ok(outcome)
}

/// In JSON a null is a key that is not given.
fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, value| !value.is_null());
            members.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Files that an item names.
fn paths(body: &Value) -> Vec<&str> {
    let mut places: Vec<&Value> = Vec::new();
    for listed in body["certificates"].as_array().into_iter().flatten() {
        places.extend([&listed["chain"], &listed["key"], &listed["ocsp"]]);
    }
    let upstream = &body["upstream_tls"];
    places.extend([
        &body["tls"]["client_ca"],
        &upstream["ca"],
        &upstream["certificate"]["chain"],
        &upstream["certificate"]["key"],
    ]);
    places.into_iter().filter_map(Value::as_str).collect()
}

fn tell_paths(kind: Kind, name: &str, body: &Value, outcome: &mut Outcome) {
    let paths = paths(body);
    if paths.is_empty() {
        return;
    }
    let mut message = format!(
        "names files: {}. They stay names: each engine reads them on its own machine",
        paths.join(", ")
    );
    if paths.iter().any(|path| Path::new(path).is_relative()) {
        message.push_str(
            ", and relative ones from its working folder, no longer from that of a configuration file: make them absolute",
        );
    }
    outcome.warn(format!("{kind} \"{name}\""), message);
}

/// Takes the certificates that listeners name as files into the configuration, so that engines need not have the files.
/// Relative paths are taken from `folder`. Those with an OCSP file stay, as that has to be a file.
///
/// # Errors
/// A file cannot be read.
pub fn take_in_certificates(outcome: &mut Outcome, folder: &Path) -> Result<(), String> {
    let mut names = Names::default();
    for item in outcome.items.iter().filter(|item| item.kind == Kind::Certificate) {
        names.take(&item.name);
    }
    let mut taken: Vec<(String, String, String)> = Vec::new();
    let mut new = Vec::new();
    for item in outcome.items.iter_mut().filter(|item| item.kind == Kind::Listener) {
        for listed in item.body["certificates"].as_array_mut().into_iter().flatten() {
            let text = |key: &str| listed[key].as_str().map(str::to_owned);
            let (Some(chain), Some(key), None) = (text("chain"), text("key"), text("ocsp")) else { continue };
            let before =
                taken.iter().find(|(a, b, _)| *a == chain && *b == key).map(|(_, _, name)| name.clone());
            let name = match before {
                Some(name) => name,
                None => {
                    let stem = Path::new(&chain).file_stem().unwrap_or_default().to_string_lossy();
                    let name = names.take(&stem).name;
                    let body = json!({
                        "name": name, "chain": read_file(folder, &chain)?, "key": read_file(folder, &key)?
                    });
                    new.push(Imported { kind: Kind::Certificate, name: name.clone(), body });
                    taken.push((chain, key, name.clone()));
                    name
                }
            };
            *listed = json!({ "certificate": name });
        }
    }
    for (chain, _, name) in taken {
        outcome.warn(format!("certificate \"{name}\""), format!("was taken in from {chain} and its key"));
    }
    outcome.items.extend(new);
    Ok(())
}

fn read_file(folder: &Path, path: &str) -> Result<String, String> {
    let path = folder.join(path);
    std::fs::read_to_string(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        [server]
        shards = 1
        [[listeners]]
        name = "https"
        address = "0.0.0.0:443"
        protocol = "https"
        certificates = [{ chain = "site.pem", key = "/etc/site.key" }]
        [[services]]
        name = "a"
        routes = [{ path_prefix = "/" }]
        limits = { requests_per_second = 5, burst = 7.5 }
        [[tenants]]
        app_id = "one"
        secret = "s"
    "#;

    #[test]
    fn reads_the_dynamic_part_and_tells_of_the_rest() {
        let outcome = read(FILE, "gateway.toml", Format::Toml).unwrap();
        let names: Vec<_> = outcome.items.iter().map(|item| (item.kind, item.name.as_str())).collect();
        assert_eq!(names, [(Kind::Listener, "https"), (Kind::Service, "a"), (Kind::Tenant, "one")]);
        assert_eq!(outcome.items[1].body["limits"], json!({ "requests_per_second": 5, "burst": 7.5 }));
        assert_eq!(outcome.warnings[0].place, "[server]");
        assert!(
            outcome.warnings[1].message.contains("site.pem")
                && outcome.warnings[1].message.contains("absolute")
        );
    }

    #[test]
    fn errors_name_their_lines() {
        let report = read("\n\n[[services]]\nnam = \"a\"\n", "gateway.toml", Format::Toml).unwrap_err();
        assert!(report.to_string().contains("gateway.toml:4"), "{report}");
    }

    #[test]
    fn nulls_of_json_are_keys_that_are_not_given() {
        let text = r#"{ "services": [{ "name": "a", "health_check": null }] }"#;
        let outcome = read(text, "gateway.json", Format::of(Path::new("gateway.JSON"))).unwrap();
        assert_eq!(outcome.items[0].body, json!({ "name": "a" }));
    }

    #[test]
    fn certificates_are_taken_in_once() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("site.pem"), "chain").unwrap();
        let key = folder.path().join("site.key");
        let text = FILE.replace("/etc/site.key", key.to_str().unwrap());
        let mut outcome = read(&text, "gateway.toml", Format::Toml).unwrap();
        let error = take_in_certificates(&mut outcome, folder.path()).unwrap_err();
        assert!(error.contains("site.key"), "{error}");
        std::fs::write(&key, "key").unwrap();
        let mut outcome = read(&text, "gateway.toml", Format::Toml).unwrap();
        take_in_certificates(&mut outcome, folder.path()).unwrap();
        assert_eq!(outcome.items[0].body["certificates"], json!([{ "certificate": "site" }]));
        let taken = outcome.items.last().unwrap();
        assert_eq!(taken.body, json!({ "name": "site", "chain": "chain", "key": "key" }));
    }
}
