//! Typed headers: one file each, parse and print side by side. Every `parse` takes a value (or element) as
//! [`super::Headers`] gives it, refuses what it cannot represent, and borrows instead of copying.

pub mod accept;
pub mod address;
pub mod contact;
pub mod cseq;
pub mod digest;
pub mod event;
pub mod expires;
pub mod media_type;
pub mod option_tags;
pub mod p_asserted_identity;
pub mod p_associated_uri;
pub mod p_charging_function_addresses;
pub mod p_charging_vector;
pub mod p_served_user;
pub mod privacy;
pub mod rate;
pub mod retry_after;
pub mod route;
pub mod sip_etag;
pub mod subscription_state;
pub mod via;
