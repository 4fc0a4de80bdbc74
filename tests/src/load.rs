//! A load that counts: a few threads, many keep-alive connections, every answer looked at.
//!
//! Each thread sends one request on each of its connections, then reads the answers, again and again: as many requests
//! are in flight as there are connections. A connection that the gateway closes between two answers is opened anew and
//! its request sent again, as a browser would (RFC 9112, section 9.3.1), and counted apart.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crate::client::Client;
use crate::message::{Answer, Broken};
use crate::request::{Request, get};

/// A load before its start.
#[derive(Debug, Clone)]
pub struct Load {
    to: SocketAddr,
    request: Request,
    connections: usize,
    threads: usize,
    requests: i64,
    until_refused: bool,
}

/// What came of a load.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Answers with status 200.
    pub ok: u64,
    /// Every other outcome, in words.
    pub failed: Vec<String>,
    /// Connections closed between two answers; their requests were sent again.
    pub closed_idle: u64,
    /// Connections that ended because the gateway said so (`Connection: close`).
    pub closed_by_word: u64,
    /// How many answers had which body.
    pub bodies: BTreeMap<String, u64>,
}

impl Load {
    /// A load on that address.
    pub fn on(to: SocketAddr) -> Load {
        let request = get("/");
        Load { to, request, connections: 16, threads: 2, requests: i64::MAX, until_refused: false }
    }

    /// That sends this request.
    pub fn request(mut self, request: Request) -> Load {
        self.request = request;
        self
    }

    /// That keeps so many connections.
    pub fn connections(mut self, connections: usize) -> Load {
        self.connections = connections;
        self
    }

    /// That ends after so many requests.
    pub fn requests(mut self, requests: u32) -> Load {
        self.requests = i64::from(requests);
        self
    }

    /// That ends when the gateway takes no more connections.
    pub fn until_refused(mut self) -> Load {
        self.until_refused = true;
        self
    }

    /// Starts it.
    pub fn start(self) -> Running {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            left: AtomicI64::new(self.requests),
            answered: AtomicU64::new(0),
        });
        let each = self.connections.div_ceil(self.threads);
        let threads = (0..self.threads)
            .map(|_| {
                let (load, shared) = (self.clone(), Arc::clone(&shared));
                std::thread::spawn(move || Thread { load, shared, tally: Tally::default() }.run(each))
            })
            .collect();
        Running { shared, threads }
    }

    /// Runs it to its end.
    pub fn run(self) -> Tally {
        self.start().join()
    }
}

/// A load at work.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Tally>>,
}

impl Running {
    /// Answers so far, good or bad.
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Ends it and counts.
    pub fn stop(self) -> Tally {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.join()
    }

    /// Waits for its end and counts.
    pub fn join(self) -> Tally {
        let mut all = Tally::default();
        for thread in self.threads {
            let tally = thread.join().expect("a load thread never panics");
            all.ok += tally.ok;
            all.failed.extend(tally.failed);
            all.closed_idle += tally.closed_idle;
            all.closed_by_word += tally.closed_by_word;
            for (body, count) in tally.bodies {
                *all.bodies.entry(body).or_default() += count;
            }
        }
        all
    }
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    left: AtomicI64,
    answered: AtomicU64,
}

struct Thread {
    load: Load,
    shared: Arc<Shared>,
    tally: Tally,
}

/// One connection's place, with or without a connection.
#[derive(Default)]
struct Place {
    client: Option<Client>,
    answers: u64,
    awaits: bool,
}

/// What came of one attempt at an answer.
enum Outcome {
    Answer(Answer),
    ClosedIdle,
    Failed(String),
}

impl Thread {
    fn run(mut self, connections: usize) -> Tally {
        let bytes = self.load.request.bytes();
        let mut places: Vec<Place> = (0..connections).map(|_| Place::default()).collect();
        while !self.shared.stop.load(Ordering::Relaxed) {
            for place in &mut places {
                if self.shared.left.fetch_sub(1, Ordering::Relaxed) > 0 {
                    place.awaits = self.send(place, &bytes);
                }
            }
            if places.iter().all(|place| !place.awaits) {
                break;
            }
            for place in places.iter_mut().filter(|place| place.awaits) {
                place.awaits = false;
                self.take_answer(place, &bytes);
            }
        }
        self.tally
    }

    /// Sends a request, on a new connection where there is none; false when none can be had.
    fn send(&mut self, place: &mut Place, bytes: &[u8]) -> bool {
        if place.client.is_none() {
            match Client::try_connect(self.load.to) {
                Ok(client) => *place = Place { client: Some(client), answers: 0, awaits: false },
                Err(_) if self.load.until_refused => return false,
                Err(error) => {
                    self.tally.failed.push(format!("connect: {error}"));
                    return false;
                }
            }
        }
        // A failed send shows again when the answer is read, with its reason.
        place.client.as_mut().expect("just connected").try_send(bytes).ok();
        true
    }

    fn take_answer(&mut self, place: &mut Place, bytes: &[u8]) {
        loop {
            match self.read(place) {
                Outcome::Answer(answer) => return self.count(place, &answer),
                Outcome::Failed(why) => {
                    place.client = None;
                    self.shared.answered.fetch_add(1, Ordering::Relaxed);
                    return self.tally.failed.push(why);
                }
                Outcome::ClosedIdle => {
                    place.client = None;
                    self.tally.closed_idle += 1;
                    if !self.send(place, bytes) {
                        return;
                    }
                }
            }
        }
    }

    fn read(&self, place: &mut Place) -> Outcome {
        let client = place.client.as_mut().expect("a request was sent on it");
        match client.try_read_to(&self.load.request.method) {
            Ok(answer) => Outcome::Answer(answer),
            Err(Broken::Closed | Broken::Failed(_, false)) if place.answers > 0 => Outcome::ClosedIdle,
            // A connection that was never accepted is cut when the last listener of the port closes.
            Err(Broken::Closed | Broken::Failed(_, false)) if self.load.until_refused => Outcome::ClosedIdle,
            Err(broken) => Outcome::Failed(format!("{broken:?} after {} answers", place.answers)),
        }
    }

    fn count(&mut self, place: &mut Place, answer: &Answer) {
        self.shared.answered.fetch_add(1, Ordering::Relaxed);
        place.answers += 1;
        if answer.fields.lists("connection", "close") {
            place.client = None;
            self.tally.closed_by_word += 1;
        }
        if answer.status == 200 {
            self.tally.ok += 1;
            *self.tally.bodies.entry(answer.text()).or_default() += 1;
        } else {
            self.tally.failed.push(format!("{} {}", answer.status, answer.text()));
        }
    }
}
