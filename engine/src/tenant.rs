//! Stage *tenant*: which tenant a request comes from.
//!
//! Input: the Authorization fields of a request and the time. Output: the index of a [`Tenant`], or a [`Refusal`] that
//! says what to tell. Two ways to present credentials: HTTP Basic (RFC 7617), and a Bearer token (RFC 6750) that the
//! token endpoint ([`endpoint`]) has issued for the same secret.
//!
//! Invariants: a set of tenants never changes once compiled, and is `Send + Sync`. Of a secret only its SHA-256 is
//! kept. Whoever guesses learns nothing from the time that an answer takes: secrets and signatures are compared in
//! constant time, and an unknown id costs the same work as a wrong secret and is told the same. Every input is bounded
//! ([`CREDENTIALS_BYTES_MAX`]); nothing is allocated for credentials that are well formed.
//!
//! The key that signs a tenant's tokens is derived from the hash of its secret, so all engines with the same
//! configuration accept each other's tokens, and a changed secret revokes those that it was used for. It follows that
//! a stored hash is as good as the secret for making tokens: keep it as private.
//!
//! Units: time is whole seconds since 1970. Owner: the configuration snapshot.

mod credentials;
pub mod endpoint;
mod token;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use coregate_config::checked;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use self::credentials::{Basic, Presented};
use crate::access::IpSet;

/// Bytes of an Authorization field's credentials, after the scheme. A token of ours has less than 300; the longest
/// secret that can be configured makes 1452.
pub const CREDENTIALS_BYTES_MAX: usize = 4 << 10;

/// Who may call.
#[derive(Debug, Default)]
pub struct Tenants {
    tenants: Box<[Tenant]>,
    by_id: HashMap<Arc<str>, usize>,
    /// What unknown ids are compared with.
    nobody: Keys,
}

/// A caller that presents credentials.
#[derive(Debug)]
pub struct Tenant {
    /// Its unique id.
    pub app_id: Arc<str>,
    /// Where it may call from; empty = from everywhere.
    pub allow: IpSet,
    /// Off tenants are refused.
    pub enabled: bool,
    keys: Keys,
}

/// What credentials are checked with.
#[derive(Default)]
struct Keys {
    secret_sha256: [u8; 32],
    signing: token::Key,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("Keys(***)")
    }
}

/// Why a request is from no tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It presents no credentials.
    Missing,
    /// It uses neither Basic nor Bearer.
    Scheme,
    /// Its credentials cannot be read; what is wrong with them.
    Malformed(&'static str),
    /// There is no such tenant, or the secret or signature is not its own; which of these is not told.
    UnknownOrWrong,
    /// The token was valid once.
    Expired,
    /// The token will be valid later, or the clock was set back.
    NotYetValid,
    /// The credentials are right, but the tenant is switched off.
    Disabled,
}

impl Tenants {
    /// All tenants of a configuration, in its order.
    pub fn compile(configured: &[checked::Tenant]) -> Tenants {
        let tenants: Box<[Tenant]> = configured.iter().map(Tenant::compile).collect();
        let by_id =
            tenants.iter().enumerate().map(|(index, tenant)| (tenant.app_id.clone(), index)).collect();
        Tenants { tenants, by_id, nobody: Keys::default() }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tenants.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.tenants.len()
    }

    /// One of them.
    pub fn get(&self, index: usize) -> Option<&Tenant> {
        self.tenants.get(index)
    }

    /// All of them, in the configuration's order.
    pub fn iter(&self) -> std::slice::Iter<'_, Tenant> {
        self.tenants.iter()
    }

    /// The index of the tenant with this id.
    pub fn index_of(&self, app_id: &str) -> Option<usize> {
        self.by_id.get(app_id).copied()
    }

    /// Which tenant the credentials in a request's Authorization fields belong to.
    pub fn identify<'a>(
        &self,
        authorization: impl IntoIterator<Item = &'a [u8]>,
        now_unix_seconds: u64,
    ) -> Result<usize, Refusal> {
        let mut fields = authorization.into_iter();
        let field = fields.next().ok_or(Refusal::Missing)?;
        if fields.next().is_some() {
            return Err(Refusal::Malformed("there is more than one Authorization field"));
        }
        let index = match Presented::parse(field)? {
            Presented::Basic(encoded) => {
                let basic = Basic::decode(encoded)?;
                self.with_secret(basic.id(), basic.secret()).ok_or(Refusal::UnknownOrWrong)?
            }
            Presented::Bearer(token) => self.with_token(token, now_unix_seconds)?,
        };
        match self.tenants.get(index) {
            Some(tenant) if tenant.enabled => Ok(index),
            _ => Err(Refusal::Disabled),
        }
    }

    /// The tenant with this id and secret, enabled or not.
    fn with_secret(&self, app_id: &str, secret: &[u8]) -> Option<usize> {
        let index = self.index_of(app_id);
        let right = self.keys(index).secret_sha256.ct_eq(&Sha256::digest(secret));
        index.filter(|_| right.into())
    }

    /// The tenant that a token was issued to, enabled or not.
    fn with_token(&self, token: &[u8], now: u64) -> Result<usize, Refusal> {
        let token = token::Token::decode(token)?;
        let claims = token.claims()?;
        let index = self.index_of(&claims.sub);
        let signed = token.is_signed_with(&self.keys(index).signing);
        let index = index.filter(|_| signed).ok_or(Refusal::UnknownOrWrong)?;
        claims.check(now)?;
        Ok(index)
    }

    fn keys(&self, index: Option<usize>) -> &Keys {
        index.and_then(|index| self.tenants.get(index)).map_or(&self.nobody, |tenant| &tenant.keys)
    }
}

impl Tenant {
    fn compile(tenant: &checked::Tenant) -> Tenant {
        let secret_sha256 = tenant.secret.0;
        Tenant {
            app_id: tenant.app_id.clone(),
            allow: IpSet::build(&tenant.allow),
            enabled: tenant.enabled,
            keys: Keys { secret_sha256, signing: token::Key::derive(&secret_sha256) },
        }
    }
}

/// The Basic challenge (RFC 7617, section 2).
const BASIC_CHALLENGE: &str = r#"Basic realm="coregate", charset="UTF-8""#;

impl Refusal {
    /// `error.code` of the answer, whose status is 401.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing | Self::Scheme => "tenant_required",
            Self::Malformed(_)
            | Self::UnknownOrWrong
            | Self::Expired
            | Self::NotYetValid
            | Self::Disabled => "invalid_token",
        }
    }

    /// `error.message` of the answer.
    pub fn message(&self) -> &'static str {
        match self {
            Self::Missing => {
                "this service is for tenants: send Authorization: Basic, or Bearer with a token from /oauth/token"
            }
            Self::Scheme => "the Authorization field must say Basic or Bearer",
            Self::Malformed(what) => what,
            Self::UnknownOrWrong => "the tenant is unknown, or its secret or token is wrong",
            Self::Expired => "the token has expired: get a new one from /oauth/token",
            Self::NotYetValid => "the token is not valid yet: compare the clocks",
            Self::Disabled => "this tenant is disabled",
        }
    }

    /// The WWW-Authenticate field's value: both challenges, in one list (RFC 9110, section 11.6.1). What was wrong
    /// stands there only if credentials were presented (RFC 6750, section 3.1).
    pub fn www_authenticate(&self) -> String {
        match self {
            Self::Missing | Self::Scheme => format!(r#"Bearer realm="coregate", {BASIC_CHALLENGE}"#),
            Self::Malformed(_)
            | Self::UnknownOrWrong
            | Self::Expired
            | Self::NotYetValid
            | Self::Disabled => format!(
                r#"Bearer realm="coregate", error="invalid_token", error_description="{}", {BASIC_CHALLENGE}"#,
                self.message()
            ),
        }
    }
}
