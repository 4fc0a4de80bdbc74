//! Configurations: nothing panics; what is refused is told; what is accepted is accepted again as it is reported.
#![no_main]

use coregate_config::{parse_json, parse_toml, redacted_json};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for parsed in [parse_toml(text, "fuzz.toml"), parse_json(text, "fuzz.json")] {
        match parsed {
            Ok(gateway) => {
                let again = redacted_json(&gateway).to_string();
                if let Err(report) = parse_json(&again, "again.json") {
                    panic!("accepted, but not as it is reported: {report}");
                }
            }
            Err(report) => assert!(report.errors.iter().all(|problem| !problem.message.is_empty())),
        }
    }
});
