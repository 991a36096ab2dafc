//! `[xcap_diff]`: subscriptions to changes of documents.

use super::BadValue;
use super::check::within;
use ims::xdm::diff;
use serde::Deserialize;

/// RFC 5875.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct XcapDiff {
    pub max_subscriptions_per_user: usize,
    /// URIs of one subscription.
    pub max_resources: usize,
    /// Documents shown in one subscription.
    pub max_documents: usize,
    /// Changes kept with their patches.
    pub max_changes: usize,
    /// Bytes.
    pub max_body: usize,
}

impl Default for XcapDiff {
    fn default() -> XcapDiff {
        XcapDiff {
            max_subscriptions_per_user: 64,
            max_resources: 100,
            max_documents: 1000,
            max_changes: 32,
            max_body: 65_536,
        }
    }
}

impl XcapDiff {
    pub(super) fn check(&self) -> Result<(), BadValue> {
        let held = self.max_subscriptions_per_user;
        within("xcap_diff.max_subscriptions_per_user", held, 1..=100_000)?;
        within("xcap_diff.max_resources", self.max_resources, 1..=1_000)?;
        within("xcap_diff.max_documents", self.max_documents, 1..=100_000)?;
        within("xcap_diff.max_changes", self.max_changes, 1..=1_000)?;
        within("xcap_diff.max_body", self.max_body, 1_000..=1 << 20)
    }

    /// `root`: the XCAP root as clients write it.
    pub fn settings(&self, root: diff::Root) -> diff::Settings {
        diff::Settings {
            root,
            max_subscriptions_per_user: self.max_subscriptions_per_user,
            max_resources: self.max_resources,
            max_documents: self.max_documents,
            max_changes: self.max_changes,
            max_body: self.max_body,
        }
    }
}
