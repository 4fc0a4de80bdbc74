//! Where to, and what is asked: a URL and the bytes of the request.

use std::net::{SocketAddr, ToSocketAddrs};

/// One request, made once.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where to connect.
    pub address: SocketAddr,
    /// The whole request.
    pub request: Vec<u8>,
}

impl Target {
    /// A GET of an `http://host[:port][/path]`; a POST if there is a body.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn new(url: &str, headers: &[String], body_bytes: usize) -> Result<Self, String> {
        let rest = url.strip_prefix("http://").ok_or_else(|| format!("{url}: not an http:// URL"))?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let with_port = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        let address = with_port
            .to_socket_addrs()
            .map_err(|error| format!("{url}: {error}"))?
            .next()
            .ok_or_else(|| format!("{url}: the host has no address"))?;
        let method = if body_bytes > 0 { "POST" } else { "GET" };
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {authority}\r\n");
        for header in headers {
            if header.contains(['\r', '\n']) || !header.contains(':') {
                return Err(format!("{header:?}: a header is NAME: VALUE"));
            }
            head.push_str(header);
            head.push_str("\r\n");
        }
        if body_bytes > 0 {
            head.push_str(&format!("Content-Length: {body_bytes}\r\n"));
        }
        head.push_str("\r\n");
        let mut request = head.into_bytes();
        request.resize(request.len() + body_bytes, b'x');
        Ok(Self { address, request })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_become_requests() {
        let target = Target::new("http://127.0.0.1:81/a?b", &["X-A: 1".into()], 0).unwrap();
        assert_eq!(target.address, "127.0.0.1:81".parse().unwrap());
        assert_eq!(target.request, b"GET /a?b HTTP/1.1\r\nHost: 127.0.0.1:81\r\nX-A: 1\r\n\r\n");
        let target = Target::new("http://[::1]", &[], 2).unwrap();
        assert_eq!(target.address, "[::1]:80".parse().unwrap());
        assert_eq!(target.request, b"POST / HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 2\r\n\r\nxx");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (url, headers) in
            [("https://x/", vec![]), ("http://", vec![]), ("http://127.0.0.1/", vec!["x".to_owned()])]
        {
            assert!(Target::new(url, &headers, 0).is_err(), "{url}");
        }
    }
}
