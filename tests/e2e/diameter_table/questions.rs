//! What a peer asks that it should not: our answers, and that Wireshark reads them, Failed-AVP included.

use super::tap::number;
use super::*;

fn avp(code: u32, flags: u8, data: &[u8]) -> Vec<u8> {
    let mut avp = code.to_be_bytes().to_vec();
    let length = u32::try_from(8 + data.len()).unwrap();
    avp.push(flags);
    avp.extend(&length.to_be_bytes()[1..]);
    avp.extend(data);
    avp.resize(avp.len().next_multiple_of(4), 0);
    avp
}

fn request(command: u32, application: u32, id: u32, avps: &[Vec<u8>]) -> Vec<u8> {
    let body = avps.concat();
    let mut message = vec![1];
    message.extend(&u32::try_from(20 + body.len()).unwrap().to_be_bytes()[1..]);
    message.push(0x80);
    message.extend(&command.to_be_bytes()[1..]);
    for word in [application, id, id] {
        message.extend(word.to_be_bytes());
    }
    message.extend(body);
    message
}

/// The values of an AVP at the top of a message.
fn values(message: &[u8], code: u32) -> Vec<&[u8]> {
    let (mut rest, mut found) = (&message[20..], Vec::new());
    while rest.len() >= 8 {
        let length = number(&rest[5..8]) as usize;
        let head = if rest[4] & 0x80 == 0 { 8 } else { 12 };
        if number(&rest[..4]) == code {
            found.push(&rest[head..length]);
        }
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
    }
    found
}

/// CHG-02: the table of docs/charging.md, as Wireshark reads it.
#[test]
fn what_a_peer_asks_amiss_is_answered_by_what_is_wrong_with_it() {
    const M: u8 = 0x40;
    let makes = [Make::Erlang, Make::FreeDiameter, Make::Python];
    let Some(make) = makes.into_iter().find(|make| make.is_there()) else {
        return;
    };
    let lab = Lab::new("questions", make);
    let mut cdf = lab.peer(make, "cdf1.test");
    cdf.start();
    let server = offline(&[&cdf], "");
    until_up(&server, cdf.host, SOON);
    let session = avp(263, M, b"ps.test;1;2;3");
    let (host, realm) = (avp(264, M, b"cdf1.test"), avp(296, M, b"test"));
    let to = [avp(293, M, b"ps.test"), avp(283, M, b"ps.test")].concat();
    let application = |number: u32| avp(258, M, &number.to_be_bytes());
    let ours = |more: Vec<u8>| vec![host.clone(), realm.clone(), more];
    let asks = |more: Vec<u8>| {
        vec![
            session.clone(),
            host.clone(),
            realm.clone(),
            to.clone(),
            application(3),
            more,
        ]
    };
    let again = || avp(285, M, &[0; 4]);
    // name, command, application, AVPs, Result-Code, code of what Failed-AVP has
    let rows = [
        ("a watchdog", 280, 0, ours(Vec::new()), 2001, None),
        (
            "a watchdog of nobody",
            280,
            0,
            vec![realm.clone()],
            5005,
            Some(264),
        ),
        (
            "with what we do not know",
            280,
            0,
            ours(avp(18, M, b"hello")),
            5001,
            Some(18),
        ),
        (
            "with what we may ignore",
            280,
            0,
            ours(avp(18, 0, b"hello")),
            2001,
            None,
        ),
        (
            "with two states",
            280,
            0,
            ours([avp(278, M, &[1; 4]), avp(278, M, &[1; 4])].concat()),
            5009,
            Some(278),
        ),
        ("another application", 258, 9, asks(again()), 3007, None),
        (
            "another command",
            275,
            3,
            asks(avp(295, M, &[0, 0, 0, 4])),
            5002,
            None,
        ),
        ("a session that is over", 258, 3, asks(again()), 5002, None),
        ("an end of it", 274, 3, asks(Vec::new()), 5002, None),
        ("a record", 271, 3, asks(Vec::new()), 3001, None),
    ];
    for (i, (name, command, of, avps, result, failed)) in rows.into_iter().enumerate() {
        let id = 0x7fff_0000 + u32::try_from(i).unwrap();
        let answer = cdf.tap.ask(&request(command, of, id, &avps));
        let code = values(&answer, 268).first().map(|value| number(value));
        assert_eq!(code, Some(result), "{name}");
        let inside = values(&answer, 279)
            .first()
            .map(|group| number(&group[..4]));
        assert_eq!(inside, failed, "{name}");
        // RFC 6733 §7.1.3
        assert_eq!(
            answer[4] & 0x20 != 0,
            (3000..4000).contains(&result),
            "{name}"
        );
    }
    server.stop();
    let text = lab.judged();
    if !text.is_empty() {
        assert_eq!(text.matches("AVP: Failed-AVP(279)").count(), 3, "{text}");
    }
}
