//! The last good configuration, on disk: `control.cache_path`.
//!
//! One JSON object: the ETag, and the snapshot as the admin sent it. It is written whole to another file beside it (mode
//! 0600: it holds keys and hashes of secrets), flushed to the disk, and renamed over the old one, so that there is always a
//! whole one. What was cut or changed by hand is refused by the configuration's checks when it is read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use coregate_config::limits::TEXT_BYTES_MAX;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What the file says of itself.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Content<'a> {
    format: u32,
    etag: Option<String>,
    #[serde(borrow)]
    snapshot: &'a RawValue,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Copy {
    /// The admin's name for it.
    pub etag: Option<String>,
    /// The snapshot as the admin sent it.
    pub snapshot: String,
}

/// Writes a copy; blocks. Once it returns the copy outlives a crash of the machine.
pub fn write(path: &Path, etag: Option<&str>, snapshot: &str) -> io::Result<()> {
    let snapshot: &RawValue = serde_json::from_str(snapshot)?;
    let content = Content { format: FORMAT, etag: etag.map(str::to_owned), snapshot };
    let bytes = serde_json::to_vec(&content)?;
    let temporary = beside(path);
    let written = write_whole(&temporary, &bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // What is left of it would only confuse; that it cannot be removed does not matter.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    // The rename itself; a folder that cannot be opened so has had its file written all the same.
    if let Some(folder) = path.parent().map(|folder| if folder == "" { Path::new(".") } else { folder })
        && let Ok(folder) = File::open(folder)
    {
        folder.sync_all()?;
    }
    Ok(())
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // One that a crash has left may have another mode.
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A name of this process in the same folder, so that the rename stays on one file system.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

/// Reads the copy; blocks. `Ok(None)`: there is none.
///
/// # Errors
/// Why it cannot be used.
pub fn read(path: &Path) -> Result<Option<Copy>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("it cannot be opened: {error}")),
    };
    let mut text = String::new();
    // The copy is a little longer than what it holds.
    let length = file.take(TEXT_BYTES_MAX + 4096).read_to_string(&mut text);
    length.map_err(|error| format!("it cannot be read: {error}"))?;
    let content: Content =
        serde_json::from_str(&text).map_err(|error| format!("it is not whole: {error}"))?;
    if content.format != FORMAT {
        return Err(format!("it is of format {}, and this version knows {FORMAT}", content.format));
    }
    Ok(Some(Copy { etag: content.etag, snapshot: content.snapshot.get().to_owned() }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("coregate-copy-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_was_written_is_read_and_nobody_else_can() {
        let folder = Folder::new("round");
        let path = folder.0.join("copy.json");
        assert_eq!(read(&path), Ok(None));
        for snapshot in ["{\"revision\": 1}", "{\"revision\":2,\"text\":\"\\u00e9\"}"] {
            write(&path, Some("\"e\""), snapshot).unwrap();
            let expected = Copy { etag: Some("\"e\"".into()), snapshot: snapshot.into() };
            assert_eq!(read(&path), Ok(Some(expected)));
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn one_that_was_cut_is_not_used() {
        let folder = Folder::new("cut");
        let path = folder.0.join("copy.json");
        write(&path, None, "{\"revision\":1}").unwrap();
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(read(&path).is_err(), "{cut}");
        }
        fs::write(&path, "{\"format\":2,\"etag\":null,\"snapshot\":{}}").unwrap();
        assert!(read(&path).unwrap_err().contains("format 2"));
    }

    #[test]
    fn one_that_cannot_be_written_leaves_the_old_one() {
        let folder = Folder::new("old");
        let path = folder.0.join("copy.json");
        write(&path, None, "{\"revision\":1}").unwrap();
        assert!(write(&path, None, "{").is_err());
        assert_eq!(read(&path).unwrap().unwrap().snapshot, "{\"revision\":1}");
        assert!(write(&folder.0.join("none/copy.json"), None, "{}").is_err());
    }
}
