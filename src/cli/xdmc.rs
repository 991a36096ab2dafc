//! The XDMC of the architecture document, under `presentia xcap` and `presentia policy`: addresses of resources, access
//! to an XDMS, and what a conflict means.

pub mod access;
pub mod address;
pub mod conflict;
