//! What a refusal says beside its Result-Code, and whom a request is for.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod world;

use diameter::dictionary::*;
use diameter::fault::ResultCode;
use diameter::message::Message;
use diameter::node::{Input, Outcome};
use diameter::write::Writer;
use world::*;

const SESSION: &str = "ps.ims.test;0;1;2";

/// A RAR with what names its destination.
fn rar(host: Option<&str>, realm: Option<&str>) -> Vec<u8> {
    let mut w = Writer::request(CMD_RE_AUTH, APP_ACCOUNTING);
    w.utf8(&SESSION_ID, SESSION)
        .utf8(&ORIGIN_HOST, "cdf1.test")
        .utf8(&ORIGIN_REALM, "cdf.test")
        .u32(&AUTH_APPLICATION_ID, APP_ACCOUNTING)
        .i32(&RE_AUTH_REQUEST_TYPE, 0);
    for (def, value) in [(DESTINATION_HOST, host), (DESTINATION_REALM, realm)] {
        if let Some(value) = value {
            w.utf8(&def, value);
        }
    }
    w.finish(1_000).unwrap()
}

#[test]
fn a_request_for_another_node_is_not_delivered_by_this_one() {
    let (ours, here) = (Some("PS.ims.test"), Some("ims.test"));
    for (case, request, told) in [
        ("for us", rar(ours, here), (5002, false)),
        (
            "for us in another realm",
            rar(ours, Some("x.test")),
            (5002, false),
        ),
        (
            "for another host",
            rar(Some("ps2.ims.test"), here),
            (3002, true),
        ),
        ("for another realm", rar(None, Some("x.test")), (3003, true)),
        ("for our realm", rar(None, here), (5005, false)),
        ("for nobody in particular", rar(None, None), (5005, false)),
    ] {
        let mut world = World::new();
        let cdf = world.up("cdf1.test", 0);
        world.receive(cdf, &request);
        let (_, answer) = world.sent();
        let error = Message::parse(&answer).unwrap().header.flags.error();
        assert_eq!((result(&answer), error), told, "{case}");
    }
}

/// RFC 6733 §6.2: also where the request cannot be read to its end.
#[test]
fn a_refusal_names_the_session_and_the_proxies_that_could_be_read() {
    let proxied = |broken: &[u8]| {
        let mut w = Writer::request(CMD_RE_AUTH, APP_ACCOUNTING);
        w.utf8(&SESSION_ID, SESSION).group(&PROXY_INFO, |w| {
            _ = w.utf8(&PROXY_HOST, "p1").octets(&PROXY_STATE, b"s")
        });
        w.raw(broken);
        w.finish(1_000).unwrap()
    };
    let mut marked = proxied(&[]);
    marked[4] |= 0x20;
    for (case, request, told) in [
        ("the E flag", marked, 3008),
        (
            "an Enumerated of five bytes",
            proxied(&[0, 0, 1, 29, 64, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0, 0]),
            5014,
        ),
        (
            "an AVP beyond the end",
            proxied(&[0, 0, 1, 29, 64, 0, 1, 0]),
            5014,
        ),
    ] {
        let mut world = World::new();
        let cdf = world.up("cdf1.test", 0);
        world.receive(cdf, &request);
        let (_, bytes) = world.sent();
        let answer = Message::parse(&bytes).unwrap();
        assert_eq!(result(&bytes), told, "{case}");
        let first = answer.avps().next();
        assert_eq!(first.and_then(|avp| avp.text()), Some(SESSION), "{case}");
        assert!(answer.find(&PROXY_INFO).is_some(), "{case}");
    }
}

/// RFC 6733 §5.3.2 has them in every CEA; §7.2 excepts protocol errors alone.
#[test]
fn a_cea_that_refuses_says_all_the_same_who_we_are() {
    let cer = |host: &str, fill: &dyn Fn(&mut Writer)| {
        let mut w = Writer::hop_request(CMD_CAPABILITIES_EXCHANGE, 1, 2);
        let ip = diameter::avp::Address::Ip([127, 0, 0, 1].into());
        w.utf8(&ORIGIN_HOST, host)
            .utf8(&ORIGIN_REALM, "test")
            .address(&HOST_IP_ADDRESS, &ip)
            .u32(&VENDOR_ID, 0);
        fill(&mut w);
        w.finish(1_000).unwrap()
    };
    let named = |w: &mut Writer| _ = w.utf8(&PRODUCT_NAME, "test");
    let serves = |w: &mut Writer| _ = w.utf8(&PRODUCT_NAME, "test").u32(&ACCT_APPLICATION_ID, 3);
    for (case, cer, told, whole) in [
        ("no application", cer("cdf1.test", &named), 5010, true),
        ("no Product-Name", cer("cdf1.test", &|_| {}), 5005, true),
        ("a stranger", cer("other.test", &serves), 3010, false),
    ] {
        let (mut world, peer) = World::expecting("cdf1.test");
        let connection = world.accept(1, &[peer]);
        world.receive(connection, &cer);
        let (_, cea) = world.sent();
        let message = Message::parse(&cea).unwrap();
        assert_eq!(result(&cea), told, "{case}");
        for def in [HOST_IP_ADDRESS, VENDOR_ID, PRODUCT_NAME] {
            assert_eq!(message.find(&def).is_some(), whole, "{case} {}", def.name);
        }
        assert_eq!(message.find(&FAILED_AVP).is_some(), told == 5005, "{case}");
    }
}

/// RFC 6733 §5.4.3: REBOOTING would have the peer expect us.
#[test]
fn a_peer_that_is_no_longer_needed_is_told_so_and_one_that_we_leave_at_the_end_that_we_may_come_back()
 {
    for (stops, cause) in [(false, 2), (true, 0)] {
        let mut world = World::new();
        let cdf = world.up("cdf1.test", 0);
        if stops {
            world.handle(Input::Stop);
        } else {
            world.node.remove_peer(world.now, cdf.peer);
            world.handle(Input::Tick);
        }
        let (_, dpr) = world.sent();
        assert_eq!(command(&dpr), CMD_DISCONNECT_PEER);
        let message = Message::parse(&dpr).unwrap();
        let said = message.find(&DISCONNECT_CAUSE).unwrap().i32();
        assert_eq!(said, Some(cause));
    }
}

/// What a redirect agent answers to a request.
fn redirection(request: &[u8], hosts: &[&str]) -> Vec<u8> {
    let header = Message::parse(request).unwrap().header;
    let mut w = Writer::answer(&header, ResultCode::REDIRECT_INDICATION);
    w.u32(&RESULT_CODE, 3006)
        .utf8(&ORIGIN_HOST, "cdf1.test")
        .utf8(&ORIGIN_REALM, "cdf.test");
    for host in hosts {
        w.utf8(&REDIRECT_HOST, host);
    }
    w.finish(1_000).unwrap()
}

/// RFC 6733 §6.1.8: the same request, with its End-to-End Identifier and without T: nobody has it already.
#[test]
fn a_redirected_request_goes_to_the_named_peer_that_is_up_and_only_once() {
    for (case, hosts, followed) in [
        ("a peer", &["aaa://CDF2.test:3868;transport=tcp"][..], true),
        (
            "the second name",
            &["aaa://x.test", "aaa://cdf2.test"],
            true,
        ),
        ("nobody we know", &["aaa://x.test"], false),
        ("the agent itself", &["aaa://cdf1.test"], false),
        ("nobody", &[], false),
    ] {
        let mut world = World::new();
        let agent = world.up("cdf1.test", 0);
        let server = world.up("cdf2.test", 1);
        world.ask(7);
        let (to, acr) = world.sent();
        assert_eq!(to, agent, "{case}");
        world.receive(agent, &redirection(&acr, hosts));
        if !followed {
            let (ticket, outcome) = world.answered();
            assert!(
                matches!(outcome, Outcome::Answer(_)) && ticket == 7,
                "{case}"
            );
            continue;
        }
        let (to, again) = world.sent();
        let (first, second) = (
            Message::parse(&acr).unwrap(),
            Message::parse(&again).unwrap(),
        );
        assert_eq!(to, server, "{case}");
        assert_eq!(second.header.end_to_end, first.header.end_to_end, "{case}");
        assert!(!second.header.flags.retransmitted(), "{case}");
        world.receive(server, &redirection(&again, &["aaa://cdf1.test"]));
        assert!(
            matches!(world.answered(), (7, Outcome::Answer(_))),
            "{case}"
        );
    }
}
