//! What a configuration may ask for and this build does not do yet.
//!
//! What would leave a service less protected than its configuration says is refused, at start and at a reload. Each
//! line here goes when the feature comes.

use coregate_config::checked::{Control, Gateway, HealthCheckKind, ListenerProtocol};

/// What cannot be run: key, and what would be right. Empty = all of it can.
pub fn refused(gateway: &Gateway) -> Vec<String> {
    let mut refused = Vec::new();
    if gateway.control != Control::File {
        refused.push(
            "control.source = \"admin\": this build reads its configuration from a file; use \"file\"".into(),
        );
    }
    for listener in gateway.listeners.iter().filter(|listener| listener.enabled) {
        let name = &listener.name;
        if listener.proxy_protocol {
            refused.push(format!(
                "listener \"{name}\": this build does not read PROXY headers; remove proxy_protocol"
            ));
        }
        if matches!(&listener.protocol, ListenerProtocol::Tcp { sni_routes, .. } if !sni_routes.is_empty()) {
            refused.push(format!(
                "listener \"{name}\": this build does not look for names in TLS connections; remove sni_routes"
            ));
        }
    }
    for service in gateway.services.iter().filter(|service| service.enabled) {
        let unbuilt = [
            (service.tls.is_some(), "speak TLS to nodes; remove tls"),
            (service.send_proxy_protocol.is_some(), "send PROXY headers; remove send_proxy_protocol"),
            (
                service.limits.max_connections.is_some(),
                "count connections at once; remove limits.max_connections",
            ),
            (
                service.limits.max_connections_per_client_ip.is_some(),
                "count a client's connections at once; remove limits.max_connections_per_client_ip",
            ),
            (
                matches!(
                    service.health_check.as_ref().map(|check| &check.kind),
                    Some(HealthCheckKind::Grpc { .. })
                ),
                "check health by gRPC; use kind = \"tcp\"",
            ),
        ];
        let lines = unbuilt.iter().filter(|(asked, _)| *asked);
        refused.extend(
            lines.map(|(_, what)| format!("service \"{}\": this build does not {what}", service.name)),
        );
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(toml: &str) -> Gateway {
        coregate_config::parse_toml(toml, "test").unwrap()
    }

    #[test]
    fn what_would_leave_a_service_unprotected_is_refused() {
        let gateway = parsed(
            "[[listeners]]\nname = \"web\"\naddress = \"127.0.0.1:1\"\nprotocol = \"http\"\nproxy_protocol = true\n\
             [[services]]\nname = \"a\"\n[[services.routes]]\npath_prefix = \"/\"\n\
             ",
        );
        let refused = refused(&gateway).join("\n");
        assert!(refused.contains("proxy_protocol"), "{refused}");
    }

    #[test]
    fn the_complete_example_runs() {
        let gateway = parsed(include_str!("../../config/examples/gateway.toml"));
        assert_eq!(refused(&gateway), Vec::<String>::new());
    }
}
