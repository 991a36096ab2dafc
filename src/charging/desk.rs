//! What the operator may ask of charging while the server runs: the accounts, the quarantine, what is unpaid, a trace,
//! the last records.
//!
//! Most is read from the store, which any thread may do; only what changes something goes through the committer and
//! is told to the charging thread.

use super::accounts::{self, Report};
use super::acr::Sender;
use super::cdr::{Cdr, Ended};
use super::online::enquiry::Said;
use super::online::exchange::Exchange;
use super::online::resend::{Attempt, Came, End, Resend};
use super::online::{Online, open};
use super::quarantine;
use super::records::Order;
use super::spool::Quarantined;
use super::unpaid::{self, Unpaid, What};
use crate::store::{Committer, Reader, StoreError};
use ims::charge::{Event, record};
use ims::record::{Batch, Table, decode};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Records that came to their end lately, kept for tail and trace.
const RECENT: usize = 1_000;

/// Requests for credit that were answered lately, kept for the same: a charge has one to three, a session one for each
/// grant. Each takes about half a kilobyte.
const RECENT_ASKED: usize = 4_000;

/// Records shown at most for one question.
pub const SHOWN_MAX: usize = 1_000;

/// Takes the questions of the operator. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    pub(super) reader: Arc<dyn Reader>,
    pub(super) committer: Arc<Committer>,
    /// `None`: nothing is charged offline, or online.
    pub(super) orders: Option<mpsc::Sender<Order>>,
    pub(super) online: Option<Online>,
    pub(super) sender: Arc<Sender>,
    pub(super) recent: Arc<Recent>,
    /// One change at a time: a record must not be released twice.
    pub(super) releasing: Arc<tokio::sync::Mutex<()>>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Desk")
    }
}

/// What an OCS said when it was asked again for an entry of the list of what nobody pays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resent {
    pub number: String,
    /// `debit`, `refund` or `report`.
    pub what: String,
    pub units: u64,
    /// It is off the list.
    pub paid: bool,
    #[serde(flatten)]
    pub said: Said,
}

/// By what a record is looked for. A field that is empty does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub icid: Option<String>,
    pub call_id: Option<String>,
    pub number: Option<u64>,
    /// Of the list of what is unpaid: those above this number.
    pub after: Option<u64>,
}

impl Wanted {
    /// Whether nothing in particular is looked for.
    pub fn is_any(&self) -> bool {
        self.icid.is_none() && self.call_id.is_none() && self.number.is_none()
    }

    pub fn is(&self, event: &Event) -> bool {
        let icid = |wanted: &String| event.icid.as_ref() == Some(wanted);
        self.icid.as_ref().is_none_or(icid)
            && self.call_id.as_ref().is_none_or(|id| *id == event.call_id)
            && self.number.is_none_or(|number| number == event.number)
    }
}

impl Desk {
    /// The accounts. Reads the whole spool: not for an async thread.
    pub fn report(&self) -> Result<Report, StoreError> {
        Report::read(&*self.reader)
    }

    /// The first records in quarantine that are wanted.
    pub fn quarantine(&self, wanted: &Wanted) -> Result<Vec<Cdr>, StoreError> {
        let mut found = Vec::new();
        quarantine::each(&*self.reader, |number, quarantined| {
            if found.len() < SHOWN_MAX {
                found.extend(show(&self.sender, number, quarantined, wanted));
            }
        })?;
        Ok(found)
    }

    /// Where records and charges are now, or came to their end lately, and what OCSs were asked.
    pub fn trace(&self, wanted: &Wanted) -> Result<Vec<Cdr>, StoreError> {
        let mut found = self.recent.matching(&self.sender, wanted);
        found.retain(|cdr| cdr.state != "quarantined"); // there it may still be
        found.extend(self.quarantine(wanted)?);
        found.extend(self.unpaid(wanted)?);
        open::each(&*self.reader, &self.sender, wanted, |cdr| {
            if found.len() < SHOWN_MAX {
                found.push(cdr);
            }
        })?;
        accounts::each(&*self.reader, Table::Charging, |_, value| {
            let event = record::read(value).ok().filter(|event| wanted.is(event));
            if let Some(event) = event.filter(|_| found.len() < SHOWN_MAX) {
                found.push(Cdr::new(&self.sender, &event, "waiting"));
            }
        })?;
        Ok(found)
    }

    /// Records that came to their end, and requests for credit, after the `after`th of this run, and the number of the last.
    pub fn tail(&self, after: u64) -> (u64, Vec<Cdr>) {
        self.recent.after(&self.sender, after)
    }

    /// Puts quarantined records back into the spool, these or all, and has them sent. Returns how many.
    pub async fn release(&self, numbers: &[u64]) -> Result<u64, StoreError> {
        let (desk, numbers) = (self.clone(), numbers.to_vec());
        carried_through(async move { desk.release_each(&numbers).await }).await
    }

    async fn release_each(&self, numbers: &[u64]) -> Result<u64, StoreError> {
        let _one_at_a_time = self.releasing.lock().await;
        let mut release = quarantine::Release::new(&*self.reader, numbers);
        let mut count = 0;
        while let Some((batch, range)) = release.next_batch()? {
            self.commit(batch).await?;
            count += range.count;
            if let Some(orders) = &self.orders {
                // the thread is gone only at the end of the server; the records are then found at its next start
                let _ = orders.send(Order::Released(range)).await;
            }
        }
        Ok(count)
    }

    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let (done, stored) = oneshot::channel();
        // whoever asked may be gone: what is committed is committed
        self.committer
            .submit(batch, Box::new(move |outcome| _ = done.send(outcome)));
        stored.await.unwrap_or(Err(StoreError::Closed))
    }

    /// The first entries that are wanted of the list of what no OCS takes.
    pub fn unpaid(&self, wanted: &Wanted) -> Result<Vec<Cdr>, StoreError> {
        unpaid::listed(&*self.reader, &self.sender, wanted, SHOWN_MAX)
    }

    /// Asks an OCS again for the entries of a charge, one after the other. What it takes goes off the list.
    pub async fn resend(&self, number: u64) -> Result<Vec<Resent>, StoreError> {
        let _one_at_a_time = self.releasing.lock().await;
        let mut all = Vec::new();
        for (key, value) in unpaid::entries(&*self.reader, number)? {
            if let Some(entry) = decode::<Unpaid>(&value) {
                all.push(self.resend_entry(number, &key, entry).await?);
            }
        }
        Ok(all)
    }

    async fn resend_entry(
        &self,
        number: u64,
        key: &[u8],
        mut entry: Unpaid,
    ) -> Result<Resent, StoreError> {
        let asked = self.reader.scan(Table::UnpaidAsked, key, 1)?;
        let asked = asked.iter().find(|(of, _)| of == key);
        let before = asked.and_then(|(_, value)| decode::<Attempt>(value));
        let attempt = Attempt::next(&entry, before);
        let again = attempt.number == 0 || before.is_some_and(|before| before.open);
        let mut batch = Batch::default();
        batch.put(Table::UnpaidAsked, key, &attempt);
        self.commit(batch).await?; // from now on an OCS may have it
        let came = match &self.online {
            None => Came::unsent("nothing is charged online"),
            Some(online) => {
                let (reply, came) = oneshot::channel();
                online.resend(Resend {
                    number,
                    time: unpaid::time_of(key),
                    entry: entry.clone(),
                    attempt,
                    again,
                    reply,
                });
                came.await.unwrap_or_else(|_| Came::unknown())
            }
        };
        let (what, units) = (entry.loss.what.name().to_owned(), entry.loss.units);
        let paid = matches!(came.end, End::Taken | End::Free);
        let mut batch = Batch::default();
        match came.end {
            End::Taken | End::Free => {
                batch.delete(Table::Unpaid, key);
                batch.delete(Table::UnpaidAsked, key);
                let took = came.end == End::Taken && entry.loss.what != What::Refund;
                let units = if took { units } else { 0 };
                unpaid::collected(&*self.reader, &mut batch, number, (&came.ocs, units))?;
            }
            End::Refused => {
                let attempt = Attempt {
                    open: false,
                    ..attempt
                };
                batch.put(Table::UnpaidAsked, key, &attempt);
                entry.loss.refused(&came.said);
                batch.put(Table::Unpaid, key, &entry);
            }
            End::Unknown => {}
            // as it was before
            End::Unsent => match before {
                Some(before) => batch.put(Table::UnpaidAsked, key, &before),
                None => batch.delete(Table::UnpaidAsked, key),
            },
        }
        self.commit(batch).await?;
        if let Some(online) = self.online.as_ref().filter(|_| paid) {
            online.forgotten(1);
        }
        Ok(Resent {
            number: number.to_string(),
            what,
            units,
            paid,
            said: came.said,
        })
    }

    /// Takes entries off that list. Returns how many there were.
    pub async fn forget(&self, numbers: &[u64]) -> Result<u64, StoreError> {
        let (desk, numbers) = (self.clone(), numbers.to_vec());
        carried_through(async move { desk.forget_these(&numbers).await }).await
    }

    async fn forget_these(&self, numbers: &[u64]) -> Result<u64, StoreError> {
        let _one_at_a_time = self.releasing.lock().await;
        let (batch, count) = unpaid::forgetting(&*self.reader, numbers)?;
        self.commit(batch).await?;
        if let Some(online) = &self.online {
            online.forgotten(count);
        }
        Ok(count)
    }
}

/// Ends a change that has begun, also when whoever asked for it goes away meanwhile, as an HTTP client may: what is
/// committed has to be told to the charging thread, or it would know of it only after a restart.
async fn carried_through<T: Send + 'static>(
    change: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    // it fails with a panic of the change alone, which its hook has reported
    tokio::spawn(change)
        .await
        .unwrap_or(Err(StoreError::Closed))
}

/// A quarantined record, if it is wanted. One that cannot be read is shown as far as it can.
pub fn show(
    sender: &Sender,
    number: u64,
    quarantined: Option<&Quarantined>,
    wanted: &Wanted,
) -> Option<Cdr> {
    let quarantined = quarantined?;
    let event = record::read(&quarantined.record).ok()?;
    if !wanted.is(&event) || event.number != number {
        return None;
    }
    Some(Cdr {
        cdf: quarantined.peer.clone(),
        result: Some(quarantined.result),
        reason: quarantined.reason.clone(),
        ..Cdr::new(sender, &event, "quarantined").at(quarantined.at)
    })
}

/// The records that came to their end lately, and the requests for credit that were answered.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Lately>);

/// Everything has a number: of how many there were in this run.
#[derive(Debug, Default)]
struct Lately {
    count: u64,
    records: VecDeque<(u64, Ended)>,
    exchanges: VecDeque<(u64, Arc<Exchange>)>,
}

impl Recent {
    fn lately(&self) -> MutexGuard<'_, Lately> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add(&self, ended: Vec<Ended>) {
        let mut lately = self.lately();
        for ended in ended {
            if lately.records.len() >= RECENT {
                lately.records.pop_front();
            }
            lately.count += 1;
            let number = lately.count;
            lately.records.push_back((number, ended));
        }
    }

    /// A request for credit has ended.
    pub fn asked(&self, exchange: Exchange) {
        let mut lately = self.lately();
        if lately.exchanges.len() >= RECENT_ASKED {
            lately.exchanges.pop_front();
        }
        lately.count += 1;
        let number = lately.count;
        lately.exchanges.push_back((number, Arc::new(exchange)));
    }

    fn after(&self, sender: &Sender, after: u64) -> (u64, Vec<Cdr>) {
        let (count, records, exchanges) = {
            let lately = self.lately();
            let records = above(&lately.records, after);
            (lately.count, records, above(&lately.exchanges, after))
        };
        let records = records.iter().map(|(n, ended)| (*n, ended.cdr(sender)));
        let exchanges = exchanges.iter();
        let exchanges = exchanges.filter_map(|(n, exchange)| Some((*n, exchange.cdr(sender)?)));
        let mut shown: Vec<(u64, Cdr)> = records.chain(exchanges).collect();
        shown.sort_by_key(|(number, _)| *number);
        (count, shown.into_iter().map(|(_, cdr)| cdr).collect())
    }

    fn matching(&self, sender: &Sender, wanted: &Wanted) -> Vec<Cdr> {
        let (mut found, exchanges) = {
            let lately = self.lately();
            let records = lately.records.iter();
            let found = records.filter(|(_, ended)| wanted.is(&ended.event));
            let found: Vec<Cdr> = found.map(|(_, ended)| ended.cdr(sender)).collect();
            (found, above(&lately.exchanges, 0))
        };
        // they are unpacked to be compared: not while the charging thread waits
        let exchanges = exchanges.iter().map(|(_, exchange)| &**exchange);
        let is = |exchange: &&Exchange| {
            record::read(&exchange.event).is_ok_and(|event| wanted.is(&event))
        };
        found.extend(
            exchanges
                .filter(is)
                .filter_map(|exchange| exchange.cdr(sender)),
        );
        found
    }
}

/// Those above a number.
fn above<T: Clone>(kept: &VecDeque<(u64, T)>, after: u64) -> Vec<(u64, T)> {
    let first = kept.partition_point(|(number, _)| *number <= after);
    kept.range(first..).cloned().collect()
}
