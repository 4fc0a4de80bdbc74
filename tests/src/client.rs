//! A raw HTTP/1.1 client: sends any bytes, reads answers strictly, and panics with what it saw when they are not right.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::message::{Answer, Broken, answer_framing, parse_status_line};
use crate::request::{Request, get};
use crate::wait::PATIENCE;
use crate::wire::Wire;

/// One client connection.
#[derive(Debug)]
pub struct Client {
    wire: Wire,
}

impl Client {
    /// Connects.
    #[track_caller]
    pub fn connect(to: SocketAddr) -> Client {
        Client::try_connect(to).unwrap_or_else(|e| panic!("connect to {to}: {e}"))
    }

    /// Connects, or says why not.
    pub fn try_connect(to: SocketAddr) -> io::Result<Client> {
        Ok(Client { wire: Wire::new(TcpStream::connect_timeout(&to, PATIENCE)?, PATIENCE) })
    }

    /// Connects from that local address.
    pub fn connect_from(source: IpAddr, to: SocketAddr) -> io::Result<Client> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(source, 0).into())?;
        socket.connect_timeout(&to.into(), PATIENCE)?;
        Ok(Client { wire: Wire::new(socket.into(), PATIENCE) })
    }

    /// Connects from that local address and asks for `/`: the connection, if it was answered. One that is turned away may
    /// be reset as early as before connect(2) has returned.
    pub fn answered_from(source: IpAddr, to: SocketAddr) -> Option<Client> {
        let mut client = Client::connect_from(source, to).ok()?;
        client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").ok()?;
        client.try_read().ok()?;
        Some(client)
    }

    /// Changes how long an answer may take.
    pub fn patience(mut self, patience: Duration) -> Client {
        self.wire.set_patience(patience);
        self
    }

    /// Changes how long a send may be held up.
    pub fn set_send_patience(&mut self, patience: Duration) {
        self.wire.stream().set_write_timeout(Some(patience)).expect("a write timeout");
    }

    /// The same connection once more, to send from another thread.
    pub fn second_handle(&self) -> Client {
        let stream = self.wire.stream().try_clone().expect("a second handle");
        Client { wire: Wire::new(stream, PATIENCE) }
    }

    /// This end's address.
    pub fn address(&self) -> SocketAddr {
        self.wire.stream().local_addr().expect("a connected socket has an address")
    }

    /// Sends bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Client {
        self.try_send(bytes).expect("send");
        self
    }

    /// Sends bytes, or says why they could not be sent.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.send(bytes.as_ref())
    }

    /// Sends a request and reads its answer.
    #[track_caller]
    pub fn ask(&mut self, request: &Request) -> Answer {
        self.send(request.bytes());
        self.try_read_to(&request.method)
            .unwrap_or_else(|broken| panic!("no answer to {request:?}: {broken:?}"))
    }

    /// `GET target`, and its answer.
    #[track_caller]
    pub fn get(&mut self, target: &str) -> Answer {
        self.ask(&get(target))
    }

    /// Reads the answer to a request other than HEAD.
    #[track_caller]
    pub fn read(&mut self) -> Answer {
        self.try_read().unwrap_or_else(|broken| panic!("no answer: {broken:?}"))
    }

    /// Reads the answer to a request other than HEAD, or says why there is none.
    pub fn try_read(&mut self) -> Result<Answer, Broken> {
        self.try_read_to("GET")
    }

    /// Reads the final answer to a request with that method; interim answers are noted in it.
    pub fn try_read_to(&mut self, method: &str) -> Result<Answer, Broken> {
        let mut interim = Vec::new();
        loop {
            let answer = self.try_read_next(method)?;
            if answer.status >= 200 || answer.status == 101 {
                return Ok(Answer { interim, ..answer });
            }
            interim.push(answer.status);
        }
    }

    /// Reads the next answer, interim or final.
    pub fn try_read_next(&mut self, method: &str) -> Result<Answer, Broken> {
        let head = self.wire.read_head()?;
        let (version, status) = parse_status_line(&head.start)?;
        let framing = answer_framing(method, status, &head.fields)?;
        let (body, trailers) = self.wire.read_body(framing)?;
        Ok(Answer { status, version, fields: head.fields, body, trailers, interim: Vec::new(), framing })
    }

    /// Reads only the head of an answer, so that its body can be read by hand: status and fields.
    #[track_caller]
    pub fn read_head(&mut self) -> (u16, crate::message::Fields) {
        let head = self.wire.read_head().unwrap_or_else(|broken| panic!("no head: {broken:?}"));
        let (_, status) = parse_status_line(&head.start).expect("a status line");
        (status, head.fields)
    }

    /// Reads exactly that many bytes.
    #[track_caller]
    pub fn read_exact(&mut self, length: usize) -> Vec<u8> {
        self.wire.read_exact(length).unwrap_or_else(|broken| panic!("wanted {length} bytes: {broken:?}"))
    }

    /// Reads until the gateway closes or resets; what came before that.
    #[track_caller]
    pub fn read_until_gone(&mut self) -> Vec<u8> {
        self.wire.read_until_gone().unwrap_or_else(|broken| panic!("not closed: {broken:?}"))
    }

    /// Checks that the gateway closes (or resets) without another byte.
    #[track_caller]
    pub fn expect_close(&mut self) {
        let rest = self.read_until_gone();
        assert!(rest.is_empty(), "before the close: {:?}", String::from_utf8_lossy(&rest));
    }

    /// Sends FIN, and can still read.
    pub fn half_close(&mut self) {
        self.wire.half_close();
    }

    /// Goes away with a reset.
    pub fn reset(self) {
        self.wire.reset_on_close();
    }
}
