//! Requests, as bytes that a test controls to the last one.

use std::fmt::Write;

/// A request. It gets a `Host: test` unless it names one, and nothing else that was not asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its method.
    pub method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

/// `GET target`
pub fn get(target: &str) -> Request {
    request("GET", target)
}

/// `POST target`; give it a body.
pub fn post(target: &str) -> Request {
    request("POST", target)
}

/// A request of any method.
pub fn request(method: &str, target: &str) -> Request {
    Request { method: method.into(), target: target.into(), fields: Vec::new(), body: Vec::new() }
}

impl Request {
    /// Adds a field line.
    pub fn field(mut self, name: &str, value: &str) -> Request {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Adds a body with its Content-Length.
    pub fn body(self, body: impl AsRef<[u8]>) -> Request {
        let length = body.as_ref().len().to_string();
        let mut with = self.field("Content-Length", &length);
        with.body = body.as_ref().to_vec();
        with
    }

    /// Adds a chunked body, one chunk a piece; `trailers` are field lines with their line ends.
    pub fn chunks(self, pieces: &[&str], trailers: &str) -> Request {
        let mut with = self.field("Transfer-Encoding", "chunked");
        for piece in pieces {
            with.body.extend_from_slice(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes());
        }
        with.body.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
        with
    }

    /// The same as HTTP/2 has it: `:authority` is the Host, nothing frames the body.
    pub(crate) fn h2(&self) -> (http::Request<()>, Vec<u8>) {
        let host = self.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
        let host = host.map_or("test", |(_, host)| host);
        let mut request =
            http::Request::builder().method(&*self.method).uri(format!("http://{host}{}", self.target));
        for (name, value) in self.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host")) {
            request = request.header(name, value);
        }
        (request.body(()).expect("a request"), self.body.clone())
    }

    /// The bytes on the wire, head and body.
    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str("Host: test\r\n");
        }
        for (name, value) in &self.fields {
            write!(head, "{name}: {value}\r\n").expect("a string takes all");
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}
