//! ROB-01: the 49 messages of RFC 4475, sent for real.
