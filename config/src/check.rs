//! From [`raw`] to [`checked`]: what was written to what is true.
//!
//! Input: a raw gateway whose indices are those of the file. Output: a checked one, or at least one problem in
//! [`Problems`]. Every function here computes all parts of its value, complaining about each, and only then gives up
//! with `?`: so no error hides another. One file a part of the schema; what is shared stands in [`values`].

mod certificate;
mod headers;
mod health;
mod listener;
mod listener_tls;
mod node;
mod rate;
mod rewrite;
mod route;
mod server;
mod service;
mod sni;
mod tenant;
mod upstream_tls;
mod values;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub use route::shown;

use crate::checked::Gateway;
use crate::path::At;
use crate::raw;
use crate::report::Problems;

/// Where the file names in a configuration lead.
#[derive(Debug, Clone, Copy)]
pub enum Files<'a> {
    /// A configuration file's folder, whose neighbours are looked for.
    Folder(&'a Path),
    /// What the admin has sent, together with the settings of a process: paths are taken as they are and nothing is
    /// looked for.
    Merged,
    /// A text by itself: the same, and the settings of the process that it may be for are not known.
    Unknown,
}

impl Files<'_> {
    /// Whether the settings of the process are known.
    fn is_whole(&self) -> bool {
        !matches!(self, Self::Unknown)
    }

    fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::Merged | Self::Unknown => None,
        }
    }

    /// A path as the process will use it.
    fn locate(&self, written: &str) -> PathBuf {
        self.folder().map_or_else(|| PathBuf::from(written), |folder| folder.join(written))
    }

    /// A file's path as the process will use it; complains if it makes no sense, or if it is needed at once and cannot be
    /// opened.
    fn file(&self, written: &str, needed: bool, at: &At, problems: &mut Problems) -> Option<PathBuf> {
        let written = values::location(written, at, problems)?;
        if needed {
            self.must_open(&written, at, problems);
        }
        Some(self.locate(&written))
    }

    /// Complains if a file that the process needs cannot be opened.
    fn must_open(&self, written: &str, at: &At, problems: &mut Problems) {
        if self.folder().is_some() && !written.is_empty() {
            let path = self.locate(written);
            if let Err(error) = std::fs::File::open(&path) {
                problems.add(at, format!("cannot open {}: {error}", path.display()));
            }
        }
    }
}

/// Checks a whole gateway.
pub fn gateway(raw: &raw::Gateway, files: Files, problems: &mut Problems) -> Option<Gateway> {
    let root = At::root();
    let server = server::server(&raw.server, files, &root.key("server"), problems);
    let stats = server::stats(&raw.stats, &root.key("stats"), problems);
    let control = server::control(&raw.control, files, &root.key("control"), problems);
    let certificates = certificate::certificates(&raw.certificates, &root.key("certificates"), problems);
    let named = certificate::by_name(&raw.certificates, certificates.as_deref());
    let listeners = listener::listeners(raw, &named, files, &root.key("listeners"), problems);
    let services = service::services(raw, files, &root.key("services"), problems);
    let tenants = tenant::tenants(&raw.tenants, &root.key("tenants"), problems);
    match raw.control.source {
        raw::ControlSource::Admin => nothing_from_elsewhere(raw, &root, problems),
        raw::ControlSource::File if files.is_whole() => {
            cluster_limits_need_redis(raw, &root, problems);
            proxy_headers_need_trusted_peers(raw, &root, problems);
        }
        raw::ControlSource::File => {}
    }
    Some(Gateway {
        server: server?,
        stats: stats?,
        control: control?,
        listeners: listeners?,
        certificates: certificates?.into_iter().collect::<Option<_>>()?,
        services: services?,
        tenants: tenants?,
    })
}

/// With an admin, a listener, certificate, service or tenant in the file would silently do nothing.
fn nothing_from_elsewhere(raw: &raw::Gateway, root: &At, problems: &mut Problems) {
    let parts = [
        ("listeners", raw.listeners.len()),
        ("certificates", raw.certificates.len()),
        ("services", raw.services.len()),
        ("tenants", raw.tenants.len()),
    ];
    for (part, count) in parts {
        if count > 0 {
            problems.add(
                &root.key(part),
                "come from the admin, as control.source = \"admin\"; take them out here",
            );
        }
    }
}

/// Only known of a process: what an admin sends has no `[stats]`.
fn cluster_limits_need_redis(raw: &raw::Gateway, root: &At, problems: &mut Problems) {
    let stats = root.key("stats");
    if raw.stats.redis_url.is_some() || problems.is_unread(&stats.key("redis_url")) {
        return;
    }
    for (index, service) in raw.services.iter().enumerate() {
        if service.limits.scope == raw::Scope::Cluster {
            let services = root.key("services");
            let service = services.index(index);
            let message = "\"cluster\" needs stats.redis_url, which is not given";
            problems.add(&service.key("limits").key("scope"), message);
        }
    }
}

/// Only known of a process, too: what an admin sends has no `[server]`.
fn proxy_headers_need_trusted_peers(raw: &raw::Gateway, root: &At, problems: &mut Problems) {
    let server = root.key("server");
    if !raw.server.trusted_proxies.is_empty() || problems.is_unread(&server.key("trusted_proxies")) {
        return;
    }
    for (index, _) in raw.listeners.iter().enumerate().filter(|(_, it)| it.enabled && it.proxy_protocol) {
        let listeners = root.key("listeners");
        let message = "needs server.trusted_proxies, which is empty: every connection would be refused";
        problems.add(&listeners.index(index).key("proxy_protocol"), message);
    }
}

/// Complains about each name that was there before; an empty one is another check's matter.
fn unique<'a>(names: impl Iterator<Item = (&'a str, usize)>, list: &At, key: &str, problems: &mut Problems) {
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (name, index) in names.filter(|(name, _)| !name.is_empty()) {
        match first.get(name) {
            Some(other) => {
                let (here, there) = (list.index(index), list.index(*other));
                problems.clash(&here.key(key), "is the same as", &there.key(key));
            }
            None => {
                first.insert(name, index);
            }
        }
    }
}
