//! Messages as people and programs read them.

use diameter::avp::Address;
use diameter::dictionary::{
    CMD_ABORT_SESSION, CMD_ACCOUNTING, CMD_CREDIT_CONTROL, CMD_RE_AUTH, Kind,
};
use diameter::message::{Avp, Avps, Message};
use serde_json::{Map, Value, json};

/// The name of a command, as `ACR` or `ACA`.
pub fn command(message: &Message<'_>) -> String {
    let request = message.header.flags.request();
    let stem = match message.header.command {
        CMD_ACCOUNTING => "AC",
        CMD_CREDIT_CONTROL => "CC",
        CMD_RE_AUTH => "RA",
        CMD_ABORT_SESSION => "AS",
        code => return format!("{code}{}", if request { " request" } else { " answer" }),
    };
    format!("{stem}{}", if request { 'R' } else { 'A' })
}

/// The name of an AVP, or its vendor and code where it is not known.
fn name(avp: &Avp<'_>) -> String {
    match avp.def() {
        Some(def) => def.name.to_owned(),
        None => format!("{}:{}", avp.vendor, avp.code),
    }
}

/// The value of an AVP that is no group.
fn value(avp: &Avp<'_>) -> Value {
    let read = match avp.def().map(|def| def.kind) {
        Some(Kind::U32) => avp.u32().map(Value::from),
        Some(Kind::U64) => avp.u64().map(Value::from),
        Some(Kind::I64) => avp.i64().map(Value::from),
        Some(Kind::I32 | Kind::Enumerated) => avp.i32().map(Value::from),
        Some(Kind::Time) => avp.time().map(Value::from),
        Some(Kind::Address) => avp.address().map(|address| match address {
            Address::Ip(ip) => Value::from(ip.to_string()),
            Address::E164(number) => Value::from(number),
            Address::Other(..) => hex(avp.data),
        }),
        _ => avp.text().map(Value::from),
    };
    read.unwrap_or_else(|| hex(avp.data))
}

fn hex(data: &[u8]) -> Value {
    let digits: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
    Value::from(format!("0x{digits}"))
}

fn is_group(avp: &Avp<'_>) -> bool {
    avp.def().is_some_and(|def| def.kind == Kind::Grouped)
}

/// One line an AVP, groups indented: name, code, value.
pub fn text(avps: Avps<'_>, depth: usize) -> String {
    let mut lines = String::new();
    for avp in avps {
        let (name, code, indent) = (name(&avp), avp.code, "  ".repeat(depth));
        if is_group(&avp) {
            lines += &format!("{indent}{name} ({code})\n{}", text(avp.group(), depth + 1));
        } else {
            let value = match value(&avp) {
                Value::String(text) => text,
                number => number.to_string(),
            };
            lines += &format!("{indent}{name} ({code}) = {value}\n");
        }
    }
    lines
}

/// Each name with the list of its values, since most AVPs may come more than once; groups are objects of the same
/// form. Times are seconds since 1970.
pub fn object(avps: Avps<'_>) -> Value {
    let mut object = Map::new();
    for avp in avps {
        let value = match is_group(&avp) {
            true => self::object(avp.group()),
            false => value(&avp),
        };
        let values = object.entry(name(&avp)).or_insert_with(|| json!([]));
        if let Value::Array(values) = values {
            values.push(value);
        }
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use diameter::dictionary::*;
    use diameter::write::Writer;

    #[test]
    fn a_message_is_shown_whole() {
        let unknown = Def {
            name: "?",
            code: 9_999,
            vendor: 9,
            kind: Kind::Octets,
            mandatory: false,
        };
        let mut w = Writer::request(CMD_CREDIT_CONTROL, APP_CREDIT_CONTROL);
        w.utf8(&SESSION_ID, "a;1")
            .time(&EVENT_TIMESTAMP, 5)
            .octets(&CLASS, &[0xff])
            .octets(&unknown, b"x")
            .address(&HOST_IP_ADDRESS, &Address::Ip([127, 0, 0, 1].into()));
        for identity in ["sip:a", "sip:b"] {
            w.group(&SUBSCRIPTION_ID, |w| {
                _ = w.utf8(&SUBSCRIPTION_ID_DATA, identity)
            });
        }
        let bytes = w.finish(1_000).unwrap();
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(command(&message), "CCR");
        let expected = "Session-Id (263) = a;1\nEvent-Timestamp (55) = 5\nClass (25) = 0xff\n9:9999 (9999) = x\n\
                        Host-IP-Address (257) = 127.0.0.1\nSubscription-Id (443)\n  Subscription-Id-Data (444) = sip:a\n\
                        Subscription-Id (443)\n  Subscription-Id-Data (444) = sip:b\n";
        assert_eq!(text(message.avps(), 0), expected);
        let expected = json!({
            "Session-Id": ["a;1"],
            "Event-Timestamp": [5],
            "Class": ["0xff"],
            "9:9999": ["x"],
            "Host-IP-Address": ["127.0.0.1"],
            "Subscription-Id": [{"Subscription-Id-Data": ["sip:a"]}, {"Subscription-Id-Data": ["sip:b"]}],
        });
        assert_eq!(object(message.avps()), expected);
    }
}
