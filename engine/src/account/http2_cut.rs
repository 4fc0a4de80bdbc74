//! Why a client's HTTP/2 connection was ended with GOAWAY for what the client did: what is counted of it.

use h2::Reason;

use crate::http::h2::guard::Abuse;

/// Why the gateway has ended an HTTP/2 connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Http2Cut {
    /// Too many streams were opened and reset.
    Resets,
    /// Too many frames without content.
    IdleFrames,
    /// Too many CONTINUATION frames.
    Continuations,
    /// A header block that came too slowly.
    SlowHeaders,
    /// PROTOCOL_ERROR, found by `h2`, as are those that follow.
    Protocol,
    /// FLOW_CONTROL_ERROR.
    FlowControl,
    /// FRAME_SIZE_ERROR.
    FrameSize,
    /// COMPRESSION_ERROR.
    Compression,
    /// ENHANCE_YOUR_CALM: one of `h2`'s own bounds.
    Calm,
    /// Any other code.
    Other,
}

/// How many [`Http2Cut`]s there are.
pub const HTTP2_CUTS: usize = Http2Cut::Other as usize + 1;

impl Http2Cut {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; HTTP2_CUTS] = [
        Self::Resets,
        Self::IdleFrames,
        Self::Continuations,
        Self::SlowHeaders,
        Self::Protocol,
        Self::FlowControl,
        Self::FrameSize,
        Self::Compression,
        Self::Calm,
        Self::Other,
    ];

    /// The label in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Resets => "resets",
            Self::IdleFrames => "idle_frames",
            Self::Continuations => "continuations",
            Self::SlowHeaders => "slow_headers",
            Self::Protocol => "protocol_error",
            Self::FlowControl => "flow_control_error",
            Self::FrameSize => "frame_size_error",
            Self::Compression => "compression_error",
            Self::Calm => "enhance_your_calm",
            Self::Other => "other",
        }
    }
}

impl From<Abuse> for Http2Cut {
    fn from(abuse: Abuse) -> Self {
        match abuse {
            Abuse::Resets => Self::Resets,
            Abuse::IdleFrames => Self::IdleFrames,
            Abuse::Continuations => Self::Continuations,
        }
    }
}

impl From<Option<Reason>> for Http2Cut {
    fn from(reason: Option<Reason>) -> Self {
        match reason {
            Some(Reason::PROTOCOL_ERROR) => Self::Protocol,
            Some(Reason::FLOW_CONTROL_ERROR) => Self::FlowControl,
            Some(Reason::FRAME_SIZE_ERROR) => Self::FrameSize,
            Some(Reason::COMPRESSION_ERROR) => Self::Compression,
            Some(Reason::ENHANCE_YOUR_CALM) => Self::Calm,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_labels_are_those_of_the_list() {
        let mut labels: Vec<_> = Http2Cut::ALL.iter().map(|cut| cut.label()).collect();
        assert!(Http2Cut::ALL.iter().enumerate().all(|(index, cut)| *cut as usize == index));
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), HTTP2_CUTS);
    }
}
