//! Writing an answer to an HTTP/1.1 client.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use coregate_config::checked::Hsts;

use crate::error::Error;
use crate::http::body::BodyFraming;
use crate::http::exchange::ResponseSink;
use crate::http::h1_body::Upload;
use crate::http::head::{ResponseHead, ResponseMeta, Version};
use crate::http::headers::{ConnectionOut, ResponseOut, Rules, write_response};
use crate::http::record::Moved;
use crate::net::Chunk;
use crate::relay::{Append, Sink};
use crate::shard::Shard;
use crate::stream::Stream;

/// The answer to one request on a client's connection.
pub struct Responder<'a> {
    shard: &'a Rc<Shard>,
    upload: Upload<'a>,
    /// Set with the first byte written, interim answers apart.
    written: &'a Cell<bool>,
    version: Version,
    keep_alive: bool,
    hsts: Option<Hsts>,
    status: u16,
    /// Of what was written, flushed or not.
    head_bytes: u64,
}

impl<'a> Responder<'a> {
    /// For a request of this version; `keep_alive`: the client wants the connection to stay.
    pub fn new(
        shard: &'a Rc<Shard>,
        stream: &'a Stream,
        written: &'a Cell<bool>,
        version: Version,
        keep_alive: bool,
        hsts: Option<Hsts>,
    ) -> Self {
        let upload = Upload::new(&shard.net, stream, BodyFraming::None);
        Self { shard, upload, written, version, keep_alive, hsts, status: 0, head_bytes: 0 }
    }

    /// What was sent, for an exchange that has received so much. Status 0 = none was written.
    pub fn moved(&self, bytes_in: u64) -> Moved {
        let bytes_out = self.upload.bytes();
        let body_bytes_out = bytes_out.saturating_sub(self.head_bytes);
        Moved { status: self.status, bytes_in, bytes_out, body_bytes_out }
    }

    fn write_head(&mut self, head: &ResponseHead, meta: &ResponseMeta, to: &ResponseOut, rules: &Rules) {
        let out = &mut self.upload.out;
        let before = out.len();
        write_response(out.bytes(), head, meta, to, rules);
        self.head_bytes += (out.len() - before) as u64;
    }

    /// Whether the connection may carry another request after this answer.
    pub fn keeps_alive(&self) -> bool {
        self.keep_alive
    }
}

impl ResponseSink for Responder<'_> {
    fn interim(&mut self, head: &ResponseHead, meta: &ResponseMeta, rules: &Rules) {
        // RFC 9110 15.2: not to a client of HTTP/1.0.
        if self.version == Version::Http10 {
            return;
        }
        let to = ResponseOut {
            connection: ConnectionOut::KeepAlive,
            body: BodyFraming::None,
            client_version: self.version,
            date: None,
            hsts: None,
        };
        self.write_head(head, meta, &to, rules);
    }

    fn head(
        &mut self,
        head: &ResponseHead,
        meta: &ResponseMeta,
        rules: &Rules,
        request_whole: bool,
    ) -> Result<(), Error> {
        self.upload.framing = match meta.body {
            BodyFraming::Chunked | BodyFraming::UntilClose if self.version == Version::Http10 => {
                BodyFraming::UntilClose
            }
            BodyFraming::UntilClose => BodyFraming::Chunked,
            framing => framing,
        };
        self.keep_alive = self.keep_alive
            && request_whole
            && self.upload.framing != BodyFraming::UntilClose
            && !meta.upgrade
            && !self.shard.draining();
        let connection = match (meta.upgrade, self.keep_alive) {
            (true, _) => ConnectionOut::Upgrade,
            (false, true) => ConnectionOut::KeepAlive,
            (false, false) => ConnectionOut::Close,
        };
        let date = self.shard.date();
        let to = ResponseOut {
            connection,
            body: self.upload.framing,
            client_version: self.version,
            date: Some(&date),
            hsts: self.hsts,
        };
        self.write_head(head, meta, &to, rules);
        if meta.upgrade {
            self.upload.framing = BodyFraming::UntilClose;
        }
        self.status = head.status;
        self.written.set(true);
        Ok(())
    }
}

impl Append for Responder<'_> {
    fn push(&mut self, chunk: Chunk) {
        self.upload.push(chunk);
    }

    fn end(&mut self, trailers: &[u8]) {
        self.upload.end(trailers);
    }

    fn is_full(&self) -> bool {
        self.upload.is_full()
    }
}

impl Sink for Responder<'_> {
    async fn shut_down(&mut self) -> io::Result<()> {
        self.upload.shut_down().await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.upload.flush().await
    }
}
