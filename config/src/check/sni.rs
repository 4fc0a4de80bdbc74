//! What tcp listeners name: services, and host names (`[[listeners.sni_routes]]`).

use std::collections::HashMap;
use std::sync::Arc;

use super::route::{host, shown};
use super::values::count_is_sane;
use crate::checked::{HostPattern, ListenerProtocol, SniRoute};
use crate::limits::{HOSTS_MAX, SNI_ROUTES_MAX};
use crate::path::At;
use crate::raw;
use crate::read::nearest;
use crate::report::{Problems, quoted};

/// All services by name.
pub type Services<'a> = HashMap<&'a str, &'a raw::Service>;

/// Where a tcp listener's bytes go.
pub fn tcp(
    raw: &raw::Listener,
    services: &Services,
    at: &At,
    problems: &mut Problems,
) -> Option<ListenerProtocol> {
    let at_service = at.key("service");
    let at_routes = at.key("sni_routes");
    let sni_routes = sni_routes(&raw.sni_routes, services, &at_routes, problems);
    if !raw.sni_routes.is_empty() && !raw.certificates.is_empty() {
        problems.clash(&at_routes, "pass TLS through, so it cannot end here by", &at.key("certificates"));
    }
    let service = match &raw.service {
        Some(name) => service_of(name, services, &at_service, problems).map(Some),
        None if raw.sni_routes.is_empty() && !problems.is_unread(&at_routes) => {
            let message =
                "is missing: a tcp listener needs the name of the service that gets its bytes, or sni_routes";
            problems.add(&at_service, message);
            None
        }
        None => Some(None),
    };
    Some(ListenerProtocol::Tcp { service: service?, sni_routes: sni_routes? })
}

fn sni_routes(
    raw: &[raw::SniRoute],
    services: &Services,
    at: &At,
    problems: &mut Problems,
) -> Option<Vec<SniRoute>> {
    if !count_is_sane(raw.len(), SNI_ROUTES_MAX, at, problems) {
        return None;
    }
    let mut routes = Vec::with_capacity(raw.len());
    let mut taken: HashMap<HostPattern, (usize, usize)> = HashMap::new();
    for (index, route) in raw.iter().enumerate() {
        let here = at.index(index);
        let at_service = here.key("service");
        let service = service_of(&route.service, services, &at_service, problems);
        let hosts = hosts(&route.hosts, index, &mut taken, at, problems);
        routes.push(service.zip(hosts).map(|(service, hosts)| SniRoute { hosts, service }));
    }
    routes.into_iter().collect()
}

/// The hosts of one route; `taken` are those of the routes before it.
fn hosts(
    raw: &[String],
    route: usize,
    taken: &mut HashMap<HostPattern, (usize, usize)>,
    list: &At,
    problems: &mut Problems,
) -> Option<Vec<HostPattern>> {
    let at = list.index(route);
    let at = at.key("hosts");
    if raw.is_empty() {
        problems.add(&at, "must have at least one name; for all others there is the listener's service");
        return None;
    }
    if !count_is_sane(raw.len(), HOSTS_MAX, &at, problems) {
        return None;
    }
    let mut hosts = Vec::with_capacity(raw.len());
    for (index, text) in raw.iter().enumerate() {
        let here = at.index(index);
        match sni_host(text) {
            Err(message) => problems.add(&here, message),
            Ok(host) => match taken.get(&host) {
                Some((other, at_other)) => {
                    let there = list.index(*other);
                    let there = there.key("hosts");
                    let message = format!("the host {} belongs to", quoted(&shown(&host)));
                    problems.clash(&here, message, &there.index(*at_other));
                }
                None => {
                    taken.insert(host.clone(), (route, index));
                    hosts.push(host);
                }
            },
        }
    }
    (hosts.len() == raw.len()).then_some(hosts)
}

/// Clients ask for names alone (RFC 6066, section 3).
fn sni_host(text: &str) -> Result<HostPattern, String> {
    if text == "*" {
        return Err("is no host: what no route fits goes to the listener's service".to_owned());
    }
    match host(text)? {
        HostPattern::Exact(name) if name.starts_with('[') || name.parse::<std::net::Ipv4Addr>().is_ok() => {
            Err("is an IP address, and TLS clients ask for names alone".to_owned())
        }
        host => Ok(host),
    }
}

/// A service that gets bytes from a tcp listener.
fn service_of(name: &str, services: &Services, at: &At, problems: &mut Problems) -> Option<Arc<str>> {
    let Some(service) = services.get(name) else {
        // If the name of a service, or the list of them, could not be read, it may well be the one.
        if !services.contains_key("") && !problems.is_unread(&At::root().key("services")) {
            problems.add(at, format!("there is no service of that name{}", hint(name, services)));
        }
        return None;
    };
    if service.access.require_tenant {
        problems.add(
            at,
            "requires a tenant (access.require_tenant), and nobody can present credentials over tcp",
        );
    }
    Some(Arc::from(name))
}

fn hint(name: &str, services: &Services) -> String {
    // Among very many names there is always a near one, and a search for each listener would take long.
    const SERVICES_MAX: usize = 1000;
    let known = services.keys().copied().take(if services.len() > SERVICES_MAX { 0 } else { SERVICES_MAX });
    nearest(name, known).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default()
}
