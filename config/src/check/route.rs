//! `[[services.routes]]`: what requests belong to a service, and that no two services claim the same.

use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, Ipv6Addr};

use super::rewrite::rewrites;
use super::values::{count_is_sane, dns_name, is_token};
use crate::checked::{HostPattern, Route};
use crate::limits::{HOSTS_MAX, METHOD_BYTES_MAX, METHODS_MAX, PATH_BYTES_MAX, ROUTES_MAX};
use crate::path::At;
use crate::raw;
use crate::report::{Problems, quoted};

/// A service's routes; `None` in the place of one that is wrong.
pub fn routes(raw: &[raw::Route], at: &At, problems: &mut Problems) -> Vec<Option<Route>> {
    if !count_is_sane(raw.len(), ROUTES_MAX, at, problems) {
        return vec![None];
    }
    let mut routes = Vec::with_capacity(raw.len());
    for (index, one) in raw.iter().enumerate() {
        routes.push(route(one, &at.index(index), problems));
    }
    routes
}

fn route(raw: &raw::Route, at: &At, problems: &mut Problems) -> Option<Route> {
    let hosts = hosts(&raw.hosts, &at.key("hosts"), problems);
    let methods = methods(&raw.methods, &at.key("methods"), problems);
    let path_prefix = match path_prefix(&raw.path_prefix) {
        Ok(prefix) => Some(prefix),
        Err(message) => {
            problems.add(&at.key("path_prefix"), message);
            None
        }
    };
    let rewrites = rewrites(&raw.rewrites, &at.key("rewrites"), problems);
    Some(Route {
        hosts: hosts?,
        path_prefix: path_prefix?,
        methods: methods?,
        strip_prefix: raw.strip_prefix,
        rewrites: rewrites?,
    })
}

fn hosts(raw: &[String], at: &At, problems: &mut Problems) -> Option<Vec<HostPattern>> {
    if !count_is_sane(raw.len(), HOSTS_MAX, at, problems) {
        return None;
    }
    let mut hosts: Vec<HostPattern> = Vec::with_capacity(raw.len());
    for (index, text) in raw.iter().enumerate() {
        match host(text) {
            Ok(host) if hosts.contains(&host) => problems.add(&at.index(index), "is given twice"),
            Ok(host) => hosts.push(host),
            Err(message) => problems.add(&at.index(index), message),
        }
    }
    (hosts.len() == raw.len()).then_some(hosts)
}

/// A host as a route names it.
pub fn host(text: &str) -> Result<HostPattern, String> {
    if text == "*" {
        return Err("is no host: for any host leave the list empty".to_owned());
    }
    if let Some(parent) = text.strip_prefix("*.") {
        if parent.contains('*') {
            return Err("can have one \"*\", as the whole first label: \"*.example.com\"".to_owned());
        }
        return dns_name(parent).map(HostPattern::Wildcard);
    }
    if text.contains('*') {
        return Err("can have \"*\" only as the whole first label: \"*.example.com\"".to_owned());
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        let address: Ipv6Addr = inner.parse().map_err(|_| "is no IPv6 address in brackets".to_owned())?;
        return Ok(HostPattern::Exact(format!("[{address}]")));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("is an IPv6 address, which stands in brackets: \"[{text}]\""));
    }
    if text.parse::<Ipv4Addr>().is_ok() {
        return Ok(HostPattern::Exact(text.to_owned()));
    }
    if let Some((name, port)) = text.rsplit_once(':')
        && port.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(format!("stands without a port, any port matches: write {}", quoted(name)));
    }
    dns_name(text).map(HostPattern::Exact)
}

fn methods(raw: &[String], at: &At, problems: &mut Problems) -> Option<BTreeSet<String>> {
    if !count_is_sane(raw.len(), METHODS_MAX, at, problems) {
        return None;
    }
    let mut methods = BTreeSet::new();
    for (index, method) in raw.iter().enumerate() {
        let upper = method.to_ascii_uppercase();
        let wrong = if !is_token(method) || method.len() > METHOD_BYTES_MAX {
            "must be a method, such as \"GET\"".to_owned()
        } else if *method != upper {
            format!("must be upper case, as methods are case-sensitive: write {upper:?}")
        } else if method == "CONNECT" || method == "TRACE" {
            "is never forwarded".to_owned()
        } else if !methods.insert(upper) {
            "is given twice".to_owned()
        } else {
            continue;
        };
        problems.add(&at.index(index), wrong);
    }
    (methods.len() == raw.len()).then_some(methods)
}

/// A prefix in the normal form that requests are matched in (RFC 3986, section 6.2.2), without a trailing slash.
fn path_prefix(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err(format!("must begin with '/': write {}", quoted(&format!("/{text}"))));
    }
    if text.len() > PATH_BYTES_MAX {
        return Err(format!("has {} bytes, at most {PATH_BYTES_MAX} are allowed", text.len()));
    }
    if text == "/" {
        return Ok(text.to_owned());
    }
    let text = text.strip_suffix('/').unwrap_or(text);
    for segment in text.split('/').skip(1) {
        if segment.is_empty() {
            return Err("must not have empty segments (\"//\")".to_owned());
        }
        if segment == "." || segment == ".." {
            return Err(format!("must not have the segment {segment:?}, which requests are matched without"));
        }
        check_segment(segment)?;
    }
    Ok(text.to_owned())
}

fn check_segment(segment: &str) -> Result<(), String> {
    let mut chars = segment.chars();
    while let Some(c) = chars.next() {
        if c == '%' {
            let digits: String = chars.by_ref().take(2).collect();
            check_encoded(&digits)?;
        } else if !c.is_ascii() {
            let encoded: String =
                c.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("%{byte:02X}")).collect();
            return Err(format!("must be ASCII: write {c:?} as \"{encoded}\""));
        } else if !c.is_ascii_alphanumeric() && !"-._~!$&'()*+,;=:@".contains(c) {
            return Err(format!("has {c:?}, which no path has"));
        }
    }
    Ok(())
}

fn check_encoded(digits: &str) -> Result<(), String> {
    let byte = u8::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 2 && !digits.starts_with('+'));
    let Some(byte) = byte else {
        return Err(format!("has {}, which is no percent-encoding", quoted(&format!("%{digits}"))));
    };
    let c = char::from(byte);
    if matches!(c, '/' | '\\' | '\0') {
        return Err(format!("has \"%{digits}\"; requests with it are refused, as it is ambiguous"));
    }
    if c.is_ascii_alphanumeric() || "-._~".contains(c) {
        return Err(format!("has \"%{digits}\", which requests are matched without: write {c:?}"));
    }
    if digits.bytes().any(|b| b.is_ascii_lowercase()) {
        return Err(format!("has \"%{digits}\": write it in upper case, \"%{byte:02X}\""));
    }
    Ok(())
}

/// All enabled routes so far, to find those that claim the same requests.
#[derive(Default)]
pub struct Claims<'a> {
    /// By host (`None` = any) and prefix: those with different methods.
    by_host: HashMap<(Option<&'a HostPattern>, &'a str), Vec<Claim<'a>>>,
}

struct Claim<'a> {
    methods: &'a BTreeSet<String>,
    service: usize,
    route: usize,
}

impl<'a> Claims<'a> {
    /// Adds a route; complains, once, if another has one of its hosts, its prefix and one of its methods.
    pub fn add(&mut self, route: &'a Route, service: usize, index: usize, at: &At, problems: &mut Problems) {
        let any = [None];
        let hosts: Vec<Option<&HostPattern>> = match route.hosts.as_slice() {
            [] => any.to_vec(),
            hosts => hosts.iter().map(Some).collect(),
        };
        let mut is_told = false;
        for host in hosts {
            let claims = self.by_host.entry((host, &route.path_prefix)).or_default();
            let Some(other) = claims.iter().find(|other| methods_meet(other.methods, &route.methods)) else {
                claims.push(Claim { methods: &route.methods, service, route: index });
                continue;
            };
            if is_told {
                continue;
            }
            is_told = true;
            let host = host.map_or("any host".to_owned(), |host| format!("host {}", quoted(&shown(host))));
            let message =
                format!("the same requests ({host}, prefix {}) belong to", quoted(&route.path_prefix));
            let (here, there) = (at.index(service), at.index(other.service));
            let (here, there) = (here.key("routes"), there.key("routes"));
            problems.clash(&here.index(index), message, &there.index(other.route));
        }
    }
}

fn methods_meet(a: &BTreeSet<String>, b: &BTreeSet<String>) -> bool {
    a.is_empty() || b.is_empty() || a.intersection(b).next().is_some()
}

/// As it is written.
pub fn shown(host: &HostPattern) -> String {
    match host {
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Wildcard(parent) => format!("*.{parent}"),
    }
}
