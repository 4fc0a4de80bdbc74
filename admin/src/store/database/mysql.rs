//! MySQL and MariaDB, by a small pool of connections.
//!
//! The pool tests a connection before it hands it out and makes new ones, so a server that was away is found again by
//! the next transaction.

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts, Params, Pool};

use super::{Access, Done, Row, StoreError, Value};

/// A server.
#[derive(Clone)]
pub struct Server {
    pool: Pool,
}

/// A transaction on a connection of its own.
pub struct Transaction {
    /// `None` once it has ended.
    conn: Option<Conn>,
}

impl Server {
    /// Connects once, to say early and clearly what is wrong.
    pub async fn open(opts: &Opts, shown: &str) -> Result<Self, StoreError> {
        let server = Self { pool: Pool::new(opts.clone()) };
        let connected = super::in_time(async { server.pool.get_conn().await.map_err(|it| told(&it)) }).await;
        match connected {
            Ok(_) => Ok(server),
            Err(StoreError::Unavailable(why)) => Err(StoreError::Unavailable(format!("{shown}: {why}"))),
            Err(StoreError::Refused(why)) => Err(StoreError::Refused(format!("{shown}: {why}"))),
            Err(other) => Err(other),
        }
    }

    /// Begins a transaction.
    pub async fn begin(&self, access: Access) -> Result<Transaction, StoreError> {
        let mut conn = self.pool.get_conn().await.map_err(|it| told(&it))?;
        let sql = match access {
            Access::Read => "START TRANSACTION READ ONLY",
            Access::Write => "START TRANSACTION READ WRITE",
        };
        conn.query_drop(sql).await.map_err(|it| told(&it))?;
        Ok(Transaction { conn: Some(conn) })
    }

    /// A connection outside of a transaction, for locks that outlive one.
    pub async fn connection(&self) -> Result<Conn, StoreError> {
        super::in_time(async { self.pool.get_conn().await.map_err(|it| told(&it)) }).await
    }

    /// Closes what nobody uses any more.
    pub async fn close(&self) {
        // What cannot be closed politely is closed with the process.
        let _ = self.pool.clone().disconnect().await;
    }
}

impl Transaction {
    /// Reads rows.
    pub async fn query(&mut self, sql: &str, values: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        let rows: Vec<mysql_async::Row> =
            self.conn()?.exec(sql, params(values)).await.map_err(|it| told(&it))?;
        rows.into_iter()
            .map(|row| row.unwrap().into_iter().map(value).collect::<Result<_, _>>().map(Row::new))
            .collect()
    }

    /// Writes.
    pub async fn execute(&mut self, sql: &str, values: Vec<Value>) -> Result<Done, StoreError> {
        let conn = self.conn()?;
        if values.is_empty() {
            // The text protocol, as DDL cannot always be prepared.
            conn.query_drop(sql).await.map_err(|it| told(&it))?;
        } else {
            conn.exec_drop(sql, params(values)).await.map_err(|it| told(&it))?;
        }
        Ok(Done { rows: conn.affected_rows(), id: conn.last_insert_id().unwrap_or(0) })
    }

    /// Makes all of it so.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        let mut conn = self.conn.take().ok_or_else(ended)?;
        conn.query_drop("COMMIT").await.map_err(|it| told(&it))
    }

    fn conn(&mut self) -> Result<&mut Conn, StoreError> {
        self.conn.as_mut().ok_or_else(ended)
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let Some(conn) = self.conn.take() else { return };
        // The pool resets a connection that comes back, which rolls back; but a server that hangs would keep it, so it
        // is not worth keeping.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { tokio::time::timeout(super::PATIENCE, conn.disconnect()).await.ok() });
        }
    }
}

fn ended() -> StoreError {
    StoreError::Refused("the transaction has ended".to_owned())
}

fn params(values: Vec<Value>) -> Params {
    if values.is_empty() {
        return Params::Empty;
    }
    let plain = |value| match value {
        Value::Null => mysql_async::Value::NULL,
        Value::Int(number) => mysql_async::Value::Int(number),
        Value::Text(text) => mysql_async::Value::Bytes(text.into_bytes()),
    };
    Params::Positional(values.into_iter().map(plain).collect())
}

fn value(value: mysql_async::Value) -> Result<Value, StoreError> {
    use mysql_async::Value as V;
    Ok(match value {
        V::NULL => Value::Null,
        V::Int(number) => Value::Int(number),
        V::UInt(number) => Value::Int(i64::try_from(number).unwrap_or(i64::MAX)),
        V::Bytes(bytes) => {
            Value::Text(String::from_utf8(bytes).map_err(|_| super::unexpected("text that is not UTF-8"))?)
        }
        V::Float(_) | V::Double(_) | V::Date(..) | V::Time(..) => {
            return Err(super::unexpected("a value of another type than it should"));
        }
    })
}

/// The driver's error in our terms. Its messages name users and hosts, never passwords.
pub fn told(error: &mysql_async::Error) -> StoreError {
    use mysql_async::{DriverError, Error as E};
    match error {
        // Too many connections, shutdown in progress, lock wait timeout, deadlock, query interrupted, killed, read only.
        E::Server(it) if matches!(it.code, 1040 | 1053 | 1205 | 1213 | 1317 | 1927 | 1290 | 1836) => {
            StoreError::Unavailable(format!("{} (error {})", it.message, it.code))
        }
        E::Server(it) => StoreError::Refused(format!("{} (error {})", it.message, it.code)),
        E::Io(it) => StoreError::Unavailable(it.to_string()),
        // MySQL names any plugin at all for a user that it does not have, so that nobody learns which ones it has.
        E::Driver(DriverError::UnknownAuthPlugin { name }) => StoreError::Refused(format!(
            "it has no such user, or one that logs in by {name}; right would be caching_sha2_password"
        )),
        E::Driver(it) => StoreError::Unavailable(it.to_string()),
        E::Other(it) => StoreError::Unavailable(it.to_string()),
        E::Url(it) => StoreError::Url(it.to_string()),
    }
}
