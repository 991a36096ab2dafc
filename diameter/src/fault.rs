//! What is wrong with a message, as the Result-Code that tells its sender (RFC 6733 §7.1).

/// Result-Code, AVP 268. The class decides what the sender of the request does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResultCode(pub u32);

impl ResultCode {
    pub const SUCCESS: ResultCode = ResultCode(2001);
    pub const LIMITED_SUCCESS: ResultCode = ResultCode(2002);
    pub const COMMAND_UNSUPPORTED: ResultCode = ResultCode(3001);
    pub const UNABLE_TO_DELIVER: ResultCode = ResultCode(3002);
    pub const REALM_NOT_SERVED: ResultCode = ResultCode(3003);
    pub const TOO_BUSY: ResultCode = ResultCode(3004);
    pub const REDIRECT_INDICATION: ResultCode = ResultCode(3006);
    pub const APPLICATION_UNSUPPORTED: ResultCode = ResultCode(3007);
    pub const INVALID_HDR_BITS: ResultCode = ResultCode(3008);
    pub const INVALID_AVP_BITS: ResultCode = ResultCode(3009);
    pub const UNKNOWN_PEER: ResultCode = ResultCode(3010);
    pub const AVP_UNSUPPORTED: ResultCode = ResultCode(5001);
    pub const UNKNOWN_SESSION_ID: ResultCode = ResultCode(5002);
    pub const INVALID_AVP_VALUE: ResultCode = ResultCode(5004);
    pub const MISSING_AVP: ResultCode = ResultCode(5005);
    pub const AVP_OCCURS_TOO_MANY: ResultCode = ResultCode(5009);
    pub const NO_COMMON_APPLICATION: ResultCode = ResultCode(5010);
    pub const UNSUPPORTED_VERSION: ResultCode = ResultCode(5011);
    pub const UNABLE_TO_COMPLY: ResultCode = ResultCode(5012);
    pub const INVALID_AVP_LENGTH: ResultCode = ResultCode(5014);
    pub const NO_COMMON_SECURITY: ResultCode = ResultCode(5017);
    pub const INVALID_MESSAGE_LENGTH: ResultCode = ResultCode(5015);

    /// What the first digit says (RFC 6733 §7.1).
    pub fn class(self) -> Class {
        match self.0 {
            2000..=2999 => Class::Success,
            3000..=3999 => Class::ProtocolError,
            4000..=4999 => Class::Transient,
            _ => Class::Permanent, // "An unrecognized class MUST be handled as a permanent failure"
        }
    }
}

/// Class of a Result-Code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Success,
    /// Handled hop by hop: another peer may do better.
    ProtocolError,
    /// The same request may succeed later.
    Transient,
    /// The same request will not succeed.
    Permanent,
}

/// Why bytes are not a message. The stream cannot be read past it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("Diameter version {0} instead of 1")]
    Version(u8),
    #[error("message length {0} is below the header's 20 bytes or no multiple of 4")]
    Length(usize),
    #[error("message length {length} is above the limit of {limit} bytes")]
    TooLong { length: usize, limit: usize },
}

impl FrameError {
    /// What the peer is told before its connection is closed.
    pub fn result(self) -> ResultCode {
        match self {
            FrameError::Version(_) => ResultCode::UNSUPPORTED_VERSION,
            FrameError::Length(_) | FrameError::TooLong { .. } => {
                ResultCode::INVALID_MESSAGE_LENGTH
            }
        }
    }
}

/// Why a well-framed request is refused, with the offending AVP where the RFC asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub result: ResultCode,
    /// Content of Failed-AVP (RFC 6733 §7.5): one whole AVP, padded.
    pub failed: Vec<u8>,
}

impl Fault {
    pub fn new(result: ResultCode) -> Fault {
        Fault {
            result,
            failed: Vec::new(),
        }
    }

    /// With a copy of the AVP at fault, at most [`FAILED_AVP_MAX`] bytes of it.
    pub fn with(result: ResultCode, avp: &[u8]) -> Fault {
        let fits = avp.len() <= FAILED_AVP_MAX;
        Fault {
            result,
            failed: if fits { avp.to_vec() } else { Vec::new() },
        }
    }
}

/// A longer AVP at fault is not sent back, in bytes: an answer must not be made large by a bad request.
pub const FAILED_AVP_MAX: usize = 1_024;
