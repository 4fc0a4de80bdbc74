//! The token endpoint, `POST /oauth/token`: the client credentials grant of OAuth 2.0 (RFC 6749, section 4.4).
//!
//! Input: a whole request, its body included, and the time. Output: a [`TokenAnswer`], whole too. A pure function; who
//! calls it bounds the body to [`BODY_BYTES_MAX`]. Errors: an answer as of section 5.2, whose description says what
//! would be right. Units: seconds since 1970.
//!
//! A client authenticates by Basic or by `client_id` and `client_secret` in the body (section 2.3.1), not by both. That
//! section wants id and secret form-encoded before they go into Basic; most clients do not do it, so both readings of a
//! secret are tried. A requested scope is ignored, as section 3.3 allows: a token is good for all that its tenant may do.

use std::borrow::Cow;

use super::credentials::{Basic, Presented};
use super::{BASIC_CHALLENGE, Refusal, Tenants, token};

/// Where it is.
pub const PATH: &str = "/oauth/token";

/// Most bytes of a body that is looked at.
pub const BODY_BYTES_MAX: usize = 8 << 10;

/// A request to the endpoint.
#[derive(Debug, Clone, Copy)]
pub struct TokenRequest<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its Content-Type field.
    pub content_type: Option<&'a [u8]>,
    /// All its Authorization fields.
    pub authorization: &'a [&'a [u8]],
    /// Its body, at most [`BODY_BYTES_MAX`].
    pub body: &'a [u8],
}

/// What it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenAnswer {
    /// Status.
    pub status: u16,
    /// Fields beyond those that any answer has: Content-Type, Cache-Control and what the status calls for.
    pub fields: Vec<(&'static str, &'static str)>,
    /// JSON.
    pub body: String,
}

/// Answers a request to the endpoint.
pub fn answer(tenants: &Tenants, request: &TokenRequest, now_unix_seconds: u64) -> TokenAnswer {
    if request.method != "POST" {
        return TokenAnswer::error(405, "invalid_request", "the method must be POST").with("allow", "POST");
    }
    if request.body.len() > BODY_BYTES_MAX {
        return too_large();
    }
    match grant(tenants, request, now_unix_seconds) {
        Ok(token) => TokenAnswer::new(
            200,
            format!(
                r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{}}}"#,
                token::LIFETIME_SECONDS
            ),
        ),
        Err(Denied { status: status @ 401, error, description }) => {
            TokenAnswer::error(status, error, description).with("www-authenticate", BASIC_CHALLENGE)
        }
        Err(Denied { status, error, description }) => TokenAnswer::error(status, error, description),
    }
}

/// The answer to a request whose body is longer than [`BODY_BYTES_MAX`].
pub fn too_large() -> TokenAnswer {
    TokenAnswer::error(413, "invalid_request", "the body must have at most 8192 bytes")
}

impl TokenAnswer {
    fn new(status: u16, body: String) -> Self {
        // Section 5.1: a token must not be kept by any cache.
        let fields =
            vec![("content-type", "application/json"), ("cache-control", "no-store"), ("pragma", "no-cache")];
        Self { status, fields, body }
    }

    /// Neither text needs escapes.
    fn error(status: u16, error: &str, description: &str) -> Self {
        Self::new(status, format!(r#"{{"error":"{error}","error_description":"{description}"}}"#))
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.fields.push((name, value));
        self
    }
}

/// Why no token is issued (section 5.2).
#[derive(Debug)]
struct Denied {
    status: u16,
    error: &'static str,
    description: &'static str,
}

fn invalid_request(description: &'static str) -> Denied {
    Denied { status: 400, error: "invalid_request", description }
}

fn invalid_client(description: &'static str) -> Denied {
    Denied { status: 401, error: "invalid_client", description }
}

fn grant(tenants: &Tenants, request: &TokenRequest, now: u64) -> Result<String, Denied> {
    check_content_type(request.content_type)?;
    let form = Form::parse(request.body)?;
    match form.grant_type.as_deref() {
        None => return Err(invalid_request("grant_type is missing; it must be client_credentials")),
        Some("client_credentials") => {}
        Some(_) => {
            let description = "grant_type must be client_credentials";
            return Err(Denied { status: 400, error: "unsupported_grant_type", description });
        }
    }
    let index = match request.authorization {
        [] => by_form(tenants, &form),
        [field] => by_basic(tenants, field, &form),
        [_, _, ..] => Err(invalid_request("there is more than one Authorization field")),
    }?;
    match tenants.get(index) {
        Some(tenant) if tenant.enabled => Ok(token::issue(tenant, now)),
        _ => Err(invalid_client(Refusal::Disabled.message())),
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

fn check_content_type(field: Option<&[u8]>) -> Result<(), Denied> {
    let Some(field) = field else {
        return Err(invalid_request("Content-Type is missing; it must be application/x-www-form-urlencoded"));
    };
    let essence = field.split(|&byte| byte == b';').next().unwrap_or_default();
    if essence.trim_ascii().eq_ignore_ascii_case(FORM.as_bytes()) {
        return Ok(());
    }
    let description = "Content-Type must be application/x-www-form-urlencoded";
    Err(Denied { status: 415, error: "invalid_request", description })
}

/// The parameters that are known here; others are ignored (section 3.2). One without a value counts as left out.
#[derive(Debug, Default)]
struct Form<'a> {
    grant_type: Option<Cow<'a, str>>,
    client_id: Option<Cow<'a, str>>,
    client_secret: Option<Cow<'a, str>>,
}

impl<'a> Form<'a> {
    fn parse(body: &'a [u8]) -> Result<Self, Denied> {
        let mut form = Self::default();
        for (name, value) in form_urlencoded::parse(body).filter(|(_, value)| !value.is_empty()) {
            let (place, twice) = match &*name {
                "grant_type" => (&mut form.grant_type, "grant_type is given more than once"),
                "client_id" => (&mut form.client_id, "client_id is given more than once"),
                "client_secret" => (&mut form.client_secret, "client_secret is given more than once"),
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(invalid_request(twice));
            }
        }
        Ok(form)
    }
}

fn by_form(tenants: &Tenants, form: &Form) -> Result<usize, Denied> {
    let Some(id) = &form.client_id else {
        return Err(invalid_client("send client_id and client_secret, by Basic or in the body"));
    };
    let Some(secret) = &form.client_secret else {
        return Err(invalid_client("client_secret is missing"));
    };
    tenants.with_secret(id, secret.as_bytes()).ok_or(invalid_client(WRONG))
}

const WRONG: &str = "the client is unknown or its secret is wrong";

fn by_basic(tenants: &Tenants, field: &[u8], form: &Form) -> Result<usize, Denied> {
    let basic = match Presented::parse(field) {
        Ok(Presented::Basic(encoded)) => Basic::decode(encoded),
        Ok(Presented::Bearer(_)) => Err(Refusal::Scheme),
        Err(refusal) => Err(refusal),
    };
    let basic = basic.map_err(|refusal| match refusal {
        Refusal::Malformed(what) => invalid_client(what),
        _ => invalid_client("the Authorization field must say Basic"),
    })?;
    if form.client_secret.is_some() {
        return Err(invalid_request("client_secret must not be sent twice, by Basic and in the body"));
    }
    if form.client_id.as_ref().is_some_and(|id| id != basic.id()) {
        return Err(invalid_request("client_id is not that of the Authorization field"));
    }
    // An id consists of characters that the form's encoding leaves as they are.
    let as_it_is = tenants.with_secret(basic.id(), basic.secret());
    let decoded = form_decoded(basic.secret());
    let decoded = decoded.and_then(|secret| tenants.with_secret(basic.id(), secret.as_bytes()));
    as_it_is.or(decoded).ok_or(invalid_client(WRONG))
}

/// A form-encoded text, if it is one that differs from what it says.
fn form_decoded(text: &[u8]) -> Option<String> {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) || text.contains(&b'&') {
        return None;
    }
    // As the value of the only parameter of a form.
    let form = [b"=", text].concat();
    form_urlencoded::parse(&form).next().map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{NOW, basic, tenants};
    use super::*;

    fn post<'a>(authorization: &'a [&'a [u8]], body: &'a str) -> TokenRequest<'a> {
        let content_type = Some(&b"application/x-www-form-urlencoded"[..]);
        TokenRequest { method: "POST", content_type, authorization, body: body.as_bytes() }
    }

    fn json(answer: &TokenAnswer) -> serde_json::Value {
        for field in [("content-type", "application/json"), ("cache-control", "no-store")] {
            assert!(answer.fields.contains(&field), "{answer:?}");
        }
        serde_json::from_str(&answer.body).unwrap()
    }

    /// Which tenant the token of an answer identifies.
    fn granted(answer: &TokenAnswer) -> usize {
        let json = json(answer);
        assert_eq!((answer.status, json["token_type"].as_str()), (200, Some("Bearer")), "{answer:?}");
        assert_eq!(json["expires_in"], 3600);
        let field = format!("Bearer {}", json["access_token"].as_str().unwrap());
        tenants().identify([field.as_bytes()], NOW + 3599).unwrap()
    }

    /// Status, error and description.
    fn denied(request: &TokenRequest) -> (u16, String, String) {
        let answer = answer(&tenants(), request, NOW);
        let json = json(&answer);
        let challenged = answer.fields.iter().any(|&(name, value)| {
            name == "www-authenticate" && value.starts_with("Basic realm=") && answer.status == 401
        });
        assert_eq!(challenged, json["error"] == "invalid_client", "{answer:?}");
        assert!(json.get("access_token").is_none());
        let text = |key: &str| json[key].as_str().unwrap().to_owned();
        (answer.status, text("error"), text("error_description"))
    }

    const GRANT: &str = "grant_type=client_credentials";

    #[test]
    fn tokens_are_granted_to_basic_and_to_the_form() {
        let tenants = tenants();
        let plain = basic("one", "first:secret \u{e4}");
        assert_eq!(granted(&answer(&tenants, &post(&[plain.as_bytes()], GRANT), NOW)), 0);
        let encoded = basic("one", "first%3Asecret+%C3%A4");
        assert_eq!(granted(&answer(&tenants, &post(&[encoded.as_bytes()], GRANT), NOW)), 0);
        // A secret that looks encoded is taken as it is too.
        let looks_encoded = basic("two", "second+1%2B");
        assert_eq!(granted(&answer(&tenants, &post(&[looks_encoded.as_bytes()], GRANT), NOW)), 1);
        let encoded = basic("two", "second%2B1%252B");
        assert_eq!(granted(&answer(&tenants, &post(&[encoded.as_bytes()], GRANT), NOW)), 1);
        for body in [
            "grant_type=client_credentials&client_id=one&client_secret=first%3Asecret+%C3%A4",
            "client_secret=first:secret%20%c3%a4&client_id=one&&x=1&x=2&grant_type=client_credentials&scope=a+b",
            "grant%5ftype=client_credentials&client_id=one&client_secret=first:secret \u{e4}&client_secret=",
        ] {
            assert_eq!(granted(&answer(&tenants, &post(&[], body), NOW)), 0, "{body}");
        }
        let with_id = format!("{GRANT}&client_id=one");
        assert_eq!(granted(&answer(&tenants, &post(&[plain.as_bytes()], &with_id), NOW)), 0);
        let charset = Some(&b"Application/X-WWW-Form-URLEncoded ; charset=UTF-8"[..]);
        let fields = [plain.as_bytes()];
        let request = TokenRequest { content_type: charset, ..post(&fields, GRANT) };
        assert_eq!(granted(&answer(&tenants, &request, NOW)), 0);
    }

    #[test]
    fn wrong_credentials_are_challenged() {
        let unknown = (401, "invalid_client".to_owned(), WRONG.to_owned());
        for (id, secret) in [("one", "x"), ("nobody", "x"), ("one", ""), ("off", "x"), ("two", "second+1+")] {
            assert_eq!(denied(&post(&[basic(id, secret).as_bytes()], GRANT)), unknown, "{id} {secret}");
        }
        for rest in ["client_id=one&client_secret=x", "client_id=nobody&client_secret=x"] {
            assert_eq!(denied(&post(&[], &format!("{GRANT}&{rest}"))), unknown, "{rest}");
        }
        for (rest, what) in [
            ("", "send client_id and client_secret"),
            ("client_id=&client_secret=", "send client_id"),
            ("client_secret=x", "send client_id"),
            ("client_id=one", "client_secret is missing"),
            ("client_id=one&client_secret=", "client_secret is missing"),
            ("client_id=off&client_secret=third", "this tenant is disabled"),
        ] {
            let (status, error, description) = denied(&post(&[], &format!("{GRANT}&{rest}")));
            assert_eq!((status, &*error), (401, "invalid_client"), "{rest}");
            assert!(description.contains(what), "{rest}: {description}");
        }
        for (field, what) in [
            ("Bearer x.y.z", "must say Basic"),
            ("Digest x", "must say Basic"),
            ("Basic !", "not base64"),
            ("Basic", "no credentials"),
        ] {
            let (status, _, description) = denied(&post(&[field.as_bytes()], GRANT));
            assert!(status == 401 && description.contains(what), "{field}: {description}");
        }
    }

    #[test]
    fn requests_that_are_not_as_they_must_be_are_told_so() {
        let one = basic("one", "first:secret \u{e4}");
        let one = [one.as_bytes()];
        for (body, error, what) in [
            ("", "invalid_request", "grant_type is missing"),
            ("grant_type=", "invalid_request", "grant_type is missing"),
            ("grant_type=password", "unsupported_grant_type", "must be client_credentials"),
            (
                "grant_type=client_credentials&grant_type=client_credentials",
                "invalid_request",
                "more than once",
            ),
            ("grant_type=client_credentials&client_secret=x", "invalid_request", "sent twice"),
            ("grant_type=client_credentials&client_id=two", "invalid_request", "not that of the Auth"),
            ("grant_type=client_credentials&client_id=a&client_id=a", "invalid_request", "more than once"),
            (r#"{"grant_type":"client_credentials"}"#, "invalid_request", "grant_type is missing"),
        ] {
            let (status, told, description) = denied(&post(&one, body));
            assert_eq!((status, &*told), (400, error), "{body}");
            assert!(description.contains(what), "{body}: {description}");
        }
        let twice = [one[0], one[0]];
        assert_eq!(denied(&post(&twice, GRANT)).1, "invalid_request");
        for (content_type, status) in
            [(None, 400), (Some("application/json"), 415), (Some(""), 415), (Some("text/plain;a=b"), 415)]
        {
            let content_type = content_type.map(str::as_bytes);
            let told = denied(&TokenRequest { content_type, ..post(&one, GRANT) });
            assert_eq!((told.0, &*told.1), (status, "invalid_request"));
            assert!(told.2.contains(FORM), "{told:?}");
        }
    }

    #[test]
    fn other_methods_are_told_which_is_right() {
        for method in ["GET", "HEAD", "PUT", "OPTIONS", "post"] {
            let answer = answer(&tenants(), &TokenRequest { method, ..post(&[], GRANT) }, NOW);
            assert_eq!(answer.status, 405);
            assert!(answer.fields.contains(&("allow", "POST")));
            assert_eq!(json(&answer)["error"], "invalid_request");
        }
    }

    #[test]
    fn a_body_is_bounded() {
        let one = basic("one", "first:secret \u{e4}");
        let padded = |len: usize| format!("{GRANT}&x={}", "x".repeat(len - GRANT.len() - 3));
        assert_eq!(granted(&answer(&tenants(), &post(&[one.as_bytes()], &padded(BODY_BYTES_MAX)), NOW)), 0);
        assert_eq!(denied(&post(&[one.as_bytes()], &padded(BODY_BYTES_MAX + 1))).0, 413);
        assert_eq!(json(&too_large())["error"], "invalid_request");
    }

    proptest! {
        #[test]
        fn any_request_has_an_answer(
            method in "POST|GET|[A-Z]{0,8}",
            content_type in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)),
            authorization in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..3),
            body in proptest::collection::vec(any::<u8>(), 0..100),
            form in any::<bool>(),
        ) {
            let fields: Vec<&[u8]> = authorization.iter().map(Vec::as_slice).collect();
            let content_type = if form { Some(FORM.as_bytes()) } else { content_type.as_deref() };
            let request = TokenRequest { method: &method, content_type, authorization: &fields, body: &body };
            let answer = answer(&tenants(), &request, NOW);
            prop_assert!(answer.status >= 400);
            let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
            prop_assert!(json["error"].is_string() && json["error_description"].is_string());
        }
    }
}
