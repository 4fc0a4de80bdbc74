//! What `load` does with files: those named in a configuration are found from its folder, and must be there when they
//! are needed.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::path::{Path, PathBuf};

use coregate_config::checked::{AccessLogPath, Certificate, CertificateFiles, Control, ListenerProtocol};
use coregate_config::load;

#[test]
fn paths_are_taken_from_the_folder_of_the_file() {
    let folder = Folder::new("paths");
    folder.write("site.pem", "");
    folder.write("site.key", "");
    let file = folder.write(
        "gateway.toml",
        r#"
        [server.access_log]
        path = "access.log"
        [[listeners]]
        name = "tls"
        address = "127.0.0.1:0"
        protocol = "https"
        certificates = [{ chain = "site.pem", key = "./site.key" }]
        "#,
    );
    let gateway = load(&file).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(gateway.server.access_log.path, AccessLogPath::File(folder.0.join("access.log")));
    assert_eq!(gateway.listeners[0].protocol, ListenerProtocol::Https);
    let certificates = &gateway.listeners[0].tls.as_ref().unwrap().certificates;
    let expected =
        CertificateFiles { chain: folder.0.join("site.pem"), key: folder.0.join("./site.key"), ocsp: None };
    assert_eq!(certificates[0], Certificate::Files(expected));
}

#[test]
fn certificates_of_enabled_listeners_must_be_there() {
    let folder = Folder::new("certificates");
    let text = |enabled: bool| {
        format!(
            "[[listeners]]\nname = \"tls\"\naddress = \"127.0.0.1:0\"\nprotocol = \"https\"\nenabled = {enabled}\n\
             certificates = [{{ chain = \"no.pem\", key = \"no.key\" }}]"
        )
    };
    let report = load(&folder.write("on.toml", &text(true))).unwrap_err();
    assert_eq!(report.errors.len(), 2, "{report}");
    assert!(report.errors[0].message.starts_with("cannot open "), "{report}");
    assert_eq!(report.errors[1].key, "listeners[0].certificates[0].key");
    assert!(load(&folder.write("off.toml", &text(false))).is_ok(), "one that is off needs none");
}

#[test]
fn the_files_of_tls_with_nodes_must_be_there() {
    let folder = Folder::new("upstream-tls");
    let text = |enabled: bool| {
        format!(
            "[[services]]\nname = \"a\"\nenabled = {enabled}\ntls = true\n[services.upstream_tls]\nca = \"no-ca.pem\"\n\
             certificate = {{ chain = \"no.pem\", key = \"no.key\" }}"
        )
    };
    let report = load(&folder.write("on.toml", &text(true))).unwrap_err();
    let keys: Vec<&str> = report.errors.iter().map(|error| &*error.key).collect();
    let expected = ["ca", "certificate.chain", "certificate.key"];
    assert_eq!(keys, expected.map(|key| format!("services[0].upstream_tls.{key}")), "{report}");
    let gateway = load(&folder.write("off.toml", &text(false))).unwrap();
    let tls = gateway.services[0].tls.as_ref().unwrap();
    assert_eq!(tls.ca, Some(folder.0.join("no-ca.pem")), "relative to the file's folder");
}

#[test]
fn the_admins_token_must_be_there() {
    let folder = Folder::new("token");
    let text = "[control]\nsource = \"admin\"\nadmin_url = \"http://127.0.0.1:8880/\"\ntoken_file = \"token\"\ncache_path = \"last-good.json\"";
    let file = folder.write("gateway.toml", text);
    let report = load(&file).unwrap_err();
    assert_eq!(report.errors[0].key, "control.token_file", "{report}");
    folder.write("token", "t");
    let expected = Control::Admin {
        url: "http://127.0.0.1:8880".to_owned(),
        token_file: folder.0.join("token"),
        cache_path: folder.0.join("last-good.json"),
    };
    assert_eq!(load(&file).unwrap().control, expected);
}

#[test]
fn cluster_limits_need_redis_in_a_process_own_file() {
    let folder = Folder::new("cluster");
    let text = "[[services]]\nname = \"a\"\nlimits = { requests_per_second = 1, scope = \"cluster\" }\n";
    let report = load(&folder.write("without.toml", text)).unwrap_err();
    assert!(
        report.to_string().contains("services[0].limits.scope = \"cluster\": \"cluster\" needs"),
        "{report}"
    );
    let with = format!("stats.redis_url = \"redis://127.0.0.1\"\n{text}");
    assert!(load(&folder.write("with.toml", &with)).is_ok());
    assert!(coregate_config::parse_toml(text, "from the admin").is_ok(), "the engine has its own [stats]");
}

#[test]
fn the_name_tells_the_format() {
    let folder = Folder::new("format");
    assert!(load(&folder.write("gateway.json", "{\"services\": []}")).is_ok());
    assert!(load(&folder.write("gateway.conf", "services = []")).is_ok());
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let folder = Folder::new("unreadable");
    let report = load(&folder.0.join("missing.toml")).unwrap_err().to_string();
    assert!(report.contains("missing.toml: cannot open the file: No such file"), "{report}");
    let report = load(&folder.0).unwrap_err().to_string();
    assert!(report.contains("cannot read the file"), "{report}");
    let file = folder.0.join("binary.toml");
    std::fs::write(&file, b"a = \xff").unwrap();
    let report = load(&file).unwrap_err().to_string();
    assert!(report.contains("binary.toml: the file is not UTF-8: byte 5"), "{report}");
}

/// A folder of one test, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.0.join(name);
        std::fs::write(&file, text).unwrap();
        file
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
