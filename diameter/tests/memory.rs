//! What a peer can make this node hold: twice its message, and a constant.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod world;

use diameter::dictionary::*;
use diameter::frame::Framer;
use diameter::message::Message;
use diameter::node::{ConnectionId, Input};
use diameter::write::Writer;
use peak_alloc::PeakAlloc;
use world::*;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Longest message taken.
const MAX: usize = 1 << 20;

/// Bytes taken from a socket at once.
const READ: usize = 16_384;

/// What does not grow with the message: the reading, an answer of ordinary length, queues.
const CONSTANT: usize = 2 * READ + 8_192;

/// Most bytes that were held at once beyond those held before while a stream came in pieces of `step` bytes, and how
/// many messages it had.
fn peak(stream: &[u8], step: usize, connection: ConnectionId, world: &mut World) -> (usize, usize) {
    let step = step.min(READ);
    let mut framer = Framer::new(MAX);
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let mut messages = 0;
    'stream: for piece in stream.chunks(step) {
        framer.push(piece);
        loop {
            match framer.next_message() {
                Ok(Some(message)) => {
                    messages += 1;
                    let message = &message;
                    world.node.handle(
                        world.now,
                        Input::Received {
                            connection,
                            message,
                        },
                    );
                }
                Ok(None) => break,
                Err(error) => {
                    let start = framer.rest();
                    world.node.handle(
                        world.now,
                        Input::Garbled {
                            connection,
                            start,
                            error,
                        },
                    );
                    break 'stream;
                }
            }
            while world.node.poll_output().is_some() {}
        }
    }
    (HEAP.peak_usage().saturating_sub(before), messages)
}

const PADDING: Def = Def {
    name: "?",
    code: 99_999,
    vendor: 0,
    kind: Kind::Octets,
    mandatory: false,
};

fn finish(w: Writer) -> Vec<u8> {
    w.finish(MAX).unwrap()
}

/// Messages of about `size` bytes; `acr` is a request that awaits its answer.
fn messages(size: usize, acr: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let dwr = |fill: &dyn Fn(&mut Writer)| request_of(CMD_DEVICE_WATCHDOG, 0, fill);
    let bytes = vec![7; size];
    let text = "x".repeat(size);
    let mut aca = Writer::answer(
        &Message::parse(acr).unwrap().header,
        diameter::fault::ResultCode::SUCCESS,
    );
    aca.u32(&RESULT_CODE, 2001).octets(&PADDING, &bytes);
    vec![
        ("an answer that is waited for", finish(aca)),
        (
            "a watchdog with one AVP nobody knows",
            dwr(&|w| _ = w.octets(&PADDING, &bytes)),
        ),
        (
            "a watchdog with the shortest AVPs",
            dwr(&|w| {
                for _ in 0..size / 8 {
                    w.octets(&PADDING, &[]);
                }
            }),
        ),
        (
            "an unknown request whose session is to be repeated",
            request_of(9_999, 3, &|w| _ = w.utf8(&SESSION_ID, &text)),
        ),
        (
            "an unknown request whose proxies are to be repeated",
            request_of(9_999, 3, &|w| {
                for _ in 0..size / 1_000 {
                    w.group(&PROXY_INFO, |w| {
                        w.utf8(&PROXY_HOST, "p").octets(&PROXY_STATE, &bytes[..960]);
                    });
                }
            }),
        ),
        (
            "one AVP too many of those that are copied into a refusal",
            dwr(&|w| _ = w.utf8(&ORIGIN_HOST, &text)),
        ),
        (
            "a request that is handed over",
            extended(session_request(CMD_RE_AUTH, 4), &bytes),
        ),
        ("nested groups", extended(dwr(&|_| {}), &nested(size / 12))),
        (
            "an AVP that is longer than its message",
            extended(dwr(&|_| {}), &[0, 0, 1, 8, 0x40, 0xff, 0xff, 0xff]),
        ),
    ]
}

fn request_of(command: u32, application: u32, fill: &dyn Fn(&mut Writer)) -> Vec<u8> {
    let mut w = match application {
        APP_COMMON => Writer::hop_request(command, 1, 2),
        _ => Writer::request(command, application),
    };
    w.utf8(&ORIGIN_HOST, "cdf1.test")
        .utf8(&ORIGIN_REALM, "test");
    fill(&mut w);
    finish(w)
}

/// The message with more AVPs, which nobody knows, or with these bytes as they are.
fn extended(mut message: Vec<u8>, more: &[u8]) -> Vec<u8> {
    if more.iter().all(|b| *b == 7) {
        let [_, a, b, c] = (more.len() as u32 + 8).to_be_bytes();
        message.extend([0, 1, 0x86, 0x9f, 0, a, b, c]);
    }
    message.extend_from_slice(more);
    message.resize(message.len().next_multiple_of(4), 0);
    let length = (message.len() as u32).to_be_bytes();
    message[1..4].copy_from_slice(&length[1..]);
    message
}

/// Service-Information AVPs, each inside the other.
fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(depth * 12);
    for level in (1..=depth).rev() {
        let [_, a, b, c] = ((level * 12) as u32).to_be_bytes();
        bytes.extend([0, 0, 3, 105, 192, a, b, c, 0, 0, 40, 175]);
    }
    bytes
}

/// One test, so that nothing else allocates meanwhile.
#[test]
fn a_peer_makes_the_node_hold_twice_its_message_at_most() {
    for size in [100, 4_000, 60_000, 900_000] {
        for step in [1, 7, 1_000, READ] {
            for which in 0..9 {
                let mut world = World::new();
                let cdf = world.up("cdf1.test", 0);
                world.ask(1);
                let (_, acr) = world.sent();
                let (case, message) = messages(size, &acr).swap_remove(which);
                let (held, count) = peak(&message, step, cdf, &mut world);
                let bound = 2 * message.len() + CONSTANT;
                assert!(
                    held <= bound,
                    "{case}, {} bytes by {step}: {held} held, {bound} allowed",
                    message.len()
                );
                assert_eq!(count, 1, "{case}");
            }
        }
    }
    // The longest message is announced, and little of it comes; or nothing that could be one.
    let long = [1, 0x10, 0, 0].into_iter().chain([0; 60]);
    let long: Vec<u8> = long.collect();
    for (case, stream) in [
        ("announced only", &long[..4]),
        ("begun", &long),
        ("too long", &[1, 0xff, 0xff, 0xfc]),
        ("too short", &[1, 0, 0, 3]),
        ("no Diameter", b"GET / HTTP/1.1\r\n"),
    ] {
        for step in [1, READ] {
            let mut world = World::new();
            let cdf = world.up("cdf1.test", 0);
            let (held, count) = peak(stream, step, cdf, &mut world);
            assert!(held <= 8_192, "{case}: {held}");
            assert_eq!(count, 0, "{case}");
        }
    }
    // Many messages in one reading.
    let mut world = World::new();
    let cdf = world.up("cdf1.test", 0);
    let many = request_of(CMD_DEVICE_WATCHDOG, 0, &|_| {}).repeat(10_000);
    let (held, count) = peak(&many, READ, cdf, &mut world);
    assert!(held <= CONSTANT, "many small ones: {held}");
    assert_eq!(count, 10_000);
}
