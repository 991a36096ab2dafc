//! What an OCS of another make says of prices and balances (RFC 8506 §6.1, §6.2) is what our HTTP interface says. A question
//! has no icid: its script stands in the user.

use super::peer::{MAKES, each_make};
use super::row::{Row, all_known, asked, row};
use super::*;
use serde_json::{Value, json};

/// What is asked, and members of the object that says the answer.
#[derive(Clone, Copy)]
struct Said(&'static str, fn() -> Value);

const PRICE: &str = "price?method=PUBLISH&user=";
const BALANCE: &str = "balance?units=3&user=";

const fn asks(
    name: &'static str,
    script: &'static str,
    question: &'static str,
    said: fn() -> Value,
    first: &'static [&'static str],
) -> Row<Said> {
    row(name, script, Said(question, said), first, &[])
}

const TABLE: &[Row<Said>] = &[
    asks(
        "cheap",
        "",
        PRICE,
        || json!({"result": 2001, "price": {"value": "0.15", "currency": 978}}),
        &["price"],
    ),
    asks(
        "dear",
        "!ocs1=2001+price=123456789",
        PRICE,
        || json!({"result": 2001, "price": {"value": "1234567.89", "currency": 978}}),
        &["price"],
    ),
    asks(
        "nobody",
        "!ocs1=5030",
        PRICE,
        || json!({"result": 5030}),
        &["price"],
    ),
    asks(
        "priceless",
        "!ocs1=5031",
        PRICE,
        || json!({"result": 5031}),
        &["price"],
    ),
    asks(
        "mute",
        "!ocs1=silent",
        PRICE,
        || json!({"error": "no OCS answered in time"}),
        &["price"],
    ),
    asks(
        "rich",
        "",
        BALANCE,
        || json!({"result": 2001, "enough": true}),
        &["balance"],
    ),
    asks(
        "poor",
        "!ocs1=2001+short",
        BALANCE,
        || json!({"result": 2001, "enough": false}),
        &["balance"],
    ),
    asks(
        "limited",
        "!ocs1=4012",
        BALANCE,
        || json!({"result": 4012}),
        &["balance"],
    ),
    asks(
        "denied",
        "!ocs1=4010",
        BALANCE,
        || json!({"result": 4010}),
        &["balance"],
    ),
    asks(
        "unknown",
        "!ocs1=5030",
        BALANCE,
        || json!({"result": 5030}),
        &["balance"],
    ),
];

/// CHG-03.
#[test]
fn prices_and_balances_are_what_the_ocs_says() {
    each_make(&MAKES, |make| {
        let lab = Lab::new("ro enquiries", make);
        let mut ocs = lab.peer(make, "ocs1.test");
        ocs.start();
        let server = online(
            "ps1.test",
            &[&ocs],
            "tx_ms = 3000\nanswer_timeout_ms = 4000",
        );
        until_up(&server, ocs.host, SOON);
        std::thread::scope(|scope| {
            for row in TABLE {
                let (server, ocs) = (&server, &ocs);
                scope.spawn(move || run(row, server, ocs, make));
            }
        });
        server.stop();
    });
}

fn run(row: &Row<Said>, server: &Server, ocs: &Peer, make: Make) {
    let at = format!("{} at {make:?}", row.name);
    let Said(question, said) = row.end;
    let user = format!("sip:{}{}@ims.test", row.name, row.script);
    let escaped: String = user.bytes().map(|octet| format!("%{octet:02X}")).collect();
    let page = http(
        server.http,
        "GET",
        &format!("/charging/{question}{escaped}"),
        &[],
        "",
    );
    assert_eq!(page.status, 200, "{at}: {}", page.body);
    let answer: Value = serde_json::from_str(&page.body).unwrap();
    for (name, wanted) in said().as_object().unwrap() {
        assert_eq!(answer[name], *wanted, "{at}: {answer}");
    }
    let decided = ["price", "enough"].map(|name| !answer[name].is_null());
    let wanted = ["price", "enough"].map(|name| !said()[name].is_null());
    assert_eq!(decided, wanted, "{at}: {answer}");
    // its journal may come after its answer
    settles(&at, SOON, &row.wanted(), || {
        [asked(ocs, row.name), Vec::new()]
    });
    let all = ocs.of(row.name);
    assert_eq!(one(&all[0], "CC-Request-Type"), "4", "{at}");
    assert_eq!(
        one(&all[0], "SIP-Method") == "PUBLISH",
        question == PRICE,
        "{at}"
    );
    all_known(&all, &at);
}
