//! What must never be printed, and what stands in its place.

use std::borrow::Cow;

use crate::path::{Path, PathStep};
use crate::tree::{Node, Value};

/// What is printed for a secret.
pub const REDACTED: &str = "***";

/// For a problem's message: what to print of a value that is or may hold a secret; `None` if it may be shown.
pub fn given_value(path: &Path, node: &Node) -> Option<Cow<'static, str>> {
    let mut keys = path.0.iter().filter_map(|step| match step {
        PathStep::Key(key) => Some(key.as_str()),
        PathStep::Index(_) => None,
    });
    let section = keys.next();
    match (section, path.last_key()) {
        (Some("tenants"), Some("secret" | "secret_sha256")) => Some(Cow::Borrowed(REDACTED)),
        // Of a chain nothing helps whoever reads the message, and it may be the key, exchanged with it.
        (Some("certificates"), Some("chain" | "key")) => Some(Cow::Borrowed(REDACTED)),
        // A header that is set upstream is often a credential.
        (Some("services"), Some("value")) => Some(Cow::Borrowed(REDACTED)),
        (Some("stats"), Some("redis_url")) | (Some("control"), Some("admin_url")) => {
            Some(match &node.value {
                Value::String(text) => Cow::Owned(format!("{:?}", url(text))),
                _ => Cow::Borrowed(REDACTED),
            })
        }
        // Text where a file's name belongs.
        _ => match &node.value {
            Value::String(text) if text.contains("PRIVATE KEY") => Some(Cow::Borrowed(REDACTED)),
            _ => None,
        },
    }
}

/// A URL without the passwords in its user information and in its query.
pub fn url(url: &str) -> String {
    // What is no URL at all may be a password in the wrong place.
    let Some((scheme, rest)) = url.split_once("://") else { return REDACTED.to_owned() };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    // The last '@': a password that was not percent-encoded may hold one, or a '/'.
    let rest = match rest.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:{REDACTED}@{host}"),
            None => format!("{REDACTED}@{host}"),
        },
        None => rest.to_owned(),
    };
    let Some(query) = query else { return format!("{scheme}://{rest}") };
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((key, _)) if key.to_ascii_lowercase().contains("password") => format!("{key}={REDACTED}"),
            _ => pair.to_owned(),
        })
        .collect();
    format!("{scheme}://{rest}?{}", pairs.join("&"))
}

/// Whether a header's name tells that its value is a credential.
pub fn is_credential_header(name: &str) -> bool {
    const PARTS: &[&str] = &["auth", "cookie", "token", "secret", "password", "api-key", "apikey"];
    let name = name.to_ascii_lowercase();
    PARTS.iter().any(|part| name.contains(part))
}
