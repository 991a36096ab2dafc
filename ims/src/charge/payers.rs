//! On whose account a subscription goes, for as long as it lasts: its refreshes and the NOTIFYs in it are paid by whom
//! its SUBSCRIBE was. P-Served-User comes with initial requests only (RFC 5502 §6), so it is remembered.

use crate::record::{Batch, Table, decode};
use std::collections::BTreeMap;

/// Who pays for the NOTIFYs of a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NotifyPayer {
    /// Whoever pays for its SUBSCRIBE: all of a dialog is one service to one user.
    #[default]
    Subscription,
    /// The presentity whose state is told. A list has no account: there its watcher pays.
    Presentity,
}

/// Payers of the subscriptions whose records do not say them, by the number of the subscription.
#[derive(Debug, Default)]
pub struct Payers {
    notifies: NotifyPayer,
    known: BTreeMap<u64, Vec<String>>,
}

impl Payers {
    pub fn new(notifies: NotifyPayer) -> Payers {
        Payers {
            notifies,
            known: BTreeMap::new(),
        }
    }

    /// A subscription was opened on the account of `payers`, with the batch.
    pub fn opened(&mut self, batch: &mut Batch, subscription: u64, payers: Vec<String>) {
        let key = subscription.to_be_bytes();
        batch.put(Table::SubscriptionPayer, &key, &payers);
        self.known.insert(subscription, payers);
    }

    /// Who pays for what a subscriber asks in a dialog. `None`: that is as the request says.
    pub fn of_dialog(&self, subscription: u64) -> Option<&[String]> {
        self.known.get(&subscription).map(Vec::as_slice)
    }

    /// Who pays for a NOTIFY, where that is not the presentity. `asserted`: identities of the watcher.
    pub fn of_notify(&self, subscription: u64, asserted: &[Box<str>]) -> Vec<String> {
        match self.notifies {
            NotifyPayer::Subscription => self.of_subscription(subscription, asserted),
            NotifyPayer::Presentity => Vec::new(),
        }
    }

    /// Who pays for a subscription.
    pub fn of_subscription(&self, subscription: u64, asserted: &[Box<str>]) -> Vec<String> {
        match self.known.get(&subscription) {
            Some(known) => known.clone(),
            None => asserted.iter().map(|uri| uri.to_string()).collect(),
        }
    }

    /// A subscription is over.
    pub fn over(&mut self, batch: &mut Batch, subscription: u64) {
        if self.known.remove(&subscription).is_some() {
            batch.delete(Table::SubscriptionPayer, &subscription.to_be_bytes());
        }
    }

    /// Takes up a record of the store. `false`: it is none.
    pub fn recover(&mut self, key: &[u8], value: &[u8]) -> bool {
        let subscription = <[u8; 8]>::try_from(key).map(u64::from_be_bytes);
        let (Ok(subscription), Some(payers)) = (subscription, decode(value)) else {
            return false;
        };
        self.known.insert(subscription, payers);
        true
    }

    /// Subscriptions whose payers are remembered here.
    pub fn subscriptions(&self) -> impl Iterator<Item = u64> {
        self.known.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Op;

    const ALICE: &str = "sip:alice@ims.test";
    const BOB: &str = "sip:bob@ims.test";

    #[test]
    fn a_notify_goes_where_its_subscribe_went_unless_the_presentity_is_to_pay() {
        let asserted: [Box<str>; 1] = [ALICE.into()];
        for (policy, of_first, of_second) in [
            (NotifyPayer::Subscription, vec![BOB], vec![ALICE]),
            (NotifyPayer::Presentity, vec![], vec![]),
        ] {
            let mut payers = Payers::new(policy);
            payers.opened(&mut Batch::default(), 1, vec![BOB.into()]);
            assert_eq!(payers.of_notify(1, &asserted), of_first, "{policy:?}");
            assert_eq!(payers.of_notify(2, &asserted), of_second, "{policy:?}");
            assert_eq!(payers.of_subscription(2, &asserted), [ALICE]);
            assert_eq!(payers.of_dialog(1), Some(&[BOB.to_owned()][..]));
            assert_eq!(payers.of_dialog(2), None);
        }
    }

    #[test]
    fn who_pays_is_known_after_a_restart_until_the_subscription_is_over() {
        let mut batch = Batch::default();
        let mut payers = Payers::default();
        payers.opened(&mut batch, 7, vec![BOB.into()]);
        let Op::Put { table, key, value } = &batch.ops[0] else {
            panic!("{batch:?}")
        };
        assert_eq!(*table, Table::SubscriptionPayer);
        let mut after = Payers::default();
        assert!(after.recover(key, value));
        assert!(!after.recover(b"short", value) && !after.recover(key, &[0xff]));
        assert_eq!(after.subscriptions().collect::<Vec<_>>(), [7]);
        let mut batch = Batch::default();
        after.over(&mut batch, 8);
        assert!(batch.is_empty(), "nothing was remembered of it");
        after.over(&mut batch, 7);
        assert_eq!(after.of_dialog(7), None);
        assert!(matches!(&batch.ops[0], Op::Delete { key: gone, .. } if gone == key));
    }
}
