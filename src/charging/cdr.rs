//! A record as people and scripts read it: one line of JSON or CSV, for export, quarantine, trace and tail.

use super::acr::{self, Sender};
use ims::charge::{Event, Role};
use ims::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One charging record and what became of it. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cdr {
    /// Number of the event; text, since it has more digits than a JSON number holds everywhere.
    pub number: String,
    pub session_id: String,
    /// `waiting`, `acknowledged`, `quarantined` or `exported`; of what an OCS does not take, `unpaid`; of a charge that
    /// is not over, `open`; of a CCR `answered`, `unreadable`, `unanswered` or `not sent`.
    pub state: String,
    /// When it came to that state.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub at: Option<u64>,
    /// The CDF or OCS that answered.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub cdf: String,
    /// Result-Code of a refusal; 0: not sent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub result: Option<u32>,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub reason: String,
    pub method: String,
    /// `originating` or `terminating`.
    pub role: String,
    pub event: Option<String>,
    pub expires: Option<u32>,
    pub call_id: String,
    pub calling: Vec<String>,
    pub called: String,
    pub requested: Option<String>,
    pub associated: Vec<String>,
    pub icid: Option<String>,
    pub orig_ioi: Option<String>,
    pub term_ioi: Option<String>,
    pub access_network: Option<String>,
    pub service: Option<String>,
    pub request_at: u64,
    pub response_at: u64,
    pub status: u16,
    pub cause_code: i32,
    pub content_type: Option<String>,
    pub content_length: Option<u32>,
    pub content_disposition: Option<String>,
    /// NOTIFYs that it stands for, where several share a record.
    pub notifies: Option<u32>,
    /// Hour since 1970 and place in it: the accounts that it is in.
    pub hour: u32,
    pub sequence: u32,
    /// On whose account it goes, as written by the peer, where that is not `calling`.
    #[serde(default)]
    pub payers: Vec<String>,
    /// Members of the list that it is about.
    #[serde(default)]
    pub members: Option<u32>,
    /// Origin-Host of the node that wrote it, and its Service-Context-Id.
    #[serde(default)]
    pub node: String,
    #[serde(default)]
    pub service_context: String,
    /// Online charging: what was asked of an OCS, or is owed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub credit: Option<Credit>,
}

/// What of a charge an OCS was asked, or would have to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    /// `debit`, `refund` or `report`; of a CCR `debit`, `refund`, `balance` or `price`, or `initial`, `update` or
    /// `termination` of a session. Of what is open, the question whose fate is not known, or `session` or `free`.
    pub what: String,
    /// That are owed; of a CCR that were used, or else are asked for.
    pub units: Option<u64>,
    /// CC-Request-Number.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request: Option<u32>,
    /// Requested-Service-Unit, Used-Service-Unit and Granted-Service-Unit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub requested: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub used: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub granted: Option<u64>,
    /// The T flag.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub retransmitted: bool,
    /// When it was asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub asked_at: Option<u64>,
}

impl Credit {
    /// Units that are owed.
    pub fn owed(what: &str, units: u64) -> Credit {
        Credit {
            what: what.to_owned(),
            units: Some(units),
            ..Credit::default()
        }
    }
}

/// A record that has come to its end, before anybody wants to read it.
#[derive(Clone, Debug)]
pub struct Ended {
    pub event: Arc<Event>,
    pub state: &'static str,
    pub cdf: String,
    pub result: Option<u32>,
    pub reason: String,
    pub at: Timestamp,
}

impl Ended {
    pub fn cdr(&self, sender: &Sender) -> Cdr {
        Cdr {
            cdf: self.cdf.clone(),
            result: self.result,
            reason: self.reason.clone(),
            ..Cdr::new(sender, &self.event, self.state).at(self.at)
        }
    }
}

impl Cdr {
    pub fn new(sender: &Sender, event: &Event, state: &str) -> Cdr {
        let body = event.body.as_ref();
        Cdr {
            number: event.number.to_string(),
            session_id: sender.session_id(event),
            state: state.to_owned(),
            at: None,
            cdf: String::new(),
            result: None,
            reason: String::new(),
            method: event.method.as_str().to_owned(),
            role: match event.role {
                Role::Originating => "originating".to_owned(),
                Role::Terminating => "terminating".to_owned(),
            },
            event: event.package.clone(),
            expires: event.expires,
            call_id: event.call_id.clone(),
            calling: event.calling.clone(),
            called: event.called.clone(),
            requested: event.requested.clone(),
            associated: event.associated.clone(),
            icid: event.icid.clone(),
            orig_ioi: event.orig_ioi.clone(),
            term_ioi: event.term_ioi.clone(),
            access_network: event.access_network.clone(),
            service: event.service.clone(),
            request_at: event.requested_at.0,
            response_at: event.answered_at.0,
            status: event.status,
            cause_code: acr::cause_code(event),
            content_type: body.map(|b| b.content_type.clone()),
            content_length: body.map(|b| b.length),
            content_disposition: body.and_then(|b| b.disposition.clone()),
            notifies: (event.booked.notifies > 0).then_some(event.booked.notifies),
            hour: event.booked.hour,
            sequence: event.booked.sequence,
            payers: event.besides.payers.clone(),
            members: event.besides.members,
            node: sender.origin_host.clone(),
            service_context: sender.service_context_id.clone(),
            credit: None,
        }
    }

    pub fn at(self, at: Timestamp) -> Cdr {
        Cdr {
            at: Some(at.0),
            ..self
        }
    }

    pub fn to_json(&self) -> String {
        // plain structs of text and numbers always serialise
        serde_json::to_string(self).unwrap_or_default()
    }

    /// In the order of [`CSV_COLUMNS`] (RFC 4180 §2); lists are separated by spaces, which no URI has.
    pub fn to_csv(&self) -> String {
        let credit = self.credit.as_ref();
        let optional = |value: &Option<String>| value.clone().unwrap_or_default();
        let number = |value: Option<u64>| value.map(|n| n.to_string()).unwrap_or_default();
        let fields = [
            self.number.clone(),
            self.session_id.clone(),
            self.state.clone(),
            number(self.at),
            self.cdf.clone(),
            number(self.result.map(u64::from)),
            self.reason.clone(),
            self.method.clone(),
            self.role.clone(),
            optional(&self.event),
            number(self.expires.map(u64::from)),
            self.call_id.clone(),
            self.calling.join(" "),
            self.called.clone(),
            optional(&self.requested),
            self.associated.join(" "),
            optional(&self.icid),
            optional(&self.orig_ioi),
            optional(&self.term_ioi),
            optional(&self.access_network),
            optional(&self.service),
            self.request_at.to_string(),
            self.response_at.to_string(),
            self.status.to_string(),
            self.cause_code.to_string(),
            optional(&self.content_type),
            number(self.content_length.map(u64::from)),
            optional(&self.content_disposition),
            number(self.notifies.map(u64::from)),
            self.hour.to_string(),
            self.sequence.to_string(),
            self.payers.join(" "),
            number(self.members.map(u64::from)),
            self.node.clone(),
            self.service_context.clone(),
            credit.map(|credit| credit.what.clone()).unwrap_or_default(),
            number(credit.and_then(|credit| credit.units)),
        ];
        fields.map(|field| quoted(&field)).join(",")
    }
}

/// First line of a CSV file.
pub const CSV_COLUMNS: &str = "number,session_id,state,at,cdf,result,reason,method,role,event,expires,call_id,calling,\
called,requested,associated,icid,orig_ioi,term_ioi,access_network,service,request_at,response_at,status,cause_code,\
content_type,content_length,content_disposition,notifies,hour,sequence,payers,members,node,service_context,\
credit,units";

/// RFC 4180 §2.5-2.7. Line breaks become spaces, so that a record is a line; a sign that spreadsheets take for a formula
/// gets an apostrophe before it, since much of this comes from users.
fn quoted(field: &str) -> String {
    let text: String = field
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let is_number = text.parse::<i64>().is_ok();
    let text = match text.chars().next() {
        Some('=' | '+' | '-' | '@') if !is_number => format!("'{text}"),
        _ => text,
    };
    match text.contains([',', '"', ' ', '\'']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::acr::tests::{full, sender};
    use super::*;

    #[test]
    fn a_record_is_one_line_of_json_that_reads_back() {
        let cdr = Cdr::new(&sender(), &full(7), "acknowledged").at(Timestamp(5));
        let line = cdr.to_json();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Cdr>(&line).unwrap(), cdr);
        assert!(line.contains(r#""icid":"icid-1""#) && line.contains(r#""number":"7""#));
    }

    #[test]
    fn a_line_of_csv_has_as_many_fields_as_there_are_columns() {
        let mut event = full(7);
        event.calling.clear();
        event.requested = None;
        event.icid = None;
        let line = Cdr::new(&sender(), &event, "waiting").to_csv();
        let columns = CSV_COLUMNS.split(',').count();
        assert_eq!(line.split(',').count(), columns, "{line}");
    }

    #[test]
    fn a_field_cannot_break_its_line_nor_become_a_formula() {
        for (field, expected) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("a\"b", "\"a\"\"b\""),
            ("a\r\nb", "\"a  b\""),
            ("=cmd()", "\"'=cmd()\""),
            ("-3", "-3"),
            ("-x", "\"'-x\""),
            ("", ""),
        ] {
            assert_eq!(quoted(field), expected, "{field:?}");
        }
    }
}
