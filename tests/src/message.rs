//! HTTP/1.1 messages as the tests read them: strictly, and independently of the gateway's own parser.

use std::io;

use crate::body::Body;

/// Field lines in order, names as they were spelled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// The value of the only field of that name; `None` when there is none. Panics when there are several.
    #[track_caller]
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str());
        let value = values.next();
        assert!(values.next().is_none(), "more than one {name} in {:?}", self.0);
        value
    }

    /// All values of that name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Whether one of the comma separated members of the field is `token`.
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(','))
            .any(|member| member.trim().eq_ignore_ascii_case(token))
    }
}

/// The head of a request or an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Request line or status line.
    pub start: String,
    /// Its fields.
    pub fields: Fields,
    /// Exactly what came, with the blank line.
    pub raw: Vec<u8>,
}

/// An answer, with its body.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    /// Its fields.
    pub fields: Fields,
    /// Its body.
    pub body: Body,
    /// Fields after a chunked body.
    pub trailers: Fields,
    /// Interim (1xx) answers that came before it.
    pub interim: Vec<u16>,
    /// How its body was framed.
    pub framing: Framing,
}

impl Answer {
    /// The value of the only field of that name.
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        self.body.text()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let text = self.text();
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e} in {text:?} ({})", self.status))
    }

    /// Checks that it is one of the gateway's own errors with that status and code, and says so in JSON.
    #[track_caller]
    pub fn expect_error(&self, status: u16, code: &str) -> &Answer {
        assert_eq!(self.status, status, "{:?} {}", self.fields, self.text());
        let media = self.field("content-type").unwrap_or_default();
        assert!(media.starts_with("application/json"), "content-type {media:?}");
        let error = self.json()["error"].clone();
        assert_eq!(error["code"], code, "{error}");
        assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()), "{error}");
        assert!(error["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{error}");
        self
    }

    /// Checks that it has that status and body.
    #[track_caller]
    pub fn expect(&self, status: u16, text: &str) -> &Answer {
        assert_eq!((self.status, self.text().as_str()), (status, text), "{:?}", self.fields);
        self
    }
}

/// How a message's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    Close,
}

/// Why a message could not be read.
#[derive(Debug)]
pub enum Broken {
    /// The peer closed before the first byte of it.
    Closed,
    /// The peer closed in the middle of it: what was being read, and what there was.
    CutShort(&'static str, Vec<u8>),
    /// Nothing came in time; what there was.
    TimedOut(Vec<u8>),
    /// The connection was reset, or failed otherwise; whether something of the message had come.
    Failed(io::Error, bool),
    /// It breaks the grammar.
    Malformed(String),
}

/// Parses a head that ends with its blank line.
pub fn parse_head(raw: &[u8]) -> Result<Head, Broken> {
    let text = std::str::from_utf8(raw).map_err(|e| Broken::Malformed(format!("head is not UTF-8: {e}")))?;
    let text = text.strip_suffix("\r\n\r\n").ok_or_else(|| Broken::Malformed("no blank line".into()))?;
    let mut lines = text.split("\r\n");
    let start = lines.next().unwrap_or_default();
    if start.is_empty() || start.contains(|c: char| c.is_control()) {
        return Err(Broken::Malformed(format!("start line {start:?}")));
    }
    Ok(Head { start: start.to_owned(), fields: parse_fields(lines)?, raw: raw.to_vec() })
}

/// Parses field lines without their line ends.
pub fn parse_fields<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Fields, Broken> {
    let mut fields = Vec::new();
    for line in lines {
        let bad = || Broken::Malformed(format!("field line {line:?}"));
        let (name, value) = line.split_once(':').ok_or_else(bad)?;
        if name.is_empty() || !name.bytes().all(is_token_byte) {
            return Err(bad());
        }
        let value = value.trim_matches([' ', '\t']);
        if value.contains(|c: char| c.is_control() && c != '\t') {
            return Err(bad());
        }
        fields.push((name.to_owned(), value.to_owned()));
    }
    Ok(Fields(fields))
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// How the body of a request with these fields is framed (RFC 9112, section 6.3). Strict: what a sender must not
/// send is malformed.
pub fn request_framing(fields: &Fields) -> Result<Framing, Broken> {
    Ok(declared_framing(fields)?.unwrap_or(Framing::None))
}

/// How the body of an answer to `method` with that status and these fields is framed.
pub fn answer_framing(method: &str, status: u16, fields: &Fields) -> Result<Framing, Broken> {
    let declared = declared_framing(fields)?;
    let never = status < 200 || status == 204;
    if never && declared.is_some() {
        return Err(Broken::Malformed(format!("{status} with {declared:?}")));
    }
    if never || status == 304 || method == "HEAD" {
        return Ok(Framing::None);
    }
    Ok(declared.unwrap_or(Framing::Close))
}

fn declared_framing(fields: &Fields) -> Result<Option<Framing>, Broken> {
    let bad = || Broken::Malformed(format!("framing of {:?}", fields.0));
    let codings: Vec<&str> = fields.all("transfer-encoding").collect();
    let lengths: Vec<&str> = fields.all("content-length").collect();
    match (codings.as_slice(), lengths.as_slice()) {
        ([], []) => Ok(None),
        ([coding], []) if coding.eq_ignore_ascii_case("chunked") => Ok(Some(Framing::Chunked)),
        ([], [length]) if length.bytes().all(|b| b.is_ascii_digit()) => {
            Ok(Some(Framing::Length(length.parse().map_err(|_| bad())?)))
        }
        _ => Err(bad()),
    }
}

/// Parses a status line into version and status.
pub fn parse_status_line(line: &str) -> Result<(String, u16), Broken> {
    let bad = || Broken::Malformed(format!("status line {line:?}"));
    let (version, rest) = line.split_once(' ').ok_or_else(bad)?;
    let (code, _reason) = rest.split_once(' ').ok_or_else(bad)?;
    let known = version == "HTTP/1.1" || version == "HTTP/1.0";
    if !known || code.len() != 3 || !code.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    Ok((version.to_owned(), code.parse().map_err(|_| bad())?))
}
