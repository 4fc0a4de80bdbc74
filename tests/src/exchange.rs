//! One request at an origin, as its script sees it: read it or not, send any bytes, wait, and end well or badly.

use std::time::Duration;

use crate::body::{self, Body};
use crate::message::{Head, request_framing};
use crate::origin::Shared;
use crate::wire::Wire;

/// How long a stalled script holds still.
const STALL: Duration = Duration::from_secs(60);

/// One request and the connection that it came on.
pub struct Exchange<'a> {
    wire: &'a mut Wire,
    shared: &'a Shared,
    index: usize,
    turn: usize,
    head: Head,
    body: Option<Body>,
    ended: bool,
}

impl<'a> Exchange<'a> {
    pub(crate) fn new(
        wire: &'a mut Wire,
        shared: &'a Shared,
        (index, turn): (usize, usize),
        head: Head,
    ) -> Exchange<'a> {
        Exchange { wire, shared, index, turn, head, body: None, ended: false }
    }

    /// How many requests of this origin came before this one.
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many requests came before this one on its connection.
    pub fn turn(&self) -> usize {
        self.turn
    }

    /// Method and target.
    pub fn line(&self) -> &str {
        self.head.start.trim_end_matches(" HTTP/1.1")
    }

    /// The target.
    pub fn target(&self) -> &str {
        self.line().split(' ').nth(1).unwrap_or_default()
    }

    /// The method.
    pub fn method(&self) -> &str {
        self.line().split(' ').next().unwrap_or_default()
    }

    /// The request's head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Reads the body to its end, after a 100 if one is expected. A body that is cut short reads as empty and ends the
    /// connection.
    pub fn read_body(&mut self) -> &Body {
        if self.body.is_none() {
            if self.head.fields.lists("expect", "100-continue") {
                self.send("HTTP/1.1 100 Continue\r\n\r\n");
            }
            let read = request_framing(&self.head.fields).and_then(|framing| self.wire.read_body(framing));
            let body = match read {
                Ok((body, trailers)) => {
                    self.shared.body_arrived(self.index, &body, &trailers);
                    body
                }
                Err(broken) => {
                    self.shared.broken(&broken);
                    self.ended = true;
                    Body::default()
                }
            };
            self.body = Some(body);
        }
        self.body.as_ref().expect("just read")
    }

    /// Reads whatever of the body has come, raw; empty when the gateway is gone.
    pub fn read_some(&mut self) -> Vec<u8> {
        self.wire.read_some().unwrap_or_default()
    }

    /// Reads the body, then answers with that status and text.
    pub fn answer(&mut self, status: u16, text: &str) {
        self.answer_with(status, "", text);
    }

    /// Reads the body, then answers with these field lines (with their line ends) and that text.
    pub fn answer_with(&mut self, status: u16, fields: &str, text: &str) {
        self.read_body();
        let length = text.len();
        let head = format!("HTTP/1.1 {status} Scripted\r\n{fields}content-length: {length}\r\n\r\n");
        let bodiless = self.method() == "HEAD";
        self.send(if bodiless { head } else { head + text });
    }

    /// Answers with a pattern body of that length, see [`body::pattern`].
    pub fn answer_pattern(&mut self, length: u64) {
        self.read_body();
        self.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"));
        let sent = body::pattern(length, |piece| self.wire.send(piece));
        self.ended |= sent.is_err();
    }

    /// Sends exactly these bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.ended |= self.wire.send(bytes.as_ref()).is_err();
    }

    /// Whether sending or reading has failed, or the script has ended the connection.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Waits that long.
    pub fn delay(&mut self, time: Duration) {
        self.shared.gate.wait(time);
    }

    /// Holds still until the origin is released or stopped.
    pub fn stall(&mut self) {
        self.shared.gate.wait(STALL);
    }

    /// Reads and drops until the gateway closes or resets the connection; whether it did.
    pub fn wait_gone(&mut self) -> bool {
        self.ended = true;
        self.wire.read_until_gone().is_ok()
    }

    /// Closes the connection.
    pub fn close(&mut self) {
        self.ended = true;
    }

    /// Resets the connection.
    pub fn reset(&mut self) {
        self.wire.reset_on_close();
        self.ended = true;
    }

    /// Sends FIN, and reads on.
    pub fn half_close(&mut self) {
        self.wire.half_close();
    }

    /// Accepts the upgrade to a WebSocket, then sends back every byte that comes.
    pub fn upgrade_and_echo(&mut self) {
        // The key and its answer are those of RFC 6455, section 1.3.
        self.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        );
        while let Ok(bytes) = self.wire.read_some() {
            self.send(bytes);
        }
        self.ended = true;
    }

    /// Sends back the body piece by piece as it comes, as one body of that length.
    pub fn echo_streaming(&mut self, length: u64) {
        self.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"));
        let mut left = length;
        while left > 0 {
            match self.wire.read_some() {
                Ok(bytes) => {
                    left = left.saturating_sub(bytes.len() as u64);
                    self.send(bytes);
                }
                Err(_) => return self.close(),
            }
        }
        self.body = Some(Body::default());
    }

    /// Reads what the script left of the request; whether the connection may go on.
    pub(crate) fn finish(&mut self) -> bool {
        if !self.ended {
            self.read_body();
        }
        !self.ended && !self.head.fields.lists("connection", "close")
    }
}
