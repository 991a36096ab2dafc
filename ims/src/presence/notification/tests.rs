//! Quiet hours, triggers and combining, table by table.

use super::*;
use crate::time::datetime;

fn rule(inside: &str) -> Notification {
    let text = format!("<actions>{inside}</actions>");
    let document = roxmltree::Document::parse(&text).unwrap();
    read(document.root_element()).unwrap_or_else(|| panic!("no rule in {text}"))
}

fn notification(attributes: &str, inside: &str) -> Notification {
    rule(&format!(
        "<notification xmlns='{NAMESPACE}' {attributes}>{inside}</notification>"
    ))
}

fn at(text: &str) -> Timestamp {
    Timestamp(u64::try_from(datetime::parse(text).unwrap()).unwrap())
}

#[test]
fn quiet_hours() {
    let night = "<quiet from='22:00' until='07:00'/>";
    let week = "<quiet from='00:00' until='00:00'/>";
    // 2026-11-23 is a Monday
    for (case, periods, now, until) in [
        ("before", night, "2026-11-23T21:59:59.999Z", None),
        (
            "its first instant",
            night,
            "2026-11-23T22:00:00Z",
            Some("2026-11-24T07:00:00Z"),
        ),
        (
            "after midnight",
            night,
            "2026-11-24T03:00:00Z",
            Some("2026-11-24T07:00:00Z"),
        ),
        (
            "its last instant",
            night,
            "2026-11-24T06:59:59Z",
            Some("2026-11-24T07:00:00Z"),
        ),
        ("over", night, "2026-11-24T07:00:00Z", None),
        (
            "by a clock ahead of UTC",
            "<quiet from='22:00' until='07:00' time-offset='120'/>",
            "2026-11-23T20:30:00Z",
            Some("2026-11-24T05:00:00Z"),
        ),
        (
            "by a clock behind UTC",
            "<quiet from='22:00' until='07:00' time-offset='-300'/>",
            "2026-11-23T23:30:00Z",
            None,
        ),
        (
            "a night that begins on Friday lasts into Saturday",
            "<quiet from='22:00' until='07:00' days='fri'/>",
            "2026-11-28T06:00:00Z",
            Some("2026-11-28T07:00:00Z"),
        ),
        (
            "and there is none from Saturday to Sunday",
            "<quiet from='22:00' until='07:00' days='fri'/>",
            "2026-11-28T23:00:00Z",
            None,
        ),
        (
            "within a day, at noon of Monday and Sunday",
            "<quiet from='12:00' until='13:00' days='sun mon'/>",
            "2026-11-23T12:30:00Z",
            Some("2026-11-23T13:00:00Z"),
        ),
        (
            "periods that meet are one",
            "<quiet from='12:00' until='13:00'/><quiet from='13:00' until='14:30'/>",
            "2026-11-23T12:30:00Z",
            Some("2026-11-23T14:30:00Z"),
        ),
        (
            "always: one looks again after a week",
            week,
            "2026-11-23T12:00:00Z",
            Some("2026-12-01T00:00:00Z"),
        ),
        (
            "a time that is none",
            "<quiet from='24:00' until='7:00'/>",
            "2026-11-23T00:00:00Z",
            None,
        ),
        (
            "a day that is none",
            "<quiet from='00:00' until='00:00' days='moon'/>",
            "2026-11-23T00:00:00Z",
            None,
        ),
        (
            "a clock that is none",
            "<quiet from='00:00' until='00:00' time-offset='900'/>",
            "2026-11-23T00:00:00Z",
            None,
        ),
    ] {
        let found = notification("", periods).quiet_until(at(now));
        assert_eq!(found, until.map(at), "{case}");
    }
}

fn document(basic: &str, willing: &str, note: &str) -> Vec<u8> {
    format!(
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:op='urn:oma:xml:prs:pidf:oma-pres' entity='sip:b@h'>\
         <tuple id='t'><status><basic>{basic}</basic></status><op:willingness><op:basic>{willing}</op:basic>\
         </op:willingness><note>{note}</note></tuple></presence>"
    )
    .into_bytes()
}

const WILLING: &str =
    "<trigger><element ns='urn:oma:xml:prs:pidf:oma-pres' name='willingness'/></trigger>";
const BASIC: &str = "<trigger><element name='basic'/></trigger>";

#[test]
fn a_change_is_told_when_it_is_a_trigger_to_every_rule() {
    let both = |one: &str, other: &str| {
        let mut rules = notification("", one);
        rules.combine(&notification("", other));
        rules
    };
    let before = document("open", "open", "a");
    let note = document("open", "open", "b");
    let basic = document("closed", "open", "a");
    let willing = document("open", "closed", "a");
    let all = document("closed", "closed", "b");
    for (case, rules, after, told) in [
        (
            "no trigger: every change",
            notification("", ""),
            &note,
            true,
        ),
        ("nothing changed", notification("", ""), &before, false),
        (
            "the element's inside",
            notification("", WILLING),
            &willing,
            true,
        ),
        ("another element", notification("", WILLING), &basic, false),
        (
            "an element of the same name elsewhere",
            notification("", BASIC),
            &willing,
            false,
        ),
        (
            "any of one rule",
            notification("", &format!("{WILLING}{BASIC}")),
            &basic,
            true,
        ),
        ("one rule of two", both(WILLING, BASIC), &basic, false),
        ("both rules", both(WILLING, BASIC), &all, true),
        (
            "a rule without triggers restricts nothing",
            both(WILLING, ""),
            &willing,
            true,
        ),
    ] {
        assert_eq!(rules.fires(&before, after), told, "{case}");
    }
    let gone = document("open", "open", "a");
    let gone = String::from_utf8(gone)
        .unwrap()
        .replace("<basic>open</basic>", "");
    assert!(
        notification("", BASIC).fires(&before, gone.as_bytes()),
        "an element that is gone"
    );
}

#[test]
fn the_longest_interval_counts_and_it_is_quiet_when_one_rule_says_so() {
    let mut rules = notification("interval='10'", "<quiet from='01:00' until='02:00'/>");
    rules.combine(&notification(
        "interval='60'",
        "<quiet from='03:00' until='04:00'/>",
    ));
    rules.combine(&notification("interval='20'", ""));
    assert_eq!(rules.interval, Seconds(60));
    for hour in ["01", "03"] {
        assert!(
            rules
                .quiet_until(at(&format!("2026-11-23T{hour}:30:00Z")))
                .is_some()
        );
    }
    assert_eq!(
        notification("interval='99999999'", "").interval,
        LONGEST_INTERVAL
    );
    assert_eq!(notification("interval='often'", "").interval, Seconds(0));
    assert!(notification("", "").is_none());
}
