//! Pictures and other content to be shown with presence (OMA Presence SIMPLE 2.0): status icons.

use super::declared::Valid;
use super::{Kept, Names, Readers, Usage};
use crate::xml::guard::Limits;
use crate::xml::schema::{LoadError, Schema};
use crate::xml::schemas;
use std::sync::Arc;

/// Application unique identifier.
pub const AUID: &str = "org.openmobilealliance.pres-content";

pub const MEDIA_TYPE: &str = "application/vnd.oma.pres-content+xml";

/// The directory of status icons below a user's own, the only one there is.
pub const ICONS: &str = "oma_status-icon";

const NAMESPACE: &str = "urn:oma:xml:prs:pres-content";

pub(super) fn usage(limits: Limits) -> Result<Usage, LoadError> {
    Ok(Usage {
        auid: AUID.into(),
        media_type: MEDIA_TYPE.into(),
        namespace: NAMESPACE.into(),
        limits,
        users: Kept::Put(Names::In(ICONS)),
        global: Kept::Nothing,
        readers: Readers::Trusted,
        shown: true,
        rules: Arc::new(Valid {
            schema: Schema::load(&schemas::PRES_CONTENT)?,
            namespace: NAMESPACE.into(),
        }),
    })
}
