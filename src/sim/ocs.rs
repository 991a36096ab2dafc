//! The simulated charging system behind the sockets: accounts, reservations, duplicates, and the answers that follow.
//!
//! Accounts count units, be they events or seconds. A request that was heard before, by Session-Id and number, gets the answer
//! that it got then and changes nothing (RFC 6733 §9.4, RFC 8506 §6.5).

use diameter::base::Local;
use diameter::dictionary::*;
use diameter::fault::ResultCode;
use diameter::message::{Avp, Message};
use diameter::ro::{RequestType, RequestedAction};
use diameter::write::Writer;
use std::collections::BTreeMap;
use units::{Unit, used, wanted};

pub mod units;

/// Requests remembered for the recognition of duplicates; beyond that the memory starts anew.
const HEARD_MAX: usize = 200_000;

/// Sessions open at once.
const SESSIONS_MAX: usize = 100_000;

/// Longest answer, in bytes.
const MAX: usize = 65_536;

/// What the OCS grants and says besides the result.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Units of an account that is not in `balances`; `None`: without end.
    pub quota: Option<i64>,
    /// Units by Subscription-Id-Data.
    pub balances: BTreeMap<String, i64>,
    /// Units granted with one answer at most.
    pub grant: Option<u64>,
    /// Validity-Time, in seconds.
    pub validity: Option<u32>,
    /// Unit-Quota-Threshold (TS 32.299).
    pub threshold: Option<u32>,
    /// Quota-Holding-Time (TS 32.299), in seconds.
    pub holding: Option<u32>,
    /// What is granted, whatever was asked for.
    pub unit: Option<Unit>,
    /// Whether the last units are announced with Final-Unit-Indication, and Final-Unit-Action by its number.
    pub final_unit: bool,
    pub final_action: i32,
    /// CC-Session-Failover.
    pub failover: Option<bool>,
    /// Credit-Control-Failure-Handling and Direct-Debiting-Failure-Handling, by their numbers.
    pub ccfh: Option<i32>,
    pub ddfh: Option<i32>,
    /// Price of a unit in hundredths of a euro.
    pub price: Option<i64>,
    /// Result-Codes other than 2xxx stand inside Multiple-Services-Credit-Control, where the request has one.
    pub inside: bool,
}

/// A session that is open.
#[derive(Clone, Debug)]
pub struct Session {
    /// Who opened it: Origin-Host and Origin-Realm.
    pub host: String,
    pub realm: String,
    account: String,
    reserved: i64,
}

/// What an answer says of units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Verdict {
    result: u32,
    granted: Option<u64>,
    last: bool,
}

impl Verdict {
    fn plain(result: u32) -> Verdict {
        Verdict {
            result,
            granted: None,
            last: false,
        }
    }
}

/// Accounts, sessions and what was heard.
#[derive(Debug, Default)]
pub struct Ocs {
    terms: Terms,
    sessions: BTreeMap<String, Session>,
    heard: BTreeMap<(String, u32), Verdict>,
    /// Requests that were recognised as duplicates.
    pub duplicates: u64,
}

impl Ocs {
    pub fn new(terms: Terms) -> Ocs {
        Ocs {
            terms,
            ..Ocs::default()
        }
    }

    /// What a request is called in scripts: its SIP method, and what it asks.
    pub fn keys(message: &Message<'_>) -> Vec<String> {
        let mut keys = Vec::new();
        if let Some(method) = method(message) {
            keys.push(method.to_owned());
        }
        let number = |def: &Def| message.find(def).and_then(|avp| avp.i32());
        let kind = number(&CC_REQUEST_TYPE).and_then(RequestType::read);
        let action = number(&REQUESTED_ACTION).and_then(RequestedAction::read);
        let word = match (kind, action) {
            (Some(RequestType::Initial), _) => "INITIAL",
            (Some(RequestType::Update), _) => "UPDATE",
            (Some(RequestType::Termination), _) => "TERMINATION",
            (Some(RequestType::Event), Some(RequestedAction::RefundAccount)) => "REFUND",
            (Some(RequestType::Event), Some(RequestedAction::CheckBalance)) => "BALANCE",
            (Some(RequestType::Event), Some(RequestedAction::PriceEnquiry)) => "PRICE",
            (Some(RequestType::Event), _) => "DEBIT",
            (None, _) => return keys,
        };
        keys.push(word.to_owned());
        keys
    }

    pub fn sessions(&self) -> impl Iterator<Item = (&String, &Session)> {
        self.sessions.iter()
    }

    pub fn session(&self, id: &str) -> Option<&Session> {
        self.sessions.get(id)
    }

    pub fn balance(&self, account: &str) -> Option<i64> {
        self.terms.balances.get(account).copied()
    }

    pub fn set_balance(&mut self, account: &str, units: i64) {
        self.terms.balances.insert(account.to_owned(), units);
    }

    /// The answer to an ACR or CCR, with its Result-Code. `told` is what the script wants instead of the account's.
    pub fn answer(
        &mut self,
        local: &Local,
        message: &Message<'_>,
        told: Option<u32>,
    ) -> (u32, Vec<u8>) {
        match message.header.command {
            CMD_CREDIT_CONTROL => self.cca(local, message, told),
            _ => self.aca(local, message, told),
        }
    }

    /// ACA (RFC 6733 §9.7.2).
    fn aca(&mut self, local: &Local, message: &Message<'_>, told: Option<u32>) -> (u32, Vec<u8>) {
        let result = told.unwrap_or(2001);
        let number = message.find(&ACCOUNTING_RECORD_NUMBER);
        let number = number.and_then(|avp| avp.u32()).unwrap_or(0);
        self.remember(session_id(message), number, Verdict::plain(result));
        let mut w = local.application_answer(message, ResultCode(result));
        for def in [ACCOUNTING_RECORD_TYPE, ACCOUNTING_RECORD_NUMBER] {
            if let Some(avp) = message.find(&def) {
                copy(&mut w, &def, &avp);
            }
        }
        w.u32(&ACCT_APPLICATION_ID, APP_ACCOUNTING);
        (result, w.finish(MAX).unwrap_or_default())
    }

    /// CCA (RFC 8506 §3.2).
    fn cca(&mut self, local: &Local, message: &Message<'_>, told: Option<u32>) -> (u32, Vec<u8>) {
        let verdict = self.judge(message, told);
        let service = message.find(&MULTIPLE_SERVICES_CREDIT_CONTROL);
        let failed = !(2_000..3_000).contains(&verdict.result);
        let inside = failed && self.terms.inside && service.is_some();
        let command = if inside { 2001 } else { verdict.result };
        let mut w = local.application_answer(message, ResultCode(command));
        w.u32(&AUTH_APPLICATION_ID, APP_CREDIT_CONTROL);
        for def in [CC_REQUEST_TYPE, CC_REQUEST_NUMBER] {
            if let Some(avp) = message.find(&def) {
                copy(&mut w, &def, &avp);
            }
        }
        let terms = &self.terms;
        let unit = terms.unit.unwrap_or_else(|| Unit::asked(message));
        if let Some(failover) = terms.failover {
            w.i32(&CC_SESSION_FAILOVER, i32::from(failover));
        }
        match service {
            Some(service) if inside || verdict.granted.is_some() => {
                w.group(&MULTIPLE_SERVICES_CREDIT_CONTROL, |w| {
                    self.units(w, &verdict, unit);
                    for def in [SERVICE_IDENTIFIER, RATING_GROUP] {
                        if let Some(avp) = service.group().find_def(&def) {
                            copy(w, &def, &avp);
                        }
                    }
                    w.u32(&RESULT_CODE, verdict.result);
                });
            }
            _ => self.units(&mut w, &verdict, unit),
        }
        self.cost(&mut w, message);
        let action = message.find(&REQUESTED_ACTION).and_then(|avp| avp.i32());
        if action == Some(RequestedAction::CheckBalance.code()) && !failed {
            let enough =
                self.available(&self.account(message)) >= wanted(message).unwrap_or(0) as i64;
            w.i32(&CHECK_BALANCE_RESULT, i32::from(!enough));
        }
        if let Some(ccfh) = terms.ccfh {
            w.i32(&CREDIT_CONTROL_FAILURE_HANDLING, ccfh);
        }
        if let Some(ddfh) = terms.ddfh {
            w.i32(&DIRECT_DEBITING_FAILURE_HANDLING, ddfh);
        }
        (verdict.result, w.finish(MAX).unwrap_or_default())
    }

    fn units(&self, w: &mut Writer, verdict: &Verdict, unit: Unit) {
        let Some(granted) = verdict.granted else {
            return;
        };
        unit.grant(w, granted);
        if let Some(validity) = self.terms.validity {
            w.u32(&VALIDITY_TIME, validity);
        }
        if let Some(threshold) = self.terms.threshold {
            unit.threshold(w, threshold);
        }
        if let Some(holding) = self.terms.holding {
            w.u32(&QUOTA_HOLDING_TIME, holding);
        }
        if verdict.last {
            let action = self.terms.final_action;
            w.group(&FINAL_UNIT_INDICATION, |w| {
                _ = w.i32(&FINAL_UNIT_ACTION, action)
            });
        }
    }

    fn cost(&self, w: &mut Writer, message: &Message<'_>) {
        const EURO: u32 = 978; // ISO 4217
        if let Some(price) = self.terms.price {
            let units = wanted(message).unwrap_or(1).max(1) as i64;
            w.group(&COST_INFORMATION, |w| {
                w.group(&UNIT_VALUE, |w| {
                    w.i64(&VALUE_DIGITS, price.saturating_mul(units))
                        .i32(&EXPONENT, -2);
                })
                .u32(&CURRENCY_CODE, EURO);
            });
        }
    }

    /// The result, and what it does to the account; nothing for a duplicate or a result of the script.
    fn judge(&mut self, message: &Message<'_>, told: Option<u32>) -> Verdict {
        let id = session_id(message);
        let number = message.find(&CC_REQUEST_NUMBER);
        let number = number.and_then(|avp| avp.u32()).unwrap_or(0);
        if let Some(verdict) = self.heard.get(&(id.clone(), number)) {
            self.duplicates += 1;
            return *verdict;
        }
        let verdict = match told {
            // "The request was not processed" is no reason to refuse it when it comes again.
            Some(result @ 3_000..4_000) => return Verdict::plain(result),
            Some(result) if !(2_000..3_000).contains(&result) => Verdict::plain(result),
            told => Verdict {
                result: told.unwrap_or(2001),
                ..match self.carry_out(message, &id) {
                    refused if refused.result != 2001 => return self.keep(id, number, refused),
                    granted => granted,
                }
            },
        };
        self.keep(id, number, verdict)
    }

    fn keep(&mut self, id: String, number: u32, verdict: Verdict) -> Verdict {
        if self.heard.len() >= HEARD_MAX {
            self.heard.clear();
        }
        self.heard.insert((id, number), verdict);
        verdict
    }

    fn remember(&mut self, id: String, number: u32, verdict: Verdict) {
        if self.heard.contains_key(&(id.clone(), number)) {
            self.duplicates += 1;
        }
        self.keep(id, number, verdict);
    }

    fn carry_out(&mut self, message: &Message<'_>, id: &str) -> Verdict {
        let number = |def: &Def| message.find(def).and_then(|avp| avp.i32());
        let account = self.account(message);
        match number(&CC_REQUEST_TYPE).and_then(RequestType::read) {
            Some(RequestType::Event) => {
                let action = number(&REQUESTED_ACTION).and_then(RequestedAction::read);
                self.event(&account, wanted(message).unwrap_or(1), action)
            }
            Some(RequestType::Initial) if self.sessions.len() >= SESSIONS_MAX => {
                Verdict::plain(ResultCode::TOO_BUSY.0)
            }
            Some(RequestType::Initial) => {
                let text = |def| message.find(def).and_then(|avp| avp.text()).unwrap_or("");
                let session = Session {
                    host: text(&ORIGIN_HOST).to_owned(),
                    realm: text(&ORIGIN_REALM).to_owned(),
                    account,
                    reserved: 0,
                };
                self.reserve(id, session, wanted(message).unwrap_or(1))
            }
            Some(kind @ (RequestType::Update | RequestType::Termination)) => {
                let Some(mut session) = self.sessions.remove(id) else {
                    return Verdict::plain(ResultCode::UNKNOWN_SESSION_ID.0);
                };
                self.change(&session.account, session.reserved - used(message) as i64);
                match (kind, wanted(message)) {
                    (RequestType::Update, Some(units)) => self.reserve(id, session, units),
                    // given back, and nothing more is wanted for now
                    (RequestType::Update, None) => {
                        session.reserved = 0;
                        self.sessions.insert(id.to_owned(), session);
                        Verdict::plain(2001)
                    }
                    _ => Verdict::plain(2001),
                }
            }
            None => Verdict::plain(ResultCode::MISSING_AVP.0),
        }
    }

    fn event(&mut self, account: &str, units: u64, action: Option<RequestedAction>) -> Verdict {
        let units = units.max(1);
        match action {
            Some(RequestedAction::RefundAccount) => {
                self.change(account, units as i64);
                Verdict::plain(2001)
            }
            Some(RequestedAction::CheckBalance | RequestedAction::PriceEnquiry) => {
                Verdict::plain(2001)
            }
            Some(RequestedAction::DirectDebiting) | None => self.grant(account, units),
        }
    }

    /// Takes units out of the account for a session, which is open from then on.
    fn reserve(&mut self, id: &str, mut session: Session, units: u64) -> Verdict {
        let verdict = self.grant(&session.account, units.max(1));
        if verdict.result == 2001 {
            session.reserved = verdict.granted.unwrap_or(0) as i64;
            self.sessions.insert(id.to_owned(), session);
        }
        verdict
    }

    fn grant(&mut self, account: &str, units: u64) -> Verdict {
        let available = self.available(account).max(0) as u64;
        let units = units.min(self.terms.grant.unwrap_or(units)).min(available);
        if units == 0 {
            return Verdict::plain(ResultCode::CREDIT_LIMIT_REACHED.0);
        }
        self.change(account, -(units as i64));
        Verdict {
            granted: Some(units),
            last: self.terms.final_unit && units == available,
            ..Verdict::plain(2001)
        }
    }

    fn available(&self, account: &str) -> i64 {
        let known = self.terms.balances.get(account).copied();
        known.or(self.terms.quota).unwrap_or(i64::MAX / 2)
    }

    fn change(&mut self, account: &str, units: i64) {
        if let Some(quota) = self.terms.quota {
            let balances = &mut self.terms.balances;
            balances.entry(account.to_owned()).or_insert(quota);
        }
        if let Some(balance) = self.terms.balances.get_mut(account) {
            *balance = balance.saturating_add(units);
        }
    }

    /// Who pays: the first of the request's identities that has an account, else the first.
    fn account(&self, message: &Message<'_>) -> String {
        let service = message.find(&SERVICE_INFORMATION).map(|avp| avp.group());
        let all: Vec<String> = message
            .avps()
            .chain(service.into_iter().flatten())
            .filter(|avp| avp.is(&SUBSCRIPTION_ID))
            .filter_map(|avp| avp.group().find_def(&SUBSCRIPTION_ID_DATA)?.text())
            .map(str::to_owned)
            .collect();
        let known = all.iter().find(|id| self.terms.balances.contains_key(*id));
        known.or(all.first()).cloned().unwrap_or_default()
    }
}

fn session_id(message: &Message<'_>) -> String {
    let id = message.find(&SESSION_ID).and_then(|avp| avp.text());
    id.unwrap_or_default().to_owned()
}

fn method<'a>(message: &Message<'a>) -> Option<&'a str> {
    let service = message.find(&SERVICE_INFORMATION)?.group();
    let ims = service.find_def(&IMS_INFORMATION)?.group();
    let event = ims.find_def(&EVENT_TYPE)?.group();
    event.find_def(&SIP_METHOD)?.text()
}

fn copy(w: &mut Writer, def: &Def, avp: &Avp<'_>) {
    match def.kind {
        Kind::U32 => avp.u32().map(|value| _ = w.u32(def, value)),
        _ => avp.i32().map(|value| _ = w.i32(def, value)),
    };
}

#[cfg(test)]
mod tests;
