//! `[[listeners.certificates]]`, `[listeners.tls]` and `[listeners.http2]`

use std::path::PathBuf;
use std::time::Duration;

use super::Files;
use super::certificate::ByName;
use super::headers::free_field_name;
use super::values::{connections, count_is_sane, integer, time, time_within};
use crate::checked::{Certificate, CertificateFiles, ClientAuth, Hsts, Http2, ListenerTls, TlsVersion};
use crate::limits::{CERTIFICATES_MAX, HSTS_MAX, RESETS_MAX, STREAMS_MAX};
use crate::path::At;
use crate::raw;
use crate::read::nearest;
use crate::report::Problems;

/// How a listener speaks TLS; the outer `None` is an error, the inner for a listener that does not.
pub fn tls(
    raw: &raw::Listener,
    stored: &ByName,
    files: Files,
    at: &At,
    problems: &mut Problems,
) -> Option<Option<ListenerTls>> {
    let protocol_is_known = !problems.is_unread(&at.key("protocol"));
    let is_http = raw.protocol == raw::Protocol::Http;
    if protocol_is_known && is_http && !raw.certificates.is_empty() {
        problems.add(&at.key("certificates"), "are for protocol = \"https\" and \"tcp\" alone");
    }
    let certificates = certificates(raw, stored, files, at, problems);
    let at_tls = at.key("tls");
    let settings = match &raw.tls {
        Some(settings) => tls_settings(settings, raw, files, &at_tls, problems),
        None => tls_settings(&raw::ListenerTls::default(), raw, files, &at_tls, problems),
    };
    let speaks = match raw.protocol {
        raw::Protocol::Http => false,
        raw::Protocol::Https => true,
        raw::Protocol::Tcp => !raw.certificates.is_empty(),
    };
    if !speaks {
        if raw.tls.is_some() && protocol_is_known && !problems.is_unread(&at.key("certificates")) {
            let message = if is_http {
                "is for protocol = \"https\" and \"tcp\" alone"
            } else {
                "needs certificates, of which this listener has none"
            };
            problems.add(&at_tls, message);
        }
        return Some(None);
    }
    Some(Some(ListenerTls { certificates: certificates?, ..settings? }))
}

fn certificates(
    raw: &raw::Listener,
    stored: &ByName,
    files: Files,
    at: &At,
    problems: &mut Problems,
) -> Option<Vec<Certificate>> {
    let list = at.key("certificates");
    if raw.protocol == raw::Protocol::Https && raw.enabled && raw.certificates.is_empty() {
        problems.add(&list, "is missing: an https listener needs at least one certificate (chain and key)");
        return None;
    }
    if !count_is_sane(raw.certificates.len(), CERTIFICATES_MAX, &list, problems) {
        return None;
    }
    let needed = raw.protocol != raw::Protocol::Http && raw.enabled;
    let mut certificates = Vec::with_capacity(raw.certificates.len());
    for (index, certificate) in raw.certificates.iter().enumerate() {
        let at = list.index(index);
        certificates.push(match &certificate.certificate {
            Some(name) => reference(certificate, name, stored, &at, problems),
            None => in_files(certificate, files, needed, &at, problems),
        });
    }
    certificates.into_iter().collect()
}

fn in_files(
    raw: &raw::Certificate,
    files: Files,
    needed: bool,
    at: &At,
    problems: &mut Problems,
) -> Option<Certificate> {
    let mut file = |written: &Option<String>, key: &'static str| {
        let at = at.key(key);
        match written {
            Some(written) if written.contains("-----BEGIN") => {
                problems
                    .add(&at, "is the text itself; it belongs into [[certificates]], whose name stands here");
                None
            }
            Some(written) => files.file(written, needed, &at, problems),
            None => {
                problems.add(
                    &at,
                    "is missing and must be given, unless `certificate` names one of [[certificates]]",
                );
                None
            }
        }
    };
    let (chain, key) = (file(&raw.chain, "chain"), file(&raw.key, "key"));
    let ocsp = optional_file(raw.ocsp.as_deref(), files, needed, &at.key("ocsp"), problems);
    Some(Certificate::Files(CertificateFiles { chain: chain?, key: key?, ocsp: ocsp? }))
}

/// One of `[[certificates]]`.
fn reference(
    raw: &raw::Certificate,
    name: &str,
    stored: &ByName,
    at: &At,
    problems: &mut Problems,
) -> Option<Certificate> {
    let at_name = at.key("certificate");
    for (key, written) in [("chain", &raw.chain), ("key", &raw.key), ("ocsp", &raw.ocsp)] {
        if written.is_some() {
            problems.clash(&at.key(key), "does not go together with", &at_name);
        }
    }
    if problems.is_unread(&at_name) || problems.is_unread(&At::root().key("certificates")) {
        return None;
    }
    let Some(found) = stored.get(name) else {
        let near = nearest(name, stored.keys().copied());
        let hint = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
        problems.add(&at_name, format!("there is no certificate of that name in [[certificates]]{hint}"));
        return None;
    };
    found.clone().map(Certificate::Named)
}

/// A file that may be left out; the outer `None` is an error.
pub fn optional_file(
    written: Option<&str>,
    files: Files,
    needed: bool,
    at: &At,
    problems: &mut Problems,
) -> Option<Option<PathBuf>> {
    match written {
        Some(written) => files.file(written, needed, at, problems).map(Some),
        None => Some(None),
    }
}

/// `[listeners.tls]`, as yet without certificates.
fn tls_settings(
    raw: &raw::ListenerTls,
    listener: &raw::Listener,
    files: Files,
    at: &At,
    problems: &mut Problems,
) -> Option<ListenerTls> {
    let clients = clients(raw, files, listener.enabled, at, problems);
    let handshake_timeout = time(raw.handshake_timeout, &at.key("handshake_timeout"), problems);
    let max_handshakes = connections(raw.max_handshakes, 1, &at.key("max_handshakes"), problems);
    let hsts = hsts(raw, listener, at, problems);
    Some(ListenerTls {
        certificates: Vec::new(),
        min_version: match raw.min_version {
            raw::TlsVersion::V1_2 => TlsVersion::V1_2,
            raw::TlsVersion::V1_3 => TlsVersion::V1_3,
        },
        clients: clients?,
        handshake_timeout: handshake_timeout?,
        max_handshakes: max_handshakes?,
        session_tickets: raw.session_tickets,
        hsts: hsts?,
    })
}

fn clients(
    raw: &raw::ListenerTls,
    files: Files,
    needed: bool,
    at: &At,
    problems: &mut Problems,
) -> Option<Option<ClientAuth>> {
    let at_ca = at.key("client_ca");
    let at_header = at.key("client_subject_header");
    let subject_header = free_field_name(&raw.client_subject_header, &at_header, problems);
    let ca = optional_file(raw.client_ca.as_deref(), files, needed, &at_ca, problems);
    let is_known = !problems.is_unread(&at.key("client_certificates"));
    let required = match raw.client_certificates {
        raw::ClientCertificates::Off => {
            if raw.client_ca.is_some() && is_known {
                problems
                    .add(&at_ca, "is for client_certificates = \"optional\" and \"required\"; it is \"off\"");
            }
            return subject_header.and(ca).map(|_| None);
        }
        raw::ClientCertificates::Optional => false,
        raw::ClientCertificates::Required => true,
    };
    if raw.client_ca.is_none() {
        problems.add(
            &at_ca,
            "is missing: client certificates need a PEM file with the certificates of those that may sign them",
        );
    }
    let subject_header = subject_header?;
    if subject_header == "host" {
        problems.add(&at_header, "is the request's own");
        return None;
    }
    Some(Some(ClientAuth { required, ca: ca??, subject_header }))
}

fn hsts(
    raw: &raw::ListenerTls,
    listener: &raw::Listener,
    at: &At,
    problems: &mut Problems,
) -> Option<Option<Hsts>> {
    let at_age = at.key("hsts_max_age");
    let max_age = time_within(raw.hsts_max_age, Duration::ZERO..=HSTS_MAX, &at_age, problems)?;
    if max_age.is_zero() {
        if raw.hsts_include_subdomains && !problems.is_unread(&at_age) {
            problems.add(
                &at.key("hsts_include_subdomains"),
                "needs hsts_max_age, which is 0 (off); such as \"365d\"",
            );
        }
        return Some(None);
    }
    if listener.protocol == raw::Protocol::Tcp {
        problems.add(&at_age, "is for protocol = \"https\" alone: over tcp the gateway sends no headers");
    }
    Some(Some(Hsts { max_age, include_subdomains: raw.hsts_include_subdomains }))
}

/// How a listener speaks HTTP/2; the outer `None` is an error, the inner for a listener that does not.
pub fn http2(raw: &raw::Listener, at: &At, problems: &mut Problems) -> Option<Option<Http2>> {
    let at_http2 = at.key("http2");
    let default = raw::Http2::default();
    let settings = raw.http2.as_ref().unwrap_or(&default);
    let streams = &at_http2.key("max_concurrent_streams");
    let max_concurrent_streams = integer(settings.max_concurrent_streams, 1..=STREAMS_MAX, streams, problems);
    let resets = &at_http2.key("max_resets_per_second");
    let max_resets_per_second = integer(settings.max_resets_per_second, 1..=RESETS_MAX, resets, problems);
    if raw.protocol == raw::Protocol::Tcp {
        if raw.http2.is_some() {
            problems.add(&at_http2, "is for protocol = \"http\" and \"https\" alone");
        }
        return Some(None);
    }
    let http2 = Http2 {
        max_concurrent_streams: max_concurrent_streams?,
        max_resets_per_second: max_resets_per_second?,
    };
    Some(settings.enabled.then_some(http2))
}
