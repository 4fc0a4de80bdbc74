//! TLS to a server: asked for in the URL, with the authority that signed the server's certificate.

use coregate_admin::store::{DatabaseUrl, Store};
use coregate_tests::Authority;
use coregate_tests::mariadb::MariaDb;

use super::{change, publish, service};

async fn open(url: &str) -> Result<Store, String> {
    let url: DatabaseUrl = url.parse().map_err(|error| format!("{error}"))?;
    Store::open(&url, None).await.map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_verified_by_the_authority_in_the_url() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = MariaDb::with_tls(&authority.sign("db", &["127.0.0.1"]));
    let store =
        open(&format!("{}?ssl_ca={}", server.url(), authority.certificate().display())).await.unwrap();
    publish(&store, vec![change("a", Some(service("a", 1)), None)], 1).await.unwrap();
    // In clear, by the public roots and by another authority it is not to be had.
    let refused = open(&server.url()).await.err().expect("in clear");
    assert!(refused.contains("Access denied") || refused.contains("insecure transport"), "{refused}");
    for query in ["require_ssl=true".to_owned(), format!("ssl_ca={}", other.certificate().display())] {
        let refused = open(&format!("{}?{query}", server.url())).await.err().expect(&query);
        assert!(refused.contains("certificate") && !refused.contains("a%2Fb"), "{query}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_name_is_refused() {
    let authority = Authority::new();
    let server = MariaDb::with_tls(&authority.sign("db", &["db.example"]));
    let ca = authority.certificate();
    let refused =
        open(&format!("{}?ssl_ca={}", server.url(), ca.display())).await.err().expect("another name");
    assert!(refused.contains("certificate") && refused.contains("name"), "{refused}");
}
