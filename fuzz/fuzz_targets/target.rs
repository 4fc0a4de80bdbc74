//! Targets: nothing panics; a normal path is normal; what goes upstream can stand in a request line.
#![no_main]

use coregate_fuzz::http::target::{
    Target, authority, host_and_port, is_valid_path, normalise, strip_prefix_original,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [flags, bytes @ ..] = data else { return };
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if authority(text).is_ok() {
        let (host, port) = host_and_port(text);
        assert!(text.starts_with(host));
        assert_eq!(port.is_some(), text.len() > host.len() + 1);
    }
    // Any text, as a caller might give it.
    let _ = normalise(text, &mut String::new());
    let Ok(target) = Target::parse(text, flags & 1 == 1) else { return };
    assert!(is_valid_path(target.path()));
    let (mut scratch, mut again) = (String::new(), String::new());
    let Ok(normal) = normalise(target.path(), &mut scratch) else { return };
    assert!(is_valid_path(normal.path));
    assert!(normal.path.split('/').all(|segment| !matches!(segment, "." | "..")));
    let twice = normalise(normal.path, &mut again).expect("normal");
    assert_eq!((twice.path, twice.had_dot_segments), (normal.path, false));
    let upstream = strip_prefix_original(target.path(), &normal, usize::from(flags >> 1) % 8);
    assert!(is_valid_path(upstream));
    // What goes upstream is read there as what is left of the normal path.
    let upstream = normalise(upstream, &mut again).expect("upstream");
    assert!(normal.path.ends_with(upstream.path) || upstream.path == "/");
    assert!(!upstream.had_dot_segments);
});
