//! `[[certificates]]` as written.

use super::Secret;
use crate::read::table;

table! {
    /// A certificate whose text stands in the configuration itself, so that nothing is read from disk. Listeners name it:
    /// `certificates = [{ certificate = "NAME" }]`.
    NamedCertificate {
        /// Unique name: 1 to 64 of A-Z a-z 0-9 _ . -
        name: String,
        /// The chain in PEM, leaf first, up to 256KiB.
        chain: String,
        /// The private key in PEM, not encrypted, up to 64KiB. Never printed.
        key: Secret,
    }
}
