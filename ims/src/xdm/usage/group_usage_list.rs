//! Lists that say what each URI in them is for (OMA Shared XDM 1.1): resource lists with an element of OMA's.

use super::{Candidate, Kept, Names, Readers, Rules, Usage, resource_lists};
use crate::xdm::document::Standing;
use crate::xdm::error::Conflict;
use crate::xdm::touched::Touched;
use crate::xml::guard::Limits;
use crate::xml::schema::{LoadError, Schema};
use crate::xml::schemas;
use std::sync::Arc;

/// Application unique identifier.
pub const AUID: &str = "org.openmobilealliance.group-usage-list";

pub const MEDIA_TYPE: &str = "application/vnd.oma.group-usage-list+xml";

/// The one document of a user.
pub const NAME: &str = "index";

pub(super) fn usage(limits: Limits) -> Result<Usage, LoadError> {
    Ok(Usage {
        auid: AUID.into(),
        media_type: MEDIA_TYPE.into(),
        namespace: resource_lists::NAMESPACE.into(),
        limits,
        users: Kept::Put(Names::One(NAME.into())),
        global: Kept::Nothing,
        readers: Readers::Trusted,
        shown: false,
        rules: Arc::new(Lists {
            schema: Schema::load(&schemas::GROUP_USAGE_LIST)?,
        }),
    })
}

#[derive(Debug)]
struct Lists {
    schema: Schema,
}

impl Rules for Lists {
    fn check(&self, candidate: &Candidate<'_>) -> Result<Standing, Conflict> {
        resource_lists::check(&self.schema, candidate.document)
    }

    fn still_obeyed(&self, touched: &Touched<'_, '_>) -> bool {
        resource_lists::still_obeyed(&self.schema, touched)
    }

    fn namespaces(&self) -> Vec<String> {
        self.schema.namespaces().to_vec()
    }
}
