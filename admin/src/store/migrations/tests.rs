use coregate_tests::mariadb::MariaDb;

use super::*;
use crate::model::Kind;
use crate::store::{DatabaseUrl, Store};

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

async fn recorded(database: &Database) -> Vec<(u64, u64)> {
    let sql = "SELECT number, statements FROM coregate_migrations ORDER BY number";
    let rows = database.query(sql, vec![]).await.unwrap();
    rows.into_iter().map(|mut row| (row.count().unwrap(), row.count().unwrap())).collect()
}

/// A database as an older coregate-admin left it, brought up to date.
async fn from_every_earlier_schema(fresh: impl AsyncFn(usize) -> DatabaseUrl) {
    let newest: Vec<(u64, u64)> = (1u64..).zip(ALL.iter().map(|it| it.statements.len() as u64)).collect();
    for schema in 0..=ALL.len() {
        let url = fresh(schema).await;
        let database = Database::open(&url).await.unwrap();
        run_to(&database, &ALL[..schema], now()).await.unwrap();
        assert_eq!(recorded(&database).await, newest[..schema]);
        if schema > 0 {
            let sql = "INSERT INTO revisions (id, at, author, message, cause, changes) \
                       VALUES (1, ?, 'admin:a', '', 'change', 1)";
            database.execute(sql, values![now()]).await.unwrap();
            let sql = "INSERT INTO items (kind, name, revision, body) VALUES ('service', 'a', 1, ?)";
            database.execute(sql, values![r#"{"name":"a"}"#]).await.unwrap();
            database.execute("UPDATE meta SET value = ? WHERE name = 'head'", values!["1"]).await.unwrap();
        }
        let store = Store::open(&url, None).await.unwrap();
        assert_eq!(store.state().get(Kind::Service, "a").is_some(), schema > 0, "from schema {schema}");
        assert_eq!(recorded(&database).await, newest);
        run(&database, now()).await.unwrap();
        assert_eq!(recorded(&database).await, newest, "nothing is left to do");
    }
}

async fn a_newer_schema_is_refused(url: DatabaseUrl) {
    let database = Database::open(&url).await.unwrap();
    run(&database, now()).await.unwrap();
    let sql = "INSERT INTO coregate_migrations (number, about, statements, at) VALUES (99, '', 1, 0)";
    database.execute(sql, vec![]).await.unwrap();
    let refused = Store::open(&url, None).await.err().unwrap().to_string();
    assert!(refused.contains("schema 99") && refused.contains("start the newer one"), "{refused}");
}

#[tokio::test]
async fn a_file_of_every_earlier_schema_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = |schema: usize| folder.path().join(format!("{schema}.db"));
    from_every_earlier_schema(async |schema| DatabaseUrl::sqlite(path(schema))).await;
    a_newer_schema_is_refused(DatabaseUrl::sqlite(path(100))).await;
}

#[tokio::test]
async fn a_server_of_every_earlier_schema_is_brought_up_to_date() {
    let server = MariaDb::start();
    let make = |name: &str| -> DatabaseUrl {
        server.execute("", &format!("CREATE DATABASE {name}"));
        server.url_of(name).parse().unwrap()
    };
    from_every_earlier_schema(async |schema| make(&format!("schema{schema}"))).await;
    a_newer_schema_is_refused(make("newer")).await;
}

/// MySQL commits each statement that changes a table, so a start that is killed stops between two of them, and may
/// have done one that it did not note.
#[tokio::test]
async fn a_migration_that_was_killed_anywhere_goes_on_where_it_was() {
    let server = MariaDb::start();
    let statements = ALL.iter().map(|it| it.statements.len()).sum::<usize>();
    for (number, migration) in (1u64..).zip(ALL) {
        for done in 0..migration.statements.len() as u64 {
            let name = format!("killed_{number}_{done}");
            server.execute("", &format!("CREATE DATABASE {name}"));
            let url: DatabaseUrl = server.url_of(&name).parse().unwrap();
            let database = Database::open(&url).await.unwrap();
            let before = usize::try_from(number).unwrap() - 1;
            run_to(&database, &ALL[..before], now()).await.unwrap();
            // That many statements are noted, and one more is done.
            let part = usize::try_from(done).unwrap() + 1;
            for statement in &migration.statements[..part] {
                database.execute(&Dialect::MYSQL.sql(statement), vec![]).await.unwrap();
            }
            let sql = "INSERT INTO coregate_migrations (number, about, statements, at) VALUES (?, '', ?, 0)";
            if before > 0 {
                database.execute(sql, values![number, done]).await.unwrap();
            }
            Store::open(&url, None).await.unwrap();
            assert_eq!(recorded(&database).await.len(), ALL.len(), "{number}.{done} of {statements}");
            database.close().await;
        }
    }
}
