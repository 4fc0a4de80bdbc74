//! An origin that does as it is told: an HTTP/1.1 server of blocking threads, one a connection.
//!
//! `Origin::named("a")` answers every request with the text `a`; `Origin::that(|x| ...)` hands each request to a
//! script, see [`Exchange`]. Every request that arrives is recorded. [`Origin::stop`] is a crash: the port refuses and
//! all connections are cut; [`Origin::restart`] brings it back on the same port.

use std::collections::BTreeMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::body::Body;
use crate::exchange::Exchange;
use crate::message::{Broken, Fields, Head};
use crate::ports::Port;
use crate::wait::{PATIENCE, eventually};
use crate::wire::Wire;

/// How long an idle or stalled connection is kept.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(60);

type Script = dyn Fn(&mut Exchange) + Send + Sync;

/// A running (or stopped) origin.
pub struct Origin {
    port: Port,
    shared: Arc<Shared>,
    running: Option<Running>,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Number of the connection that it came on, from 0.
    pub connection: usize,
    /// Request line and fields.
    pub head: Head,
    /// Its body, when the script has read it to its end.
    pub body: Option<Body>,
    /// Its trailers, when the script has read it to its end.
    pub trailers: Fields,
}

impl Seen {
    /// Method and target.
    pub fn line(&self) -> &str {
        self.head.start.trim_end_matches(" HTTP/1.1")
    }

    /// The value of the only field of that name.
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.fields.get(name)
    }
}

impl Origin {
    /// Answers every request with its name.
    pub fn named(name: &str) -> Origin {
        let name = name.to_owned();
        Origin::that(move |x| x.answer(200, &name))
    }

    /// Answers every request with length and hash of its body.
    pub fn digesting() -> Origin {
        Origin::that(|x| {
            let name = x.read_body().name();
            x.answer(200, &name);
        })
    }

    /// Runs that script for every request.
    pub fn that(script: impl Fn(&mut Exchange) + Send + Sync + 'static) -> Origin {
        let mut origin = Origin::stopped(script);
        origin.restart();
        origin
    }

    /// Has a port and a script but does not listen yet.
    pub fn stopped(script: impl Fn(&mut Exchange) + Send + Sync + 'static) -> Origin {
        let shared = Arc::new(Shared {
            script: Box::new(script),
            seen: Mutex::default(),
            malformed: Mutex::default(),
            accepted: AtomicUsize::new(0),
            open: Mutex::default(),
            gate: Gate::default(),
        });
        Origin { port: Port::free(), shared, running: None }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Every request so far, in order of arrival.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().expect("seen").clone()
    }

    /// The only request so far.
    #[track_caller]
    pub fn only(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "requests at the origin: {seen:?}");
        seen.remove(0)
    }

    /// The latest request.
    #[track_caller]
    pub fn last(&self) -> Seen {
        self.seen().pop().expect("the origin has seen a request")
    }

    /// How many requests have arrived.
    pub fn count(&self) -> usize {
        self.shared.seen.lock().expect("seen").len()
    }

    /// What arrived that was no HTTP/1.1; a gateway must never send such.
    pub fn malformed(&self) -> Vec<String> {
        self.shared.malformed.lock().expect("malformed").clone()
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.shared.open.lock().expect("open").len()
    }

    /// Waits until that many requests have arrived.
    #[track_caller]
    pub fn expect_count(&self, count: usize) {
        eventually(&format!("{count} requests at the origin"), PATIENCE, || self.count() >= count);
    }

    /// Lets every stalled script go on, now and from now on.
    pub fn release(&self) {
        self.shared.gate.open();
    }

    /// Crashes: refuses connections and cuts those that are open.
    pub fn stop(&mut self) {
        let Some(running) = self.running.take() else { return };
        // Shutting a listening socket down wakes its accept() with an error.
        socket2::SockRef::from(&running.listener).shutdown(Shutdown::Both).ok();
        self.shared.gate.open();
        running.acceptor.join().expect("the acceptor ends");
        drop(running.listener);
        self.cut_connections();
        eventually("all of the origin's connections ended", PATIENCE, || self.open() == 0);
    }

    /// Closes all connections that are open now, and goes on.
    pub fn cut_connections(&self) {
        for stream in self.shared.open.lock().expect("open").values() {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Listens again on the same port.
    pub fn restart(&mut self) {
        assert!(self.running.is_none(), "it is running");
        self.shared.gate.close();
        let listener = listen(self.address());
        let accepting = listener.try_clone().expect("a second handle");
        let shared = Arc::clone(&self.shared);
        let acceptor = std::thread::spawn(move || accept(&accepting, &shared));
        self.running = Some(Running { listener, acceptor });
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Running {
    listener: TcpListener,
    acceptor: JoinHandle<()>,
}

/// What the connections of an origin share.
pub(crate) struct Shared {
    script: Box<Script>,
    seen: Mutex<Vec<Seen>>,
    malformed: Mutex<Vec<String>>,
    accepted: AtomicUsize,
    open: Mutex<BTreeMap<usize, TcpStream>>,
    pub(crate) gate: Gate,
}

impl Shared {
    fn arrived(&self, seen: Seen) -> usize {
        let mut all = self.seen.lock().expect("seen");
        all.push(seen);
        all.len() - 1
    }

    pub(crate) fn body_arrived(&self, index: usize, body: &Body, trailers: &Fields) {
        let mut all = self.seen.lock().expect("seen");
        all[index].body = Some(body.clone());
        all[index].trailers = trailers.clone();
    }

    pub(crate) fn broken(&self, broken: &Broken) {
        if let Broken::Malformed(what) = broken {
            self.malformed.lock().expect("malformed").push(what.clone());
        }
    }
}

fn listen(address: SocketAddr) -> TcpListener {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("SO_REUSEADDR");
    socket.bind(&address.into()).unwrap_or_else(|e| panic!("bind {address}: {e}"));
    socket.listen(4096).expect("listen");
    socket.into()
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        let number = shared.accepted.fetch_add(1, Ordering::SeqCst);
        let handle = stream.try_clone().expect("a second handle");
        shared.open.lock().expect("open").insert(number, handle);
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            let _closed = Closed { number, shared: &shared };
            serve(number, stream, &shared);
        });
    }
}

/// Takes the connection off the list of open ones, however its thread ends.
struct Closed<'a> {
    number: usize,
    shared: &'a Shared,
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.shared.open.lock().expect("open").remove(&self.number);
    }
}

fn serve(connection: usize, stream: TcpStream, shared: &Shared) {
    let mut wire = Wire::new(stream, CONNECTION_PATIENCE);
    for turn in 0.. {
        let head = match wire.read_head() {
            Ok(head) => head,
            Err(broken) => return shared.broken(&broken),
        };
        let seen = Seen { connection, head: head.clone(), body: None, trailers: Fields::default() };
        let index = shared.arrived(seen);
        let mut exchange = Exchange::new(&mut wire, shared, (index, turn), head);
        (shared.script)(&mut exchange);
        if !exchange.finish() {
            return;
        }
    }
}

/// A listening socket whose queue is full: further connection attempts get no answer at all.
#[derive(Debug)]
pub struct FullBacklog {
    listener: TcpListener,
    _waiting: Vec<socket2::Socket>,
}

impl FullBacklog {
    /// Listens on 127.0.0.1 and fills its own queue.
    pub fn new() -> FullBacklog {
        use socket2::{Domain, Socket, Type};
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bind");
        socket.listen(0).expect("listen");
        let listener: TcpListener = socket.into();
        let address = listener.local_addr().expect("an address").into();
        let waiting = (0..8).map(|_| {
            let client = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            client.set_nonblocking(true).expect("non-blocking");
            // In progress is all that it will ever be once the queue is full.
            client.connect(&address).ok();
            client
        });
        FullBacklog { _waiting: waiting.collect(), listener }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("an address")
    }
}

impl Default for FullBacklog {
    fn default() -> FullBacklog {
        FullBacklog::new()
    }
}

/// What stalled and delayed scripts wait at.
#[derive(Default)]
pub(crate) struct Gate {
    is_open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.is_open.lock().expect("gate") = true;
        self.changed.notify_all();
    }

    fn close(&self) {
        *self.is_open.lock().expect("gate") = false;
    }

    /// Waits until the gate is open, at most that long.
    pub(crate) fn wait(&self, at_most: Duration) {
        let guard = self.is_open.lock().expect("gate");
        let waited = self.changed.wait_timeout_while(guard, at_most, |open| !*open);
        drop(waited.expect("gate"));
    }
}
