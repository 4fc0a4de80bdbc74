//! The origin: answers every request with the same text, lighter than any proxy in front of it.
//!
//! Input: HTTP/1.1 on kept-alive connections, pipelined or not, with bodies that are read and dropped. Output: one
//! prebuilt answer a request; all that a received chunk asks for goes out in one send.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use coregate::net::{Accepted, Listener, Net, Outgoing, Socket};
use socket2::{Domain, Protocol, Type};

use crate::executor;
use crate::wire::{Reader, Side};

const TEXT: &str = "Hello from the origin.\n";
const BACKLOG: i32 = 4096;
/// An answer buffer is sent before it grows beyond this.
const SEND_BYTES_MAX: usize = 64 << 10;

/// What every request is answered with.
#[derive(Debug)]
pub struct Answer {
    kept_alive: Message,
    /// To a request that asks for the connection's end.
    last: Message,
}

#[derive(Debug)]
struct Message {
    bytes: Vec<u8>,
    /// Of those, the head: the answer to HEAD.
    head_bytes: usize,
}

impl Answer {
    /// A text of so many bytes; `None` = a short one.
    pub fn new(bytes: Option<usize>) -> Self {
        let body: String = match bytes {
            Some(bytes) => TEXT.chars().cycle().take(bytes).collect(),
            None => TEXT.to_owned(),
        };
        let message = |field: &str| {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n{field}\r\n"
            );
            Message { head_bytes: head.len(), bytes: (head + &body).into_bytes() }
        };
        Self { kept_alive: message(""), last: message("Connection: close\r\n") }
    }
}

/// Listens, sharing the port with the origin's other threads.
///
/// # Errors
/// What is in the way, with the address.
pub fn listen(address: SocketAddr) -> Result<OwnedFd, String> {
    let listen = || {
        let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(OwnedFd::from(socket))
    };
    listen().map_err(|error: std::io::Error| format!("cannot listen on {address}: {error}"))
}

/// Serves on this thread for as long as the process lives.
///
/// # Errors
/// The network ring could not be made or failed.
pub fn serve(listener: OwnedFd, cpu: Option<usize>, answer: Answer) -> Result<(), String> {
    executor::run(cpu, move |net| accept(net, listener, Rc::new(answer)))
}

async fn accept(net: Rc<Net>, listener: OwnedFd, answer: Rc<Answer>) {
    let listener = Listener::adopt(&net, listener);
    loop {
        match listener.accept().await {
            Accepted::Connection(fd) => {
                let socket = Socket::adopt(&net, fd);
                glommio::spawn_local(connection(net.clone(), socket, answer.clone())).detach();
            }
            Accepted::Paused(error) => eprintln!("accepting paused: {error}"),
            Accepted::Stopped => return,
        }
    }
}

/// Answers until the client or an error ends it.
async fn connection(net: Rc<Net>, socket: Socket, answer: Rc<Answer>) {
    let mut reader = Reader::new(Side::Requests);
    while let Ok(Some(chunk)) = socket.receive().await {
        let mut bytes = &chunk[..];
        let mut out = net.outgoing();
        loop {
            match reader.next(&mut bytes) {
                Ok(Some(request)) => {
                    let answer = if request.close { &answer.last } else { &answer.kept_alive };
                    let len = if request.head_only { answer.head_bytes } else { answer.bytes.len() };
                    if out.len() + len > SEND_BYTES_MAX && !out.is_empty() {
                        let full = std::mem::replace(&mut out, net.outgoing());
                        if socket.post(full).await.is_err() {
                            return;
                        }
                    }
                    out.bytes().extend_from_slice(&answer.bytes[..len]);
                    if request.close {
                        return finish(&socket, out).await;
                    }
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
        drop(chunk);
        if out.is_empty() {
            net.recycle(out);
        } else if socket.post(out).await.is_err() {
            return;
        }
    }
    // What was asked for before the client's end is still sent.
    let _ = socket.flush().await;
}

async fn finish(socket: &Socket, out: Outgoing) {
    let (sent, _) = socket.send(out).await;
    if sent.is_ok() {
        socket.shut_down();
        // Closing over unread bytes would reset the connection under the answer.
        while let Ok(Some(_)) = socket.receive().await {}
    }
}
