//! PROXY headers: nothing panics, a split changes nothing, what is written means what was read.
#![no_main]

use coregate_config::checked::ProxyVersion;
use coregate_fuzz::proxy_protocol::{Ends, HEADER_BYTES_MAX, Header, parse, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut before = Ok(Header::Partial);
    for end in 0..=data.len() {
        let now = parse(&data[..end]);
        assert!(before == Ok(Header::Partial) || now == before);
        before = now;
    }
    let Ok(Header::Whole { len, ends }) = before else {
        assert!(before != Ok(Header::Partial) || data.len() < HEADER_BYTES_MAX);
        return;
    };
    assert!(len <= data.len() && len <= HEADER_BYTES_MAX);
    let Some(ends) = ends else { return };
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let mut written = Vec::new();
        write(&mut written, version, ends);
        let Ok(Header::Whole { len, ends: Some(again) }) = parse(&written) else { panic!("{written:?}") };
        assert_eq!(len, written.len());
        assert_eq!(canonical(again), canonical(ends));
    }
});

/// IPv4 addresses may come as IPv6 ones.
fn canonical(ends: Ends) -> [(std::net::IpAddr, u16); 2] {
    [ends.source, ends.destination].map(|end| (end.ip().to_canonical(), end.port()))
}
