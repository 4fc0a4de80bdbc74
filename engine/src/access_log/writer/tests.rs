use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Command;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc::TrySendError;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// A folder that goes away.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("coregate-log-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn pipe(&self) -> PathBuf {
        let path = self.file("pipe");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn config(path: AccessLogPath) -> checked::AccessLog {
    checked::AccessLog { path, format: AccessLogFormat::Json, sample: 1.0 }
}

fn start(path: &Path) -> Writer {
    Writer::start(&config(AccessLogPath::File(path.to_owned())), 1).unwrap().unwrap()
}

fn send(writer: &Writer, text: &str) -> Result<(), TrySendError<Batch>> {
    let (back, _) = sync_channel(1);
    let batch = Batch { lines: count_lines(text.as_bytes()), text: text.as_bytes().to_vec(), back };
    writer.seed.queue.try_send(batch)?;
    writer.seed.thread.unpark();
    Ok(())
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = clock::read() + PATIENCE;
    while !condition() {
        assert!(clock::read() < deadline, "not in time: {what}");
        thread::yield_now();
    }
}

fn get(number: &AtomicU64) -> u64 {
    number.load(Ordering::Relaxed)
}

fn open_error(path: &Path) -> String {
    Writer::start(&config(AccessLogPath::File(path.to_owned())), 1).unwrap_err().to_string()
}

#[test]
fn no_log_has_no_thread() {
    assert!(Writer::start(&config(AccessLogPath::None), 1).unwrap().is_none());
    let nothing = checked::AccessLog { sample: 0.0, ..config(AccessLogPath::Stdout) };
    assert!(Writer::start(&nothing, 1).unwrap().is_none());
}

#[test]
fn appends_and_finishes_what_is_queued() {
    let folder = Folder::new();
    let path = folder.file("log");
    fs::write(&path, "before\n").unwrap();
    let writer = start(&path);
    for number in 0..100 {
        send(&writer, &format!("{number}\n")).unwrap();
    }
    assert!(writer.finish(PATIENCE));
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 101);
    assert!(text.starts_with("before\n0\n1\n") && text.ends_with("\n99\n"), "{text}");
    assert_eq!(get(&writer.tally().written), 100);
}

#[test]
fn a_new_file_is_not_for_everybody() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let path = folder.file("log");
    assert!(start(&path).finish(PATIENCE));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777 & !0o640, 0);
}

#[test]
fn a_file_that_was_renamed_is_left_at_a_reopen() {
    let folder = Folder::new();
    let (path, old) = (folder.file("log"), folder.file("log.1"));
    let writer = start(&path);
    send(&writer, "a\n").unwrap();
    eventually("a is written", || get(&writer.tally().written) == 1);
    fs::rename(&path, &old).unwrap();
    send(&writer, "b\n").unwrap();
    eventually("b is written", || get(&writer.tally().written) == 2);
    writer.reopen();
    eventually("it is reopened", || get(&writer.tally().reopened) == 1);
    send(&writer, "c\n").unwrap();
    assert!(writer.finish(PATIENCE));
    assert_eq!(fs::read_to_string(&old).unwrap(), "a\nb\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), "c\n");
}

#[test]
fn a_reopen_that_fails_keeps_the_old_file() {
    let folder = Folder::new();
    let (path, old) = (folder.file("log"), folder.file("log.1"));
    let writer = start(&path);
    fs::rename(&path, &old).unwrap();
    fs::create_dir(&path).unwrap();
    writer.reopen();
    eventually("it fails", || get(&writer.tally().reopen_failed) == 1);
    send(&writer, "a\n").unwrap();
    assert!(writer.finish(PATIENCE));
    assert_eq!(fs::read_to_string(&old).unwrap(), "a\n");
}

#[test]
fn an_error_says_what_would_be_right() {
    let folder = Folder::new();
    let error = open_error(&folder.file("no/log"));
    assert!(error.contains("no/log") && error.contains("os error 2") && error.contains("create its folder"));
    assert!(open_error(&folder.0).contains("name a file in it"));
    assert!(open_error(&folder.pipe()).contains("start its reader first"), "and does not wait for one");
}

#[test]
fn a_full_disk_is_counted() {
    let writer = start(Path::new("/dev/full"));
    send(&writer, "a\nb\n").unwrap();
    send(&writer, "c\n").unwrap();
    assert!(writer.finish(PATIENCE));
    assert_eq!((get(&writer.tally().written), get(&writer.tally().dropped_write_error)), (0, 3));
}

#[test]
fn a_pipe_that_is_not_read_fills_the_queue_and_loses_no_line_of_it() {
    let folder = Folder::new();
    let path = folder.pipe();
    let reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
    let writer = start(&path);
    // More than the pipe and the queue hold together.
    let text = format!("{}\n", "x".repeat(1023)).repeat(32);
    let mut sent = 0;
    let refused = std::iter::repeat_with(|| send(&writer, &text)).take(10_000).find_map(|result| {
        sent += u64::from(result.is_ok());
        result.err()
    });
    assert!(matches!(refused, Some(TrySendError::Full(_))));
    assert!(!writer.finish(Duration::from_millis(1)), "it waits for the pipe, and nobody for it");
    drop(folder);
    let lines = thread::spawn(move || {
        rustix::io::ioctl_fionbio(&reader, false).unwrap();
        BufReader::new(reader).lines().map_while(Result::ok).filter(|line| line.len() == 1023).count()
    });
    assert!(writer.finish(PATIENCE));
    eventually("all is written", || get(&writer.tally().written) == sent * 32);
    drop(writer);
    assert_eq!(lines.join().unwrap() as u64, sent * 32);
}

#[test]
fn a_pipe_whose_reader_is_gone_recovers_with_the_next() {
    let folder = Folder::new();
    let path = folder.pipe();
    let open = || OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
    let first = open();
    let writer = start(&path);
    drop(first);
    send(&writer, "a\n").unwrap();
    eventually("a is lost", || get(&writer.tally().dropped_write_error) == 1);
    let second = open();
    send(&writer, "b\n").unwrap();
    eventually("b is written", || get(&writer.tally().written) == 1);
    let mut line = String::new();
    BufReader::new(second).read_line(&mut line).unwrap();
    assert_eq!(line, "b\n");
}

#[test]
fn a_line_that_was_cut_is_ended_before_the_next() {
    let folder = Folder::new();
    let path = folder.file("log");
    fs::write(&path, "cut her").unwrap();
    let output = Output::file(&path).unwrap();
    let mut writing = Writing::new(output, Arc::default(), Arc::default());
    writing.cut = true;
    assert!(!writing.reopen(), "the same file");
    let (back, _) = sync_channel(1);
    writing.batch(Batch { text: b"whole\n".to_vec(), lines: 1, back });
    assert_eq!(fs::read_to_string(&path).unwrap(), "cut her\nwhole\n");
    assert!(!writing.cut);
}
