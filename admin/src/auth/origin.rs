//! Cookies, and where a browser's request comes from.
//!
//! A change that is authenticated by a cookie needs two things that another site's page cannot have: the session's CSRF
//! token in a header, and an Origin that is ours. The cookie is `SameSite=Strict` besides.

use axum::http::{HeaderMap, Method, Uri, header};

use super::COOKIE;
use crate::app::Client;
use crate::settings::Settings;

/// The header with the session's CSRF token.
pub const CSRF_HEADER: &str = "x-csrf-token";

/// Whether a browser keeps the cookie for TLS alone.
pub fn secure(settings: &Settings, client: Client) -> bool {
    client.tls || settings.public_url.as_ref().is_some_and(|url| url.starts_with("https://"))
}

/// The cookie's name. With `__Host-` a browser takes it from this host alone, over TLS alone.
fn name(secure: bool) -> String {
    if secure { format!("__Host-{COOKIE}") } else { COOKIE.to_owned() }
}

/// The session's id in the request's cookies.
pub fn session_id(headers: &HeaderMap, secure: bool) -> Option<&str> {
    let wanted = name(secure);
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == wanted).then_some(value))
}

/// A `set-cookie` that makes the browser keep a session for so long, or forget it (0).
pub fn set_cookie(id: &str, secure: bool, max_age_seconds: i64) -> String {
    let name = name(secure);
    let flag = if secure { "; Secure" } else { "" };
    format!("{name}={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age_seconds}{flag}")
}

/// Whether a method only reads (RFC 9110 9.2.1).
pub fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether a request comes from our own pages, as far as its browser says where from. Programs say nothing.
pub fn is_ours(settings: &Settings, headers: &HeaderMap, uri: &Uri) -> bool {
    let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    if let Some(origin) = text(header::ORIGIN) {
        if let Some(public) = &settings.public_url {
            return origin.eq_ignore_ascii_case(public);
        }
        let host = uri.authority().map(|authority| authority.as_str()).or_else(|| text(header::HOST));
        let origin = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        return matches!((origin, host), (Some(origin), Some(host)) if origin.eq_ignore_ascii_case(host));
    }
    match text(header::HeaderName::from_static("sec-fetch-site")) {
        Some(site) => site == "same-origin" || site == "none",
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn ours(public_url: Option<&str>, pairs: &[(&'static str, &'static str)]) -> bool {
        let settings = Settings { public_url: public_url.map(str::to_owned), ..Settings::for_tests() };
        is_ours(&settings, &headers(pairs), &Uri::from_static("/api/v1/login"))
    }

    #[test]
    fn an_origin_must_be_the_host_that_was_asked() {
        assert!(ours(None, &[("host", "a:1"), ("origin", "http://a:1")]));
        assert!(!ours(None, &[("host", "a:1"), ("origin", "http://a:2")]));
        assert!(!ours(None, &[("host", "a:1"), ("origin", "http://a:1.evil.example")]));
        assert!(!ours(None, &[("host", "a:1"), ("origin", "null")]));
        assert!(!ours(None, &[("origin", "http://a:1")]));
    }

    #[test]
    fn with_a_public_url_the_origin_must_be_it() {
        let public = Some("https://admin.example.com");
        assert!(ours(public, &[("host", "10.0.0.1"), ("origin", "https://admin.example.com")]));
        assert!(!ours(public, &[("host", "10.0.0.1"), ("origin", "http://10.0.0.1")]));
        assert!(!ours(public, &[("host", "x"), ("origin", "http://admin.example.com")]));
    }

    #[test]
    fn without_an_origin_the_browser_may_say_otherwise_and_programs_say_nothing() {
        assert!(!ours(None, &[("host", "a"), ("sec-fetch-site", "cross-site")]));
        assert!(!ours(None, &[("host", "a"), ("sec-fetch-site", "same-site")]));
        assert!(ours(None, &[("host", "a"), ("sec-fetch-site", "same-origin")]));
        assert!(ours(None, &[("host", "a")]));
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let all = headers(&[("cookie", "x=1; coregate_session=abc; __Host-coregate_session=def")]);
        assert_eq!(session_id(&all, false), Some("abc"));
        assert_eq!(session_id(&all, true), Some("def"));
        assert_eq!(session_id(&headers(&[("cookie", "coregate_session")]), false), None);
        assert!(set_cookie("abc", true, 60).starts_with("__Host-coregate_session=abc; Path=/; HttpOnly"));
    }
}
