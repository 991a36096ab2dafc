//! Bytes of a peer: framed, checked, read, and given to a node whose connection is open.
#![no_main]

use diameter::Instant;
use diameter::base::{Applications, Local};
use diameter::dictionary::*;
use diameter::fault::ResultCode;
use diameter::frame::Framer;
use diameter::message::Message;
use diameter::node::{Input, Limits, Node, Output, PeerSettings, Settings, Share};
use diameter::rf::AccountingAnswer;
use diameter::vocabulary::Vocabulary;
use diameter::write::Writer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (mut node, connection) = open();
    let mut framer = Framer::new(65_536);
    framer.push(bytes);
    loop {
        match framer.next_message() {
            Ok(Some(message)) => {
                if let Ok(read) = Message::parse(message) {
                    let length: usize = read.avps().map(|avp| avp.whole.len()).sum();
                    assert_eq!(length + 20, message.len(), "every byte belongs to an AVP");
                    read.unknown_mandatory(&Vocabulary::default());
                    AccountingAnswer::read(&read);
                }
                node.handle(
                    Instant(2),
                    Input::Received {
                        connection,
                        message,
                    },
                );
            }
            Ok(None) => break,
            Err(error) => {
                let start = framer.rest().to_vec();
                node.handle(
                    Instant(2),
                    Input::Garbled {
                        connection,
                        start: &start,
                        error,
                    },
                );
                break;
            }
        }
    }
    while let Some(output) = node.poll_output() {
        if let Output::Send { bytes, .. } = output {
            Message::parse(&bytes).expect("what the node sends is well formed");
        }
    }
});

fn open() -> (Node, diameter::node::ConnectionId) {
    let local = Local {
        host: "ps.test".into(),
        realm: "test".into(),
        product: "fuzz".into(),
        state_id: 1,
        applications: Applications::ACCOUNTING,
    };
    let limits = Limits {
        answer_timeout: 10_000,
        max_pending: 4,
    };
    let settings = Settings {
        local,
        watchdog: 30_000,
        accounting: limits,
        credit_control: limits,
        connect_timeout: 5_000,
        backoff: (500, 30_000),
        max_message: 65_536,
        vocabulary: Vocabulary::default(),
        overload_control: true,
    };
    let mut node = Node::new(settings, [0; 32]);
    let peer = PeerSettings {
        host: None,
        realm: None,
        accounting: Some(Share {
            priority: 0,
            general: true,
        }),
        credit_control: None,
    };
    node.add_peer(Instant(0), peer);
    let connection = loop {
        if let Some(Output::Connect { connection }) = node.poll_output() {
            break connection;
        }
    };
    node.handle(
        Instant(1),
        Input::Connected {
            connection,
            local: [127, 0, 0, 1].into(),
        },
    );
    let cer = loop {
        if let Some(Output::Send { bytes, .. }) = node.poll_output() {
            break bytes;
        }
    };
    let header = Message::parse(&cer).expect("our CER").header;
    let mut cea = Writer::answer(&header, ResultCode::SUCCESS);
    cea.u32(&RESULT_CODE, 2001)
        .utf8(&ORIGIN_HOST, "cdf.test")
        .utf8(&ORIGIN_REALM, "test")
        .u32(&ACCT_APPLICATION_ID, 3);
    let cea = cea.finish(1_000).expect("a short message");
    node.handle(
        Instant(1),
        Input::Received {
            connection,
            message: &cea,
        },
    );
    (node, connection)
}
