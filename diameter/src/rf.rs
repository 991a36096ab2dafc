//! Accounting requests and answers (RFC 6733 §9.7, TS 32.299 §6.2.2 and §6.2.3). Presence is charged by events.

use crate::dictionary::*;
use crate::fault::ResultCode;
use crate::grammar::is_identity;
use crate::message::Message;
use crate::write::Writer;

/// Accounting-Record-Type EVENT_RECORD (RFC 6733 §9.8.1).
const EVENT_RECORD: i32 = 1;

/// What every event record says besides its service. Destination-Realm and Destination-Host are put in when
/// the record is sent, since they depend on the peer that takes it.
#[derive(Clone, Copy, Debug)]
pub struct EventRecord<'a> {
    pub session_id: &'a str,
    pub origin_host: &'a str,
    pub origin_realm: &'a str,
    /// Starts at 0 in each session (RFC 6733 §9.8.3); an event is the only record of its session.
    pub record_number: u32,
    pub service_context_id: &'a str,
    /// Seconds since 1970.
    pub event_timestamp: u64,
}

impl EventRecord<'_> {
    /// An ACR up to its service, which the caller adds.
    pub fn acr(&self) -> Writer {
        let mut writer = Writer::request(CMD_ACCOUNTING, APP_ACCOUNTING);
        writer
            .utf8(&SESSION_ID, self.session_id) // §8.8: "SHOULD appear immediately following the Diameter header"
            .utf8(&ORIGIN_HOST, self.origin_host)
            .utf8(&ORIGIN_REALM, self.origin_realm)
            .i32(&ACCOUNTING_RECORD_TYPE, EVENT_RECORD)
            .u32(&ACCOUNTING_RECORD_NUMBER, self.record_number)
            .u32(&ACCT_APPLICATION_ID, APP_ACCOUNTING)
            .time(&EVENT_TIMESTAMP, self.event_timestamp)
            .utf8(&SERVICE_CONTEXT_ID, self.service_context_id);
        writer
    }
}

/// What an answer to an accounting request says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountingAnswer<'a> {
    /// Result-Code, or Experimental-Result-Code in its place (RFC 6733 §7.6).
    pub result: ResultCode,
    /// Absent in an error that some agent on the way has made.
    pub session_id: Option<&'a str>,
    pub record_number: Option<u32>,
    pub origin_host: Option<&'a str>,
    pub error_message: Option<&'a str>,
}

impl<'a> AccountingAnswer<'a> {
    /// `None` when there is no result in it.
    pub fn read(message: &Message<'a>) -> Option<AccountingAnswer<'a>> {
        let text = |def| message.find(def).and_then(|avp| avp.text());
        let experimental = || {
            let group = message.find(&EXPERIMENTAL_RESULT)?.group();
            group.find_def(&EXPERIMENTAL_RESULT_CODE)?.u32()
        };
        let result = message
            .find(&RESULT_CODE)
            .and_then(|avp| avp.u32())
            .or_else(experimental)?;
        Some(AccountingAnswer {
            result: ResultCode(result),
            session_id: text(&SESSION_ID),
            record_number: message
                .find(&ACCOUNTING_RECORD_NUMBER)
                .and_then(|avp| avp.u32()),
            origin_host: text(&ORIGIN_HOST).filter(|host| is_identity(host)),
            error_message: text(&ERROR_MESSAGE),
        })
    }

    /// Whether this can be the answer to that record: nothing it says contradicts it.
    pub fn answers(&self, session_id: &str, record_number: u32) -> bool {
        self.session_id.is_none_or(|id| id == session_id)
            && self
                .record_number
                .is_none_or(|number| number == record_number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> EventRecord<'static> {
        EventRecord {
            session_id: "ps.ims.test;0;1;2",
            origin_host: "ps.ims.test",
            origin_realm: "ims.test",
            record_number: 0,
            service_context_id: "32260@3gpp.org",
            event_timestamp: 1_700_000_000,
        }
    }

    #[test]
    fn an_event_record_names_its_session_first() {
        let bytes = record().acr().finish(1_000).unwrap();
        let names: Vec<_> = Message::parse(&bytes)
            .unwrap()
            .avps()
            .map(|avp| avp.def().map_or("?", |def| def.name))
            .collect();
        assert_eq!(
            names,
            [
                "Session-Id",
                "Origin-Host",
                "Origin-Realm",
                "Accounting-Record-Type",
                "Accounting-Record-Number",
                "Acct-Application-Id",
                "Event-Timestamp",
                "Service-Context-Id"
            ]
        );
    }

    #[test]
    fn an_answer_is_read_with_either_kind_of_result() {
        let header = Message::parse(&record().acr().finish(1_000).unwrap())
            .unwrap()
            .header;
        let mut plain = Writer::answer(&header, ResultCode::SUCCESS);
        plain
            .utf8(&SESSION_ID, "ps.ims.test;0;1;2")
            .u32(&RESULT_CODE, 2001)
            .u32(&ACCOUNTING_RECORD_NUMBER, 0);
        let mut experimental = Writer::answer(&header, ResultCode::SUCCESS);
        experimental.group(&EXPERIMENTAL_RESULT, |w| {
            w.u32(&VENDOR_ID, VENDOR_3GPP)
                .u32(&EXPERIMENTAL_RESULT_CODE, 4010);
        });
        let neither = Writer::answer(&header, ResultCode::SUCCESS);
        for (writer, result) in [
            (plain, Some(2001)),
            (experimental, Some(4010)),
            (neither, None),
        ] {
            let bytes = writer.finish(1_000).unwrap();
            let read = Message::parse(&bytes).unwrap();
            let answer = AccountingAnswer::read(&read);
            assert_eq!(answer.map(|a| a.result), result.map(ResultCode));
            assert!(answer.is_none_or(|a| a.answers("ps.ims.test;0;1;2", 0)));
        }
    }

    #[test]
    fn an_answer_to_another_record_is_not_ours() {
        let answer = |session_id, record_number| AccountingAnswer {
            result: ResultCode::SUCCESS,
            session_id,
            record_number,
            origin_host: None,
            error_message: None,
        };
        for (case, answer, ours) in [
            ("it says both", answer(Some("a"), Some(0)), true),
            ("it says neither", answer(None, None), true),
            ("another session", answer(Some("b"), Some(0)), false),
            ("another number", answer(Some("a"), Some(1)), false),
        ] {
            assert_eq!(answer.answers("a", 0), ours, "{case}");
        }
    }
}
