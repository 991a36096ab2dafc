//! Time to write and to check an accounting request of 46 AVPs: `cargo bench -p presentia-diameter`.
//! Budget: 0.5 µs to write it, 1 µs to read it. A program and not a test: the figures depend on the machine.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // a measurement reads the clock

mod measure;

use diameter::dictionary::*;
use diameter::fault::ResultCode;
use diameter::frame::Framer;
use diameter::message::Message;
use diameter::rf::{AccountingAnswer, EventRecord};
use diameter::tree;
use diameter::vocabulary::Vocabulary;
use diameter::write::Writer;
use measure::count;
use std::hint::black_box;

const ROUNDS: u32 = 500_000;

fn main() {
    let bytes = acr();
    let avps = avps_of(&bytes);
    println!("accounting request of {} bytes, {avps} AVPs", bytes.len());
    measure("write", || black_box(acr()).len());
    measure("check", || {
        black_box(Message::parse(black_box(&bytes))).is_ok().into()
    });
    measure("check and visit each AVP", || avps_of(black_box(&bytes)));
    let words = Vocabulary::default();
    let mut framer = Framer::new(65_536); // of one connection, as it is in use
    measure("check and find unknown AVPs", || {
        let message = Message::parse(&bytes).ok();
        let unknown = message.and_then(|message| message.unknown_mandatory(&words));
        black_box(unknown).is_some().into()
    });
    measure("frame, check and read into a tree", || {
        framer.push(black_box(&bytes));
        let framed = framer.next_message().ok().flatten().unwrap_or_default();
        let message = Message::parse(&framed).ok();
        message.map_or(0, |message| black_box(tree::read(&message, &words)).len())
    });
    let answer = answer(&bytes);
    measure("read the answer", || {
        let message = Message::parse(black_box(&answer)).ok();
        let answer = message.as_ref().and_then(AccountingAnswer::read);
        answer.is_some_and(|answer| answer.result.0 == 2001).into()
    });
}

fn measure(what: &str, run: impl FnMut() -> usize) {
    measure::measure(what, ROUNDS, run);
}

fn avps_of(bytes: &[u8]) -> usize {
    Message::parse(bytes).map_or(0, |message| count(message.avps()))
}

/// What a CDF answers.
fn answer(request: &[u8]) -> Vec<u8> {
    let Ok(request) = Message::parse(request) else {
        return Vec::new();
    };
    let mut writer = Writer::answer(&request.header, ResultCode::SUCCESS);
    writer
        .utf8(
            &SESSION_ID,
            "ps1.home1.example.net;1700000000;42;1700000000123",
        )
        .u32(&RESULT_CODE, 2001)
        .utf8(&ORIGIN_HOST, "cdf1.home1.example.net")
        .utf8(&ORIGIN_REALM, "home1.example.net")
        .i32(&ACCOUNTING_RECORD_TYPE, 1)
        .u32(&ACCOUNTING_RECORD_NUMBER, 0)
        .u32(&ACCT_APPLICATION_ID, 3);
    writer.finish(65_536).unwrap_or_default()
}

fn acr() -> Vec<u8> {
    let record = EventRecord {
        session_id: "ps1.home1.example.net;1700000000;42;1700000000123",
        origin_host: "ps1.home1.example.net",
        origin_realm: "home1.example.net",
        record_number: 0,
        service_context_id: "32260@3gpp.org",
        event_timestamp: 1_700_000_000,
    };
    let mut writer = record.acr();
    writer.group(&SERVICE_INFORMATION, |w| {
        w.group(&SUBSCRIPTION_ID, |w| {
            w.i32(&SUBSCRIPTION_ID_TYPE, 2)
                .utf8(&SUBSCRIPTION_ID_DATA, "sip:alice@home1.example.net");
        });
        w.group(&SUBSCRIPTION_ID, |w| {
            w.i32(&SUBSCRIPTION_ID_TYPE, 0)
                .utf8(&SUBSCRIPTION_ID_DATA, "15551230001");
        });
        w.group(&IMS_INFORMATION, |w| {
            w.group(&EVENT_TYPE, |w| {
                w.utf8(&SIP_METHOD, "SUBSCRIBE")
                    .utf8(&EVENT, "presence")
                    .u32(&EXPIRES, 3600);
            });
            w.i32(&ROLE_OF_NODE, 1).i32(&NODE_FUNCTIONALITY, 6);
            w.utf8(&USER_SESSION_ID, "4fa3c2b1-9d@ue1.home1.example.net");
            w.utf8(&CALLING_PARTY_ADDRESS, "sip:alice@home1.example.net");
            w.utf8(&CALLING_PARTY_ADDRESS, "tel:+15551230001");
            w.utf8(&CALLED_PARTY_ADDRESS, "sip:bob@home1.example.net");
            w.utf8(&REQUESTED_PARTY_ADDRESS, "sip:bob@home1.example.net");
            w.utf8(&ASSOCIATED_URI, "sip:alice2@home1.example.net");
            w.utf8(&ASSOCIATED_URI, "tel:+15551230002");
            w.group(&TIME_STAMPS, |w| {
                w.time(&SIP_REQUEST_TIMESTAMP, 1_700_000_000)
                    .time(&SIP_RESPONSE_TIMESTAMP, 1_700_000_000);
                w.u32(&SIP_REQUEST_TIMESTAMP_FRACTION, 123)
                    .u32(&SIP_RESPONSE_TIMESTAMP_FRACTION, 140);
            });
            w.group(&APPLICATION_SERVER_INFORMATION, |w| {
                w.utf8(&APPLICATION_SERVER, "sip:ps1.home1.example.net");
            });
            w.group(&INTER_OPERATOR_IDENTIFIER, |w| {
                w.utf8(&ORIGINATING_IOI, "home1.example.net")
                    .utf8(&TERMINATING_IOI, "home1.example.net");
            });
            w.utf8(
                &IMS_CHARGING_IDENTIFIER,
                "AyretyU0dm+6O2IrT5tAFrbHLso=023551024",
            );
            w.group(&MESSAGE_BODY, |w| {
                w.utf8(&CONTENT_TYPE, "application/pidf+xml")
                    .u32(&CONTENT_LENGTH, 912);
                w.utf8(&CONTENT_DISPOSITION, "render").i32(&ORIGINATOR, 0);
            });
            w.i32(&CAUSE_CODE, -1)
                .octets(&ACCESS_NETWORK_INFORMATION, b"3GPP-E-UTRAN-FDD");
        });
    });
    writer.finish(65_536).unwrap_or_default()
}
