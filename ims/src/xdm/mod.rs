//! XML document management: XCAP (RFC 4825) on whole documents, one application usage per file.

//pub mod document;
//pub mod key;
pub mod request;

//pub use document::{Change, Document, Documents, Held, Outcome};
//pub use key::{DocumentKey, Tree};
pub use request::{Identity, Method, Request, Response};
