//! The bytes that engines get, made once for each revision.
//!
//! Input: the store's states. Output: a [`Snapshot`] for each, with the keys of certificates in clear, plain and packed. A
//! state that cannot be made into one (a key that cannot be unsealed) is logged and leaves the last one in force.

use std::io::{self, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tracing::{error, info};

use crate::store::{State, Store};

/// See the module.
#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The revision.
    pub revision: u64,
    /// Strong: of the revision and the content.
    pub etag: String,
    /// JSON.
    pub plain: Bytes,
    /// The same, by gzip.
    pub packed: Bytes,
}

impl Snapshot {
    /// Of a configuration with keys in clear. Takes its time.
    pub fn new(revision: u64, at: Option<jiff::Timestamp>, configuration: &str) -> io::Result<Self> {
        let at = at.map_or_else(|| "null".to_owned(), |at| format!("\"{at}\""));
        let schema = coregate_config::SCHEMA;
        let plain = format!(
            "{{\"revision\":{revision},\"at\":{at},\"schema\":{schema},\"configuration\":{configuration}}}"
        );
        let digits: String =
            Sha256::digest(plain.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        // Fast: what matters is how soon engines have it.
        let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 8), Compression::fast());
        encoder.write_all(plain.as_bytes())?;
        let packed = encoder.finish()?.into();
        Ok(Self { revision, etag: format!("\"{revision}-{digits}\""), plain: plain.into(), packed })
    }
}

/// The revision that an ETag of ours is of.
pub fn revision_of(etag: &str) -> Option<u64> {
    etag.strip_prefix('"')?.split_once('-')?.0.parse().ok()
}

/// Makes snapshots of the store's states from now on, the first one before it returns.
///
/// # Errors
/// The first one cannot be made.
pub async fn follow(store: &Store) -> Result<watch::Receiver<Arc<Snapshot>>, String> {
    let mut states = store.watch();
    let first = make(store, Arc::clone(&states.borrow_and_update())).await?;
    let (to, snapshots) = watch::channel(Arc::new(first));
    let store = store.clone();
    tokio::spawn(async move {
        while states.changed().await.is_ok() {
            let state = Arc::clone(&states.borrow_and_update());
            let revision = state.revision;
            match make(&store, state).await {
                Ok(snapshot) => {
                    info!(
                        revision,
                        bytes = snapshot.plain.len(),
                        packed = snapshot.packed.len(),
                        "published to engines"
                    );
                    to.send_replace(Arc::new(snapshot));
                }
                Err(why) => {
                    error!(revision, why, "this revision cannot be published: engines keep the one before");
                }
            }
        }
    });
    Ok(snapshots)
}

async fn make(store: &Store, state: Arc<State>) -> Result<Snapshot, String> {
    let store = store.clone();
    let made = tokio::task::spawn_blocking(move || {
        let configuration = store.configuration(&state).map_err(|error| error.to_string())?;
        Snapshot::new(state.revision, state.at, &configuration).map_err(|error| error.to_string())
    });
    made.await.map_err(|error| error.to_string())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_read_what_is_made_and_another_content_has_another_name() {
        let one = Snapshot::new(3, Some(jiff::Timestamp::UNIX_EPOCH), "{\"services\":[]}").unwrap();
        let text = String::from_utf8(one.plain.to_vec()).unwrap();
        let read = coregate::control::remote::Snapshot::new(text, None).unwrap();
        let own = coregate_config::parse_toml("", "own").unwrap();
        assert_eq!((read.revision, read.check(&own).is_ok()), (3, true));
        let two = Snapshot::new(3, Some(jiff::Timestamp::UNIX_EPOCH), "{\"services\":[] }").unwrap();
        assert_ne!(one.etag, two.etag);
        assert_eq!(revision_of(&one.etag), Some(3));
        assert_eq!([revision_of(""), revision_of("\"x-1\""), revision_of("\"4\"")], [None; 3]);
        let mut unpacked = Vec::new();
        io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*one.packed), &mut unpacked).unwrap();
        assert_eq!(unpacked, one.plain);
    }
}
