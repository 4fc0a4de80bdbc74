//! Certificates and TLS clients for tests: made and spoken by `openssl` and `curl`, in folders that go away.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::wait::PATIENCE;

/// A certificate authority with a folder for what it signs.
#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Pair {
    /// PEM file.
    pub chain: PathBuf,
    /// PEM file.
    pub key: PathBuf,
}

impl Authority {
    /// A new one.
    pub fn new() -> Authority {
        let authority = Authority { folder: tempfile::tempdir().expect("a temporary folder") };
        authority.openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ca.key"]);
        authority.openssl(&[
            "req",
            "-x509",
            "-new",
            "-key",
            "ca.key",
            "-subj",
            "/CN=Test CA",
            "-days",
            "30",
            "-out",
            "ca.pem",
        ]);
        authority
    }

    /// Its own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// A file in its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Signs a certificate for these DNS names and IP addresses, with that common name; what was signed under the same name before is
    /// replaced.
    pub fn sign(&self, name: &str, names: &[&str]) -> Pair {
        self.sign_for(name, names, &format!("/C=DE/O=Example/CN={name}"), "20")
    }

    /// The same with a subject (in openssl's spelling) and for so many days.
    pub fn sign_for(&self, name: &str, names: &[&str], subject: &str, days: &str) -> Pair {
        let [key, request, extensions, chain] =
            ["key", "csr", "ext", "pem"].map(|kind| format!("{name}.{kind}"));
        let alternative = |name: &&str| match name.parse::<IpAddr>() {
            Ok(address) => format!("IP:{address}"),
            Err(_) => format!("DNS:{name}"),
        };
        let alternatives: Vec<String> = names.iter().map(alternative).collect();
        let text =
            format!("subjectAltName={}\nextendedKeyUsage=serverAuth,clientAuth\n", alternatives.join(","));
        fs::write(self.file(&extensions), text).expect("write");
        self.openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &format!("{key}.new")]);
        self.openssl(&["req", "-new", "-key", &format!("{key}.new"), "-subj", subject, "-out", &request]);
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            days,
            "-extfile",
            &extensions,
            "-out",
            &format!("{chain}.new"),
        ]);
        for file in [&key, &chain] {
            fs::rename(self.file(&format!("{file}.new")), self.file(file)).expect("rename");
        }
        Pair { chain: self.file(&chain), key: self.file(&key) }
    }

    /// An OCSP response (DER) that says that the certificate is good.
    pub fn ocsp(&self, pair: &Pair) -> PathBuf {
        let chain = pair.chain.to_str().expect("UTF-8");
        let serial = self.openssl(&["x509", "-in", chain, "-noout", "-serial"]);
        let serial = String::from_utf8(serial.stdout).expect("text");
        let serial = serial.trim().trim_start_matches("serial=").to_owned();
        let index = format!("V\t491231235959Z\t\t{serial}\tunknown\t/CN=any\n");
        fs::write(self.file("index.txt"), index).expect("write");
        self.openssl(&["ocsp", "-issuer", "ca.pem", "-cert", chain, "-reqout", "request.der"]);
        self.openssl(&[
            "ocsp",
            "-index",
            "index.txt",
            "-CA",
            "ca.pem",
            "-rsigner",
            "ca.pem",
            "-rkey",
            "ca.key",
            "-reqin",
            "request.der",
            "-respout",
            "response.der",
            "-ndays",
            "7",
        ]);
        self.file("response.der")
    }

    /// Runs openssl in its folder.
    #[track_caller]
    pub fn openssl(&self, arguments: &[&str]) -> Output {
        let output = Command::new("openssl").args(arguments).current_dir(self.folder.path()).output();
        let output = output.expect("openssl runs");
        assert!(
            output.status.success(),
            "openssl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    /// curl to a host of that name at that address, trusting this authority. What it printed, and how it ended.
    pub fn curl(&self, host: &str, address: SocketAddr, target: &str, arguments: &[&str]) -> Curl {
        let port = address.port();
        let output = Command::new("curl")
            .args(["-sS", "-i", "--max-time", &PATIENCE.as_secs().to_string(), "--cacert"])
            .arg(self.certificate())
            .args(["--resolve", &format!("{host}:{port}:{}", address.ip())])
            .args(arguments)
            .arg(format!("https://{host}:{port}{target}"))
            .output()
            .expect("curl runs");
        Curl {
            code: output.status.code(),
            text: String::from_utf8_lossy(&output.stdout).into_owned(),
            told: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}

/// What came of a curl.
#[derive(Debug)]
pub struct Curl {
    /// Exit code.
    pub code: Option<i32>,
    /// Head and body of the answer.
    pub text: String,
    /// Errors.
    pub told: String,
}

impl Curl {
    /// Checks that it was answered so.
    #[track_caller]
    pub fn expect(&self, status: u16, body: &str) {
        let code = self.text.split_ascii_whitespace().nth(1).and_then(|code| code.parse().ok());
        assert_eq!((self.code, code), (Some(0), Some(status)), "{self:?}");
        assert!(self.text.ends_with(body), "{self:?}");
    }

    /// Whether the head has that line.
    pub fn has_line(&self, line: &str) -> bool {
        self.text.lines().any(|it| it.trim_end().eq_ignore_ascii_case(line))
    }
}

/// `openssl s_client` to an address, with what it gets on its standard input; everything that it printed.
pub fn s_client(address: SocketAddr, arguments: &[&str], input: &[u8]) -> String {
    let mut child = Command::new("timeout")
        .args([&PATIENCE.as_secs().to_string(), "openssl", "s_client", "-connect", &address.to_string()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    // It may have ended already.
    let _ = child.stdin.take().expect("piped").write_all(input);
    let output = child.wait_with_output().expect("its output");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The lines of a listener's certificates.
pub fn certificates(pairs: &[&Pair]) -> String {
    let pair = |pair: &&Pair| entry(&pair.chain, &pair.key);
    format!("certificates = [{}]", pairs.iter().map(pair).collect::<Vec<_>>().join(", "))
}

fn entry(chain: &Path, key: &Path) -> String {
    format!("{{ chain = {chain:?}, key = {key:?} }}")
}
