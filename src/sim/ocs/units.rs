//! Kinds of units: which ones a request asks for or reports, and how a grant of them is written.

use diameter::dictionary::*;
use diameter::message::{Avps, Message};
use diameter::write::Writer;
use std::str::FromStr;

/// What units are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// CC-Service-Specific-Units
    Events,
    /// CC-Time, in seconds
    Time,
    /// CC-Money, in whole euros
    Money,
    /// CC-Total-Octets
    Octets,
}

impl FromStr for Unit {
    type Err = String;

    fn from_str(text: &str) -> Result<Unit, String> {
        match text {
            "events" => Ok(Unit::Events),
            "time" => Ok(Unit::Time),
            "money" => Ok(Unit::Money),
            "octets" => Ok(Unit::Octets),
            _ => Err("units are events, time, money or octets".into()),
        }
    }
}

impl Unit {
    /// The kind that is asked for.
    pub fn asked(message: &Message<'_>) -> Unit {
        let is_time = |units: Avps<'_>| units.find_def(&CC_TIME).is_some();
        match units_of(message, &REQUESTED_SERVICE_UNIT, is_time) {
            Some(true) => Unit::Time,
            _ => Unit::Events,
        }
    }

    /// Granted-Service-Unit with so many.
    pub fn grant(self, w: &mut Writer, count: u64) {
        const EURO: u32 = 978; // ISO 4217
        w.group(&GRANTED_SERVICE_UNIT, |w| {
            match self {
                Unit::Events => w.u64(&CC_SERVICE_SPECIFIC_UNITS, count),
                Unit::Time => w.u32(&CC_TIME, count.try_into().unwrap_or(u32::MAX)),
                Unit::Octets => w.u64(&CC_TOTAL_OCTETS, count),
                Unit::Money => w.group(&CC_MONEY, |w| {
                    let digits = count.try_into().unwrap_or(i64::MAX);
                    w.group(&UNIT_VALUE, |w| _ = w.i64(&VALUE_DIGITS, digits))
                        .u32(&CURRENCY_CODE, EURO);
                }),
            };
        });
    }

    /// Where fewer than so many are left more is to be asked for.
    pub fn threshold(self, w: &mut Writer, count: u32) {
        match self {
            Unit::Time => w.u32(&TIME_QUOTA_THRESHOLD, count),
            _ => w.u32(&UNIT_QUOTA_THRESHOLD, count),
        };
    }
}

/// What `read` finds in the units of a request: in Multiple-Services-Credit-Control, else at the level of the command.
fn units_of<T>(message: &Message<'_>, def: &Def, read: impl Fn(Avps<'_>) -> T) -> Option<T> {
    let of = |avps: Avps<'_>| avps.find_def(def).map(|units| read(units.group()));
    let service = message.find(&MULTIPLE_SERVICES_CREDIT_CONTROL);
    let inner = service.and_then(|avp| of(avp.group()));
    inner.or_else(|| of(message.avps()))
}

fn count(message: &Message<'_>, def: &Def) -> Option<u64> {
    let count = |units: Avps<'_>| {
        let time = || units.find_def(&CC_TIME)?.u32().map(u64::from);
        let events = units.find_def(&CC_SERVICE_SPECIFIC_UNITS);
        events.and_then(|avp| avp.u64()).or_else(time).unwrap_or(0)
    };
    // no account holds more, so that sums stay far from the ends of their type
    units_of(message, def, count).map(|count| count.min(1 << 32))
}

/// Units asked for; `None`: none are to be granted (RFC 8506 §8.16).
pub fn wanted(message: &Message<'_>) -> Option<u64> {
    count(message, &REQUESTED_SERVICE_UNIT)
}

pub fn used(message: &Message<'_>) -> u64 {
    count(message, &USED_SERVICE_UNIT).unwrap_or(0)
}
