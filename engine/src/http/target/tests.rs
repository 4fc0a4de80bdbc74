//! Targets, authorities and the normal spelling of paths.

use proptest::prelude::*;

use super::*;

fn normal(path: &str) -> Result<(String, bool), TargetError> {
    let mut scratch = String::from("left over");
    normalise(path, &mut scratch).map(|n| (n.path.to_owned(), n.had_dot_segments))
}

#[test]
fn targets_are_taken_apart() {
    let origin = |path, query| Ok(Target::Origin { path, query });
    let parse = |target| Target::parse(target, false);
    assert_eq!(parse("/"), origin("/", None));
    assert_eq!(parse("/a/b?"), origin("/a/b", Some("")));
    assert_eq!(parse("//a?b?c=/d"), origin("//a", Some("b?c=/d")));
    assert_eq!(Target::parse("*", true), Ok(Target::Asterisk));
    assert_eq!(Target::Asterisk.path(), "*");
    let absolute = |target, options| {
        let target = Target::parse(target, options)?;
        let Target::Absolute { authority, .. } = target else { panic!("{target:?}") };
        Ok::<_, TargetError>((authority, target.path(), target.query()))
    };
    assert_eq!(absolute("http://a", false), Ok(("a", "/", None)));
    assert_eq!(absolute("http://a", true), Ok(("a", "*", None)));
    assert_eq!(absolute("http://a/", true), Ok(("a", "/", None)));
    assert_eq!(absolute("http://a?b", true), Ok(("a", "/", Some("b"))));
    assert_eq!(absolute("HTTPS://[::1]:8/b?c://d", false), Ok(("[::1]:8", "/b", Some("c://d"))));
    for bad in [
        "",
        "*",
        "a",
        "a:80",
        "?",
        "http:/a",
        "http://",
        "http:///",
        "http://?",
        "ftp://a/",
        "http://u@a/",
        "http://a b/",
        "http://a#b",
        "/a#b",
        "/a b",
        "/é",
        "/\"",
        "/<",
        "/\\",
        "/\t",
        "/\0",
        "/\x7f",
    ] {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn what_browsers_leave_unescaped_is_taken() {
    for target in ["/^", "/`", "/{", "/|", "/}", "/a?q={x|y}^`"] {
        assert!(Target::parse(target, false).is_ok(), "{target:?}");
    }
}

#[test]
fn authorities_are_hosts_and_ports() {
    for ok in [
        "",
        "a",
        "a.b-c_d~e",
        "1.2.3.4:80",
        "a:",
        "a:0",
        "a:65535",
        "a:00080",
        "[::]",
        "[2001:db8::1]:8080",
        "[::1]:",
    ] {
        assert_eq!(authority(ok), Ok(ok));
    }
    for bad in [
        ":80",
        ":",
        "a:65536",
        "a:123456",
        "a:+1",
        "a:1:2",
        "a:b",
        "a b",
        "a,b",
        "a;b",
        "a/b",
        "a?b",
        "a#b",
        "a@b",
        "a%41",
        "a\\b",
        "::1",
        "[",
        "[]",
        "[]:1",
        "[::1",
        "[::1]a",
        "[::1]1",
        "[1.2.3.4]",
        "[v1.a]",
        "[::1%25eth0]",
        "[::1%eth0]",
        "a[::1]",
        "é",
        "a\0",
        "a\r\n",
    ] {
        assert!(authority(bad).is_err(), "{bad:?}");
    }
    assert_eq!(host_and_port("a:80"), ("a", Some(80)));
    assert_eq!(host_and_port("a:"), ("a", None));
    assert_eq!(host_and_port("a"), ("a", None));
    assert_eq!(host_and_port("[::1]"), ("[::1]", None));
    assert_eq!(host_and_port("[::1]:80"), ("[::1]", Some(80)));
    assert_eq!(host_and_port(""), ("", None));
}

#[test]
fn paths_have_one_spelling() {
    for (path, expected, dots) in [
        ("*", "*", false),
        ("/", "/", false),
        ("//", "//", false),
        ("/a//b/", "/a//b/", false),
        ("/a.b/..c/d../...", "/a.b/..c/d../...", false),
        ("/.well-known", "/.well-known", false),
        ("/%61%2D%7e", "/a-~", false),
        ("/%c3%A9%25%2e", "/%C3%A9%25.", false),
        ("/a%3Fb%23%20", "/a%3Fb%23%20", false),
        ("/%252e%252E/", "/%252e%252E/", false),
        ("/.", "/", true),
        ("/a/.", "/a/", true),
        ("/a/./b", "/a/b", true),
        ("/a/..", "/", true),
        ("/a/../b", "/b", true),
        ("/a/b/../../c", "/c", true),
        ("/a/b/%2e%2E/c", "/a/c", true),
        ("/a/.%2e/b/", "/b/", true),
        ("/a//../b", "/a/b", true),
        ("/a/b/../", "/a/", true),
        ("/./", "/", true),
    ] {
        assert_eq!(normal(path), Ok((expected.to_owned(), dots)), "{path}");
    }
}

#[test]
fn ambiguous_paths_are_refused() {
    for path in [
        "",
        "a",
        "a/b",
        "/..",
        "/../",
        "/a/../..",
        "/a/../../b",
        "/%2e%2e/a",
        "/a%2Fb",
        "/a%2fb",
        "/a%5Cb",
        "/a%5cb",
        "/a\\b",
        "/%00",
        "/%0a",
        "/%0D",
        "/%1f",
        "/%7F",
        "/%",
        "/%4",
        "/a%",
        "/%g0",
        "/%0g",
        "/%%41",
        "/% 41",
        "/%+1",
        "/..;/a",
        "/a/..;x",
        "/.;/a",
        "/a/%2e.;x/b",
        "/./..",
    ] {
        assert!(normal(path).is_err(), "{path}");
    }
}

#[test]
fn a_normal_path_is_borrowed() {
    let mut scratch = String::new();
    for path in ["/a/b", "/%C3%A9", "/.a"] {
        let normalised = normalise(path, &mut scratch).unwrap();
        assert_eq!(normalised.path.as_ptr(), path.as_ptr());
    }
}

#[test]
fn what_goes_upstream_keeps_its_spelling_unless_it_had_dot_segments() {
    let strip = |path: &str, segments| {
        let mut scratch = String::new();
        let normalised = normalise(path, &mut scratch).unwrap();
        strip_prefix_original(path, &normalised, segments).to_owned()
    };
    for (path, segments, expected) in [
        ("/api/v1/x", 0, "/api/v1/x"),
        ("/api/v1/x", 1, "/v1/x"),
        ("/api/v1/x", 2, "/x"),
        ("/api", 1, "/"),
        ("/api/", 1, "/"),
        ("/api//x", 1, "//x"),
        ("/api", 9, "/"),
        ("/%61pi/%62", 1, "/%62"),
        ("/%61pi/%62", 0, "/%61pi/%62"),
        ("/x/../%61pi/%62", 1, "/b"),
        ("/x/../%61pi/%62", 0, "/api/b"),
        ("*", 0, "*"),
        ("*", 1, "*"),
    ] {
        assert_eq!(strip(path, segments), expected, "{path} {segments}");
    }
}

#[test]
fn only_paths_fit_for_a_request_line_are_valid() {
    for ok in ["/", "*", "/a%20b", "//", "/[x]"] {
        assert!(is_valid_path(ok), "{ok}");
    }
    for bad in ["", "a", "/a b", "/a?b", "/a#", "/é", "/\r\n", "**"] {
        assert!(!is_valid_path(bad), "{bad}");
    }
}

/// Paths made of what normalising is about.
fn path_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("/"),
        Just("."),
        Just(".."),
        Just("%2e"),
        Just("%2E"),
        Just("%61"),
        Just("a"),
        Just("%c3%a9"),
        Just("%25"),
        Just(";"),
        Just("%2f"),
        Just("%"),
        Just("\\"),
        Just("é"),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #[test]
    fn normalising_is_idempotent(path in path_like()) {
        if let Ok((once, _)) = normal(&path) {
            prop_assert!(once.starts_with('/'));
            prop_assert!(once.split('/').all(|segment| segment != "." && segment != ".."));
            prop_assert_eq!(normal(&once), Ok((once.clone(), false)));
        }
    }

    #[test]
    fn stripping_leaves_a_path(path in path_like(), segments in 0usize..5) {
        let mut scratch = String::new();
        if let Ok(normalised) = normalise(&path, &mut scratch) {
            prop_assert!(strip_prefix_original(&path, &normalised, segments).starts_with('/'));
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC*|[/.%a-f0-9:@\\[\\]?#]*") {
        let _ = normal(&text);
        let _ = authority(&text);
        let _ = host_and_port(&text);
        if let Ok(target) = Target::parse(&text, true) {
            prop_assert!(target.path() == "*" || normal(target.path()).is_err() || is_valid_path(target.path()));
        }
    }
}
