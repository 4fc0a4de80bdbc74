//! SQLite in a file: one thread that writes and one that reads, since its calls block.
//!
//! WAL mode lets readers go on while a writer works. A transaction has its thread for itself (the guard), so the queue
//! to a thread never holds more than a statement and a rollback. Another process (the command line) may have the file
//! open as well; SQLite's own locks see to that, and [`BUSY`] is how long they are waited for.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, ToSql, params_from_iter};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::{Access, Done, Row, StoreError, Value};

/// How long another process's lock is waited for.
const BUSY: Duration = Duration::from_secs(10);
/// Between two tries where SQLite itself does not wait for it.
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// Statements that are kept prepared.
const STATEMENTS_MAX: usize = 64;
/// Pages kept in memory, in KiB, for each thread.
const CACHE_KIB: u32 = 4096;

/// A file.
#[derive(Clone)]
pub struct File {
    writer: Arc<Mutex<Worker>>,
    reader: Arc<Mutex<Worker>>,
}

/// A thread with a connection; it ends when this is dropped.
struct Worker {
    jobs: mpsc::UnboundedSender<Job>,
}

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A transaction: has a thread for itself.
pub struct Transaction {
    worker: OwnedMutexGuard<Worker>,
    open: bool,
}

impl File {
    /// Opens or makes it, readable by its owner alone.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let fail = |what: &str, error: &dyn std::fmt::Display| {
            StoreError::Refused(format!("{what} {}: {error}", path.display()))
        };
        // Files that SQLite makes beside it (-wal, -shm) take over its mode.
        let made =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        made.map_err(|error| fail("cannot open or make", &error))?;
        let connect = |path: &Path| -> rusqlite::Result<Connection> {
            let connection = Connection::open(path)?;
            connection.busy_timeout(BUSY)?;
            connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
            connection.pragma_update(None, "cache_size", -i64::from(CACHE_KIB))?;
            connection.pragma_update(None, "foreign_keys", true)?;
            Ok(connection)
        };
        let connect_writer = || {
            let connection = connect(path)?;
            // The mode stays with the file.
            connection.pragma_update(None, "journal_mode", "wal")?;
            // A revision that an engine may have got must not be gone after a power failure.
            connection.pragma_update(None, "synchronous", "full")?;
            Ok(connection)
        };
        let latest = Instant::now() + BUSY;
        let writer = loop {
            match connect_writer() {
                // Where two change the mode at once SQLite refuses one of them and does not wait.
                Err(error) if is_busy(&error) && Instant::now() < latest => sleep(BUSY_PAUSE).await,
                other => break other.map_err(|error| fail("cannot use", &error))?,
            }
        };
        let reader = connect(path).map_err(|error| fail("cannot use", &error))?;
        Ok(Self { writer: Worker::start(writer)?, reader: Worker::start(reader)? })
    }

    /// Begins a transaction.
    pub async fn begin(&self, access: Access) -> Result<Transaction, StoreError> {
        let (worker, sql) = match access {
            Access::Read => (&self.reader, "BEGIN DEFERRED"),
            Access::Write => (&self.writer, "BEGIN IMMEDIATE"),
        };
        let worker = Arc::clone(worker).lock_owned().await;
        // From here on, so that a begin that nobody waits for any more is rolled back.
        let transaction = Transaction { worker, open: true };
        transaction.run(move |connection| connection.execute_batch(sql)).await?;
        Ok(transaction)
    }
}

impl Worker {
    fn start(mut connection: Connection) -> Result<Arc<Mutex<Self>>, StoreError> {
        let (jobs, mut queue) = mpsc::unbounded_channel::<Job>();
        let work = move || {
            while let Some(job) = queue.blocking_recv() {
                job(&mut connection);
            }
        };
        std::thread::Builder::new()
            .name("sqlite".to_owned())
            .spawn(work)
            .map_err(|error| StoreError::Refused(format!("no thread for SQLite: {error}")))?;
        Ok(Arc::new(Mutex::new(Self { jobs })))
    }
}

impl Transaction {
    /// Reads rows.
    pub async fn query(&mut self, sql: &str, values: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        let sql = sql.to_owned();
        self.run(move |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let columns = statement.column_count();
            let mut found = statement.query(params_from_iter(values))?;
            let mut rows = Vec::new();
            while let Some(row) = found.next()? {
                rows.push(Row::new(
                    (0..columns).map(|at| value(row.get_ref(at)?)).collect::<Result<_, _>>()?,
                ));
            }
            Ok(rows)
        })
        .await
    }

    /// Writes.
    pub async fn execute(&mut self, sql: &str, values: Vec<Value>) -> Result<Done, StoreError> {
        let sql = sql.to_owned();
        self.run(move |connection| {
            let rows = connection.prepare_cached(&sql)?.execute(params_from_iter(values))?;
            let id = u64::try_from(connection.last_insert_rowid()).unwrap_or(0);
            Ok(Done { rows: rows as u64, id })
        })
        .await
    }

    /// Makes all of it so.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        self.run(|connection| connection.execute_batch("COMMIT")).await?;
        self.open = false;
        Ok(())
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job = move |connection: &mut Connection| {
            // Nobody listens if the one who asked is gone; its transaction is rolled back.
            let _ = answer.send(work(connection));
        };
        let gone = || StoreError::Unavailable("SQLite's thread has ended".to_owned());
        self.worker.jobs.send(Box::new(job)).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?.map_err(|error| told(&error))
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.open {
            let rollback = |connection: &mut Connection| {
                if !connection.is_autocommit() {
                    // If it fails, the next BEGIN does, and says why.
                    let _ = connection.execute_batch("ROLLBACK");
                }
            };
            let _ = self.worker.jobs.send(Box::new(rollback));
        }
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Int(number) => ValueRef::Integer(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

fn value(value: ValueRef) -> rusqlite::Result<Value> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        other => Value::Text(other.as_str()?.to_owned()),
    })
}

fn told(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        _ if is_busy(error) => StoreError::Unavailable(format!("another process holds it: {error}")),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Unusable(error.to_string()),
        _ => StoreError::Refused(error.to_string()),
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}
