//! nginx as a peer of the gateway: a process in the foreground, in a folder that goes away.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::certs::Pair;
use crate::ports::Port;
use crate::wait::{PATIENCE, eventually};

/// A running nginx.
pub struct Nginx {
    child: Child,
    folder: TempDir,
}

impl Nginx {
    /// nginx with this in its configuration, once it listens there. `FOLDER` stands for its folder.
    #[track_caller]
    pub fn with(config: &str, port: &Port) -> Nginx {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().display();
        let text = format!(
            "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\ndaemon off;\nmaster_process off;\n\
             pid {path}/pid;\nerror_log {path}/error.log info;\nevents {{}}\n{config}"
        );
        let text = text.replace("FOLDER", &path.to_string());
        std::fs::write(folder.path().join("nginx.conf"), text).expect("a configuration");
        let mut nginx = Command::new("nginx");
        nginx
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg("nginx.conf");
        let child = nginx.stderr(Stdio::null()).spawn().expect("nginx runs");
        let mut nginx = Nginx { child, folder };
        eventually("nginx listens", PATIENCE, || {
            assert!(nginx.child.try_wait().expect("its state").is_none(), "nginx ended");
            TcpStream::connect(port.address()).is_ok()
        });
        nginx
    }

    /// nginx with these servers of HTTP.
    #[track_caller]
    pub fn http(servers: &str, port: &Port) -> Nginx {
        let http = format!(
            "http {{ access_log off; ssl_protocols TLSv1.2 TLSv1.3; client_body_temp_path FOLDER/body; proxy_temp_path FOLDER/proxy; \
             fastcgi_temp_path FOLDER/fastcgi; uwsgi_temp_path FOLDER/uwsgi; scgi_temp_path FOLDER/scgi; \
             {servers} }}"
        );
        Nginx::with(&http, port)
    }

    /// nginx as an origin over TLS; `listen` and `keys` go into its server. It answers with what it knows of the
    /// connection: see the text.
    #[track_caller]
    pub fn tls_origin(port: &Port, pair: &Pair, listen: &str, keys: &str) -> Nginx {
        let server = format!(
            "server {{ listen {} ssl {listen}; {} {keys} location / {{ return 200 \"sni=$ssl_server_name \
             alpn=$ssl_alpn_protocol reused=$ssl_session_reused client=$ssl_client_s_dn version=$ssl_protocol \
             http=$server_protocol connection=$connection;\"; }} }}",
            port.address(),
            certificate(pair)
        );
        Nginx::http(&server, port)
    }

    /// nginx that ends TLS in front of another address; `listen` and `keys` go into its server.
    #[track_caller]
    pub fn tls_before(port: &Port, pair: &Pair, origin: SocketAddr, listen: &str, keys: &str) -> Nginx {
        let server = format!(
            "stream {{ server {{ listen {} ssl {listen}; {} {keys} proxy_pass {origin}; }} }}",
            port.address(),
            certificate(pair)
        );
        Nginx::with(&server, port)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.file("error.log")
    }

    /// What is in a file of its folder.
    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

/// The keys of a server with that certificate.
pub fn certificate(pair: &Pair) -> String {
    format!("ssl_certificate {}; ssl_certificate_key {};", pair.chain.display(), pair.key.display())
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("--- nginx wrote\n{}---", self.log());
        }
    }
}
