//! Access tokens: JSON Web Tokens (RFC 7519) in JWS compact form (RFC 7515), signed by HMAC-SHA256 and nothing else.
//!
//! Input: a token's bytes, or whom to issue one to and when. Output: its [`Claims`], which are to be believed only
//! after [`Token::is_signed_with`] and [`Claims::check`]; or a new token.
//!
//! Invariants: the algorithm is ours to choose, not the token's, so `alg` must be HS256; a token has one spelling only
//! (base64 is canonical, JSON names are not repeated); extensions that must be understood (`crit`) and audiences (`aud`)
//! are refused, since none are known here. Errors: a [`Refusal`]. Units: seconds since 1970, fractions allowed
//! (RFC 7519, section 2, NumericDate).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::de::{Deserialize, Deserializer, IgnoredAny};
use sha2::Sha256;

use super::credentials::Decoded;
use super::{Refusal, Tenant};

/// How long a token is valid.
pub(super) const LIFETIME_SECONDS: u64 = 3600;
/// How far the clocks of engines may be apart.
pub(super) const LEEWAY_SECONDS: u64 = 5;
/// Who issues tokens, and whose are accepted.
const ISSUER: &str = "coregate";
/// Sets the signing key apart from whatever else may once be derived from a secret. Changing it revokes all tokens.
const KEY_LABEL: &[u8] = b"coregate access token HS256 v1";
/// The header of our tokens, `{"alg":"HS256","typ":"JWT"}`.
const OWN_HEADER: &[u8] = b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

/// What a tenant's tokens are signed with.
#[derive(Default)]
pub(super) struct Key([u8; 32]);

impl Key {
    /// From the hash of the tenant's secret.
    pub(super) fn derive(secret_sha256: &[u8; 32]) -> Key {
        Key(hmac(secret_sha256, KEY_LABEL).finalize().into_bytes().into())
    }
}

#[expect(clippy::expect_used, reason = "a key of HMAC may have any length")]
fn hmac(key: &[u8; 32], message: &[u8]) -> Hmac<Sha256> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    hmac.update(message);
    hmac
}

/// Issues a token to a tenant.
pub(super) fn issue(tenant: &Tenant, now: u64) -> String {
    let (app_id, expires) = (&tenant.app_id, now.saturating_add(LIFETIME_SECONDS));
    // An id needs no escapes: it consists of letters, digits and _.- alone.
    let claims = format!(r#"{{"iss":"{ISSUER}","sub":"{app_id}","iat":{now},"exp":{expires}}}"#);
    let mut token = String::from_utf8_lossy(OWN_HEADER).into_owned();
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = hmac(&tenant.keys.signing.0, token.as_bytes()).finalize().into_bytes();
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    token
}

/// A token that is well formed; by whom it was made is not known yet.
pub(super) struct Token<'a> {
    signed: &'a [u8],
    claims: Decoded,
    signature: [u8; 32],
}

impl<'a> Token<'a> {
    pub(super) fn decode(token: &'a [u8]) -> Result<Self, Refusal> {
        let three_parts = || {
            let signature = token.iter().rposition(|&byte| byte == b'.')?;
            let (signed, signature) = token.split_at_checked(signature)?;
            let claims = signed.iter().position(|&byte| byte == b'.')?;
            let (header, claims) = signed.split_at_checked(claims)?;
            Some((signed, header, claims.get(1..)?, signature.get(1..)?))
        };
        let (signed, header, claims, signature) =
            three_parts().ok_or(Refusal::Malformed("the token does not have three parts"))?;
        check_header(header)?;
        let claims = Decoded::new(claims, &URL_SAFE_NO_PAD)
            .ok_or(Refusal::Malformed("the token's claims are not base64url"))?;
        let signature = Decoded::new(signature, &URL_SAFE_NO_PAD)
            .and_then(|signature| signature.bytes().try_into().ok())
            .ok_or(Refusal::Malformed("the token's signature is not that of HS256"))?;
        Ok(Token { signed, claims, signature })
    }

    /// What it says. Not to be believed yet.
    pub(super) fn claims(&self) -> Result<Claims<'_>, Refusal> {
        let wrong = "the token's claims are not JSON with sub, iss and exp";
        serde_json::from_slice(self.claims.bytes()).map_err(|_| Refusal::Malformed(wrong))
    }

    /// Whether it was made with this key. Takes the same time for any signature.
    pub(super) fn is_signed_with(&self, key: &Key) -> bool {
        hmac(&key.0, self.signed).verify_slice(&self.signature).is_ok()
    }
}

fn check_header(encoded: &[u8]) -> Result<(), Refusal> {
    if encoded == OWN_HEADER {
        return Ok(());
    }
    #[derive(serde::Deserialize)]
    struct Header<'a> {
        #[serde(borrow)]
        alg: Cow<'a, str>,
        #[serde(default, deserialize_with = "is_there")]
        crit: bool,
    }
    let decoded = Decoded::new(encoded, &URL_SAFE_NO_PAD)
        .ok_or(Refusal::Malformed("the token's header is not base64url"))?;
    let header: Header = serde_json::from_slice(decoded.bytes())
        .map_err(|_| Refusal::Malformed("the token's header is not JSON with alg"))?;
    if header.alg != "HS256" {
        return Err(Refusal::Malformed("the token's alg is not HS256"));
    }
    if header.crit {
        return Err(Refusal::Malformed("the token asks for extensions (crit) that are not known here"));
    }
    Ok(())
}

/// Whatever it is, it is there.
fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// What a token says.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Claims<'a> {
    /// The tenant.
    #[serde(borrow)]
    pub(super) sub: Cow<'a, str>,
    #[serde(borrow)]
    iss: Cow<'a, str>,
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    iat: Option<f64>,
    #[serde(default, deserialize_with = "is_there")]
    aud: bool,
}

impl Claims<'_> {
    /// Whether it is for us and for now.
    #[expect(clippy::cast_precision_loss, reason = "seconds are precise for 285 million years")]
    pub(super) fn check(&self, now: u64) -> Result<(), Refusal> {
        if self.iss != ISSUER {
            return Err(Refusal::Malformed("the token was not issued by this gateway (iss)"));
        }
        if self.aud {
            return Err(Refusal::Malformed("the token is for another audience (aud)"));
        }
        let leeway = LEEWAY_SECONDS as f64;
        if self.exp <= now as f64 - leeway {
            return Err(Refusal::Expired);
        }
        match [self.nbf, self.iat].iter().flatten().all(|&from| from <= now as f64 + leeway) {
            true => Ok(()),
            false => Err(Refusal::NotYetValid),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A key's bytes, for tests that sign by themselves.
    pub(in crate::tenant) fn bytes(key: &Key) -> [u8; 32] {
        key.0
    }

    /// RFC 7515, appendix A.1, is signed with a longer key than ours; so this one is RFC 4231's test case 1 of
    /// HMAC-SHA-256 with its key padded with the zeros that HMAC pads it with.
    #[test]
    fn the_signature_is_hmac_sha256() {
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let signature: [u8; 32] = hmac(&key, b"Hi There").finalize().into_bytes().into();
        assert_eq!(signature[..8], [0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53]);
        assert_eq!(signature[28..], [0x2e, 0x32, 0xcf, 0xf7]);
    }

    #[test]
    fn a_token_is_what_the_rfc_says() {
        assert_eq!(OWN_HEADER, URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#).as_bytes());
        assert!(check_header(OWN_HEADER).is_ok());
    }
}
