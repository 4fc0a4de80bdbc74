//! One small way to speak to MySQL and to SQLite.
//!
//! Statements are written once, in the SQL that both understand, with `?` for values; what differs (types in `CREATE
//! TABLE`, locks, pragmas) is in [`migrations`](super::migrations) and here. A [`Transaction`] that is dropped is
//! rolled back. Text compares byte by byte; times are microseconds since 1970.
//!
//! Errors: [`StoreError`]; nothing waits longer than [`PATIENCE`].

pub mod mysql;
pub mod sqlite;

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;

use super::error::StoreError;
use super::url::{DatabaseUrl, Target};

/// For one statement, or for a connection.
const PATIENCE: Duration = Duration::from_secs(20);
/// Most rows of an `INSERT` with many.
const ROWS_MAX: usize = 200;
/// Most bytes of such an `INSERT`, unless one row alone has more.
const INSERT_BYTES_MAX: usize = 1 << 20;

/// A database, open. Clones share its connections.
#[derive(Clone)]
pub enum Database {
    /// A MySQL or MariaDB server.
    MySql(mysql::Server),
    /// A file.
    Sqlite(sqlite::File),
}

/// A transaction; every statement is part of one.
pub enum Transaction {
    /// On a connection to a server.
    MySql(mysql::Transaction),
    /// In the file's own thread.
    Sqlite(sqlite::Transaction),
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads one consistent state.
    Read,
    /// Also writes.
    Write,
}

/// A value of a statement or of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A number.
    Int(i64),
    /// Text.
    Text(String),
}

/// What a statement has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Rows that it wrote, deleted or, for an update, found.
    pub rows: u64,
    /// The number that the database gave the row, for an insert.
    pub id: u64,
}

/// A row, read from left to right.
pub struct Row(std::vec::IntoIter<Value>);

impl Database {
    /// Opens it; `url` must be reachable.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, StoreError> {
        match url.target() {
            Target::Sqlite(path) => sqlite::File::open(path).await.map(Self::Sqlite),
            Target::MySql(opts) => mysql::Server::open(opts, &url.to_string()).await.map(Self::MySql),
        }
    }

    /// Begins a transaction.
    pub async fn begin(&self, access: Access) -> Result<Transaction, StoreError> {
        in_time(async {
            match self {
                Self::MySql(server) => server.begin(access).await.map(Transaction::MySql),
                Self::Sqlite(file) => file.begin(access).await.map(Transaction::Sqlite),
            }
        })
        .await
    }

    /// One question by itself.
    pub async fn query(&self, sql: &str, values: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        let mut transaction = self.begin(Access::Read).await?;
        let rows = transaction.query(sql, values).await?;
        transaction.commit().await?;
        Ok(rows)
    }

    /// One statement by itself.
    pub async fn execute(&self, sql: &str, values: Vec<Value>) -> Result<Done, StoreError> {
        let mut transaction = self.begin(Access::Write).await?;
        let done = transaction.execute(sql, values).await?;
        transaction.commit().await?;
        Ok(done)
    }

    /// `"mysql"` or `"sqlite"`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MySql(_) => "mysql",
            Self::Sqlite(_) => "sqlite",
        }
    }

    /// Closes what nobody uses any more.
    pub async fn close(&self) {
        match self {
            Self::MySql(server) => server.close().await,
            Self::Sqlite(_) => {}
        }
    }
}

impl Transaction {
    /// Reads rows.
    pub async fn query(&mut self, sql: &str, values: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        in_time(async {
            match self {
                Self::MySql(it) => it.query(sql, values).await,
                Self::Sqlite(it) => it.query(sql, values).await,
            }
        })
        .await
    }

    /// Writes.
    pub async fn execute(&mut self, sql: &str, values: Vec<Value>) -> Result<Done, StoreError> {
        in_time(async {
            match self {
                Self::MySql(it) => it.execute(sql, values).await,
                Self::Sqlite(it) => it.execute(sql, values).await,
            }
        })
        .await
    }

    /// Inserts many rows with few statements; `into` is `"table (column, ..)"`.
    pub async fn insert(&mut self, into: &str, rows: Vec<Vec<Value>>) -> Result<(), StoreError> {
        self.write("INSERT", into, rows).await
    }

    /// The same, in place of rows that have their keys.
    pub async fn replace(&mut self, into: &str, rows: Vec<Vec<Value>>) -> Result<(), StoreError> {
        self.write("REPLACE", into, rows).await
    }

    async fn write(&mut self, verb: &str, into: &str, rows: Vec<Vec<Value>>) -> Result<(), StoreError> {
        let mut rows = rows.into_iter().peekable();
        while let Some(first) = rows.next() {
            let group = format!("({})", vec!["?"; first.len()].join(", "));
            let (mut bytes, mut count, mut values) = (size(&first), 1, first);
            while let Some(row) =
                rows.next_if(|row| count < ROWS_MAX && bytes + size(row) <= INSERT_BYTES_MAX)
            {
                bytes += size(&row);
                count += 1;
                values.extend(row);
            }
            let sql = format!("{verb} INTO {into} VALUES {}", vec![group.as_str(); count].join(", "));
            self.execute(&sql, values).await?;
        }
        Ok(())
    }

    /// Makes all of it so. [`StoreError::Unsure`] if nobody knows whether it came to that.
    pub async fn commit(self) -> Result<(), StoreError> {
        let result = in_time(async {
            match self {
                Self::MySql(it) => it.commit().await,
                Self::Sqlite(it) => it.commit().await,
            }
        })
        .await;
        match result {
            Err(StoreError::Unavailable(why)) => Err(StoreError::Unsure(why)),
            other => other,
        }
    }
}

impl Row {
    /// A row of these values.
    fn new(values: Vec<Value>) -> Self {
        Self(values.into_iter())
    }

    /// The next column: text.
    pub fn text(&mut self) -> Result<String, StoreError> {
        self.maybe_text()?.ok_or_else(|| unexpected("nothing where there should be text"))
    }

    /// The next column: text or nothing.
    pub fn maybe_text(&mut self) -> Result<Option<String>, StoreError> {
        match self.0.next() {
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Null) => Ok(None),
            Some(Value::Int(_)) => Err(unexpected("a number where there should be text")),
            None => Err(unexpected("fewer columns than there should be")),
        }
    }

    /// The next column: a number.
    pub fn int(&mut self) -> Result<i64, StoreError> {
        self.maybe_int()?.ok_or_else(|| unexpected("nothing where there should be a number"))
    }

    /// The next column: a number or nothing.
    pub fn maybe_int(&mut self) -> Result<Option<i64>, StoreError> {
        match self.0.next() {
            Some(Value::Int(number)) => Ok(Some(number)),
            Some(Value::Null) => Ok(None),
            Some(Value::Text(_)) => Err(unexpected("text where there should be a number")),
            None => Err(unexpected("fewer columns than there should be")),
        }
    }

    /// The next column: a number that cannot be negative.
    pub fn count(&mut self) -> Result<u64, StoreError> {
        u64::try_from(self.int()?).map_err(|_| unexpected("a negative number"))
    }

    /// The next column: such a number or nothing.
    pub fn maybe_count(&mut self) -> Result<Option<u64>, StoreError> {
        self.maybe_int()?.map(|it| u64::try_from(it).map_err(|_| unexpected("a negative number"))).transpose()
    }

    /// The next column: yes or no.
    pub fn yes(&mut self) -> Result<bool, StoreError> {
        Ok(self.int()? != 0)
    }

    /// The next column: a time.
    pub fn time(&mut self) -> Result<Timestamp, StoreError> {
        self.maybe_time()?.ok_or_else(|| unexpected("nothing where there should be a time"))
    }

    /// The next column: a time or nothing.
    pub fn maybe_time(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let Some(micros) = self.maybe_int()? else { return Ok(None) };
        Timestamp::from_microsecond(micros).map(Some).map_err(|_| unexpected("a time out of bounds"))
    }

    /// The next column: a word that stands for something.
    pub fn word<T: std::str::FromStr>(&mut self) -> Result<T, StoreError> {
        let word = self.text()?;
        word.parse().map_err(|_| unexpected(&format!("the unknown word {word:?}")))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<u64> for Value {
    /// Ids and revisions count up from 1 and stay far below the bound.
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(i64::from(number))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Int(i64::from(yes))
    }
}

impl From<Timestamp> for Value {
    fn from(at: Timestamp) -> Self {
        Self::Int(at.as_microsecond())
    }
}

impl<T> From<Option<T>> for Value
where
    Value: From<T>,
{
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::from)
    }
}

/// The values of a statement.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::database::Value::from($value)),*] };
}
pub(crate) use values;

/// `?, ?, ?`
pub fn marks(count: usize) -> String {
    vec!["?"; count].join(", ")
}

fn size(row: &[Value]) -> usize {
    let bytes = |value: &Value| match value {
        Value::Null | Value::Int(_) => 8,
        Value::Text(text) => text.len(),
    };
    row.iter().map(bytes).sum()
}

fn unexpected(what: &str) -> StoreError {
    StoreError::Unusable(format!("the database holds {what}: did somebody change it by hand?"))
}

async fn in_time<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| {
        Err(StoreError::Unavailable(format!("no answer within {} s", PATIENCE.as_secs())))
    })
}
