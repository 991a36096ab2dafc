//! The accounts of online charging: how many charges each hour has seen and what became of them, what went on the list
//! of what nobody pays and how it left it, and what each OCS was asked.
//!
//! A charge is counted in the batch that stores it before an OCS hears of it, and its end in the batch that takes it
//! out of the store. So after any crash what began is what has ended and what is there; where it is not, charges are
//! missing. Requests and answers are counted with the next batch: those since the last one are lost in a crash.

use crate::charging::accounts::{KEPT_HOURS, each};
use crate::charging::tally::{Row, Tally, rows};
use crate::charging::unpaid;
use crate::store::{Reader, StoreError};
use ims::charge::hour_of;
use ims::record::{Batch, Table};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is counted. The number is on disk: never reuse one, and stay below [`LANE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum Count {
    /// Charges for which an OCS was to be asked.
    Asked = 1,
    /// Ends of charges: the service was given and an OCS has debited it.
    Settled = 2,
    /// The service was given, and the OCS does not charge for it (4011).
    Free = 3,
    /// Not given: the account does not cover it.
    NoCredit = 4,
    /// Not given: the OCS does not serve the user.
    Refused = 5,
    /// Not given: nobody could say.
    Unavailable = 6,
    /// Granted and not given, or the user had left: what was debited or reserved was given back.
    Returned = 7,
    /// Went on the list of what nobody pays, and nothing else follows.
    GivenUp = 8,
    /// Entries of that list.
    Listed = 9,
    /// Entries that were settled by hand.
    Forgotten = 10,
    /// Entries that an OCS took when it was asked again.
    Collected = 11,
    /// Units debited, and not given back.
    Units = 12,
    /// Requests that a peer was sent.
    Requests = 13,
    /// Of these with the T flag.
    Resent = 14,
    /// Of these REFUND_ACCOUNT.
    Refunds = 15,
    /// Answers by class of their Result-Code.
    Success = 16,
    Protocol = 17,
    Transient = 18,
    Permanent = 19,
    /// Another class, or not to be read.
    Odd = 20,
    /// No answer.
    Unanswered = 21,
    /// Requests for which there was no peer.
    Unsent = 22,
}

/// All of them.
const COUNTS: [Count; 22] = {
    use Count::*;
    [
        Asked,
        Settled,
        Free,
        NoCredit,
        Refused,
        Unavailable,
        Returned,
        GivenUp,
        Listed,
        Forgotten,
        Collected,
        Units,
        Requests,
        Resent,
        Refunds,
        Success,
        Protocol,
        Transient,
        Permanent,
        Odd,
        Unanswered,
        Unsent,
    ]
};

impl Count {
    /// In metrics.
    pub fn name(self) -> &'static str {
        match self {
            Count::Asked => "asked",
            Count::Settled => "settled",
            Count::Free => "free",
            Count::NoCredit => "no_credit",
            Count::Refused => "refused",
            Count::Unavailable => "unavailable",
            Count::Returned => "returned",
            Count::GivenUp => "given_up",
            Count::Listed => "listed",
            Count::Forgotten => "forgotten",
            Count::Collected => "collected",
            Count::Units => "units",
            Count::Requests => "requests",
            Count::Resent => "resent",
            Count::Refunds => "refunds",
            Count::Success => "success",
            Count::Protocol => "protocol",
            Count::Transient => "transient",
            Count::Permanent => "permanent",
            Count::Odd => "odd",
            Count::Unanswered => "unanswered",
            Count::Unsent => "unsent",
        }
    }
}

/// Rows of the writers are this far apart.
const LANE: u8 = 64;

/// Who writes. Batches of one are committed in order, those of different ones may overtake each other, so that each has
/// rows of its own. The number is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Lane {
    /// Batches that somebody waits for.
    Awaited = 0,
    /// Those that nobody waits for.
    Patient = 1,
    /// Those of the operator.
    Desk = 2,
}

/// Where it says that there are accounts: what an earlier version left in the store has been counted.
const BEGUN: &[u8] = b"begun";

/// The counts of one writer. What a batch adds counts once the batch is committed; where one is not, the process ends.
#[derive(Debug)]
pub struct Accounts {
    lane: Lane,
    tally: Tally,
}

impl Accounts {
    pub fn load(reader: &dyn Reader, lane: Lane) -> Result<Accounts, StoreError> {
        let is_ours = |row: &Row| row.kind / LANE == lane as u8;
        let tally = Tally::load(reader, Table::CreditAccounts, is_ours)?;
        Ok(Accounts { lane, tally })
    }

    /// Counts so many of this in the next batch.
    pub fn note(&mut self, hour: u32, count: Count, ocs: &str, more: u64) {
        if more > 0 {
            let (kind, peer) = (self.lane as u8 * LANE + count as u8, ocs.to_owned());
            self.tally.note(Row { hour, kind, peer }, more);
        }
    }

    pub fn is_noted(&self) -> bool {
        self.tally.is_noted()
    }

    pub fn add_to(&mut self, batch: &mut Batch) {
        self.tally.add_to(batch);
        self.tally.left();
    }
}

/// Counts what an earlier version left in the store, once: in the first batch of the first process that has accounts.
pub fn begin(reader: &dyn Reader, accounts: &mut Accounts) -> Result<Batch, StoreError> {
    let mut batch = Batch::default();
    if !has_begun(reader)? {
        each(reader, Table::Credit, |key, _| {
            accounts.note(hour_of_key(key), Count::Asked, "", 1);
        })?;
        each(reader, Table::Unpaid, |key, _| {
            accounts.note(hour_of_key(key), Count::Listed, "", 1);
        })?;
        batch.put(Table::CreditAccounts, BEGUN, &());
        accounts.add_to(&mut batch);
    }
    Ok(batch)
}

fn has_begun(reader: &dyn Reader) -> Result<bool, StoreError> {
    let found = reader.scan(Table::CreditAccounts, BEGUN, 1)?;
    Ok(found.iter().any(|(key, _)| key == BEGUN))
}

/// The hour of the charge whose number begins a key.
fn hour_of_key(key: &[u8]) -> u32 {
    unpaid::number_of(key).map_or(0, hour_of)
}

/// The accounts of one hour: charges and entries of the list by when the charge began, requests and units by when they
/// were answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hour {
    /// Hour since 1970; it begins at `hour * 3600` seconds.
    pub hour: u32,
    /// Charges for which an OCS was to be asked.
    pub asked: u64,
    /// Charges that are not over: a question, a service, a session or a debt.
    pub open: u64,
    /// `asked` without all ends and what is open: charges that are gone. Negative: charges that nobody began.
    pub missing: i64,
    /// Entries of the list of what nobody pays that are on it.
    pub unpaid: u64,
    /// What was listed without what is on the list, was collected or forgotten.
    pub unpaid_missing: i64,
    /// All OCSs together.
    #[serde(flatten)]
    pub all: Counts,
    /// Each OCS; under the empty name what none has answered.
    pub ocss: BTreeMap<String, Counts>,
}

/// What became of charges, and what was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub settled: u64,
    pub free: u64,
    pub no_credit: u64,
    pub refused: u64,
    pub unavailable: u64,
    pub returned: u64,
    pub given_up: u64,
    pub listed: u64,
    pub collected: u64,
    pub forgotten: u64,
    pub units: u64,
    /// CCRs sent, of these with T, and of these REFUND_ACCOUNT.
    pub requests: u64,
    pub resent: u64,
    pub refunds: u64,
    /// How they were answered.
    pub success: u64,
    pub protocol: u64,
    pub transient: u64,
    pub permanent: u64,
    pub odd: u64,
    pub unanswered: u64,
    /// CCRs for which no OCS was up.
    pub unsent: u64,
}

impl Counts {
    fn add(&mut self, count: Count, more: u64) {
        let field = match count {
            Count::Asked => return, // of no OCS yet
            Count::Settled => &mut self.settled,
            Count::Free => &mut self.free,
            Count::NoCredit => &mut self.no_credit,
            Count::Refused => &mut self.refused,
            Count::Unavailable => &mut self.unavailable,
            Count::Returned => &mut self.returned,
            Count::GivenUp => &mut self.given_up,
            Count::Listed => &mut self.listed,
            Count::Forgotten => &mut self.forgotten,
            Count::Collected => &mut self.collected,
            Count::Units => &mut self.units,
            Count::Requests => &mut self.requests,
            Count::Resent => &mut self.resent,
            Count::Refunds => &mut self.refunds,
            Count::Success => &mut self.success,
            Count::Protocol => &mut self.protocol,
            Count::Transient => &mut self.transient,
            Count::Permanent => &mut self.permanent,
            Count::Odd => &mut self.odd,
            Count::Unanswered => &mut self.unanswered,
            Count::Unsent => &mut self.unsent,
        };
        *field = field.saturating_add(more);
    }

    #[cfg(test)]
    pub fn merge(&mut self, other: &Counts) {
        let Counts {
            settled,
            free,
            no_credit,
            refused,
            unavailable,
            returned,
            given_up,
            listed,
            collected,
            forgotten,
            units,
            requests,
            resent,
            refunds,
            success,
            protocol,
            transient,
            permanent,
            odd,
            unanswered,
            unsent,
        } = other;
        use Count::*;
        for (count, more) in [
            (Settled, settled),
            (Free, free),
            (NoCredit, no_credit),
            (Refused, refused),
            (Unavailable, unavailable),
            (Returned, returned),
            (GivenUp, given_up),
            (Listed, listed),
            (Collected, collected),
            (Forgotten, forgotten),
            (Units, units),
            (Requests, requests),
            (Resent, resent),
            (Refunds, refunds),
            (Success, success),
            (Protocol, protocol),
            (Transient, transient),
            (Permanent, permanent),
            (Odd, odd),
            (Unanswered, unanswered),
            (Unsent, unsent),
        ] {
            self.add(count, *more);
        }
    }

    /// Charges that are over.
    pub fn ended(&self) -> u64 {
        let Counts {
            settled,
            free,
            no_credit,
            refused,
            unavailable,
            returned,
            given_up,
            ..
        } = self;
        let ends = [
            settled,
            free,
            no_credit,
            refused,
            unavailable,
            returned,
            given_up,
        ];
        ends.into_iter().sum()
    }

    /// Whether something was asked, or debited.
    pub fn asks(&self) -> bool {
        self.requests + self.unsent + self.units > 0
    }

    fn off_the_list(&self) -> u64 {
        self.collected.saturating_add(self.forgotten)
    }
}

impl Hour {
    /// Whether no charge and no entry is missing.
    pub fn adds_up(&self) -> bool {
        self.missing == 0 && self.unpaid_missing == 0
    }

    fn is_quiet(&self) -> bool {
        self.adds_up() && self.open == 0 && self.unpaid == 0
    }
}

/// Reads the accounts, hour by hour. Charges begin and end meanwhile: what that explains is not missing.
pub fn read(reader: &dyn Reader) -> Result<Vec<Hour>, StoreError> {
    if !has_begun(reader)? {
        return Ok(Vec::new());
    }
    let since = u64::saturating_sub;
    let before = counted(reader)?;
    let mut there: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    each(reader, Table::Credit, |key, _| {
        there.entry(hour_of_key(key)).or_default().0 += 1;
    })?;
    each(reader, Table::Unpaid, |key, _| {
        there.entry(hour_of_key(key)).or_default().1 += 1;
    })?;
    let mut hours = counted(reader)?;
    for hour in there.keys() {
        hours.entry(*hour).or_default();
    }
    for (number, hour) in &mut hours {
        hour.hour = *number;
        (hour.open, hour.unpaid) = there.get(number).copied().unwrap_or_default();
        let was = before.get(number).cloned().unwrap_or_default();
        let (ended, off) = (hour.all.ended(), hour.all.off_the_list());
        let moved = since(hour.asked, was.asked) + since(ended, was.all.ended());
        hour.missing = difference(hour.asked, [ended, hour.open], moved);
        let (listed, gone) = (was.all.listed, was.all.off_the_list());
        let moved = since(hour.all.listed, listed) + since(off, gone);
        hour.unpaid_missing = difference(hour.all.listed, [off, hour.unpaid], moved);
    }
    Ok(hours.into_values().collect())
}

/// What is missing, as far as the so many that came and went while it was read do not explain it.
fn difference(came: u64, went: [u64; 2], moved: u64) -> i64 {
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let went: i64 = went.into_iter().map(signed).fold(0, i64::saturating_add);
    let missing = signed(came).saturating_sub(went);
    match missing.unsigned_abs() <= moved {
        true => 0,
        false => missing,
    }
}

fn counted(reader: &dyn Reader) -> Result<BTreeMap<u32, Hour>, StoreError> {
    let mut hours: BTreeMap<u32, Hour> = BTreeMap::new();
    rows(reader, Table::CreditAccounts, |row, count| {
        let kind = row.kind % LANE;
        let Some(of) = COUNTS.into_iter().find(|count| *count as u8 == kind) else {
            return; // also the mark that there are accounts
        };
        let hour = hours.entry(row.hour).or_default();
        match of {
            Count::Asked => hour.asked = hour.asked.saturating_add(count),
            of => {
                hour.all.add(of, count);
                hour.ocss.entry(row.peer).or_default().add(of, count);
            }
        }
    })?;
    Ok(hours)
}

/// Deletes the accounts of hours that add up and are older than they need be kept.
pub fn prune(hours: &[Hour], batch: &mut Batch, reader: &dyn Reader) -> Result<(), StoreError> {
    let newest = hours.last().map_or(0, |hour| hour.hour);
    let is_old = |hour: u32| {
        let known = hours.iter().find(|known| known.hour == hour);
        hour.saturating_add(KEPT_HOURS) < newest && known.is_some_and(Hour::is_quiet)
    };
    each(reader, Table::CreditAccounts, |key, _| {
        let hour = key.first_chunk().copied().map(u32::from_be_bytes);
        if key != BEGUN && hour.is_some_and(is_old) {
            batch.delete(Table::CreditAccounts, key);
        }
    })
}

#[cfg(test)]
mod tests;
