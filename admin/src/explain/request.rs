//! A request as somebody types it or as a program asks for it.

use std::net::{IpAddr, Ipv4Addr};

use coregate::control::snapshot::Snapshot;
use coregate::explain::{NoRequest, Request};
use coregate::http::target;
use coregate::tenant::Refusal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Stands in for the `app_id` of credentials that are nobody's; no tenant can have that name.
const NOBODY: &str = "(credentials that are not valid)";

/// A request to ask about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// For example `GET`.
    #[serde(default = "get")]
    pub method: String,
    /// `http://host/path?query`, or a path with the host in `headers`.
    pub url: String,
    /// Where it comes from; left out: the machine itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub client: Option<IpAddr>,
    /// Name and value; `host` and `authorization` are looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<[String; 2]>)]
    pub headers: Vec<(String, String)>,
    /// `app_id` of the tenant whose valid credentials it is to have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
}

/// Why there can be no such request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Which field.
    pub key: &'static str,
    /// What was given.
    pub value: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Wrong {
    fn new(key: &'static str, value: &str, message: impl Into<String>) -> Self {
        Self { key, value: value.to_owned(), message: message.into() }
    }
}

fn get() -> String {
    "GET".to_owned()
}

impl Asked {
    /// As the engine sees it.
    ///
    /// # Errors
    /// There can be no such request.
    pub fn request(&self, snapshot: &Snapshot, now_unix_seconds: u64) -> Result<Request, Wrong> {
        let client = self.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let tenant = self.tenant.clone().or_else(|| self.presented(snapshot, now_unix_seconds));
        let mut request =
            Request::new(&self.method, &self.url, client, tenant).map_err(|wrong| match wrong {
                NoRequest::Method => Wrong::new("method", &self.method, "not a method; right would be GET"),
                NoRequest::Url(error) => {
                    let form = "right would be http://example.com/path or /path, percent-encoded";
                    Wrong::new("url", &self.url, format!("{error}; {form}"))
                }
            })?;
        // What a request target says goes before the field (RFC 9112, section 3.2.2).
        if request.host.is_empty()
            && let Some(host) = self.header("host").next()
        {
            target::authority(host).map_err(|error| Wrong::new("headers", host, format!("host: {error}")))?;
            host.clone_into(&mut request.host);
        }
        Ok(request)
    }

    fn header<'a>(&'a self, wanted: &'static str) -> impl Iterator<Item = &'a str> {
        let named = move |(name, _): &&(String, String)| name.eq_ignore_ascii_case(wanted);
        self.headers.iter().filter(named).map(|(_, value)| value.as_str())
    }

    /// Whose credentials the Authorization field has.
    fn presented(&self, snapshot: &Snapshot, now_unix_seconds: u64) -> Option<String> {
        let fields = self.header("authorization").map(str::as_bytes);
        match snapshot.callers.identify(fields, now_unix_seconds) {
            Ok(index) => snapshot.callers.get(index).map(|tenant| tenant.app_id.to_string()),
            Err(Refusal::Missing) => None,
            Err(_) => Some(NOBODY.to_owned()),
        }
    }
}
