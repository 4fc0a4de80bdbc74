//! Reads the rows of a gogate database out of MySQL or MariaDB.
//!
//! Input: a URL. Output: [`Rows`] as they were at one moment (a read-only transaction). All that is missing is told at once:
//! tables, then columns. NULL is 0 or an empty text; a value of another kind is an error that names table, column and id,
//! and never the value, which may be a secret. Bounds: [`ROWS_MAX`] rows of a table, [`CONNECT_WITHIN`], [`STALL`].

mod tables;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use futures_util::StreamExt as _;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts, Row, Value};
use tokio::time::timeout;

use super::rows::Rows;
use tables::{TABLES, TableRow};

/// Most rows of a table.
const ROWS_MAX: usize = 1_000_000;
/// A server that does not answer within this is not there.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Between two rows.
const STALL: Duration = Duration::from_secs(60);
/// Rows between two words of progress.
const PROGRESS_ROWS: usize = 10_000;

/// Why nothing was read; says what to do.
#[derive(Debug)]
pub struct ReadError(String);

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ReadError {}

/// Reads the database that a URL names; `progress` is told of long work.
pub async fn read(url: &str, mut progress: impl FnMut(String)) -> Result<Rows, ReadError> {
    let opts = Opts::from_url(url)
        .map_err(|_| ReadError("must be mysql://USER:PASSWORD@HOST:PORT/DATABASE".to_owned()))?;
    let Some(database) = opts.db_name().map(str::to_owned) else {
        return Err(ReadError(
            "names no database: right would be mysql://USER:PASSWORD@HOST:PORT/DATABASE, in gogate's own often gateway".to_owned(),
        ));
    };
    let place = format!("{}:{}/{database}", opts.ip_or_hostname(), opts.tcp_port());
    let no_connection = |why: String| ReadError(format!("{place} cannot be connected to: {why}"));
    let mut connection = match timeout(CONNECT_WITHIN, Conn::new(opts)).await {
        Ok(Ok(connection)) => connection,
        // What it says of these begins with "Input/output error", twice.
        Ok(Err(mysql_async::Error::Io(mysql_async::IoError::Io(error)))) => {
            return Err(no_connection(error.to_string()));
        }
        Ok(Err(error)) => return Err(no_connection(error.to_string())),
        Err(_) => return Err(no_connection(format!("no answer within {CONNECT_WITHIN:?}"))),
    };
    progress(format!("reading {place}"));
    has_all(&mut connection, &database).await?;
    let start = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
    within(connection.query_drop(start)).await?;
    let rows = all(&mut connection, &mut progress).await?;
    // Whether the server hears the goodbye does not matter any more.
    let _ = timeout(CONNECT_WITHIN, connection.disconnect()).await;
    Ok(rows)
}

async fn within<T>(query: impl Future<Output = mysql_async::Result<T>>) -> Result<T, ReadError> {
    match timeout(STALL, query).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(ReadError(format!("the database: {error}"))),
        Err(_) => Err(ReadError(format!("the database did not answer within {STALL:?}"))),
    }
}

/// Whether all tables and columns are there.
async fn has_all(connection: &mut Conn, database: &str) -> Result<(), ReadError> {
    let columns: Vec<(String, String)> = within(connection.exec(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = ?",
        (database,),
    ))
    .await?;
    let mut found: HashMap<String, HashSet<String>> = HashMap::new();
    for (table, column) in columns {
        found.entry(table.to_ascii_lowercase()).or_default().insert(column.to_ascii_lowercase());
    }
    let absent: Vec<&str> =
        TABLES.iter().map(|(table, _)| *table).filter(|table| !found.contains_key(*table)).collect();
    if !absent.is_empty() {
        return Err(ReadError(format!(
            "database {database} has no table {}: is it gogate's, and may this user read it?",
            absent.join(", ")
        )));
    }
    let mut missing = Vec::new();
    for (table, columns) in TABLES {
        let there = found.get(table);
        for column in std::iter::once(&"id").chain(columns) {
            if !there.is_some_and(|there| there.contains(*column)) {
                missing.push(format!("{table}.{column}"));
            }
        }
    }
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    Err(ReadError(format!(
        "database {database} has no column {}: it is of another version of gogate. Add them with the values that hold, for \
         example ALTER TABLE t ADD c INT NOT NULL DEFAULT 0, in a copy of the database",
        missing.join(", ")
    )))
}

async fn all(connection: &mut Conn, progress: &mut impl FnMut(String)) -> Result<Rows, ReadError> {
    Ok(Rows {
        services: table(connection, progress).await?,
        http_rules: table(connection, progress).await?,
        tcp_rules: table(connection, progress).await?,
        grpc_rules: table(connection, progress).await?,
        access_controls: table(connection, progress).await?,
        load_balances: table(connection, progress).await?,
        apps: table(connection, progress).await?,
    })
}

async fn table<T: TableRow>(
    connection: &mut Conn,
    progress: &mut impl FnMut(String),
) -> Result<Vec<T>, ReadError> {
    let columns: Vec<String> = T::COLUMNS.iter().map(|column| format!("`{column}`")).collect();
    // gogate's tables have an id each; the first row of a service is the one that it took.
    let query = format!("SELECT `id` AS `row_id`, {} FROM `{}` ORDER BY `id`", columns.join(", "), T::TABLE);
    let mut stream = within(connection.query_stream::<Row, _>(query)).await?;
    let mut rows = Vec::new();
    loop {
        let next = match timeout(STALL, stream.next()).await {
            Err(_) => return Err(ReadError(format!("{}: no further row within {STALL:?}", T::TABLE))),
            Ok(Some(Err(error))) => return Err(ReadError(format!("{}: {error}", T::TABLE))),
            Ok(Some(Ok(row))) => row,
            Ok(None) => break,
        };
        rows.push(T::read(&Cells { table: T::TABLE, row: &next })?);
        if rows.len() > ROWS_MAX {
            return Err(ReadError(format!("{} has more than {ROWS_MAX} rows", T::TABLE)));
        }
        if rows.len().is_multiple_of(PROGRESS_ROWS) {
            progress(format!("{}: {} rows so far", T::TABLE, rows.len()));
        }
    }
    progress(format!("{}: {} rows", T::TABLE, rows.len()));
    Ok(rows)
}

/// A row's values by column.
pub struct Cells<'a> {
    table: &'static str,
    row: &'a Row,
}

impl Cells<'_> {
    fn value(&self, column: &str) -> Result<&Value, ReadError> {
        let index = self.row.columns_ref().iter().position(|it| it.name_str() == column);
        index.and_then(|index| self.row.as_ref(index)).ok_or_else(|| self.wrong(column, "is not there"))
    }

    fn number(&self, column: &str) -> Result<i64, ReadError> {
        const WRONG: &str = "is no whole number from -2^63 to 2^63-1";
        match self.value(column)? {
            Value::NULL => Ok(0),
            Value::Int(number) => Ok(*number),
            Value::UInt(number) => i64::try_from(*number).map_err(|_| self.wrong(column, WRONG)),
            Value::Bytes(text) => {
                let text = std::str::from_utf8(text).map_err(|_| self.wrong(column, WRONG))?.trim();
                text.parse().map_err(|_| self.wrong(column, WRONG))
            }
            _ => Err(self.wrong(column, WRONG)),
        }
    }

    fn text(&self, column: &str) -> Result<String, ReadError> {
        match self.value(column)? {
            Value::NULL => Ok(String::new()),
            Value::Int(number) => Ok(number.to_string()),
            Value::UInt(number) => Ok(number.to_string()),
            Value::Bytes(text) => {
                String::from_utf8(text.clone()).map_err(|_| self.wrong(column, "is no text in UTF-8"))
            }
            _ => Err(self.wrong(column, "is no text")),
        }
    }

    fn wrong(&self, column: &str, what: &str) -> ReadError {
        let id = match self.row.as_ref(0) {
            Some(Value::Bytes(id)) => String::from_utf8_lossy(id).into_owned(),
            Some(Value::Int(id)) => id.to_string(),
            Some(Value::UInt(id)) => id.to_string(),
            _ => "?".to_owned(),
        };
        ReadError(format!("{}.{column} of the row with id {id} {what}", self.table))
    }
}
