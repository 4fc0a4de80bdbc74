//! `[[listeners]]` as written.

use crate::read::{choice, table};
use crate::units::{Size, Time};

table! {
    /// A socket to listen on.
    Listener {
        /// Unique name: 1 to 64 of A-Z a-z 0-9 _ . -
        name: String,
        /// `false` = checked, but not opened.
        enabled: bool = true,
        /// `IP:PORT`, `[IPv6]:PORT`; `0.0.0.0` and `[::]` = every address of that family. Port 0 = any free port.
        address: String,
        /// What is spoken on it.
        protocol: Protocol = Protocol::Http,
        /// Name of the service whose nodes get the bytes; for `protocol = "tcp"`, which needs it or `sni_routes`. With
        /// `sni_routes`: who gets connections that none of them fits; left out = such connections are closed.
        service: Option<String> = None,
        /// For `protocol = "tcp"` without `certificates`: TLS connections go to a service by the name that the client
        /// asks for (SNI), and stay encrypted. At most 1000.
        sni_routes: Vec<SniRoute> = Vec::new(),
        /// For `protocol = "https"`, which needs at least one when enabled, and `"tcp"`, where TLS then ends here and
        /// the service gets the clear bytes; at most 1000. The first is used when none fits the name that a client asks
        /// for. Files that change are read again.
        certificates: Vec<Certificate> = Vec::new(),
        /// How TLS is spoken; for listeners with certificates.
        tls: Option<ListenerTls> = None,
        /// HTTP/2; for `protocol = "http"` and `"https"`.
        http2: Option<Http2> = None,
        /// For `protocol = "http"`: answer every request with 308 and the same URL in https.
        https_redirect: bool = false,
        /// The port in those URLs, 1 to 65535.
        https_redirect_port: i64 = 443,
        /// A request head must be complete within this time from its first byte (from accept for the first), up to 24
        /// hours; so must a PROXY header and the ClientHello that `sni_routes` look into, from accept.
        header_timeout: Time = Time::seconds(10),
        /// A client connection without a request is closed after this, up to 24 hours.
        idle_timeout: Time = Time::seconds(75),
        /// Largest request head (request line and fields), 1KiB to 256KiB.
        max_header_bytes: Size = Size::kib(16),
        /// Most header fields in a request, 1 to 256.
        max_header_fields: i64 = 100,
        /// Every connection begins with a PROXY protocol header (v1 or v2), before TLS. Only peers in
        /// `server.trusted_proxies` may connect; the address in the header is the client's from there on.
        proxy_protocol: bool = false,
    }
}

choice! {
    /// What a listener speaks.
    Protocol {
        /// HTTP in clear.
        Http = "http",
        /// HTTP over TLS.
        Https = "https",
        /// bytes to the nodes of a service.
        Tcp = "tcp",
    }
}

table! {
    /// Where TLS connections for some host names go.
    SniRoute {
        /// Host names, exact (`"db.example.com"`) or one wildcard label in front (`"*.example.com"`: any name below, not
        /// the name itself). An exact name wins, then the longest wildcard. 1 to 256; no name twice in a listener.
        hosts: Vec<String>,
        /// Name of the service whose nodes get the bytes.
        service: String,
    }
}

table! {
    /// A certificate: files (`chain` and `key`), or the name of one of `[[certificates]]`. Relative paths are relative to
    /// the configuration file's folder.
    Certificate {
        /// PEM file with the chain, leaf first. This and `key`, or `certificate` must be given.
        chain: Option<String> = None,
        /// PEM file with the private key.
        key: Option<String> = None,
        /// DER file with an OCSP response, which is stapled.
        ocsp: Option<String> = None,
        /// Name of one of `[[certificates]]`, instead of files.
        certificate: Option<String> = None,
    }
}

table! {
    /// TLS with clients.
    ListenerTls {
        /// Oldest version that is spoken.
        min_version: TlsVersion = TlsVersion::V1_2,
        /// Whether clients present certificates.
        client_certificates: ClientCertificates = ClientCertificates::Off,
        /// PEM file with the certificates of those that may sign client certificates; for `client_certificates =
        /// "optional"` and `"required"`, which need it.
        client_ca: Option<String> = None,
        /// The request header that tells an origin the subject of a verified client certificate; a client's own is
        /// removed.
        client_subject_header: String = "x-client-subject".to_owned(),
        /// A handshake must be complete within this time, up to 24 hours.
        handshake_timeout: Time = Time::seconds(10),
        /// Most handshakes in flight in the whole process, 1 to 10,000,000, shared out to the shards; further
        /// connections are closed.
        max_handshakes: i64 = 10_000,
        /// Let clients resume sessions by tickets, on any shard.
        session_tickets: bool = true,
        /// Send Strict-Transport-Security with this age, up to 2 years (730d); 0 = off. For `protocol = "https"`.
        hsts_max_age: Time = Time::seconds(0),
        /// The same for all names below; for `hsts_max_age` above 0.
        hsts_include_subdomains: bool = false,
    }
}

choice! {
    /// A version of TLS.
    TlsVersion {
        /// TLS 1.2.
        V1_2 = "1.2",
        /// TLS 1.3.
        V1_3 = "1.3",
    }
}

choice! {
    /// Whether clients present certificates.
    ClientCertificates {
        /// none is asked for.
        Off = "off",
        /// one that is presented must be valid.
        Optional = "optional",
        /// a client without a valid one is refused.
        Required = "required",
    }
}

table! {
    /// HTTP/2 with clients.
    Http2 {
        /// By ALPN on https listeners, by prior knowledge on http ones; `false` = HTTP/1.1 alone.
        enabled: bool = true,
        /// Most requests of a connection at once, 1 to 1000.
        max_concurrent_streams: i64 = 128,
        /// Most streams in a second that a client resets before they are answered, 1 to 1,000,000; more closes the
        /// connection with ENHANCE_YOUR_CALM.
        max_resets_per_second: i64 = 100,
    }
}
