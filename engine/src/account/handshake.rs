//! What comes of TLS handshakes with clients and with nodes: what is counted of them.

/// What came of a TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Handshake {
    /// Done, TLS 1.2.
    Full12,
    /// Done by resumption, TLS 1.2.
    Resumed12,
    /// Done, TLS 1.3.
    Full13,
    /// Done by resumption, TLS 1.3.
    Resumed13,
    /// The peer does not speak the protocol, or its certificate is not accepted, or it does not accept ours.
    Refused,
    /// The peer went away.
    Gone,
    /// It took too long.
    Timeout,
    /// Too many were under way; of clients alone.
    Limited,
    /// The client spoke HTTP in clear.
    Clear,
}

/// How many [`Handshake`]s there are.
pub const HANDSHAKES: usize = Handshake::Clear as usize + 1;

impl Handshake {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; HANDSHAKES] = [
        Self::Full12,
        Self::Resumed12,
        Self::Full13,
        Self::Resumed13,
        Self::Refused,
        Self::Gone,
        Self::Timeout,
        Self::Limited,
        Self::Clear,
    ];

    /// [`Self::labels`] of one with a node.
    pub fn node_labels(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Gone => ("node_gone", "", ""),
            other => other.labels(),
        }
    }

    /// The labels in metrics: result, version, whether it was resumed.
    pub fn labels(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Full12 => ("done", "1.2", "no"),
            Self::Resumed12 => ("done", "1.2", "yes"),
            Self::Full13 => ("done", "1.3", "no"),
            Self::Resumed13 => ("done", "1.3", "yes"),
            Self::Refused => ("refused", "", ""),
            Self::Gone => ("client_gone", "", ""),
            Self::Timeout => ("timeout", "", ""),
            Self::Limited => ("limited", "", ""),
            Self::Clear => ("in_clear", "", ""),
        }
    }
}
