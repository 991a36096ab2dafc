//! Our codec against an independent one, the crate `diameter` of the registry, in both directions.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

use diameter::dictionary::*;
use diameter::message::{Avps, Message};
use diameter::rf::EventRecord;
use diameter::write::{Writer, stamp};
use registry_diameter as theirs;
use std::io::Cursor;
use std::sync::Arc;
use theirs::avp::{AvpType, AvpValue};
use theirs::dictionary::{AvpDefinition, DEFAULT_DICT_XML, Dictionary};

/// Their dictionary, and our AVPs where they have none.
fn dictionary() -> Dictionary {
    let mut dictionary = Dictionary::new(&[&DEFAULT_DICT_XML]);
    for def in all() {
        let vendor_id = (def.vendor != 0).then_some(def.vendor);
        if dictionary.get_avp(def.code, vendor_id).is_none() {
            let (code, name, avp_type) = (def.code, def.name.to_owned(), their_type(def.kind));
            dictionary.add_avp(AvpDefinition {
                code,
                vendor_id,
                name,
                avp_type,
                m_flag: def.mandatory,
            });
        }
    }
    dictionary
}

fn their_type(kind: Kind) -> AvpType {
    match kind {
        Kind::Octets => AvpType::OctetString,
        Kind::Utf8 => AvpType::UTF8String,
        Kind::U32 => AvpType::Unsigned32,
        Kind::U64 => AvpType::Unsigned64,
        Kind::I32 => AvpType::Integer32,
        Kind::I64 => AvpType::Integer64,
        Kind::Enumerated => AvpType::Enumerated,
        Kind::Time => AvpType::Time,
        Kind::Address => AvpType::Address,
        Kind::Identity => AvpType::Identity,
        Kind::Uri => AvpType::DiameterURI,
        Kind::Grouped => AvpType::Grouped,
    }
}

/// An accounting request with every data format and four levels of groups.
fn acr() -> Vec<u8> {
    let record = EventRecord {
        session_id: "ps.ims.test;0;1;2",
        origin_host: "ps.ims.test",
        origin_realm: "ims.test",
        record_number: 0,
        service_context_id: "32260@3gpp.org",
        event_timestamp: 1_700_000_000,
    };
    let mut writer = record.acr();
    writer
        .u64(&ACCOUNTING_SUB_SESSION_ID, 1 << 40)
        .group(&SERVICE_INFORMATION, |w| {
            w.group(&SUBSCRIPTION_ID, |w| {
                w.i32(&SUBSCRIPTION_ID_TYPE, 2)
                    .utf8(&SUBSCRIPTION_ID_DATA, "sip:alice@ims.test");
            });
            w.group(&IMS_INFORMATION, |w| {
                w.group(&EVENT_TYPE, |w| {
                    _ = w.utf8(&SIP_METHOD, "PUBLISH").u32(&EXPIRES, 3600)
                });
                w.i32(&NODE_FUNCTIONALITY, 6)
                    .i32(&CAUSE_CODE, -1)
                    .time(&SIP_REQUEST_TIMESTAMP, 1_700_000_000);
                w.octets(&ACCESS_NETWORK_INFORMATION, b"x")
                    .group(&TIME_STAMPS, |_| {});
            });
        });
    let mut bytes = writer.finish(65_536).unwrap();
    stamp(&mut bytes, 0x1111_2222, 0x3333_4444, true);
    bytes
}

/// A tree as text, the same for both codecs.
fn ours(avps: Avps<'_>) -> String {
    let mut text = String::new();
    for avp in avps {
        let value = match avp.def().unwrap().kind {
            Kind::Grouped => format!("{{{}}}", ours(avp.group())),
            Kind::U32 => avp.u32().unwrap().to_string(),
            Kind::U64 => avp.u64().unwrap().to_string(),
            Kind::I64 => avp.i64().unwrap().to_string(),
            Kind::I32 | Kind::Enumerated => avp.i32().unwrap().to_string(),
            Kind::Time => avp.time().unwrap().to_string(),
            Kind::Octets => format!("{:?}", avp.data),
            Kind::Utf8 | Kind::Identity | Kind::Uri => avp.text().unwrap().to_owned(),
            Kind::Address => format!("{:?}", avp.data),
        };
        text += &format!("{}/{}/{}={value};", avp.vendor, avp.code, avp.mandatory());
    }
    text
}

fn other(avps: &[theirs::avp::Avp]) -> String {
    let mut text = String::new();
    for avp in avps {
        let value = match avp.get_value() {
            AvpValue::Grouped(group) => format!("{{{}}}", other(group.avps())),
            AvpValue::Unsigned32(v) => v.value().to_string(),
            AvpValue::Unsigned64(v) => v.value().to_string(),
            AvpValue::Integer32(v) => v.value().to_string(),
            AvpValue::Enumerated(v) => v.value().to_string(),
            AvpValue::Time(v) => v.value().timestamp().to_string(),
            AvpValue::OctetString(v) => format!("{:?}", v.value()),
            AvpValue::UTF8String(v) => v.value().to_owned(),
            AvpValue::Identity(v) => v.value().to_owned(),
            value => panic!("{value}"),
        };
        let (vendor, code) = (avp.get_vendor_id().unwrap_or(0), avp.get_code());
        text += &format!("{vendor}/{code}/{}={value};", avp.get_flags().mandatory);
    }
    text
}

#[test]
fn both_dictionaries_agree_on_what_they_share() {
    let theirs = Dictionary::new(&[&DEFAULT_DICT_XML]);
    let mut shared = 0;
    for def in all() {
        let vendor = (def.vendor != 0).then_some(def.vendor);
        let Some(found) = theirs.get_avp(def.code, vendor) else {
            continue;
        };
        shared += 1;
        let name = match found.name.as_str() {
            "Accounting-Session-Id" => "Acct-Session-Id", // as RFC 6733 §9.8.4 calls it
            name => name,
        };
        assert_eq!(name, def.name, "{}", def.code);
        // It has no type for an IPFilterRule, which is text that we carry as it is.
        if found.avp_type != AvpType::Unknown {
            assert_eq!(found.avp_type, their_type(def.kind), "{}", def.name);
        }
    }
    assert!(shared > 70, "only {shared} in common");
}

#[test]
fn they_read_what_we_write() {
    let bytes = acr();
    let read =
        theirs::DiameterMessage::decode_from(&mut Cursor::new(&bytes), Arc::new(dictionary()))
            .unwrap();
    assert_eq!(read.get_length() as usize, bytes.len());
    assert_eq!(read.get_command_code(), theirs::CommandCode::Accounting);
    assert_eq!(read.get_application_id(), theirs::ApplicationId::Accounting);
    assert_eq!(
        (read.get_hop_by_hop_id(), read.get_end_to_end_id()),
        (0x1111_2222, 0x3333_4444)
    );
    let flags = theirs::flags::REQUEST | theirs::flags::PROXYABLE | theirs::flags::RETRANSMIT;
    assert_eq!(read.get_flags(), flags);
    assert_eq!(
        other(read.get_avps()),
        ours(Message::parse(&bytes).unwrap().avps())
    );
}

#[test]
fn we_read_what_they_write() {
    let dictionary = Arc::new(dictionary());
    let original = acr();
    let read =
        theirs::DiameterMessage::decode_from(&mut Cursor::new(&original), dictionary.clone())
            .unwrap();
    let mut again = Vec::new();
    read.encode_to(&mut again).unwrap();
    assert_eq!(again, original, "octet by octet what we wrote");

    let mut answer = theirs::DiameterMessage::new(
        theirs::CommandCode::Accounting,
        theirs::ApplicationId::Accounting,
        theirs::flags::PROXYABLE,
        7,
        8,
        dictionary.clone(),
    );
    use theirs::avp::{Address, Identity, UTF8String, Unsigned32, flags::M};
    answer.add_avp(263, None, M, UTF8String::new("ps.ims.test;0;1;2").into());
    answer.add_avp(268, None, M, Unsigned32::new(2001).into());
    answer.add_avp(264, None, M, Identity::new("cdf.test").into());
    let address = theirs::avp::address::Value::IPv4([192, 0, 2, 1].into());
    answer.add_avp(257, None, M, Address::new(address).into());
    let mut bytes = Vec::new();
    answer.encode_to(&mut bytes).unwrap();
    let message = Message::parse(&bytes).unwrap();
    let aca = diameter::rf::AccountingAnswer::read(&message).unwrap();
    assert_eq!((aca.result.0, aca.origin_host), (2001, Some("cdf.test")));
    assert!(aca.answers("ps.ims.test;0;1;2", 0));
    let address = message.find(&HOST_IP_ADDRESS).unwrap().address();
    assert_eq!(
        address,
        Some(diameter::avp::Address::Ip([192, 0, 2, 1].into()))
    );
}

#[test]
fn padding_of_every_length_is_alike() {
    let dictionary = Arc::new(dictionary());
    for length in 0..64 {
        let mut answer = theirs::DiameterMessage::new(
            theirs::CommandCode::Accounting,
            theirs::ApplicationId::Accounting,
            0,
            length,
            length,
            dictionary.clone(),
        );
        let text = "x".repeat(length as usize);
        answer.add_avp(281, None, 0, theirs::avp::UTF8String::new(&text).into());
        answer.add_avp(
            825,
            Some(10_415),
            0,
            theirs::avp::UTF8String::new(&text).into(),
        );
        let mut bytes = Vec::new();
        answer.encode_to(&mut bytes).unwrap();
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(
            ours(message.avps()),
            other(answer.get_avps()),
            "{length} bytes"
        );
        let mut writer = Writer::answer(&message.header, diameter::fault::ResultCode(0));
        writer.utf8(&ERROR_MESSAGE, &text).utf8(
            &Def {
                mandatory: false,
                ..EVENT
            },
            &text,
        );
        assert_eq!(writer.finish(1_000).unwrap(), bytes, "{length} bytes");
    }
}
