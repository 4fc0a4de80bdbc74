//! Provided receive buffers: two rings of them a shard, one of small and one of large buffers, lent out as [`Chunk`]s.
//!
//! The kernel takes a buffer from the ring when bytes arrive, and names it in the completion; from then on it is lent:
//! chunks count its references, and the last one dropped gives it back to the ring. An idle connection holds none.
//!
//! Invariant: a buffer is either free, posted (the kernel may write it, nobody may read it) or lent (`lent[id] > 0`, only
//! read; written by its only chunk alone, [`Chunk::unique`]). `lend` and `release` are the only passages in and out of
//! lent, `post` the only one to posted.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use bytes::{Buf, Bytes};
use io_uring::IoUring;
use io_uring::types::BufRingEntry;

use super::limits::{
    BUFFER_BYTES, BUFFER_STRIDE, BUFFERS_MAX, BUFFERS_STEP, LARGE_BUFFER_BYTES, LARGE_BUFFER_STRIDE,
    LARGE_BUFFERS_MAX, LARGE_BUFFERS_POSTED_MAX, LARGE_BUFFERS_STEP,
};
use super::sleep::Sleep;

const PAGE: usize = 4096;

/// One size of buffers and how many there are.
#[derive(Debug)]
pub(super) struct Shape {
    /// The buffer group's id in the ring.
    pub(super) group: u16,
    /// Bytes in a buffer.
    pub(super) bytes: usize,
    /// From one buffer to the next.
    stride: usize,
    /// Buffers at most; a power of two.
    max: usize,
    /// Buffers allocated at a time.
    step: usize,
    /// Buffers posted at a time, at most. Those that are free besides are used last in, first out.
    posted_max: usize,
}

/// What most receives use.
pub(super) const SMALL: Shape = Shape {
    group: 0,
    bytes: BUFFER_BYTES,
    stride: BUFFER_STRIDE,
    max: BUFFERS_MAX,
    step: BUFFERS_STEP,
    posted_max: BUFFERS_MAX,
};

/// What streams use that fill small buffers.
pub(super) const LARGE: Shape = Shape {
    group: 1,
    bytes: LARGE_BUFFER_BYTES,
    stride: LARGE_BUFFER_STRIDE,
    max: LARGE_BUFFERS_MAX,
    step: LARGE_BUFFERS_STEP,
    posted_max: LARGE_BUFFERS_POSTED_MAX,
};

/// All receive buffers of one size of a shard.
pub(super) struct Buffers {
    shape: &'static Shape,
    /// The ring of buffers that the kernel takes from: `shape.max` entries, page aligned.
    entries: *mut BufRingEntry,
    /// Our end of it.
    tail: Cell<u16>,
    /// Buffers that the kernel may take.
    posted: Cell<usize>,
    /// Buffers that are neither posted nor lent.
    free: RefCell<Vec<u16>>,
    /// Memory, `shape.step` buffers at a time; never moves.
    slabs: RefCell<Vec<Box<[u8]>>>,
    /// Start of each buffer, by id: what `slabs` owns.
    starts: RefCell<Vec<*mut u8>>,
    /// Chunks alive of each buffer, by id; 0 = posted.
    lent: Box<[Cell<u32>]>,
    lent_count: Cell<usize>,
    /// Sockets wait for buffers: one that comes back ends the driver's sleep.
    wanted: Cell<bool>,
    sleep: Rc<Sleep>,
}

impl Buffers {
    /// Makes the buffer ring and registers it. It is empty until [`Self::grow`].
    pub(super) fn new(shape: &'static Shape, ring: &IoUring, sleep: Rc<Sleep>) -> io::Result<Self> {
        let layout = layout(shape);
        // SAFETY: the layout has a size above zero.
        let entries = unsafe { alloc_zeroed(layout) }.cast::<BufRingEntry>();
        if entries.is_null() {
            handle_alloc_error(layout);
        }
        let buffers = Self {
            shape,
            entries,
            tail: Cell::new(0),
            posted: Cell::new(0),
            free: RefCell::default(),
            slabs: RefCell::default(),
            starts: RefCell::default(),
            lent: vec![Cell::new(0); shape.max].into_boxed_slice(),
            lent_count: Cell::new(0),
            wanted: Cell::new(false),
            sleep,
        };
        let count = shape.max as u16;
        // SAFETY: `entries` is page aligned, has `shape.max` entries and lives until the ring is gone (`Net::drop`).
        unsafe {
            ring.submitter().register_buf_ring_with_flags(entries as u64, count, shape.group, 0)?;
        }
        Ok(buffers)
    }

    /// Adds a step of buffers, if there may be more. Returns whether there are more now.
    pub(super) fn grow(&self) -> bool {
        let first = self.starts.borrow().len();
        let Shape { step, stride, max, .. } = *self.shape;
        if first + step > max {
            return false;
        }
        let mut slab = vec![0u8; step * stride].into_boxed_slice();
        let base = slab.as_mut_ptr();
        self.slabs.borrow_mut().push(slab);
        for n in 0..step {
            // SAFETY: `n * stride` lies within the slab.
            self.starts.borrow_mut().push(unsafe { base.add(n * stride) });
            self.offer((first + n) as u16);
        }
        true
    }

    /// Posts a free buffer, or keeps it until there is room for it.
    fn offer(&self, id: u16) {
        if self.posted.get() < self.shape.posted_max {
            self.post(id);
        } else {
            self.free.borrow_mut().push(id);
        }
    }

    /// Gives a free buffer to the kernel.
    fn post(&self, id: u16) {
        debug_assert_eq!(self.lent[id as usize].get(), 0);
        self.posted.set(self.posted.get() + 1);
        let tail = self.tail.get();
        let start = self.starts.borrow()[id as usize];
        let index = tail as usize & (self.shape.max - 1);
        // SAFETY: `index` is within the ring. Entries from the kernel's head to our tail are the kernel's; this one is
        // past the tail, because there are at most `max` buffers and this one was not posted. The tail, which
        // shares memory with the first entry's reserved field, is not touched by these three setters.
        unsafe {
            let entry = &mut *self.entries.add(index);
            entry.set_addr(start as u64);
            entry.set_len(self.shape.bytes as u32);
            entry.set_bid(id);
        }
        self.tail.set(tail.wrapping_add(1));
        // SAFETY: the first entry is valid for the life of `self`, and its tail field is only ever accessed as an
        // atomic on our side. Release: the kernel that sees the tail sees the entry.
        unsafe {
            AtomicU16::from_ptr(BufRingEntry::tail(self.entries).cast_mut())
                .store(tail.wrapping_add(1), Ordering::Release);
        }
    }

    /// Takes over a buffer that a completion named, with `len` bytes received in it.
    pub(super) fn lend(self: &Rc<Self>, id: u16, len: usize) -> Chunk {
        debug_assert_eq!(self.lent[id as usize].get(), 0);
        self.lent[id as usize].set(1);
        self.lent_count.set(self.lent_count.get() + 1);
        self.posted.set(self.posted.get() - 1);
        if let Some(id) = self.free.borrow_mut().pop() {
            self.post(id);
        }
        let start = self.starts.borrow()[id as usize];
        let owner = Owner::Lent(Loan { buffers: self.clone(), id });
        Chunk { start, len: len.min(self.shape.bytes) as u32, owner }
    }

    /// See [`super::Net::received`].
    #[cfg(test)]
    pub(super) fn received(self: &Rc<Self>, bytes: &[u8]) -> Chunk {
        let id = self.lent.iter().position(|lent| lent.get() == 0).unwrap() as u16;
        assert!(bytes.len() <= BUFFER_BYTES && (id as usize) < self.total());
        let start = self.starts.borrow()[id as usize];
        // SAFETY: the buffer is posted, but no receive is there to write it; nobody reads what is not lent; it fits.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len()) };
        self.lend(id, bytes.len())
    }

    fn release(&self, id: u16) {
        let count = &self.lent[id as usize];
        count.set(count.get() - 1);
        if count.get() == 0 {
            self.lent_count.set(self.lent_count.get() - 1);
            self.offer(id);
            if self.wanted.get() {
                self.sleep.end();
            }
        }
    }

    /// Notes whether sockets wait for buffers.
    pub(super) fn set_wanted(&self, wanted: bool) {
        self.wanted.set(wanted);
    }

    /// Buffers that exist.
    pub(super) fn total(&self) -> usize {
        self.starts.borrow().len()
    }

    /// Buffers lent now.
    pub(super) fn lent(&self) -> usize {
        self.lent_count.get()
    }

    /// Whether so many are lent that sockets should queue less.
    pub(super) fn scarce(&self) -> bool {
        self.lent_count.get() > self.shape.max / 4 * 3
    }
}

fn layout(shape: &Shape) -> Layout {
    Layout::from_size_align(shape.max * size_of::<BufRingEntry>(), PAGE).expect("constants fit a layout")
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: allocated by `new` with this layout. `Net::drop` lets this run only once the ring is closed with no
        // operation in flight, and leaks it otherwise; chunks hold an `Rc` to it.
        unsafe { dealloc(self.entries.cast(), layout(self.shape)) };
    }
}

/// Received bytes: a range of a lent buffer, or of memory that a protocol layer made of one. Cloning and splitting share
/// it; the last one dropped gives a lent buffer back.
pub struct Chunk {
    start: *const u8,
    len: u32,
    owner: Owner,
}

/// What a chunk's bytes lie in. Invariant: `start` and `len` of the chunk describe a part of it.
#[derive(Clone)]
enum Owner {
    Lent(Loan),
    Bytes(#[expect(dead_code, reason = "keeps alive what `start` points at")] Rc<Bytes>),
}

/// One reference to a lent buffer.
struct Loan {
    buffers: Rc<Buffers>,
    id: u16,
}

impl Chunk {
    /// Takes the first `n` bytes off (all, if there are fewer).
    pub fn advance(&mut self, n: usize) {
        let n = n.min(self.len as usize);
        // SAFETY: `n` is at most the length, so the start stays within (or one past) the owner's bytes.
        self.start = unsafe { self.start.add(n) };
        self.len -= n as u32;
    }

    /// Keeps the first `n` bytes only.
    pub fn truncate(&mut self, n: usize) {
        self.len = u32::try_from(n).map_or(self.len, |n| self.len.min(n));
    }

    /// Splits the first `n` bytes off as a chunk of their own.
    #[must_use]
    pub fn split_to(&mut self, n: usize) -> Chunk {
        let mut head = self.clone();
        head.truncate(n);
        self.advance(n);
        head
    }

    /// The bytes, to be changed where they are (deciphered); `None` if anyone else may be reading them.
    pub fn unique(&mut self) -> Option<&mut [u8]> {
        match &self.owner {
            Owner::Lent(Loan { buffers, id }) if buffers.lent[*id as usize].get() == 1 => {
                // SAFETY: this is the only chunk of a lent buffer: nobody else reads it, and the kernel does not write it.
                // `start` came from the slab's own mutable pointer. The slice borrows the chunk mutably, so it is neither
                // read nor cloned meanwhile.
                Some(unsafe { std::slice::from_raw_parts_mut(self.start.cast_mut(), self.len as usize) })
            }
            _ => None,
        }
    }
}

/// Bytes that did not come out of a receive buffer as they are: content of HTTP/2 frames, deciphered records. At most
/// 4 GiB.
impl From<Bytes> for Chunk {
    fn from(bytes: Bytes) -> Self {
        let (start, len) = (bytes.as_ptr(), u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        Self { start, len, owner: Owner::Bytes(Rc::new(bytes)) }
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `start` and `len` describe a part of what the owner keeps alive and in its place. A lent buffer is
        // initialised (slabs are zeroed) and, see the module's invariant, only read; but for `unique`, which takes the
        // chunk mutably. The memory of `Bytes` does not move and is never written.
        unsafe { std::slice::from_raw_parts(self.start, self.len as usize) }
    }
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        self.len as usize
    }

    fn chunk(&self) -> &[u8] {
        self
    }

    fn advance(&mut self, n: usize) {
        assert!(n <= self.len as usize, "advanced past the end");
        Chunk::advance(self, n);
    }
}

impl Clone for Chunk {
    fn clone(&self) -> Self {
        Self { start: self.start, len: self.len, owner: self.owner.clone() }
    }
}

impl Clone for Loan {
    fn clone(&self) -> Self {
        let count = &self.buffers.lent[self.id as usize];
        count.set(count.get() + 1);
        Self { buffers: self.buffers.clone(), id: self.id }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.buffers.release(self.id);
    }
}

impl std::fmt::Debug for Chunk {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match &self.owner {
            Owner::Lent(loan) => write!(f, "Chunk({} bytes of buffer {})", self.len, loan.id),
            Owner::Bytes(_) => write!(f, "Chunk({} bytes)", self.len),
        }
    }
}
