//! Any octets: reading ends, everything on demand can be asked for, and what is answered can be read again.
#![no_main]

use ims::sip::frame::{Frame, StreamFramer};
use ims::sip::header::accept::Accept;
use ims::sip::header::contact::Contact;
use ims::sip::header::digest::Digest;
use ims::sip::header::p_asserted_identity::PAssertedIdentity;
use ims::sip::header::p_associated_uri::PAssociatedUri;
use ims::sip::header::p_charging_function_addresses::PChargingFunctionAddresses;
use ims::sip::header::p_charging_vector::PChargingVector;
use ims::sip::header::p_served_user::PServedUser;
use ims::sip::header::privacy::Privacy;
use ims::sip::header::{event::Event, expires, media_type::MediaType, retry_after, route};
use ims::sip::header::{sip_etag, subscription_state::SubscriptionState};
use ims::sip::write::response;
use ims::sip::{
    Aor, Flow, Framing, Headers, Incoming, Limits, Name, Request, Transport, Uri, parse,
};
use libfuzzer_sys::fuzz_target;
use std::net::SocketAddr;

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let framing = if choice & 1 == 0 {
        Framing::Datagram
    } else {
        Framing::Stream
    };
    let limits = Limits {
        max_message: 16_384,
        ..Limits::default()
    };
    match parse(&mut data.to_vec(), framing, &limits) {
        Incoming::Request(request) => answer(&request),
        Incoming::Response(response) => ask_everything(&response.headers),
        Incoming::Malformed(bad) => {
            ask_everything(&bad.headers);
            if let Some((_, bytes)) = bad.answer(&flow()) {
                assert!(
                    bytes.starts_with(b"SIP/2.0 ") && bytes.ends_with(b"Content-Length: 0\r\n\r\n")
                );
            }
        }
        Incoming::KeepAlive | Incoming::Ignored(_) => {}
    }
    frame(data, usize::from(choice >> 1) + 1, limits);
});

fn flow() -> Flow {
    let end = SocketAddr::from(([192, 0, 2, 1], 5070));
    Flow {
        transport: Transport::Udp,
        local: end,
        remote: end,
        connection: 0,
    }
}

/// The answer to what was accepted is itself accepted, has no line of its own invention and says the same.
fn answer(request: &Request<'_>) {
    ask_everything(&request.headers);
    if let (Some(uri), Some(aor)) = (Uri::parse(request.uri), Aor::parse(request.uri)) {
        assert!(uri.equivalent(&uri));
        assert_eq!(
            Aor::parse(aor.as_str()).as_ref(),
            Some(&aor),
            "canonical once is canonical"
        );
    }
    let mut bytes = response(request, 200, None, Some("t"), flow().remote)
        .record_routes(request)
        .finish()
        .to_vec();
    let lines = bytes.split(|b| *b == b'\n').count();
    let own = request.headers.count(Name::Via) + request.headers.count(Name::RecordRoute);
    assert_eq!(
        lines,
        own + 8,
        "status, Vias, Record-Routes, four copied, length, empty line"
    );
    match parse(
        &mut bytes,
        Framing::Stream,
        &Limits {
            max_message: usize::MAX,
            max_line: usize::MAX,
            ..Limits::default()
        },
    ) {
        Incoming::Response(again) => {
            assert_eq!(again.cseq, request.cseq);
            for copied in [Name::CallId, Name::From] {
                assert_eq!(again.headers.get(copied), request.headers.get(copied));
            }
            assert!(again.to().is_some_and(|to| to.tag().is_some()));
        }
        Incoming::Ignored(_) => assert!(request.headers.values(Name::Via).count() > 1),
        other => panic!("{other:?}"),
    }
}

/// Every typed header over whatever the lines hold.
fn ask_everything(headers: &Headers<'_>) {
    let _ = (
        Accept::parse(headers).accepts("application/pidf+xml"),
        Contact::of(headers),
        Privacy::parse(headers),
    );
    let _ = (
        PAssertedIdentity::parse(headers),
        PServedUser::parse(headers),
        PAssociatedUri::parse(headers),
    );
    let _ = (
        PChargingFunctionAddresses::parse(headers),
        route::list(headers, Name::Route),
    );
    let printed = PChargingVector::parse(headers).to_string();
    assert!(!printed.contains(['\r', '\n']));
    for line in headers.iter() {
        let _ = (Digest::parse(line.value), expires::parse(line.value));
        let _ = (
            MediaType::parse(line.value),
            retry_after::parse(line.value),
            sip_etag::parse(line.value),
        );
        if let Some(event) = Event::parse(line.value) {
            assert!(event.matches(&event));
        }
        if let Some(state) = SubscriptionState::parse(line.value) {
            assert_eq!(SubscriptionState::parse(&state.to_string()), Some(state));
        }
    }
}

/// However a stream is cut, the same messages come out.
fn frame(data: &[u8], chunk: usize, limits: Limits) {
    let run = |chunk: usize| {
        let mut framer = StreamFramer::new(limits);
        let mut messages = Vec::new();
        for piece in data.chunks(chunk) {
            framer.push(piece);
            loop {
                match framer.take() {
                    Ok(Some(Frame::Message(message))) => messages.push(message),
                    Ok(Some(Frame::Ping)) => {}
                    Ok(None) => break,
                    Err(broken) => {
                        let _ = broken.answer(&flow(), &limits);
                    }
                }
            }
        }
        messages
    };
    assert_eq!(run(chunk), run(data.len().max(1)));
}
