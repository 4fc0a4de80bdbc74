//! A gateway's configuration, written by a test: only what it names stands in the file, all else is default.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::origin::Origin;
use crate::ports::Port;

/// A service, under construction.
#[derive(Debug, Clone)]
pub struct Service {
    name: String,
    routes: Vec<Route>,
    nodes: Vec<String>,
    lines: Vec<String>,
}

/// A route, under construction.
#[derive(Debug, Clone)]
pub struct Route {
    pairs: Vec<String>,
}

/// A service of that name.
pub fn service(name: &str) -> Service {
    Service { name: name.into(), routes: Vec::new(), nodes: Vec::new(), lines: Vec::new() }
}

/// A route with that path prefix.
pub fn route(path_prefix: &str) -> Route {
    Route { pairs: vec![format!("path_prefix = {path_prefix:?}")] }
}

/// The text of a tcp listener named `tcp` with those keys, for example `service = "a"`.
pub fn tcp_listener(port: &Port, keys: &str) -> String {
    format!("[[listeners]]\nname = \"tcp\"\naddress = \"{}\"\nprotocol = \"tcp\"\n{keys}\n", port.address())
}

impl From<&str> for Route {
    fn from(path_prefix: &str) -> Route {
        route(path_prefix)
    }
}

impl Route {
    /// Only for that host (or `*.` pattern).
    pub fn host(self, host: &str) -> Route {
        self.pair(format!("hosts = [{host:?}]"))
    }

    /// Only for these methods.
    pub fn methods(self, methods: &[&str]) -> Route {
        self.pair(format!("methods = {methods:?}"))
    }

    /// Takes the prefix off.
    pub fn strip(self) -> Route {
        self.pair("strip_prefix = true".into())
    }

    /// Rewrites the path, each pair a pattern and its replacement.
    pub fn rewrites(self, rewrites: &[(&str, &str)]) -> Route {
        let rewrites: Vec<String> = rewrites
            .iter()
            .map(|(pattern, replacement)| {
                format!("{{ pattern = '{pattern}', replacement = '{replacement}' }}")
            })
            .collect();
        self.pair(format!("rewrites = [{}]", rewrites.join(", ")))
    }

    fn pair(mut self, pair: String) -> Route {
        self.pairs.push(pair);
        self
    }
}

impl Service {
    /// With that route; a plain prefix is one.
    pub fn route(mut self, route: impl Into<Route>) -> Service {
        self.routes.push(route.into());
        self
    }

    /// With that origin as a node.
    pub fn node(self, origin: &Origin) -> Service {
        self.node_at(origin.address())
    }

    /// With a node at that address.
    pub fn node_at(self, address: SocketAddr) -> Service {
        self.node_with(address, "weight = 1")
    }

    /// With a node of that host name.
    pub fn node_named(mut self, host: &str, port: u16) -> Service {
        self.nodes.push(format!("{{ address = \"{host}:{port}\" }}"));
        self
    }

    /// With that origin as a node of that weight.
    pub fn weighted(self, origin: &Origin, weight: u32) -> Service {
        self.node_with(origin.address(), &format!("weight = {weight}"))
    }

    /// With a node at that address and these further keys.
    pub fn node_with(mut self, address: SocketAddr, keys: &str) -> Service {
        self.nodes.push(format!("{{ address = \"{address}\", {keys} }}"));
        self
    }

    /// With that balancing policy.
    pub fn policy(self, policy: &str) -> Service {
        self.with(&format!("load_balancer.policy = {policy:?}"))
    }

    /// With a health check of that kind every 100 ms, out after two failures and back after one success.
    pub fn checked(self, kind: &str) -> Service {
        self.with(&format!("health_check.kind = {kind:?}"))
            .with("health_check.interval = \"100ms\"")
            .with("health_check.timeout = \"100ms\"")
            .with("health_check.unhealthy_after = 2")
            .with("health_check.healthy_after = 1")
    }

    /// With that line of TOML, for example `timeouts.connect = "1s"`.
    pub fn with(mut self, line: &str) -> Service {
        self.lines.push(line.into());
        self
    }

    fn write(&self, toml: &mut String) {
        let routes: Vec<String> =
            self.routes.iter().map(|route| format!("{{ {} }}", route.pairs.join(", "))).collect();
        section(toml, "\n[[services]]");
        section(toml, &format!("name = {:?}", self.name));
        if !routes.is_empty() {
            section(toml, &format!("routes = [{}]", routes.join(", ")));
        }
        section(toml, &format!("nodes = [{}]", self.nodes.join(", ")));
        self.lines.iter().for_each(|line| section(toml, line));
    }
}

/// The parts of a configuration file.
#[derive(Debug, Clone, Default)]
pub struct Config {
    pub(crate) services: Vec<Service>,
    pub(crate) server: Vec<String>,
    pub(crate) listener: Vec<String>,
    pub(crate) rest: Vec<String>,
    /// The admin's URL, where listeners and services come from there.
    pub(crate) admin: Option<String>,
}

impl Config {
    /// The file's text, with one HTTP listener at `web` and the ops endpoint at `ops`.
    pub fn toml(&self, web: SocketAddr, ops: SocketAddr) -> String {
        let mut toml = String::from("[server]\n");
        if !self.server.iter().any(|line| line.starts_with("shards") || line.starts_with("cpus")) {
            section(&mut toml, "shards = 2");
        }
        section(&mut toml, &format!("ops_address = \"{ops}\""));
        if !self.server.iter().any(|line| line.starts_with("trusted_proxies")) {
            section(&mut toml, "trusted_proxies = []");
        }
        if !self.server.iter().any(|line| line.starts_with("access_log")) {
            section(&mut toml, "access_log.path = \"none\"");
        }
        self.server.iter().for_each(|line| section(&mut toml, line));
        if let Some(url) = &self.admin {
            section(
                &mut toml,
                &format!(
                    "\n[control]\nsource = \"admin\"\nadmin_url = {url:?}\ntoken_file = \"token\"\ncache_path = \"copy.json\""
                ),
            );
            self.rest.iter().for_each(|text| section(&mut toml, text));
            return toml;
        }
        section(
            &mut toml,
            &format!("\n[[listeners]]\nname = \"web\"\naddress = \"{web}\"\nprotocol = \"http\""),
        );
        self.listener.iter().for_each(|line| section(&mut toml, line));
        self.services.iter().for_each(|service| service.write(&mut toml));
        self.rest.iter().for_each(|text| section(&mut toml, text));
        toml
    }
}

fn section(toml: &mut String, line: &str) {
    writeln!(toml, "{line}").expect("a string takes all");
}
