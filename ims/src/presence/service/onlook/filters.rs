//! Filters of a list subscription (RFC 4660 §4.1): which of them is for which member.

use super::super::package::Package;
use super::super::{Directory, Service};
use super::table::UNFILTERED;
use crate::event::onlooker::Onlooker;
use crate::event::subscription::SubscriptionId;
use crate::presence::filter::{FilterError, ListFilters};
use crate::reject::Reject;

impl Service {
    /// The filters of a list subscription after a SUBSCRIBE with this document.
    pub(super) fn list_filters(
        &self,
        before: ListFilters,
        onlooker: &Onlooker,
        package: Package,
    ) -> Result<ListFilters, Reject> {
        let Some(document) = &onlooker.filter else {
            return Ok(before);
        };
        if package != Package::Presence {
            return Ok(before); // watcher information is all or the watcher's own
        }
        let after = before.update(document, package.name(), &onlooker.uri);
        after.map_err(|error| match error {
            FilterError::Malformed(_) => Reject::Bad("Bad Filter"),
            FilterError::NotAccepted(why) => Reject::NotAcceptableHere { why }, // RFC 4660 §5.4
        })
    }

    /// Looks up the filter that is for a member.
    pub(super) fn filter_member(&mut self, directory: &dyn Directory, id: SubscriptionId) {
        let Some((list, member)) = self.onlook.get(id) else {
            return;
        };
        let filter = if list.filters.is_empty() {
            None
        } else {
            let identities = directory.identities(&member.name.presentity);
            list.filters.of_member(&identities)
        };
        if let Some(member) = self.onlook.get_mut(id) {
            member.filter = filter
                .and_then(|at| u8::try_from(at).ok())
                .unwrap_or(UNFILTERED);
        }
    }

    /// The list has other filters.
    pub(super) fn filter_members(&mut self, directory: &dyn Directory, number: u32) {
        for id in self.onlook.members_of([number]) {
            self.filter_member(directory, id);
        }
    }
}
