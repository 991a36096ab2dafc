//! How much one message may ask of us.

/// Bounds on one message. Beyond a bound the message is refused as too large (413, 414 or 513), never truncated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a whole message, start-line to end of body. Default: 65,536, more than any UDP datagram.
    pub max_message: usize,
    /// Header lines, after unfolding. Default: 256; a request through an IMS core carries 20 to 40.
    pub max_headers: usize,
    /// Octets of one header line or of the start-line, after unfolding. Default: 8,192.
    pub max_line: usize,
    /// Via values over all lines: hops. Default: 64; Max-Forwards starts at 70 and real paths stay under 12.
    pub max_vias: usize,
    /// Commas in all header lines together, which bounds the elements of every list. Default: 512; a real
    /// request has some thirty.
    pub max_list: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_message: 65_536,
            max_headers: 256,
            max_line: 8_192,
            max_vias: 64,
            max_list: 512,
        }
    }
}
