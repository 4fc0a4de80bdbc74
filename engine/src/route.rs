//! Stage *route*: which service and which of its routes a request belongs to.
//!
//! Input: the host as the client sent it, the normalised path, the method. Output: [`Lookup`].
//!
//! The longest match wins. Host levels are tried from the most to the least specific: the exact name, then wildcards
//! from the longest suffix to the shortest, then routes for any host. Within a level the longest path prefix on whole
//! segments wins; a level without any matching prefix hands on to the next. Methods are looked at last and only at the
//! prefix that won, so a method that it refuses is answered 405 and never falls through to a shorter prefix.
//!
//! Invariants: a [`RouteTable`] never changes once built; shards share it through an `Arc`. A lookup allocates nothing,
//! takes no lock and cannot fail. Its cost depends on the number of labels in the longest wildcard and of segments in
//! the deepest prefix of a level, never on the number of services nor on how long a host or path the client makes up.
//! Units: lengths are bytes, depths are segments. Owner: the configuration snapshot.

#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};

use coregate_config::checked::{HostPattern, Service};
use foldhash::fast::RandomState;
use serde::Serialize;

/// Longest host name that is compared with exact names and wildcards (RFC 1035, 2.3.4). A longer one can only match
/// routes for any host.
const HOST_BYTES_MAX: usize = 255;

/// All enabled routes of a configuration, compiled for lookup.
#[derive(Debug)]
pub struct RouteTable {
    exact: HashMap<Box<[u8]>, Level, RandomState>,
    /// Keyed by what stands after `*.`.
    wildcard: HashMap<Box<[u8]>, Level, RandomState>,
    /// Labels in the longest key of `wildcard`: longer suffixes of a host are not worth a lookup.
    wildcard_labels_max: usize,
    any: Level,
}

/// What a lookup found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup<'a> {
    /// This route takes the request.
    Found(RouteRef),
    /// Routes exist for this host and path, none of them for this method.
    MethodNotAllowed(&'a AllowList),
    /// No route.
    NotFound,
}

/// Names a route of the configuration that the table was built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RouteRef {
    /// Index into the slice of services.
    pub service: u32,
    /// Index into the service's routes.
    pub route: u32,
    /// Path segments that its prefix takes; 0 for `/`.
    pub prefix_segments: usize,
}

/// The value of an `Allow` field (RFC 9110, 10.2.1): sorted, rendered once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowList(Box<str>);

impl AllowList {
    /// For example `GET, HEAD, POST`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RouteTable {
    /// Compiles the routes of all enabled services. Where two routes are equal the first one wins; a checked
    /// configuration has no such pair.
    pub fn build(services: &[impl Borrow<Service>]) -> RouteTable {
        let mut table = RouteTable {
            exact: HashMap::default(),
            wildcard: HashMap::default(),
            wildcard_labels_max: 0,
            any: Level::default(),
        };
        for (service_index, service) in (0u32..).zip(services.iter().map(Borrow::borrow)) {
            if !service.enabled {
                continue;
            }
            for (route_index, route) in (0u32..).zip(&service.routes) {
                let target = Target { service: service_index, route: route_index };
                if route.hosts.is_empty() {
                    table.any.add(&route.path_prefix, &route.methods, target);
                }
                for host in &route.hosts {
                    table.level_mut(host).add(&route.path_prefix, &route.methods, target);
                }
            }
        }
        table
    }

    /// Finds the route of a request. `host` may have a port, a trailing dot and upper case letters; `path` is the
    /// normalised path without query. A path that does not start with `/` matches nothing.
    pub fn lookup(&self, host: &str, path: &str, method: &str) -> Lookup<'_> {
        match self.endpoint(host, path, &mut NoTrace) {
            Some(endpoint) => endpoint.resolve(method),
            None => Lookup::NotFound,
        }
    }

    /// Does what [`RouteTable::lookup`] does and tells how: for the ops API.
    pub fn explain(&self, host: &str, path: &str, method: &str) -> Explanation {
        let mut levels = Vec::new();
        let endpoint = self.endpoint(host, path, &mut levels);
        let outcome = match endpoint.map(|endpoint| endpoint.resolve(method)) {
            None | Some(Lookup::NotFound) => Outcome::NoRoute,
            Some(Lookup::MethodNotAllowed(allow)) => {
                Outcome::MethodNotAllowed { allow: allow.as_str().to_owned() }
            }
            Some(Lookup::Found(found)) => Outcome::Found(found),
        };
        Explanation { host: text(bare_host(host).as_bytes()), levels, outcome }
    }

    fn endpoint(&self, host: &str, path: &str, trace: &mut impl Trace) -> Option<&Endpoint> {
        if !path.starts_with('/') {
            return None;
        }
        let mut buffer = [0; HOST_BYTES_MAX];
        if let Some(name) = lower_case(bare_host(host), &mut buffer) {
            let exact = self.exact.get(name);
            trace.level(LevelKind::Exact, name, exact.is_some());
            if let Some(endpoint) = exact.and_then(|level| level.longest(path, trace)) {
                return Some(endpoint);
            }
            for suffix in suffixes(name, self.wildcard_labels_max) {
                let wildcard = self.wildcard.get(suffix);
                trace.level(LevelKind::Wildcard, suffix, wildcard.is_some());
                if let Some(endpoint) = wildcard.and_then(|level| level.longest(path, trace)) {
                    return Some(endpoint);
                }
            }
        }
        trace.level(LevelKind::Any, b"", !self.any.prefixes.is_empty());
        self.any.longest(path, trace)
    }

    fn level_mut(&mut self, host: &HostPattern) -> &mut Level {
        match host {
            HostPattern::Exact(name) => self.exact.entry(key(name)).or_default(),
            HostPattern::Wildcard(suffix) => {
                let labels = suffix.split('.').count();
                self.wildcard_labels_max = self.wildcard_labels_max.max(labels);
                self.wildcard.entry(key(suffix)).or_default()
            }
        }
    }
}

/// The path prefixes of one host, one wildcard or any host.
#[derive(Debug, Default)]
struct Level {
    prefixes: HashMap<Box<str>, Endpoint, RandomState>,
    /// Segments in the deepest key of `prefixes`.
    depth_max: u32,
    /// Bytes in the longest key of `prefixes`.
    bytes_max: usize,
}

impl Level {
    fn add(&mut self, prefix: &str, methods: &BTreeSet<String>, target: Target) {
        let segments = count_segments(prefix);
        self.depth_max = self.depth_max.max(segments);
        self.bytes_max = self.bytes_max.max(prefix.len());
        let endpoint = self.prefixes.entry(prefix.into()).or_insert_with(|| Endpoint::new(segments));
        endpoint.add(methods, target);
    }

    /// The longest prefix of `path` on whole segments that is a key here.
    fn longest(&self, path: &str, trace: &mut impl Trace) -> Option<&Endpoint> {
        let mut end = self.deepest_cut(path);
        loop {
            let prefix = if end == 0 { "/" } else { path.get(..end)? };
            let found = self.prefixes.get(prefix);
            trace.prefix(prefix, found.is_some());
            if found.is_some() || end == 0 {
                return found;
            }
            end = prefix.rfind('/')?;
        }
    }

    /// Where the longest prefix of `path` ends that could be a key: at the end of a segment, within `depth_max`
    /// segments and `bytes_max` bytes. 0 stands for `/`.
    fn deepest_cut(&self, path: &str) -> usize {
        let mut cut = 0;
        let mut depth = 0;
        let mut at = 1;
        while depth < self.depth_max && at <= path.len().min(self.bytes_max) {
            if path.as_bytes().get(at).is_none_or(|&byte| byte == b'/') {
                cut = at;
                depth += 1;
            }
            at += 1;
        }
        cut
    }
}

/// The routes of one host level and one prefix: they differ in their methods.
#[derive(Debug)]
struct Endpoint {
    /// The route that takes any method.
    any: Option<Target>,
    /// Routes that name their methods. A handful, so a scan beats a hash.
    by_method: Vec<(Box<str>, Target)>,
    /// What `by_method` allows; of use only while `any` is `None`.
    allow: AllowList,
    segments: u32,
}

#[derive(Debug, Clone, Copy)]
struct Target {
    service: u32,
    route: u32,
}

impl Endpoint {
    fn new(segments: u32) -> Endpoint {
        Endpoint { any: None, by_method: Vec::new(), allow: AllowList("".into()), segments }
    }

    fn add(&mut self, methods: &BTreeSet<String>, target: Target) {
        if methods.is_empty() {
            self.any.get_or_insert(target);
        }
        for method in methods {
            if self.by_method(method).is_none() {
                self.by_method.push((method.as_str().into(), target));
            }
        }
        self.allow = render_allow(&self.by_method);
    }

    /// A route that names the method goes before one that takes any. HEAD goes where GET goes, unless a route names it.
    fn resolve(&self, method: &str) -> Lookup<'_> {
        let mut target = self.by_method(method);
        if target.is_none() && method == "HEAD" {
            target = self.by_method("GET");
        }
        match target.or(self.any) {
            Some(Target { service, route }) => {
                Lookup::Found(RouteRef { service, route, prefix_segments: self.segments as usize })
            }
            None => Lookup::MethodNotAllowed(&self.allow),
        }
    }

    fn by_method(&self, method: &str) -> Option<Target> {
        self.by_method.iter().find(|(name, _)| &**name == method).map(|&(_, target)| target)
    }
}

fn render_allow(by_method: &[(Box<str>, Target)]) -> AllowList {
    let mut names: BTreeSet<&str> = by_method.iter().map(|(name, _)| &**name).collect();
    if names.contains("GET") {
        names.insert("HEAD");
    }
    AllowList(names.into_iter().collect::<Vec<_>>().join(", ").into())
}

/// Segments of a configured prefix: `/` has none, `/a/b` has two.
fn count_segments(prefix: &str) -> u32 {
    let slashes = prefix.bytes().filter(|&byte| byte == b'/').count();
    if prefix == "/" { 0 } else { u32::try_from(slashes).unwrap_or(u32::MAX) }
}

/// The name in a Host field: without port, brackets kept (RFC 3986, 3.2.2), without the root's dot.
fn bare_host(host: &str) -> &str {
    let name = if host.starts_with('[') {
        host.find(']').and_then(|end| host.get(..=end)).unwrap_or(host)
    } else {
        host.split(':').next().unwrap_or(host)
    };
    name.strip_suffix('.').unwrap_or(name)
}

/// Copies `name` in lower case to the stack; `None` if it is longer than a host name can be.
fn lower_case<'b>(name: &str, buffer: &'b mut [u8; HOST_BYTES_MAX]) -> Option<&'b [u8]> {
    let copy = buffer.get_mut(..name.len())?;
    copy.copy_from_slice(name.as_bytes());
    copy.make_ascii_lowercase();
    Some(copy)
}

/// What stands after each dot of `name`, the longest of at most `labels_max` labels first. The label before the dot
/// must not be empty.
fn suffixes(name: &[u8], labels_max: usize) -> impl Iterator<Item = &[u8]> {
    let is_dot = |&at: &usize| name.get(at) == Some(&b'.');
    // Found from the end, so that a name of 127 labels costs no more lookups than one of three.
    let first = (1..name.len()).rev().filter(is_dot).take(labels_max).last().unwrap_or(name.len());
    (first..name.len()).filter(is_dot).filter_map(|at| name.get(at + 1..))
}

fn key(name: &str) -> Box<[u8]> {
    name.as_bytes().into()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).to_ascii_lowercase()
}

/// How a lookup went, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The host that was looked up: lower case, without port.
    pub host: String,
    /// Host levels in the order in which they were tried. The last one has the winner, if there is one.
    pub levels: Vec<LevelTried>,
    /// What came of it.
    pub outcome: Outcome,
}

/// One host level that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LevelTried {
    /// Which kind.
    pub kind: LevelKind,
    /// `www.example.com`, `*.example.com` or `*`.
    pub pattern: String,
    /// Whether any route has this pattern.
    pub configured: bool,
    /// Prefixes in the order in which they were tried. The last one matched if `matched`.
    pub prefixes: Vec<PrefixTried>,
}

/// One prefix that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrefixTried {
    /// The prefix.
    pub prefix: String,
    /// Whether routes have it.
    pub matched: bool,
}

/// Kinds of host levels, the most specific first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LevelKind {
    /// The name itself.
    Exact,
    /// Names below a suffix.
    Wildcard,
    /// Any name.
    Any,
}

/// What came of an explained lookup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// This route takes the request.
    Found(RouteRef),
    /// The prefix matched, the method did not.
    MethodNotAllowed {
        /// Methods that would.
        allow: String,
    },
    /// Nothing matched.
    NoRoute,
}

/// Told of each step of a lookup. [`NoTrace`] compiles to nothing.
trait Trace {
    fn level(&mut self, kind: LevelKind, pattern: &[u8], configured: bool);
    fn prefix(&mut self, prefix: &str, matched: bool);
}

struct NoTrace;

impl Trace for NoTrace {
    fn level(&mut self, _: LevelKind, _: &[u8], _: bool) {}
    fn prefix(&mut self, _: &str, _: bool) {}
}

impl Trace for Vec<LevelTried> {
    fn level(&mut self, kind: LevelKind, pattern: &[u8], configured: bool) {
        let pattern = match kind {
            LevelKind::Exact => text(pattern),
            LevelKind::Wildcard => format!("*.{}", text(pattern)),
            LevelKind::Any => "*".to_owned(),
        };
        self.push(LevelTried { kind, pattern, configured, prefixes: Vec::new() });
    }

    fn prefix(&mut self, prefix: &str, matched: bool) {
        if let Some(level) = self.last_mut() {
            level.prefixes.push(PrefixTried { prefix: prefix.to_owned(), matched });
        }
    }
}
