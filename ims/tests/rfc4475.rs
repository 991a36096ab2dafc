//! The 49 messages of RFC 4475, octet for octet as its archive holds them, with what becomes of each and why.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use ims::sip::header::contact::Contact;
use ims::sip::{Flow, Framing, Incoming, Limits, Transport, Uri, parse};
use std::net::SocketAddr;

/// What the wire layer makes of a message.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// Accepted: a request with this method. What is wrong with it beyond the wire is for the service.
    Request(&'static str),
    /// Accepted: a response with this status.
    Response(u16),
    /// Answered with this status.
    Refused(u16),
    /// Not answered: a response that is broken or not ours.
    Dropped,
}
use Outcome::*;

macro_rules! table {
    ($($name:literal $outcome:expr, $why:literal;)*) => {
        /// Name, octets, outcome, reason.
        const TABLE: &[(&str, &[u8], Outcome, &str)] = &[$((
            $name,
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/sip/", $name, ".dat")),
            $outcome,
            $why,
        )),*];
    };
}

table! {
    // 3.1.1 Valid messages
    "wsinv" Request("INVITE"), "white space and folding wherever the grammar lets it stand";
    "intmeth" Request("!interesting-Method0123456789_*+`.%indeed'~"), "every character a token may have, escaped control characters in a quoted string; 405 by the service";
    "esc01" Request("INVITE"), "escapes in URIs are kept, not undone";
    "escnull" Request("REGISTER"), "an escaped NUL is a character of a user like any other";
    "esc02" Request("RE%47IST%45R"), "a percent sign in a method escapes nothing: it is no REGISTER; 405 by the service";
    "lwsdisp" Request("OPTIONS"), "no space is needed between display name and angle bracket";
    "longreq" Request("INVITE"), "long values within our limits";
    "dblreq" Request("REGISTER"), "octets after the body of a datagram are discarded, RFC 3261 18.3";
    "semiuri" Request("OPTIONS"), "a semicolon in the user part starts no parameter";
    "transports" Request("OPTIONS"), "only the top Via has to be understood";
    "mpart01" Request("MESSAGE"), "the body is binary and comes through untouched";
    "unreason" Response(200), "the reason phrase may be UTF-8";
    "noreason" Response(100), "the reason phrase may be empty";
    // 3.1.2 Invalid messages
    "badinv01" Refused(400), "stray separators in Via leave in doubt where the answer goes";
    "clerr" Refused(400), "Content-Length is larger than the datagram";
    "ncl" Refused(400), "Content-Length is negative";
    "scalar02" Refused(400), "CSeq beyond 2**31-1 and Max-Forwards beyond 255";
    "scalarlg" Dropped, "a response with such a CSeq answers nothing of ours";
    "quotbal" Refused(400), "a quoted string without end in To";
    "ltgtruri" Refused(400), "angle brackets round the Request-URI";
    "lwsruri" Refused(400), "white space in the Request-URI";
    "lwsstart" Refused(400), "more than one space between the parts of the request line";
    "trws" Refused(400), "white space after the version";
    "escruri" Refused(400), "headers in the Request-URI";
    "baddate" Request("INVITE"), "Date decides nothing here, so a bad one is not looked at";
    "regbadct" Request("REGISTER"), "the Contact breaks its rule; refused where it is read";
    "badaspec" Refused(400), "spaces within the addr-spec of To";
    "baddn" Refused(400), "a comma in a display name that is not quoted";
    "badvers" Refused(505), "SIP/7.0";
    "mismatch01" Refused(400), "CSeq names another method";
    "mismatch02" Refused(400), "CSeq names another method than the unknown one";
    "bigcode" Dropped, "the status code is no number of three digits";
    // 3.2 Transaction layer semantics
    "badbranch" Request("OPTIONS"), "a branch of the bare cookie identifies nothing: matched by the rules of RFC 2543";
    // 3.3 Application layer semantics
    "insuf" Refused(400), "no Call-ID, From or To";
    "unkscm" Refused(416), "a scheme nobody knows in the Request-URI";
    "novelsc" Refused(416), "a known but inapplicable scheme in the Request-URI";
    "unksm2" Request("REGISTER"), "schemes in To, From and Contact are for the registrar to judge";
    "bext01" Request("OPTIONS"), "Require: 420 by the service; Proxy-Require is for proxies";
    "invut" Request("INVITE"), "an unknown body type; the method is refused first, 405";
    "regaut01" Request("REGISTER"), "an unknown authorization scheme is as good as none";
    "multi01" Refused(400), "single header fields that stand twice";
    "mcl01" Refused(400), "Content-Length stands twice";
    "bcast" Dropped, "a response with a second Via is not ours, RFC 3261 8.1.3.3";
    "zeromf" Request("OPTIONS"), "Max-Forwards 0 stops a proxy, not a user agent";
    "cparam01" Request("REGISTER"), "a parameter after a bare Contact URI is the header's";
    "cparam02" Request("REGISTER"), "a parameter within angle brackets is the URI's";
    "regescrt" Request("REGISTER"), "escaped headers in a Contact URI within angle brackets are kept";
    "sdp01" Request("INVITE"), "Accept holds nothing useful; the method is refused first, 405";
    // 3.4 Backward compatibility
    "inv2543" Request("INVITE"), "RFC 2543: no branch, no From tag, no Max-Forwards";
}

fn flow() -> Flow {
    let end = |text: &str| text.parse::<SocketAddr>().expect("an address");
    Flow {
        transport: Transport::Udp,
        local: end("192.0.2.1:5060"),
        remote: end("198.51.100.7:5061"),
        connection: 0,
    }
}

fn outcome(bytes: &[u8]) -> Outcome {
    let mut bytes = bytes.to_vec();
    match parse(&mut bytes, Framing::Datagram, &Limits::default()) {
        Incoming::Request(request) => {
            let expected = TABLE.iter().filter_map(|row| {
                if let Request(m) = row.2 {
                    Some(m)
                } else {
                    None
                }
            });
            let method = expected.clone().find(|m| *m == request.method.as_str());
            Request(method.expect("a method of the table"))
        }
        Incoming::Response(response) => Response(response.status),
        Incoming::Malformed(bad) => {
            let (_, answer) = bad.answer(&flow()).expect("it can be answered");
            let mut answer = answer.to_vec();
            let line = String::from_utf8_lossy(&answer)
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned();
            assert!(
                line.starts_with(&format!("SIP/2.0 {} ", bad.status)),
                "{line}"
            );
            // An answer gives back what the request had, and some had no To that can be read.
            if let Incoming::Response(response) =
                parse(&mut answer, Framing::Stream, &Limits::default())
            {
                assert_eq!(response.status, bad.status);
                assert!(response.to().is_none_or(|to| to.tag().is_some()));
            }
            Refused(bad.status)
        }
        Incoming::KeepAlive | Incoming::Ignored(_) => Dropped,
    }
}

#[test]
fn each_message_has_the_outcome_of_the_table() {
    assert_eq!(TABLE.len(), 49);
    for (name, bytes, expected, why) in TABLE {
        assert_eq!(outcome(bytes), *expected, "{name}: {why}");
    }
}

fn message(name: &str) -> Vec<u8> {
    TABLE
        .iter()
        .find(|row| row.0 == name)
        .expect("a message of the table")
        .1
        .to_vec()
}

/// Runs `check` on an accepted request.
fn request(name: &str, check: impl FnOnce(&ims::sip::Request<'_>)) {
    let mut bytes = message(name);
    match parse(&mut bytes, Framing::Datagram, &Limits::default()) {
        Incoming::Request(request) => check(&request),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn what_the_valid_ones_say_is_understood() {
    request("wsinv", |r| {
        assert_eq!(r.to.tag(), Some("1918181833n"));
        assert_eq!(r.from.display().as_deref(), Some("J Rosenberg \\\""));
        assert_eq!((r.cseq.number, r.max_forwards), (9, Some(68)));
        assert_eq!((r.via.host, r.via.branch), ("192.0.2.2", Some("390skdjuw")));
        assert_eq!(r.headers.values(ims::sip::Name::Via).count(), 3);
        assert_eq!(
            r.headers
                .other("newfangledheader")
                .map(|v| v.starts_with("newfangled value")),
            Some(true)
        );
        let contact = Contact::of(&r.headers).expect("a contact");
        assert_eq!(
            contact.single().and_then(|c| c.display()).as_deref(),
            Some("Quoted string \"\"")
        );
        assert_eq!(r.body.len(), 150);
    });
    request("intmeth", |r| {
        assert_eq!(
            r.to.display().as_deref(),
            Some("BEL:\u{7} NUL:\u{0} DEL:\u{7f}")
        );
        let uri = Uri::parse(r.uri).expect("a URI");
        assert_eq!(
            uri.user,
            Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*")
        );
        assert_eq!(uri.host, "example.com");
    });
    request("dblreq", |r| {
        assert_eq!(r.call_id, "dblreq.0ha0isndaksdj99sdfafnl3lk233412")
    });
    request("esc02", |r| {
        let contact = Contact::of(&r.headers);
        assert!(
            matches!(contact, Some(Contact::List(list)) if list.len() == 2),
            "C%6Fntact is another header"
        );
    });
    request("mpart01", |r| {
        assert!(r.body.contains(&0x82), "the signature is binary")
    });
    request("escnull", |r| {
        assert!(matches!(Contact::of(&r.headers), Some(Contact::List(list)) if list.len() == 2));
    });
    request("longreq", |r| {
        assert_eq!(r.headers.values(ims::sip::Name::Via).count(), 34)
    });
    request("badbranch", |r| assert_eq!(r.via.unique_branch(), None));
    request("zeromf", |r| assert_eq!(r.max_forwards, Some(0)));
    request("inv2543", |r| {
        assert_eq!(
            (r.via.branch, r.from.tag(), r.max_forwards),
            (None, None, None)
        )
    });
}

#[test]
fn contacts_are_judged_where_they_are_read() {
    request("regbadct", |r| assert_eq!(Contact::of(&r.headers), None));
    request("regescrt", |r| {
        let contact = Contact::of(&r.headers).expect("a contact");
        let uri = contact
            .single()
            .and_then(|c| c.parsed_uri())
            .expect("one URI");
        assert_eq!(uri.headers, Some("Route=%3Csip:sip.example.com%3E"));
    });
    request("cparam01", |r| {
        let contact = Contact::of(&r.headers).expect("a contact");
        assert!(
            contact
                .single()
                .is_some_and(|c| c.params.has("unknownparam"))
        );
    });
    request("cparam02", |r| {
        let contact = Contact::of(&r.headers).expect("a contact");
        let uri = contact
            .single()
            .and_then(|c| c.parsed_uri())
            .expect("one URI");
        assert!(uri.has_param("unknownparam"));
        assert!(
            contact
                .single()
                .is_some_and(|c| !c.params.has("unknownparam"))
        );
    });
}
