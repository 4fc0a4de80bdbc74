//! Every bound of the network ring, in one place.

/// Bytes in one receive buffer. A typical request or small answer fits several times over; a bulk stream arrives as
/// several buffers that go out again in one send.
pub const BUFFER_BYTES: usize = 8 << 10;
/// Distance from one buffer to the next. Not a power of two: the first bytes of all buffers, which are all that a small
/// message touches, would otherwise share a few cache sets.
pub const BUFFER_STRIDE: usize = BUFFER_BYTES + 192;
/// Buffers allocated at a time.
pub const BUFFERS_STEP: usize = 256;
/// Buffers of a shard at most: 64 MiB.
pub const BUFFERS_MAX: usize = 8192;
/// Received chunks queued on one socket before its receiving is paused.
pub const CHUNKS_QUEUED_MAX: usize = 16;
/// The same when three quarters of all buffers that may exist are lent.
pub const CHUNKS_QUEUED_SCARCE_MAX: usize = 2;
/// Submission queue entries.
pub const SUBMISSIONS: u32 = 2048;
/// Completion queue entries.
pub const COMPLETIONS: u32 = 8192;
/// Bytes in one large receive buffer, for streams that fill small ones: one copy out of the kernel and one into it move
/// as much as eight small ones do.
pub const LARGE_BUFFER_BYTES: usize = 64 << 10;
/// Distance from one large buffer to the next.
pub const LARGE_BUFFER_STRIDE: usize = LARGE_BUFFER_BYTES + 192;
/// Large buffers allocated at a time, the first when one is wanted.
pub const LARGE_BUFFERS_STEP: usize = 16;
/// Large buffers of a shard at most: 16 MiB. Streams that find none use small ones.
pub const LARGE_BUFFERS_MAX: usize = 256;
/// Large buffers that the kernel may choose from at a time. Few, so that they are used again while they are in the
/// processor's cache: of what moving bulk costs, half is copying, and that costs twice as much out of it.
pub const LARGE_BUFFERS_POSTED_MAX: usize = 8;
/// Small buffers in a row that a stream fills before it gets large ones, and large ones in a row that hold no more
/// than a small one would before it loses them.
pub const BULK_STREAK: u8 = 4;
/// Chunks that one send carries at most.
pub const CHUNKS_SENT_MAX: usize = 32;
/// Send buffers kept for reuse.
pub const OUTGOING_POOLED_MAX: usize = 1024;
/// A send buffer that has grown past this is not kept.
pub const OUTGOING_KEPT_BYTES_MAX: usize = 32 << 10;
/// Accepted connections waiting for the shard to take them, for one listener.
pub const ACCEPTED_QUEUED_MAX: usize = 4096;

const _: () =
    assert!(BUFFERS_MAX.is_power_of_two() && BUFFERS_MAX <= 1 << 15, "the kernel's limits for a buffer ring");
const _: () = assert!(BUFFERS_MAX.is_multiple_of(BUFFERS_STEP));
const _: () =
    assert!(LARGE_BUFFERS_MAX.is_power_of_two() && LARGE_BUFFERS_MAX.is_multiple_of(LARGE_BUFFERS_STEP));
const _: () = assert!(LARGE_BUFFERS_POSTED_MAX <= LARGE_BUFFERS_STEP);
const _: () = assert!(CHUNKS_QUEUED_SCARCE_MAX < CHUNKS_QUEUED_MAX && CHUNKS_QUEUED_MAX < BUFFERS_STEP);
const _: () = assert!(COMPLETIONS >= SUBMISSIONS && COMPLETIONS.is_power_of_two());
