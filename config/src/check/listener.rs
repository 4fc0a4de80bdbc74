//! `[[listeners]]`

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::certificate::ByName;
use super::listener_tls::{http2, tls};
use super::server::socket_address;
use super::sni::{Services, tcp};
use super::values::{count_is_sane, integer, name, size, time};
use super::{Files, unique};
use crate::checked::{Listener, ListenerProtocol};
use crate::limits::{HEADER_BYTES_MAX, HEADER_BYTES_MIN, HEADER_FIELDS_MAX, LISTENERS_MAX};
use crate::path::At;
use crate::raw;
use crate::report::Problems;

/// All listeners, together with the services that they name and the ops address that they must not take.
pub fn listeners(
    raw: &raw::Gateway,
    stored: &ByName,
    files: Files,
    at: &At,
    problems: &mut Problems,
) -> Option<Vec<Listener>> {
    if !count_is_sane(raw.listeners.len(), LISTENERS_MAX, at, problems) {
        return None;
    }
    unique(raw.listeners.iter().map(|it| it.name.as_str()).zip(0..), at, "name", problems);
    let services: Services = raw.services.iter().map(|service| (service.name.as_str(), service)).collect();
    let mut listeners = Vec::with_capacity(raw.listeners.len());
    for (index, one) in raw.listeners.iter().enumerate() {
        listeners.push(listener(one, &services, stored, files, &at.index(index), problems));
    }
    addresses_do_not_overlap(raw, at, problems);
    listeners.into_iter().collect()
}

fn listener(
    raw: &raw::Listener,
    services: &Services,
    stored: &ByName,
    files: Files,
    at: &At,
    problems: &mut Problems,
) -> Option<Listener> {
    let named = name(&raw.name, &at.key("name"), problems);
    let address = socket_address(&raw.address, &at.key("address"), problems);
    let protocol = protocol(raw, services, at, problems);
    let tls = tls(raw, stored, files, at, problems);
    let http2 = http2(raw, at, problems);
    let https_redirect = https_redirect(raw, at, problems);
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
        tls: tls?,
        http2: http2?,
        https_redirect: https_redirect?,
        header_timeout: header_timeout?,
        idle_timeout: idle_timeout?,
        max_header_bytes: usize::try_from(max_header_bytes?).ok()?,
        max_header_fields: max_header_fields?,
        proxy_protocol: raw.proxy_protocol,
    })
}

fn protocol(
    raw: &raw::Listener,
    services: &Services,
    at: &At,
    problems: &mut Problems,
) -> Option<ListenerProtocol> {
    if raw.protocol == raw::Protocol::Tcp {
        return tcp(raw, services, at, problems);
    }
    if !problems.is_unread(&at.key("protocol")) {
        let why = "for protocol = \"tcp\" alone; http requests find their service by its routes";
        if raw.service.is_some() {
            problems.add(&at.key("service"), format!("is {why}"));
        }
        if !raw.sni_routes.is_empty() {
            problems.add(&at.key("sni_routes"), format!("are {why}"));
        }
    }
    Some(match raw.protocol {
        raw::Protocol::Https => ListenerProtocol::Https,
        raw::Protocol::Http | raw::Protocol::Tcp => ListenerProtocol::Http,
    })
}

fn https_redirect(raw: &raw::Listener, at: &At, problems: &mut Problems) -> Option<Option<u16>> {
    let port = integer(raw.https_redirect_port, 1..=65_535, &at.key("https_redirect_port"), problems);
    if !raw.https_redirect {
        return port.map(|_: u16| None);
    }
    if raw.protocol != raw::Protocol::Http {
        problems.add(&at.key("https_redirect"), "is for protocol = \"http\" alone");
    }
    port.map(Some)
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
