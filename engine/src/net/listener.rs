//! Accepting: a multishot accept on one listening socket of a shard.
//!
//! Running out of file descriptors is normal under attack: accepting pauses for a moment and goes on; connections wait
//! in the kernel's backlog meanwhile.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use io_uring::{cqueue, opcode, types};

use super::limits::ACCEPTED_QUEUED_MAX;
use super::ring::Net;
use super::table::Kind;
use super::waker::{park, wake};

/// How long accepting pauses after an error such as "too many open files".
const PAUSE: Duration = Duration::from_millis(50);

/// One listening socket on the ring, owned by one task.
pub struct Listener {
    net: Rc<Net>,
    state: Rc<State>,
}

/// What came of waiting for a connection.
#[derive(Debug)]
pub enum Accepted {
    /// A connection.
    Connection(OwnedFd),
    /// Accepting failed for now (an errno such as EMFILE) and has been taken up again after a pause.
    Paused(io::Error),
    /// The listener was told to stop and everything in its backlog has been handed out.
    Stopped,
}

pub(super) struct State {
    fd: OwnedFd,
    index: u32,
    armed: Cell<bool>,
    /// No more connections are wanted, apart from those already made.
    stopping: Cell<bool>,
    /// The [`Listener`] is gone.
    orphan: Cell<bool>,
    queue: RefCell<VecDeque<OwnedFd>>,
    error: Cell<Option<i32>>,
    waker: RefCell<Option<Waker>>,
}

impl Listener {
    /// Puts a listening socket on the ring.
    pub fn adopt(net: &Rc<Net>, fd: OwnedFd) -> Self {
        let state = net.listeners.borrow_mut().insert_with(|index| {
            Rc::new(State {
                fd,
                index,
                armed: Cell::new(false),
                stopping: Cell::new(false),
                orphan: Cell::new(false),
                queue: RefCell::default(),
                error: Cell::new(None),
                waker: RefCell::default(),
            })
        });
        Self { net: net.clone(), state }
    }

    /// Waits for a connection.
    pub async fn accept(&self) -> Accepted {
        let state = &*self.state;
        let error = poll_fn(|cx| {
            if let Some(fd) = state.queue.borrow_mut().pop_front() {
                return Poll::Ready(Ok(Some(fd)));
            }
            if let Some(errno) = state.error.take() {
                return Poll::Ready(Err(io::Error::from_raw_os_error(errno)));
            }
            if state.stopping.get() && !state.armed.get() {
                return Poll::Ready(Ok(None));
            }
            state.arm(&self.net);
            park(&state.waker, cx);
            Poll::Pending
        })
        .await;
        match error {
            Ok(Some(fd)) => Accepted::Connection(fd),
            Ok(None) => match self.take_backlog() {
                Ok(accepted) => accepted,
                Err(error) => self.pause(error).await,
            },
            Err(error) => self.pause(error).await,
        }
    }

    async fn pause(&self, error: io::Error) -> Accepted {
        let timer = self.net.timer();
        timer.set(self.net.now() + PAUSE);
        timer.wait().await;
        Accepted::Paused(error)
    }

    /// Stops accepting. What the kernel has already accepted for us is still handed out by [`Self::accept`], so that
    /// nobody who connected in time is reset.
    pub fn stop(&self) {
        if !self.state.stopping.replace(true) {
            if self.state.armed.get() {
                self.net.cancel(Kind::Accept, self.state.index);
            } else {
                wake(&self.state.waker);
            }
        }
    }

    /// After the multishot accept has ended: one connection of the backlog at a time. Without descriptors, those who
    /// wait there are not turned away: it is tried again.
    fn take_backlog(&self) -> io::Result<Accepted> {
        let listener = socket2::SockRef::from(&self.state.fd);
        if listener.set_nonblocking(true).is_err() {
            return Ok(Accepted::Stopped);
        }
        loop {
            let error = match listener.accept() {
                Ok((socket, _)) => match socket.set_nonblocking(false) {
                    Ok(()) => return Ok(Accepted::Connection(socket.into())),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            match error.raw_os_error() {
                Some(libc::EINTR | libc::ECONNABORTED) => {}
                Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => return Err(error),
                _ => return Ok(Accepted::Stopped),
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.state.orphan.set(true);
        self.state.stopping.set(true);
        if self.state.armed.get() {
            self.net.cancel(Kind::Accept, self.state.index);
        } else {
            let _removed = self.net.listeners.borrow_mut().remove(self.state.index);
        }
    }
}

impl State {
    fn arm(&self, net: &Net) {
        if self.armed.get() || self.stopping.get() || self.queue.borrow().len() >= ACCEPTED_QUEUED_MAX {
            return;
        }
        self.armed.set(true);
        let fd = types::Fd(self.fd.as_raw_fd());
        let entry = opcode::AcceptMulti::new(fd).flags(libc::SOCK_CLOEXEC).build();
        net.push(entry.user_data(Kind::Accept.tag(self.index)));
    }

    /// An accept's completion.
    pub(super) fn on_accept(&self, net: &Net, result: i32, flags: u32) {
        if result >= 0 {
            // SAFETY: the kernel made this descriptor for us and told nobody else.
            self.queue.borrow_mut().push_back(unsafe { OwnedFd::from_raw_fd(result) });
        } else if result != -libc::ECANCELED && result != -libc::ECONNABORTED {
            self.error.set(Some(-result));
        }
        if !cqueue::more(flags) {
            self.armed.set(false);
            if self.orphan.get() {
                let _removed = net.listeners.borrow_mut().remove(self.index);
            }
        } else if self.queue.borrow().len() >= ACCEPTED_QUEUED_MAX {
            net.cancel(Kind::Accept, self.index);
        }
        wake(&self.waker);
    }
}
