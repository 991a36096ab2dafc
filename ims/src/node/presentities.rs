//! The presentities that are served here, as the list server sees them.

use super::directory::Directory;
use crate::event::onlooker::{Extent, Instance, Member, Onlooker};
use crate::event::subscription::SubscriptionId;
use crate::event::turn::Turn;
use crate::presence::service as presence;
use crate::reject::Reject;
use crate::rls::Presentities;
use crate::sip::{Aor, Scheme, Uri};
use std::sync::Arc;

/// Members that are users of ours: virtual subscriptions of the presence service.
#[derive(Debug)]
pub(super) struct Local<'a> {
    pub presence: &'a mut presence::Service,
    pub directory: &'a Directory,
    /// Domains whose users are served here, lower case.
    pub home_domains: &'a [String],
    /// Only presentities that something has made known are served.
    pub known_only: bool,
}

/// Who a member of a list is here.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    Served(Aor),
    /// A user of a home domain whom nothing has made known (yet).
    Unknown(Aor),
    Elsewhere,
}

impl Local<'_> {
    /// Whom a URI names, by the rules for the Request-URI of a SUBSCRIBE. A number that belongs to no user known here is
    /// somebody's elsewhere: the core knows whose.
    fn who(&self, uri: &str) -> Who {
        let scheme = Uri::parse(uri).map(|uri| uri.scheme);
        let taken = matches!(
            scheme,
            Some(Scheme::Sip | Scheme::Sips | Scheme::Tel | Scheme::Pres)
        );
        let Some(named) = Aor::parse(uri).filter(|_| taken) else {
            return Who::Elsewhere;
        };
        let presentity = self.directory.registrar.canonical(&named);
        let known = self.presence.knows(&presentity) || self.directory.knows(&presentity);
        let at_home =
            presentity.user().is_some() && self.home_domains.iter().any(|d| d == presentity.host());
        match (presentity.is_tel(), at_home) {
            (true, _) if known => Who::Served(presentity),
            (true, _) | (_, false) => Who::Elsewhere,
            (false, true) if known || !self.known_only => Who::Served(presentity),
            (false, true) => Who::Unknown(presentity),
        }
    }
}

impl Presentities for Local<'_> {
    fn look_on(&mut self, turn: &mut Turn<'_>, onlooker: Onlooker) -> Result<(), Reject> {
        let list = onlooker.list;
        self.presence.look_on(turn, self.directory, onlooker)?;
        // not everything that makes a user known is told
        for stranger in self.presence.strangers_of(list) {
            if matches!(self.who(stranger.as_str()), Who::Served(_)) {
                self.presence
                    .admit_strangers(turn, self.directory, &stranger);
            }
        }
        Ok(())
    }

    fn filters(&mut self, list: SubscriptionId) -> Option<Arc<[u8]>> {
        self.presence.filters_of(list)
    }

    fn join(&mut self, turn: &mut Turn<'_>, member: Member, uri: &str) -> Option<SubscriptionId> {
        let (presentity, known) = match self.who(uri) {
            Who::Served(presentity) => (presentity, true),
            Who::Unknown(presentity) => (presentity, false),
            Who::Elsewhere => return None,
        };
        let whom = (&presentity, uri);
        self.presence
            .join(turn, self.directory, member, whom, known)
    }

    fn instance(&mut self, turn: &mut Turn<'_>, id: SubscriptionId, extent: Extent) -> Instance {
        self.presence.instance(turn, self.directory, id, extent)
    }

    fn part(&mut self, turn: &mut Turn<'_>, id: SubscriptionId) {
        self.presence.part(turn, self.directory, id);
    }

    fn look_away(&mut self, turn: &mut Turn<'_>, list: SubscriptionId) {
        self.presence.look_away(turn, self.directory, list);
    }

    fn take_stirred(&mut self) -> Vec<Member> {
        self.presence.take_stirred()
    }
}
