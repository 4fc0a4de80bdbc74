//! What a configuration may ask for and this build does not do yet.
//!
//! What would leave a service less protected than its configuration says is refused, at start and at a reload. Each
//! line here goes when the feature comes.

use coregate_config::checked::{Control, Gateway, HealthCheckKind};

/// What cannot be run: key, and what would be right. Empty = all of it can.
pub fn refused(gateway: &Gateway) -> Vec<String> {
    let mut refused = Vec::new();
    if gateway.control != Control::File {
        refused.push(
            "control.source = \"admin\": this build reads its configuration from a file; use \"file\"".into(),
        );
    }
    for service in gateway.services.iter().filter(|service| service.enabled) {
        let unbuilt = [(
            service.tls.is_some()
                && matches!(
                    service.health_check.as_ref().map(|check| &check.kind),
                    Some(HealthCheckKind::Http { .. } | HealthCheckKind::Grpc { .. })
                ),
            "check health over TLS; use kind = \"tcp\"",
        )];
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
            "[[services]]\nname = \"a\"\ntls = true\n[services.health_check]\nkind = \"grpc\"\n[[services.routes]]\npath_prefix = \"/\"\n",
        );
        let refused = refused(&gateway).join("\n");
        assert!(refused.contains("check health over TLS"), "{refused}");
    }

    #[test]
    fn the_complete_example_runs() {
        let gateway = parsed(include_str!("../../config/examples/gateway.toml"));
        assert_eq!(refused(&gateway), Vec::<String>::new());
    }
}
