//! Members of lists who are served here: what a virtual subscription shows, and to whom it is shown.

mod alike;
mod served;
mod shared;
mod watchers;
mod wishes;

use super::*;
use crate::event::onlooker::{Extent, Instance, Member, Onlooker, Takes};
use crate::event::subscription::{End, State, SubscriptionId};
use crate::node::presentities::Local;
use crate::reject::Reject;
use crate::rls::Presentities;

/// What a watcher has of one member.
#[derive(Clone, Debug)]
struct Seen {
    id: SubscriptionId,
    state: State,
    tag: u64,
    /// Media type and body of the last content.
    content: Option<(String, String)>,
}

impl Seen {
    fn body(&self) -> &str {
        self.content.as_ref().map_or("", |(_, body)| body)
    }
}

/// A list subscription of this number on behalf of somebody.
fn onlooker(bench: &Bench, list: u64, who: &str) -> Onlooker {
    Onlooker {
        list: SubscriptionId(list),
        uri: "sip:friends@ims.test;pres-list=a".into(),
        package: "presence",
        identities: vec![Aor::parse(who).unwrap()],
        asserted: vec![who.into()],
        anonymous: false,
        display_name: None,
        takes: Takes::default(),
        hops: 70,
        filter: None,
        since: Timestamp(bench.now),
        expires_at: Timestamp(bench.now + 3_600_000),
    }
}

impl Bench {
    /// A step with the presentities as the list server has them, and the NOTIFYs that it brought.
    fn local<R>(
        &mut self,
        step: impl FnOnce(&mut Local<'_>, &mut Turn<'_>) -> R,
    ) -> (R, Vec<Sent>) {
        self.out = Outbox::default();
        let home = self.settings.home_domains.clone();
        let known_only = self.settings.known_presentities_only;
        let now = Timestamp(self.now);
        let result = self
            .node
            .turn(now, &mut self.out, |presence, directory, turn| {
                let mut local = Local {
                    presence,
                    directory,
                    home_domains: &home,
                    known_only,
                };
                step(&mut local, turn)
            });
        self.commit();
        (result, self.sent(true))
    }

    fn look_on(&mut self, onlooker: Onlooker) -> Result<(), Reject> {
        self.local(|local, turn| local.look_on(turn, onlooker)).0
    }

    fn join(&mut self, list: u64, place: u32, uri: &str) -> (SubscriptionId, Vec<Sent>) {
        let list = SubscriptionId(list);
        let member = Member { list, place };
        let (id, sent) = self.local(|local, turn| local.join(turn, member, uri));
        (id.unwrap(), sent)
    }

    fn instance(&mut self, id: SubscriptionId, extent: Extent) -> Instance {
        self.local(|local, turn| local.instance(turn, id, extent)).0
    }

    /// Begins to look on with one member, and takes its state.
    fn watch(&mut self, onlooker: Onlooker, uri: &str) -> Seen {
        let list = onlooker.list.0;
        self.look_on(onlooker).unwrap();
        let (id, _) = self.join(list, 0, uri);
        let mut seen = Seen {
            id,
            state: State::Pending,
            tag: 0,
            content: None,
        };
        self.take(&mut seen, Extent::Full);
        seen
    }

    /// Takes the instance, and says whether it had content.
    fn take(&mut self, seen: &mut Seen, extent: Extent) -> bool {
        let instance = self.instance(seen.id, extent);
        (seen.state, seen.tag) = (instance.state, instance.tag);
        assert!(instance.content.is_none() || instance.state == State::Active);
        let news = instance.content.is_some();
        if let Some(content) = instance.content {
            let body = String::from_utf8(content.bytes.to_vec()).unwrap();
            seen.content = Some((content.media_type.into(), body));
        } else if instance.state != State::Active {
            seen.content = None;
        }
        news
    }

    /// Takes the instance if it was stirred, and says whether it was.
    fn hear(&mut self, seen: &mut Seen) -> bool {
        let stirred = self.node.presence.is_stirred(seen.id);
        if stirred {
            self.take(seen, Extent::Change);
        }
        stirred
    }

    fn look_away(&mut self, list: u64) -> Vec<Sent> {
        let list = SubscriptionId(list);
        self.local(|local, turn| local.look_away(turn, list)).1
    }
}
