//! Requests out of an access log, in both formats that an engine writes ([`coregate::access_log`]); nginx's and Apache's
//! combined format is one of them.
//!
//! A line that cannot be read, or is of something else than a request (a TCP session), is counted and passed over.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::Deserialize;

use super::Asked;

/// A line of the JSON format; what is not looked at is passed over.
#[derive(Deserialize)]
struct Line<'a> {
    client: IpAddr,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    target: Option<Cow<'a, str>>,
    #[serde(borrow)]
    host: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tenant: Option<Cow<'a, str>>,
}

/// Reads a line; `None` = it is none of a request. The combined format has no host: `host` stands in for it.
pub fn read(line: &str, host: Option<&str>) -> Option<Asked> {
    let line = line.trim();
    if line.starts_with('{') { json(line) } else { combined(line, host) }
}

fn json(line: &str) -> Option<Asked> {
    let line: Line = serde_json::from_str(line).ok()?;
    let host = line.host.map(Cow::into_owned);
    Some(Asked {
        method: line.method?.into_owned(),
        url: line.target?.into_owned(),
        client: Some(line.client),
        headers: host.into_iter().map(|host| ("host".to_owned(), host)).collect(),
        tenant: line.tenant.map(Cow::into_owned),
    })
}

/// `client - tenant [time] "METHOD target VERSION" ...`
fn combined(line: &str, host: Option<&str>) -> Option<Asked> {
    let (client, rest) = line.split_once(' ')?;
    let client = client.parse().ok()?;
    let (before, rest) = rest.split_once(" [")?;
    let (_, tenant) = before.split_once(' ')?;
    let (_, rest) = rest.split_once("] \"")?;
    let (request, _) = rest.split_once('"')?;
    let request = unescape(request)?;
    let mut words = request.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || !version.starts_with("HTTP/") {
        return None;
    }
    Some(Asked {
        method: method.to_owned(),
        url: target.to_owned(),
        client: Some(client),
        headers: host.into_iter().map(|host| ("host".to_owned(), host.to_owned())).collect(),
        tenant: Some(unescape(tenant)?).filter(|tenant| tenant != "-"),
    })
}

/// Undoes `\xHH`, and the two escapes of Apache that can stand in a request line.
fn unescape(text: &str) -> Option<String> {
    if !text.contains('\\') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        match (first, after) {
            (b'\\', [b'x', high, low, tail @ ..]) => {
                let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|it| u8::try_from(it).ok());
                bytes.push(digit(*high)? << 4 | digit(*low)?);
                rest = tail;
            }
            (b'\\', [escaped @ (b'\\' | b'"'), tail @ ..]) => {
                bytes.push(*escaped);
                rest = tail;
            }
            (b'\\', _) => return None,
            (byte, tail) => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_json_format() {
        let line = r#"{"time":"2026-11-26T02:00:00.000Z","client":"10.0.0.9","method":"GET","target":"/a?x=\"1\"",
            "version":"HTTP/1.1","host":"api.test:80","status":200,"cause":"ok","phase":"done","tenant":"one"}"#;
        let asked = read(line, Some("ignored.test")).unwrap();
        assert_eq!((asked.method.as_str(), asked.url.as_str()), ("GET", "/a?x=\"1\""));
        assert_eq!(asked.client, Some("10.0.0.9".parse().unwrap()));
        assert_eq!(asked.headers, [("host".to_owned(), "api.test:80".to_owned())]);
        assert_eq!(asked.tenant.as_deref(), Some("one"));
        assert!(read(r#"{"client":"10.0.0.9","status":0,"cause":"tcp"}"#, None).is_none(), "a TCP session");
    }

    #[test]
    fn reads_the_combined_format() {
        let line =
            r#"::1 - one [26/Nov/2026:02:00:00 +0000] "POST /a\x22b HTTP/2.0" 200 12 "-" "curl/8 \x22x\x22""#;
        let asked = read(line, Some("api.test")).unwrap();
        assert_eq!((asked.method.as_str(), asked.url.as_str()), ("POST", "/a\"b"));
        assert_eq!(asked.tenant.as_deref(), Some("one"));
        assert_eq!(asked.headers, [("host".to_owned(), "api.test".to_owned())]);
        let nobody = line.replace(" one ", " - ");
        assert_eq!(read(&nobody, None).unwrap().tenant, None);
    }

    #[test]
    fn what_is_no_request_is_none() {
        for line in [
            "",
            "nonsense",
            "{}",
            "{\"client\":1}",
            "x - - [t] \"GET / HTTP/1.1\" 200",
            "10.0.0.1 - - [t] \"-\" 400 0 \"-\" \"-\"",
            "10.0.0.1 - - [t] \"GET /a b HTTP/1.1\" 400 0",
            "10.0.0.1 - - [t] \"GET /a\\xZZ HTTP/1.1\" 400 0",
            "10.0.0.1 - - [t] \"GET /a\\",
        ] {
            assert!(read(line, None).is_none(), "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_it_panic(line in ".{0,200}", escaped in r#"[\\x0-9a-f" \[\]-]{0,60}"#) {
            read(&line, None);
            read(&format!("10.0.0.1 - - [t] \"{escaped}"), None);
        }
    }
}
