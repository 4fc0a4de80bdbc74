//! The network ring: a shard's sockets, buffers and timers, over one io_uring.
//!
//! This is the one place in the engine with `unsafe`. What it promises to the rest:
//!
//! - **Memory.** A buffer that was handed to the kernel lives until the kernel's completion, whatever happens to the
//!   future that asked. Dropping a [`Socket`], a future or a [`Chunk`] is always sound. A [`Net`] that is dropped with
//!   operations in flight leaks what they point at.
//! - **Bounds.** A socket's receiving is paused at [`limits::CHUNKS_QUEUED_MAX`] queued chunks (what the kernel received
//!   in the same turn, some dozens, is queued too), and it has one send; a shard has at most
//!   [`limits::BUFFERS_MAX`] buffers. When they run out, receiving stops and is taken up again in turn.
//! - **Order.** Bytes of a socket are received and sent in order; one send is in flight at a time.
//! - **Time.** [`Net::now`] is read once a turn of the driver (while it sleeps, whenever it is asked for); timers have a tick of [`timer::TICK`].
//!
//! One driver task a shard ([`Net::drive`]) submits what a turn queued and collects completions in one
//! `io_uring_enter`. Everything here belongs to one thread: `Rc` and `Cell`, nothing is `Send`.
//!
//! | file | what |
//! |---|---|
//! | `ring.rs` | the ring, the driver loop (hot wait, cold park), completions |
//! | `table.rs` | whom a completion is for (no `unsafe`) |
//! | `waker.rs` | the task that waits (no `unsafe`) |
//! | `sleep.rs` | the driver's sleep, and who ends it |
//! | `buffers.rs` | provided receive buffers, lent as [`Chunk`]s |
//! | `outgoing.rs` | what one send carries: bytes and chunks |
//! | `socket.rs` | a connected stream: receive, send, shut down, close; connecting |
//! | `socket/state.rs` | what the ring knows of it: operations, completions |
//! | `listener.rs` | accepting |
//! | `timer.rs` | the deadline wheel (no `unsafe`) |
//! | `probe.rs` | whether this machine can run it, and the sleep warm-up |
//! | `slice.rs` | how long a shard waits for its CPU |

#![allow(unsafe_code)]
#![allow(clippy::cast_possible_truncation)] // sizes are bounded by `limits`, indices by what they index

mod buffers;
pub mod limits;
mod listener;
mod outgoing;
mod probe;
mod ring;
mod sleep;
pub mod slice;
mod socket;
mod table;
pub mod timer;
mod waker;

pub use buffers::Chunk;
pub use listener::{Accepted, Listener};
pub use outgoing::Outgoing;
pub use probe::{StartError, probe, warm_up_sleep};
pub use ring::{EXECUTOR_PREEMPT, Net, NetStats};
pub use socket::Socket;
pub use timer::{Elapsed, Timer};

#[cfg(test)]
pub mod tests;
