//! Offline charging: `ims` events become Rf accounting requests, kept in the store until a CDF has acknowledged them.

pub mod acr;
pub mod settings;
