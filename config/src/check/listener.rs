//! `[[listeners]]`

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::server::socket_address;
use super::values::{count_is_sane, integer, location, name, size, time};
use super::{Files, unique};
use crate::checked::{Certificate, Listener, ListenerProtocol};
use crate::limits::{CERTIFICATES_MAX, HEADER_BYTES_MAX, HEADER_BYTES_MIN, HEADER_FIELDS_MAX, LISTENERS_MAX};
use crate::path::At;
use crate::raw;
use crate::read::nearest;
use crate::report::Problems;

/// All listeners, together with the services that they name and the ops address that they must not take.
pub fn listeners(
    raw: &raw::Gateway,
    files: Files,
    at: &At,
    problems: &mut Problems,
) -> Option<Vec<Listener>> {
    if !count_is_sane(raw.listeners.len(), LISTENERS_MAX, at, problems) {
        return None;
    }
    unique(raw.listeners.iter().map(|it| it.name.as_str()).zip(0..), at, "name", problems);
    let services: HashMap<&str, &raw::Service> =
        raw.services.iter().map(|service| (service.name.as_str(), service)).collect();
    let mut listeners = Vec::with_capacity(raw.listeners.len());
    for (index, one) in raw.listeners.iter().enumerate() {
        listeners.push(listener(one, &services, files, &at.index(index), problems));
    }
    addresses_do_not_overlap(raw, at, problems);
    listeners.into_iter().collect()
}

fn listener(
    raw: &raw::Listener,
    services: &HashMap<&str, &raw::Service>,
    files: Files,
    at: &At,
    problems: &mut Problems,
) -> Option<Listener> {
    let named = name(&raw.name, &at.key("name"), problems);
    let address = socket_address(&raw.address, &at.key("address"), problems);
    let protocol = protocol(raw, services, files, at, problems);
    let header_timeout = time(raw.header_timeout, &at.key("header_timeout"), problems);
    let idle_timeout = time(raw.idle_timeout, &at.key("idle_timeout"), problems);
    let header_bytes = HEADER_BYTES_MIN..=HEADER_BYTES_MAX;
    let max_header_bytes = size(raw.max_header_bytes, header_bytes, &at.key("max_header_bytes"), problems);
    let max_header_fields =
        integer(raw.max_header_fields, 1..=HEADER_FIELDS_MAX, &at.key("max_header_fields"), problems);
    named?;
    Some(Listener {
        name: Arc::from(raw.name.as_str()),
        enabled: raw.enabled,
        address: address?,
        protocol: protocol?,
        header_timeout: header_timeout?,
        idle_timeout: idle_timeout?,
        max_header_bytes: usize::try_from(max_header_bytes?).ok()?,
        max_header_fields: max_header_fields?,
        proxy_protocol: raw.proxy_protocol,
    })
}

fn protocol(
    raw: &raw::Listener,
    services: &HashMap<&str, &raw::Service>,
    files: Files,
    at: &At,
    problems: &mut Problems,
) -> Option<ListenerProtocol> {
    let is_known = !problems.is_unread(&at.key("protocol"));
    if is_known && raw.protocol != raw::Protocol::Tcp && raw.service.is_some() {
        problems.add(
            &at.key("service"),
            "is for protocol = \"tcp\" alone; http requests find theirs by its routes",
        );
    }
    if is_known && raw.protocol != raw::Protocol::Https && !raw.certificates.is_empty() {
        problems.add(&at.key("certificates"), "are for protocol = \"https\" alone");
    }
    let certificates = certificates(raw, files, at, problems);
    match raw.protocol {
        raw::Protocol::Http => Some(ListenerProtocol::Http),
        raw::Protocol::Https => Some(ListenerProtocol::Https { certificates: certificates? }),
        raw::Protocol::Tcp => tcp(raw, services, at, problems),
    }
}

fn certificates(
    raw: &raw::Listener,
    files: Files,
    at: &At,
    problems: &mut Problems,
) -> Option<Vec<Certificate>> {
    let list = at.key("certificates");
    let is_https = raw.protocol == raw::Protocol::Https;
    if is_https && raw.enabled && raw.certificates.is_empty() {
        problems.add(&list, "is missing: an https listener needs at least one certificate (chain and key)");
        return None;
    }
    if !count_is_sane(raw.certificates.len(), CERTIFICATES_MAX, &list, problems) {
        return None;
    }
    let mut certificates = Vec::with_capacity(raw.certificates.len());
    for (index, certificate) in raw.certificates.iter().enumerate() {
        let at = list.index(index);
        let [chain, key] = [("chain", &certificate.chain), ("key", &certificate.key)].map(|(key, path)| {
            let path = location(path, &at.key(key), problems)?;
            if is_https && raw.enabled {
                files.must_open(&path, &at.key(key), problems);
            }
            Some(files.locate(&path))
        });
        certificates.push(chain.zip(key).map(|(chain, key)| Certificate { chain, key }));
    }
    certificates.into_iter().collect()
}

fn tcp(
    raw: &raw::Listener,
    services: &HashMap<&str, &raw::Service>,
    at: &At,
    problems: &mut Problems,
) -> Option<ListenerProtocol> {
    let at = at.key("service");
    let Some(name) = &raw.service else {
        problems.add(&at, "is missing: a tcp listener needs the name of the service that gets its bytes");
        return None;
    };
    let Some(service) = services.get(name.as_str()) else {
        // If the name of a service, or the list of them, could not be read, it may well be the one.
        if !services.contains_key("") && !problems.is_unread(&At::root().key("services")) {
            problems.add(&at, format!("there is no service of that name{}", hint(name, services)));
        }
        return None;
    };
    if service.access.require_tenant {
        problems.add(
            &at,
            "requires a tenant (access.require_tenant), and nobody can present credentials over tcp",
        );
    }
    Some(ListenerProtocol::Tcp { service: Arc::from(name.as_str()) })
}

fn hint(name: &str, services: &HashMap<&str, &raw::Service>) -> String {
    // Among very many names there is always a near one, and a search for each listener would take long.
    const SERVICES_MAX: usize = 1000;
    let known = services.keys().copied().take(if services.len() > SERVICES_MAX { 0 } else { SERVICES_MAX });
    nearest(name, known).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default()
}

/// With SO_REUSEPORT the kernel would let two listeners share an address and split its connections between them.
fn addresses_do_not_overlap(raw: &raw::Gateway, at: &At, problems: &mut Problems) {
    let root = At::root();
    let server = root.key("server");
    let mut by_port: HashMap<u16, Vec<(IpAddr, Option<usize>)>> = HashMap::new();
    if let Some(Ok(ops)) = raw.server.ops_address.as_ref().map(|address| address.parse::<SocketAddr>()) {
        by_port.entry(ops.port()).or_default().push((ops.ip().to_canonical(), None));
    }
    for (index, listener) in raw.listeners.iter().enumerate().filter(|(_, it)| it.enabled) {
        let Ok(address) = listener.address.parse::<SocketAddr>() else { continue };
        if address.port() == 0 {
            continue;
        }
        let ip = address.ip().to_canonical();
        let taken = by_port.entry(address.port()).or_default();
        let here = at.index(index);
        let here = here.key("address");
        match taken.iter().find(|(other, _)| overlap(*other, ip)) {
            Some((_, Some(other))) => {
                problems.clash(&here, "overlaps with", &at.index(*other).key("address"));
            }
            Some((_, None)) => problems.clash(&here, "overlaps with", &server.key("ops_address")),
            None => taken.push((ip, Some(index))),
        }
    }
}

/// Two families never overlap: the engine's IPv6 sockets take IPv6 alone.
fn overlap(a: IpAddr, b: IpAddr) -> bool {
    a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()))
}
