//! An Authorization field's credentials (RFC 9110, section 11.6.2): which scheme, and what Basic says.
//!
//! Input: the field's value. Output: [`Presented`], [`Basic`]. Errors: a [`Refusal`] that names what is wrong, never
//! what was given.

use base64::Engine as _;
use base64::engine::general_purpose::GeneralPurpose;

use super::{CREDENTIALS_BYTES_MAX, Refusal};

/// Credentials as they stand in the field.
#[derive(Debug)]
pub(super) enum Presented<'a> {
    /// Base64 of `id:secret`.
    Basic(&'a [u8]),
    /// A token.
    Bearer(&'a [u8]),
}

impl<'a> Presented<'a> {
    pub(super) fn parse(field: &'a [u8]) -> Result<Self, Refusal> {
        let field = field.trim_ascii();
        let (scheme, rest) = match field.iter().position(|&byte| byte == b' ') {
            Some(space) => field.split_at(space),
            None => (field, &[][..]),
        };
        let credentials = rest.trim_ascii_start();
        let presented = if scheme.eq_ignore_ascii_case(b"Bearer") {
            Self::Bearer(credentials)
        } else if scheme.eq_ignore_ascii_case(b"Basic") {
            Self::Basic(credentials)
        } else {
            return Err(Refusal::Scheme);
        };
        match credentials.len() {
            0 => Err(Refusal::Malformed("the Authorization field holds no credentials")),
            1..=CREDENTIALS_BYTES_MAX => Ok(presented),
            _ => Err(Refusal::Malformed("the credentials are longer than 4096 bytes")),
        }
    }
}

/// Bytes that the longest credentials decode to, with what the decoder wants to have beyond.
const DECODED_BYTES_MAX: usize = CREDENTIALS_BYTES_MAX / 4 * 3 + 3;

/// Something decoded from base64, in place.
pub(super) struct Decoded {
    buffer: [u8; DECODED_BYTES_MAX],
    len: usize,
}

impl Decoded {
    /// `None` if it is not this kind of base64, in its one canonical spelling.
    pub(super) fn new(encoded: &[u8], base64: &GeneralPurpose) -> Option<Decoded> {
        let mut buffer = [0; DECODED_BYTES_MAX];
        let len = base64.decode_slice(encoded, &mut buffer).ok()?;
        Some(Decoded { buffer, len })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }
}

/// What Basic says (RFC 7617, section 2).
pub(super) struct Basic {
    decoded: Decoded,
    /// Where the colon stands.
    colon: usize,
}

impl Basic {
    pub(super) fn decode(encoded: &[u8]) -> Result<Basic, Refusal> {
        let decoded = Decoded::new(encoded, &base64::engine::general_purpose::STANDARD)
            .ok_or(Refusal::Malformed("the Basic credentials are not base64"))?;
        if std::str::from_utf8(decoded.bytes()).is_err() {
            return Err(Refusal::Malformed("the Basic credentials are not UTF-8"));
        }
        let colon = decoded.bytes().iter().position(|&byte| byte == b':');
        let colon = colon.ok_or(Refusal::Malformed("the Basic credentials have no colon after the id"))?;
        Ok(Basic { decoded, colon })
    }

    pub(super) fn id(&self) -> &str {
        let id = self.decoded.bytes().get(..self.colon).unwrap_or_default();
        std::str::from_utf8(id).unwrap_or_default()
    }

    pub(super) fn secret(&self) -> &[u8] {
        self.decoded.bytes().get(self.colon + 1..).unwrap_or_default()
    }
}
