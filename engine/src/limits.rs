//! Every bound of the request path that no configuration key sets, in one place. Those of the network ring are in
//! [`crate::net::limits`].

use std::time::Duration;

use crate::net;

/// Bytes of a request-target; longer is answered 414.
pub const TARGET_BYTES_MAX: usize = 8 << 10;
/// Bytes of a response head.
pub const RESPONSE_HEAD_BYTES_MAX: usize = 64 << 10;
/// Fields of a response head.
pub const RESPONSE_FIELDS_MAX: usize = 200;
/// Interim (1xx) answers to one request.
pub const INTERIM_ANSWERS_MAX: u32 = 16;
/// Nodes that one request is offered to before it fails.
pub const NODES_TRIED_MAX: usize = 3;
/// Times that a request is sent again which the node says it has not processed.
pub const REPEATS_MAX: usize = 3;
/// What is read and thrown away of a request after its answer, so that the close does not destroy the answer on its
/// way (RFC 9112 9.6).
pub const LINGER_BYTES_MAX: u64 = 256 << 10;
/// How long that may take.
pub const LINGER: Duration = Duration::from_secs(2);
/// How long an idle keep-alive connection may still send a request while the gateway drains; it is answered with
/// `Connection: close`.
pub const DRAIN_GRACE: Duration = Duration::from_secs(1);
/// Bytes of a request's body to the token endpoint.
pub const TOKEN_REQUEST_BYTES_MAX: usize = crate::tenant::endpoint::BODY_BYTES_MAX;
/// Requests that wait for a connection to one node, on one shard, when the node has its most.
pub const POOL_WAITERS_MAX: usize = 1024;
/// Orders from the control thread that a shard has not taken yet.
pub const ORDERS_QUEUED_MAX: usize = 256;
/// Reports from all shards that the control thread has not taken yet.
pub const REPORTS_QUEUED_MAX: usize = 4096;

const _: () = assert!(RESPONSE_FIELDS_MAX <= crate::http::head::FIELDS_MAX);
const _: () = assert!(NODES_TRIED_MAX > 1, "a refused connection goes to another node");
const _: () = assert!(RESPONSE_HEAD_BYTES_MAX > net::limits::BUFFER_BYTES);
