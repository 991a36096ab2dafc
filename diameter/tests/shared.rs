//! One peer, one connection, two applications: what each has for itself (RFC 6733 §2.1).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod world;

use diameter::dictionary::*;
use diameter::fault::ResultCode;
use diameter::message::Message;
use diameter::node::{ConnectionId, Outcome, Output, PeerSettings, Request, Share};
use diameter::write::Writer;
use world::{World, answer};

/// A peer that is up for both, with a priority for each.
fn up(world: &mut World, host: &str, accounting: u16, credit_control: u16) -> ConnectionId {
    let share = |priority| {
        Some(Share {
            priority,
            general: true,
        })
    };
    let connection = connecting(world, host, share(accounting), share(credit_control));
    world.handle(diameter::node::Input::Connected {
        connection,
        local: [127, 0, 0, 1].into(),
    });
    let (_, cer) = world.sent();
    let mut cea = Writer::answer(&Message::parse(&cer).unwrap().header, ResultCode::SUCCESS);
    cea.u32(&RESULT_CODE, 2001)
        .utf8(&ORIGIN_HOST, host)
        .utf8(&ORIGIN_REALM, "test")
        .u32(&AUTH_APPLICATION_ID, APP_CREDIT_CONTROL)
        .u32(&ACCT_APPLICATION_ID, APP_ACCOUNTING);
    world.receive(connection, &cea.finish(1_000).unwrap());
    connection
}

fn connecting(
    world: &mut World,
    host: &str,
    accounting: Option<Share>,
    credit_control: Option<Share>,
) -> ConnectionId {
    let settings = PeerSettings {
        host: Some(host.to_owned()),
        realm: None,
        accounting,
        credit_control,
    };
    world.node.add_peer(world.now, settings);
    while let Some(output) = world.node.poll_output() {
        world.seen.push_back(output);
    }
    world.connect()
}

fn credit(request: &mut Request) {
    let ccr = Writer::request(CMD_CREDIT_CONTROL, APP_CREDIT_CONTROL);
    request.message = ccr.finish(1_000).unwrap();
}

/// Application and ticket of the next request that has ended, and how.
fn ended(world: &mut World) -> (u32, u64, Outcome) {
    world.next("Answered", |output| match output {
        Output::Answered {
            application,
            ticket,
            outcome,
            ..
        } => Some((*application, *ticket, outcome.clone())),
        _ => None,
    })
}

#[test]
fn each_peer_is_offered_what_it_takes_and_no_more() {
    let share = Some(Share {
        priority: 0,
        general: true,
    });
    for (accounting, credit_control) in [(share, None), (None, share), (share, share)] {
        let mut world = World::new();
        let connection = connecting(&mut world, "peer.test", accounting, credit_control);
        world.handle(diameter::node::Input::Connected {
            connection,
            local: [127, 0, 0, 1].into(),
        });
        let (_, cer) = world.sent();
        let cer = Message::parse(&cer).unwrap();
        let offers = |def| cer.find(def).and_then(|avp| avp.u32());
        let expected = accounting.map(|_| APP_ACCOUNTING);
        assert_eq!(offers(&ACCT_APPLICATION_ID), expected);
        let expected = credit_control.map(|_| APP_CREDIT_CONTROL);
        assert_eq!(offers(&AUTH_APPLICATION_ID), expected);
    }
}

#[test]
fn each_application_has_priorities_of_its_own() {
    let mut world = World::new();
    let first = up(&mut world, "a.test", 0, 1);
    let second = up(&mut world, "b.test", 1, 0);
    world.ask(1);
    assert_eq!(world.sent().0, first);
    world.ask_with(1, credit);
    assert_eq!(world.sent().0, second);
}

#[test]
fn tickets_of_two_applications_do_not_meet_and_neither_do_their_limits() {
    let mut world = World::new();
    let peer = up(&mut world, "a.test", 0, 0);
    for ticket in 0..4 {
        world.ask(ticket);
    }
    world.ask(9);
    assert_eq!(ended(&mut world), (APP_ACCOUNTING, 9, Outcome::Full));
    world.seen.clear();
    world.ask_with(1, credit);
    let (_, ccr) = world.sent();
    let cca = answer(&ccr, "a.test", 2001);
    world.receive(peer, &cca);
    assert_eq!(
        ended(&mut world),
        (APP_CREDIT_CONTROL, 1, Outcome::Answer(cca))
    );
    world.pass(10_000);
    let (application, _, outcome) = ended(&mut world);
    assert_eq!(
        (application, outcome),
        (APP_ACCOUNTING, Outcome::Unanswered)
    );
}

#[test]
fn overload_of_one_application_says_nothing_of_the_other() {
    let mut world = World::new();
    let peer = up(&mut world, "a.test", 0, 0);
    world.ask(1);
    let (_, acr) = world.sent();
    let mut w = Writer::answer(&Message::parse(&acr).unwrap().header, ResultCode::SUCCESS);
    w.u32(&RESULT_CODE, 2001).group(&OC_OLR, |w| {
        w.u64(&OC_SEQUENCE_NUMBER, 1)
            .i32(&OC_REPORT_TYPE, 0)
            .u32(&OC_REDUCTION_PERCENTAGE, 100);
    });
    world.receive(peer, &w.finish(1_000).unwrap());
    ended(&mut world);
    world.ask(2);
    assert_eq!(ended(&mut world), (APP_ACCOUNTING, 2, Outcome::Spared));
    world.ask_with(3, credit);
    assert_eq!(world.sent().0, peer, "credit control is asked as before");
}
