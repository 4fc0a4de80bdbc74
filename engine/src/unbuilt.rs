//! What a configuration may ask for and this build does not do yet.
//!
//! What would make the gateway do something else than its configuration says is refused, at start and at a reload. Each
//! line here goes when the feature comes.

use coregate_config::checked::{Control, Gateway};

/// What cannot be run: key, and what would be right. Empty = all of it can.
pub fn refused(gateway: &Gateway) -> Vec<String> {
    let mut refused = Vec::new();
    if gateway.control != Control::File {
        refused.push(
            "control.source = \"admin\": this build reads its configuration from a file; use \"file\"".into(),
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
    fn a_configuration_that_is_to_come_from_elsewhere_is_refused() {
        let control = Control::Admin {
            url: "http://127.0.0.1:8880".into(),
            token_file: "token".into(),
            cache_path: "cache".into(),
        };
        let refused = refused(&Gateway { control, ..parsed("") }).join("\n");
        assert!(refused.contains("use \"file\""), "{refused}");
    }

    #[test]
    fn the_complete_example_runs() {
        let gateway = parsed(include_str!("../../config/examples/gateway.toml"));
        assert_eq!(refused(&gateway), Vec::<String>::new());
    }
}
