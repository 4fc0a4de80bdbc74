//! ClientHellos: nothing panics, a split changes nothing, a name is one that a configuration can have.
#![no_main]

use coregate_fuzz::sni::{HELLO_BYTES_MAX, Hello, peek};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut before = Hello::Partial;
    for end in 0..=data.len() {
        let now = peek(&data[..end]);
        assert!(before == Hello::Partial || now == before);
        before = now;
    }
    match before {
        Hello::Partial => assert!(data.len() < HELLO_BYTES_MAX),
        Hello::Nameless => {}
        Hello::Named(name) => {
            assert!(!name.is_empty() && name.len() <= 253);
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b))
            );
        }
    }
});
