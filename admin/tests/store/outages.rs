//! A database that is not there: at start, for a while, or not as it should be.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use coregate_admin::model::Kind;
use coregate_admin::store::{DatabaseUrl, PublishError, Store, StoreError};
use coregate_tests::mariadb::MariaDb;
use coregate_tests::ports::Port;
use coregate_tests::{PATIENCE, eventually};

use super::{Place, change, knows, publish, service};

/// Waits for what the store's own poll finds out.
async fn finds(store: &Store, what: &str, condition: impl Fn(Option<StoreError>) -> bool) {
    let found = async {
        while !condition(store.away()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_and_starts_is_found_again() {
    let mut server = MariaDb::start();
    let url = server.url().parse().unwrap();
    let (store, other) = (Store::open(&url, None).await.unwrap(), Store::open(&url, None).await.unwrap());
    publish(&store, vec![change("a", Some(service("a", 1)), None)], 1).await.unwrap();
    knows(&other, 1).await;
    for round in 1..3u64 {
        server.kill();
        let edit = vec![change("a", Some(service("a", 1 + round)), Some(round))];
        let refused = publish(&store, edit.clone(), 2).await;
        assert!(matches!(refused, Err(PublishError::Database(StoreError::Unavailable(_)))), "{refused:?}");
        finds(&store, "that it is away", |away| matches!(away, Some(StoreError::Unavailable(_)))).await;
        assert_eq!(store.state().get(Kind::Service, "a").unwrap().version, round, "reading goes on");
        assert!(matches!(store.revision(1).await, Err(StoreError::Unavailable(_))));
        assert!(store.health().await.is_err());
        server.restart();
        finds(&store, "that it is back", |away| away.is_none()).await;
        finds(&other, "that it is back", |away| away.is_none()).await;
        assert_eq!(publish(&store, edit, 3).await.unwrap().id, round + 1);
        knows(&other, round + 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_does_not_hang_the_store() {
    let server = MariaDb::start();
    let store = Store::open(&server.url().parse().unwrap(), None).await.unwrap();
    publish(&store, vec![change("a", Some(service("a", 1)), None)], 1).await.unwrap();
    server.pause();
    let edit = vec![change("a", Some(service("a", 2)), Some(1))];
    let refused =
        tokio::time::timeout(4 * PATIENCE, publish(&store, edit.clone(), 2)).await.expect("an answer");
    assert!(matches!(refused, Err(PublishError::Database(StoreError::Unavailable(_)))), "{refused:?}");
    assert!(store.state().get(Kind::Service, "a").is_some());
    server.resume();
    finds(&store, "that it is back", |away| away.is_none()).await;
    assert_eq!(publish(&store, edit, 3).await.unwrap().id, 2);
}

/// Connections that the server has with whom it serves.
fn connections(server: &MariaDb) -> usize {
    let counted = server.execute(
        "",
        "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'coregate' AND command <> 'Query'",
    );
    counted.trim().parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_the_server_ends_as_idle_are_not_missed() {
    let server = MariaDb::start_with(vec!["--wait-timeout=1".to_owned()]);
    let store = Store::open(&server.url().parse().unwrap(), None).await.unwrap();
    let all_at_once = || futures_util::future::try_join_all((0..8).map(|_| store.admins()));
    all_at_once().await.unwrap();
    let most = server.execute("", "SHOW GLOBAL STATUS LIKE 'Max_used_connections'");
    let most = most.rsplit('\t').next().and_then(|count| count.trim().parse::<u32>().ok());
    assert!(most.is_some_and(|count| count > 3), "several at once: {most:?}");
    eventually("the server ends those that nobody uses", PATIENCE, || connections(&server) <= 2);
    all_at_once().await.unwrap();
    publish(&store, vec![change("a", Some(service("a", 1)), None)], 1).await.unwrap();
}

async fn refused(url: &str) -> String {
    match Store::open(&url.parse::<DatabaseUrl>().unwrap(), None).await {
        Ok(_) => panic!("{url} opens"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn what_is_wrong_at_start_is_told_without_the_password() {
    let nobody = Port::free();
    let told = refused(&format!("mysql://u:s3cret@{}/d", nobody.address())).await;
    assert!(told.contains("cannot be reached") && told.contains(&nobody.address().to_string()), "{told}");
    assert!(!told.contains("s3cret"), "{told}");
    let server = MariaDb::start();
    let told = refused(&server.url_of("nowhere")).await;
    assert!(told.contains("refuses") && told.contains("Unknown database 'nowhere'"), "{told}");
    let wrong = server.url().replace("coregate:", "stranger:");
    let told = refused(&wrong).await;
    let mysql = "it has no such user, or one that logs in by";
    assert!(told.contains("refuses"), "{told}");
    assert!(told.contains("Access denied for user 'stranger'") || told.contains(mysql), "{told}");
    assert!(told.contains("stranger:***@") && !told.contains("a%2Fb"), "{told}");
}

#[tokio::test]
async fn what_is_wrong_with_a_file_is_told_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("no/such/folder/admin.db");
    let told = refused(&format!("sqlite:{}", path.display())).await;
    assert!(told.contains("no/such/folder/admin.db") && told.contains("No such file"), "{told}");
    let path = folder.path().join("text.db");
    std::fs::write(&path, "this is no database, whatever its name says. ".repeat(100)).unwrap();
    let told = refused(&format!("sqlite:{}", path.display())).await;
    assert!(told.contains("text.db") && told.contains("not a database"), "{told}");
}

#[tokio::test]
async fn a_database_file_is_for_its_owner_alone() {
    let place = Place::sqlite();
    let store = place.store().await;
    publish(&store, vec![change("a", Some(service("a", 1)), None)], 1).await.unwrap();
    let folder = place.url.sqlite_path().unwrap().parent().unwrap();
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(Result::unwrap).collect();
    assert!(files.len() >= 2, "with the write-ahead log");
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.path().display());
    }
}
