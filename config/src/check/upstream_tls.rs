//! `[services.upstream_tls]`

use std::net::IpAddr;

use super::Files;
use super::listener_tls::optional_file;
use super::values::dns_name;
use crate::checked::{ClientCertificate, UpstreamTls};
use crate::path::At;
use crate::raw;
use crate::report::Problems;

/// How TLS is spoken to a service's nodes; the outer `None` is an error, the inner for nodes in clear.
pub fn upstream_tls(
    raw: &raw::Service,
    files: Files,
    at: &At,
    problems: &mut Problems,
) -> Option<Option<UpstreamTls>> {
    let at_table = at.key("upstream_tls");
    let checked = match &raw.upstream_tls {
        Some(table) => settings(table, files, raw.enabled && raw.tls, &at_table, problems),
        None => Some(UpstreamTls::default()),
    };
    if raw.upstream_tls.is_some() && !raw.tls && !problems.is_unread(&at.key("tls")) {
        problems.add(&at_table, "needs tls = true; without it the nodes are spoken to in clear");
    }
    checked.map(|settings| raw.tls.then_some(settings))
}

fn settings(
    raw: &raw::UpstreamTls,
    files: Files,
    needed: bool,
    at: &At,
    problems: &mut Problems,
) -> Option<UpstreamTls> {
    let ca = optional_file(raw.ca.as_deref(), files, needed, &at.key("ca"), problems);
    let server_name = match &raw.server_name {
        Some(name) => server_name(name, &at.key("server_name"), problems).map(Some),
        None => Some(None),
    };
    let certificate = match &raw.certificate {
        Some(certificate) => {
            let at = at.key("certificate");
            let chain = files.file(&certificate.chain, needed, &at.key("chain"), problems);
            let key = files.file(&certificate.key, needed, &at.key("key"), problems);
            chain.zip(key).map(|(chain, key)| Some(ClientCertificate { chain, key }))
        }
        None => Some(None),
    };
    Some(UpstreamTls {
        ca: ca?,
        server_name: server_name?,
        certificate: certificate?,
        accept_any_certificate: raw.danger_accept_any_certificate,
    })
}

fn server_name(text: &str, at: &At, problems: &mut Problems) -> Option<String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_string());
    }
    match dns_name(text) {
        Ok(name) => Some(name),
        Err(message) => {
            problems.add(at, message);
            None
        }
    }
}
