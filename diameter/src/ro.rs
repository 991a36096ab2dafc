//! Credit-control requests and answers (RFC 8506 §3, TS 32.299 §6.4). Presence is charged by units of service.
//!
//! What this says of a charge is written here; what is done about the answer is decided in [`crate::credit`].

use crate::dictionary::*;
use crate::fault::ResultCode;
use crate::grammar::is_identity;
use crate::message::{Avp, Avps, Message};
use crate::write::Writer;

/// CC-Request-Type (RFC 8506 §8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestType {
    Initial,
    Update,
    Termination,
    Event,
}

impl RequestType {
    pub fn code(self) -> i32 {
        match self {
            RequestType::Initial => 1,
            RequestType::Update => 2,
            RequestType::Termination => 3,
            RequestType::Event => 4,
        }
    }

    pub fn read(code: i32) -> Option<RequestType> {
        use RequestType::*;
        [Initial, Update, Termination, Event]
            .into_iter()
            .find(|kind| kind.code() == code)
    }
}

/// Requested-Action, of an EVENT_REQUEST (RFC 8506 §8.41).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestedAction {
    DirectDebiting,
    RefundAccount,
    CheckBalance,
    PriceEnquiry,
}

impl RequestedAction {
    pub fn code(self) -> i32 {
        match self {
            RequestedAction::DirectDebiting => 0,
            RequestedAction::RefundAccount => 1,
            RequestedAction::CheckBalance => 2,
            RequestedAction::PriceEnquiry => 3,
        }
    }

    pub fn read(code: i32) -> Option<RequestedAction> {
        use RequestedAction::*;
        [DirectDebiting, RefundAccount, CheckBalance, PriceEnquiry]
            .into_iter()
            .find(|action| action.code() == code)
    }
}

/// Termination-Cause (RFC 6733 §8.15), of a TERMINATION_REQUEST.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TerminationCause {
    /// The service came to its end.
    Logout,
    /// It could not be provided.
    ServiceNotProvided,
    /// The account or its server does not allow it any longer.
    Administrative,
    /// The answer was none that this client may act on (RFC 8506 §8.17, §8.20).
    BadAnswer,
}

impl TerminationCause {
    fn code(self) -> i32 {
        match self {
            TerminationCause::Logout => 1,
            TerminationCause::ServiceNotProvided => 2,
            TerminationCause::BadAnswer => 3,
            TerminationCause::Administrative => 4,
        }
    }
}

/// What units count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// CC-Service-Specific-Units (RFC 8506 §8.26).
    #[default]
    Events,
    /// CC-Time, in seconds (§8.21).
    Seconds,
}

/// Reporting-Reason (TS 32.299 §7.2): why used units are reported. The other values are of what presence has not: several
/// kinds of quota for one service, and conditions that an OCS has armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Fewer units are left than the threshold.
    Threshold,
    /// Quota-Holding-Time is over, and the units that are left are given back.
    HoldingTime,
    /// The service is over.
    Final,
    QuotaExhausted,
    ValidityTime,
    /// The server has asked for it (RAR).
    ForcedReauthorisation,
    /// The units were of a credit pool, which has no more.
    PoolExhausted,
}

impl Reason {
    pub fn code(self) -> i32 {
        match self {
            Reason::Threshold => 0,
            Reason::HoldingTime => 1,
            Reason::Final => 2,
            Reason::QuotaExhausted => 3,
            Reason::ValidityTime => 4,
            Reason::ForcedReauthorisation => 7,
            Reason::PoolExhausted => 8,
        }
    }

    pub fn read(code: i32) -> Option<Reason> {
        use Reason::*;
        let all = [
            Threshold,
            HoldingTime,
            Final,
            QuotaExhausted,
            ValidityTime,
            ForcedReauthorisation,
            PoolExhausted,
        ];
        all.into_iter().find(|reason| reason.code() == code)
    }

    /// Whether it is said of one kind of units, in Used-Service-Unit; else of the service.
    fn is_of_units(self) -> bool {
        use Reason::*;
        matches!(self, Threshold | QuotaExhausted | PoolExhausted)
    }
}

/// Where units are written and looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitsIn {
    /// In Multiple-Services-Credit-Control, as TS 32.299 §6.4.2 has it; with what tells the service, if anything.
    Services {
        service_identifier: Option<u32>,
        rating_group: Option<u32>,
    },
    /// At the level of the command, for servers that know RFC 4006 alone (RFC 8506 §8.16: such a server "MUST treat
    /// the Multiple-Services-Credit-Control AVP as an invalid AVP").
    Command,
}

/// What every credit-control request says besides its service. Destination-Realm and Destination-Host are put in
/// when it is sent, since they depend on the peer that takes it.
#[derive(Clone, Copy, Debug)]
pub struct CreditRequest<'a> {
    pub session_id: &'a str,
    pub origin_host: &'a str,
    pub origin_realm: &'a str,
    pub service_context_id: &'a str,
    pub kind: RequestType,
    /// Unique within the session (RFC 8506 §8.2).
    pub number: u32,
    /// Only with [`RequestType::Event`].
    pub action: Option<RequestedAction>,
    /// Only with [`RequestType::Termination`].
    pub cause: Option<TerminationCause>,
    /// Seconds since 1970.
    pub event_timestamp: u64,
    /// Who pays: Subscription-Id-Type and Subscription-Id-Data (§8.46).
    pub subscriptions: &'a [(i32, String)],
    pub units_in: UnitsIn,
    /// What `requested` and `used` count.
    pub measure: Measure,
    /// Units wanted.
    pub requested: Option<u64>,
    /// Units used since the last report.
    pub used: Option<u64>,
    /// Why they are reported. It is said in Multiple-Services-Credit-Control alone: TS 32.299 has no other place for it.
    pub reason: Option<Reason>,
}

impl CreditRequest<'_> {
    /// A CCR in the order of its grammar (§3.1), up to the service, which the caller adds.
    pub fn ccr(&self) -> Writer {
        let mut w = Writer::request(CMD_CREDIT_CONTROL, APP_CREDIT_CONTROL);
        w.utf8(&SESSION_ID, self.session_id)
            .utf8(&ORIGIN_HOST, self.origin_host)
            .utf8(&ORIGIN_REALM, self.origin_realm)
            .u32(&AUTH_APPLICATION_ID, APP_CREDIT_CONTROL)
            .utf8(&SERVICE_CONTEXT_ID, self.service_context_id)
            .i32(&CC_REQUEST_TYPE, self.kind.code())
            .u32(&CC_REQUEST_NUMBER, self.number)
            .time(&EVENT_TIMESTAMP, self.event_timestamp);
        for (kind, data) in self.subscriptions {
            w.group(&SUBSCRIPTION_ID, |w| {
                w.i32(&SUBSCRIPTION_ID_TYPE, *kind)
                    .utf8(&SUBSCRIPTION_ID_DATA, data);
            });
        }
        if let Some(cause) = self.cause {
            w.i32(&TERMINATION_CAUSE, cause.code());
        }
        match self.units_in {
            UnitsIn::Command => {
                self.requested_units(&mut w);
                self.requested_action(&mut w);
                self.used_units(&mut w);
            }
            UnitsIn::Services {
                service_identifier,
                rating_group,
            } => {
                self.requested_action(&mut w);
                // §8.40: 1, MULTIPLE_SERVICES_SUPPORTED. It belongs to the first interrogation (§5.1.2).
                if self.kind == RequestType::Initial {
                    w.i32(&MULTIPLE_SERVICES_INDICATOR, 1);
                }
                if self.requested.is_some() || self.used.is_some() {
                    w.group(&MULTIPLE_SERVICES_CREDIT_CONTROL, |w| {
                        self.requested_units(w);
                        self.used_units(w);
                        optional(w, &SERVICE_IDENTIFIER, service_identifier);
                        optional(w, &RATING_GROUP, rating_group);
                        self.reporting_reason(w, false);
                    });
                }
            }
        }
        w
    }

    fn requested_action(&self, w: &mut Writer) {
        if let Some(action) = self.action {
            w.i32(&REQUESTED_ACTION, action.code());
        }
    }

    fn requested_units(&self, w: &mut Writer) {
        if let Some(count) = self.requested {
            w.group(&REQUESTED_SERVICE_UNIT, |w| self.units(w, count));
        }
    }

    fn used_units(&self, w: &mut Writer) {
        if let Some(count) = self.used {
            w.group(&USED_SERVICE_UNIT, |w| {
                self.units(w, count);
                self.reporting_reason(w, true);
            });
        }
    }

    fn units(&self, w: &mut Writer, count: u64) {
        match self.measure {
            Measure::Events => w.u64(&CC_SERVICE_SPECIFIC_UNITS, count),
            Measure::Seconds => w.u32(&CC_TIME, count.try_into().unwrap_or(u32::MAX)),
        };
    }

    /// Beside the units that it is about, or beside the service.
    fn reporting_reason(&self, w: &mut Writer, of_units: bool) {
        let in_services = matches!(self.units_in, UnitsIn::Services { .. });
        let fits = |reason: &Reason| in_services && reason.is_of_units() == of_units;
        if let Some(reason) = self.reason.filter(fits) {
            w.i32(&REPORTING_REASON, reason.code());
        }
    }
}

fn optional(w: &mut Writer, def: &Def, value: Option<u32>) {
    if let Some(value) = value {
        w.u32(def, value);
    }
}

/// Credit-Control-Failure-Handling (RFC 8506 §8.14): what follows when a session's server cannot be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailureHandling {
    #[default]
    Terminate,
    Continue,
    RetryAndTerminate,
}

/// Direct-Debiting-Failure-Handling (RFC 8506 §8.15): the same for a debit without a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DebitFailureHandling {
    #[default]
    TerminateOrBuffer,
    Continue,
}

/// Final-Unit-Action (RFC 8506 §8.35). An action that is not defined counts as the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinalUnitAction {
    Terminate,
    Redirect,
    RestrictAccess,
}

/// Cost-Information (RFC 8506 §8.7): `digits * 10^exponent` of a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost<'a> {
    pub digits: i64,
    pub exponent: i32,
    /// ISO 4217, numeric.
    pub currency: u32,
    pub unit: Option<&'a str>,
}

/// What a credit-control answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreditAnswer<'a> {
    /// Result-Code of the command, or Experimental-Result-Code in its place.
    pub result: ResultCode,
    /// Result-Code inside Multiple-Services-Credit-Control, which overrides that of the command.
    pub service_result: Option<ResultCode>,
    pub session_id: Option<&'a str>,
    pub kind: Option<RequestType>,
    pub number: Option<u32>,
    pub origin_host: Option<&'a str>,
    pub error_message: Option<&'a str>,
    /// CC-Service-Specific-Units granted; `None` when the answer counts no such units.
    pub granted: Option<u64>,
    /// CC-Time granted, in seconds.
    pub granted_time: Option<u32>,
    /// Units of money or volume are granted, or a change of tariff is announced for them.
    pub granted_other: bool,
    /// Unit-Quota-Threshold (TS 32.299): more is to be asked for when fewer units than this are left.
    pub threshold: Option<u64>,
    /// Time-Quota-Threshold: the same in seconds.
    pub time_threshold: Option<u32>,
    /// Quota-Holding-Time: seconds for which the units may lie unused; 0: for ever.
    pub holding: Option<u32>,
    /// The units are of a credit pool (G-S-U-Pool-Reference).
    pub pooled: bool,
    /// Seconds for which the grant holds.
    pub validity: Option<u32>,
    pub final_unit: Option<FinalUnitAction>,
    /// CC-Session-Failover: whether the session may be moved to another server (§8.4).
    pub failover: Option<bool>,
    pub failure: Option<FailureHandling>,
    pub debit_failure: Option<DebitFailureHandling>,
    /// Check-Balance-Result: whether there is enough credit (§8.6).
    pub enough_credit: Option<bool>,
    pub cost: Option<Cost<'a>>,
}

impl<'a> CreditAnswer<'a> {
    /// `None` when there is no result in it. `units_in` is that of the request.
    pub fn read(message: &Message<'a>, units_in: UnitsIn) -> Option<CreditAnswer<'a>> {
        let find = |def: &Def| message.find(def);
        let result = find(&RESULT_CODE).and_then(|avp| avp.u32()).or_else(|| {
            let group = find(&EXPERIMENTAL_RESULT)?.group();
            group.find_def(&EXPERIMENTAL_RESULT_CODE)?.u32()
        })?;
        let service = service_of(message.avps(), units_in);
        // What the service's own group says goes before what the command says.
        let nearest = |def: &Def| {
            let inner = service.and_then(|group| group.find_def(def));
            inner.or_else(|| find(def))
        };
        let granted = nearest(&GRANTED_SERVICE_UNIT).map(|avp| avp.group());
        let has = |def: &Def| granted.is_some_and(|units| units.find_def(def).is_some());
        let number = |def: &Def| find(def).and_then(|avp| avp.i32());
        let text = |def: &Def| find(def).and_then(|avp| avp.text());
        Some(CreditAnswer {
            result: ResultCode(result),
            service_result: service
                .and_then(|group| group.find_def(&RESULT_CODE)?.u32())
                .map(ResultCode),
            session_id: text(&SESSION_ID),
            kind: number(&CC_REQUEST_TYPE).and_then(RequestType::read),
            number: find(&CC_REQUEST_NUMBER).and_then(|avp| avp.u32()),
            origin_host: text(&ORIGIN_HOST).filter(|host| is_identity(host)),
            error_message: text(&ERROR_MESSAGE),
            granted: granted.and_then(|units| units.find_def(&CC_SERVICE_SPECIFIC_UNITS)?.u64()),
            granted_time: granted.and_then(|units| units.find_def(&CC_TIME)?.u32()),
            granted_other: NOT_OURS.iter().any(has),
            time_threshold: nearest(&TIME_QUOTA_THRESHOLD).and_then(|avp| avp.u32()),
            holding: nearest(&QUOTA_HOLDING_TIME).and_then(|avp| avp.u32()),
            pooled: service.is_some_and(|group| group.find_def(&G_S_U_POOL_REFERENCE).is_some()),
            threshold: nearest(&UNIT_QUOTA_THRESHOLD)
                .and_then(|avp| avp.u32())
                .map(u64::from),
            validity: nearest(&VALIDITY_TIME).and_then(|avp| avp.u32()),
            final_unit: nearest(&FINAL_UNIT_INDICATION).map(final_unit_action),
            failover: number(&CC_SESSION_FAILOVER).map(|code| code == 1),
            failure: number(&CREDIT_CONTROL_FAILURE_HANDLING).map(|code| match code {
                1 => FailureHandling::Continue,
                2 => FailureHandling::RetryAndTerminate,
                _ => FailureHandling::Terminate, // the stricter one for what is not defined
            }),
            debit_failure: number(&DIRECT_DEBITING_FAILURE_HANDLING).map(|code| match code {
                1 => DebitFailureHandling::Continue,
                _ => DebitFailureHandling::TerminateOrBuffer,
            }),
            enough_credit: number(&CHECK_BALANCE_RESULT).map(|code| code == 0),
            cost: find(&COST_INFORMATION).and_then(cost),
        })
    }

    /// Whether this can be the answer to that request: nothing it says contradicts it.
    pub fn answers(&self, session_id: &str, kind: RequestType, number: u32) -> bool {
        self.session_id.is_none_or(|id| id == session_id)
            && self.kind.is_none_or(|said| said == kind)
            && self.number.is_none_or(|said| said == number)
    }
}

/// What a grant may have that presence never asks for.
const NOT_OURS: [Def; 5] = [
    CC_MONEY,
    CC_TOTAL_OCTETS,
    CC_INPUT_OCTETS,
    CC_OUTPUT_OCTETS,
    TARIFF_TIME_CHANGE,
];

/// The group of the service that was asked for: the one that names it, else the first that names no other.
fn service_of(avps: Avps<'_>, units_in: UnitsIn) -> Option<Avps<'_>> {
    let (service, rating) = match units_in {
        UnitsIn::Services {
            service_identifier,
            rating_group,
        } => (service_identifier, rating_group),
        UnitsIn::Command => (None, None),
    };
    let fits = |group: &Avps<'_>| {
        let same = |def: &Def, ours: Option<u32>| {
            let theirs = group.find_def(def).and_then(|avp| avp.u32());
            theirs.is_none() || ours.is_none() || theirs == ours
        };
        same(&SERVICE_IDENTIFIER, service) && same(&RATING_GROUP, rating)
    };
    avps.filter(|avp| avp.is(&MULTIPLE_SERVICES_CREDIT_CONTROL))
        .map(|avp| avp.group())
        .find(fits)
}

/// §8.35: TERMINATE "is the default handling, applicable whenever the credit-control client receives an unsupported
/// Final-Unit-Action value".
fn final_unit_action(avp: Avp<'_>) -> FinalUnitAction {
    let action = avp.group().find_def(&FINAL_UNIT_ACTION);
    match action.and_then(|avp| avp.i32()) {
        Some(1) => FinalUnitAction::Redirect,
        Some(2) => FinalUnitAction::RestrictAccess,
        _ => FinalUnitAction::Terminate,
    }
}

fn cost(avp: Avp<'_>) -> Option<Cost<'_>> {
    let group = avp.group();
    let value = group.find_def(&UNIT_VALUE)?.group();
    Some(Cost {
        digits: value.find_def(&VALUE_DIGITS)?.i64()?,
        // §8.8: without it the value is whole
        exponent: value
            .find_def(&EXPONENT)
            .and_then(|avp| avp.i32())
            .unwrap_or(0),
        currency: group.find_def(&CURRENCY_CODE)?.u32()?,
        unit: group.find_def(&COST_UNIT).and_then(|avp| avp.text()),
    })
}

#[cfg(test)]
mod tests;
