//! A CDF that answers everything with 2001 at the least cost, and events for it.

use diameter::dictionary::*;
use diameter::frame::frame_length;
use diameter::message::Header;
use diameter::write::Writer;
use ims::charge::{BodyFacts, Booked, Chargeable, Event, Role};
use ims::time::Timestamp;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Longest message, in bytes.
pub const MAX: usize = 65_536;

/// Its identity; its realm is behind the first point.
pub const HOST: &str = "cdf1.home1.example.net";

/// A SUBSCRIBE with what a core says of it.
pub fn event(number: u64) -> Event {
    let text = |text: &str| Some(text.to_owned());
    Event {
        number,
        method: Chargeable::Subscribe,
        role: Role::Terminating,
        package: text("presence"),
        expires: Some(3600),
        call_id: format!("4fa3c2b1-{number}@ue1.home1.example.net"),
        calling: vec![
            "sip:alice@home1.example.net".into(),
            "tel:+15551230001".into(),
        ],
        called: "sip:bob@home1.example.net".into(),
        requested: text("sip:bob@home1.example.net"),
        icid: Some(format!("AyretyU0dm+6O2IrT5tAFrbHLso={number}")),
        orig_ioi: text("home1.example.net"),
        term_ioi: text("home1.example.net"),
        access_network: text("3GPP-E-UTRAN-FDD"),
        service: None,
        associated: vec![
            "sip:alice2@home1.example.net".into(),
            "tel:+15551230002".into(),
        ],
        requested_at: Timestamp(1_700_000_000_123),
        answered_at: Timestamp(1_700_000_000_140),
        status: 200,
        body: Some(BodyFacts {
            content_type: "application/pidf+xml".into(),
            length: 912,
            disposition: text("render"),
        }),
        ccf: Vec::new(),
        booked: Booked {
            hour: 472_222,
            sequence: number as u32,
            notifies: 0,
        },
        besides: Default::default(),
    }
}

/// Answers until the other side goes, and counts accounting requests.
pub fn serve(listener: &TcpListener, records: &AtomicU64) {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut bytes, mut held) = (vec![0; 1 << 20], 0);
    let mut out = Vec::new();
    while let Ok(read @ 1..) = stream.read(&mut bytes[held..]) {
        held += read;
        let mut at = 0;
        while let Ok(Some(length)) = frame_length(&bytes[at..held], MAX) {
            if at + length > held {
                break;
            }
            let request = &bytes[at..at + length];
            let header = Header::read(request).unwrap();
            if header.command == CMD_ACCOUNTING {
                records.fetch_add(1, Relaxed);
                accept(&mut out, request);
            } else if header.flags.request() {
                out.extend(base_answer(&header));
            }
            at += length;
        }
        bytes.copy_within(at..held, 0);
        held -= at;
        if stream.write_all(&out).is_err() {
            break;
        }
        out.clear();
    }
}

/// Header, Session-Id of the request, 2001 and the record: copied, not read.
fn accept(out: &mut Vec<u8>, request: &[u8]) {
    const RESULT: [u8; 24] = [
        0, 0, 1, 12, 64, 0, 0, 12, 0, 0, 7, 209, // Result-Code 2001
        0, 0, 1, 229, 64, 0, 0, 12, 0, 0, 0, 0, // Accounting-Record-Number 0
    ];
    let session = u32::from_be_bytes([0, request[25], request[26], request[27]]) as usize;
    let session = session.next_multiple_of(4);
    let start = out.len();
    out.extend_from_slice(&request[..20]);
    out[start + 4] &= 0x7f;
    out.extend_from_slice(&request[20..20 + session]);
    out.extend_from_slice(&RESULT);
    let [.., a, b, c] = (out.len() - start).to_be_bytes();
    out[start + 1..start + 4].copy_from_slice(&[a, b, c]);
}

fn base_answer(header: &Header) -> Vec<u8> {
    let mut w = Writer::answer(header, diameter::fault::ResultCode::SUCCESS);
    w.u32(&RESULT_CODE, 2001)
        .utf8(&ORIGIN_HOST, HOST)
        .utf8(&ORIGIN_REALM, "home1.example.net");
    if header.command == CMD_CAPABILITIES_EXCHANGE {
        let local = diameter::avp::Address::Ip("127.0.0.1".parse().unwrap());
        w.address(&HOST_IP_ADDRESS, &local).u32(&VENDOR_ID, 0);
        w.utf8(&PRODUCT_NAME, "null").u32(&ACCT_APPLICATION_ID, 3);
    }
    w.finish(MAX).unwrap()
}
