//! HTTP: the protocol's rules (sans-io), one exchange's path, and the versions that carry it.

pub mod body;
pub mod carrier;
pub mod exchange;
pub mod grpc;
pub mod h1;
pub mod h1_body;
pub mod h1_responder;
pub mod h1_upstream;
pub mod h2;
pub mod h2_body;
pub mod h2_io;
pub mod h2_upstream;
pub mod head;
pub mod headers;
pub mod inbox;
pub mod record;
pub mod syntax;
pub mod target;
pub mod token_request;
pub mod upgrade;
pub mod verdict;
