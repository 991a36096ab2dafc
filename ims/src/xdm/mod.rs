//! XML document management: XCAP (RFC 4825) on whole documents, one application usage per file.

pub mod request;

pub use request::{Identity, Method, Request, Response};
