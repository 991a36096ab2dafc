//! Documents that users of the world write.

use crate::truth::{Content, Handling, Rule};

/// A presence rules document (RFC 5025).
pub fn ruleset(rules: &[Rule]) -> String {
    let rules: String = rules
        .iter()
        .enumerate()
        .map(|(n, rule)| {
            let instant = |ms: u64| utc(ms / 1000);
            let validity = rule.validity.map_or(String::new(), |(from, until)| {
                let (from, until) = (instant(from), instant(until));
                format!("<validity><from>{from}</from><until>{until}</until></validity>")
            });
            let sphere = rule
                .sphere
                .map_or(String::new(), |s| format!("<sphere value=\"{s}\"/>"));
            let shown = if rule.handling == Handling::Allow {
                "<transformations><pr:provide-devices><pr:all-devices/></pr:provide-devices>\
                 <pr:provide-persons><pr:all-persons/></pr:provide-persons>\
                 <pr:provide-services><pr:all-services/></pr:provide-services>\
                 <pr:provide-all-attributes/></transformations>"
            } else {
                ""
            };
            format!(
                "<rule id=\"r{n}\"><conditions><identity><one id=\"{}\"/></identity>{sphere}{validity}</conditions>\
                 <actions><pr:sub-handling>{}</pr:sub-handling></actions>{shown}</rule>",
                rule.watcher,
                rule.handling.as_str()
            )
        })
        .collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" \
         xmlns:pr=\"urn:ietf:params:xml:ns:pres-rules\">{rules}</ruleset>"
    )
}

/// A document with one service: a list of these members.
pub fn service(uri: &str, members: &[String]) -> String {
    let entry = |uri: &String| format!("<l:entry uri=\"{uri}\"/>");
    let entries: String = members.iter().map(entry).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><rls-services xmlns=\"urn:ietf:params:xml:ns:rls-services\" \
         xmlns:l=\"urn:ietf:params:xml:ns:resource-lists\"><service uri=\"{uri}\"><list>{entries}</list></service></rls-services>"
    )
}

/// Date and time of a number of seconds since the epoch (days to civil date after Howard Hinnant).
fn utc(seconds: u64) -> String {
    let (days, rest) = ((seconds / 86_400) as i64 + 719_468, seconds % 86_400);
    let era = days / 146_097;
    let day = days - era * 146_097;
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!(
        "{:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}Z",
        year + era * 400 + carry,
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

/// A presence document (RFC 3863) with one service and, where there is a sphere, one person.
pub fn pidf(entity: &str, content: &Content) -> String {
    let person = content.sphere.map_or(String::new(), |sphere| {
        format!("<dm:person id=\"p\"><r:sphere><r:{sphere}/></r:sphere></dm:person>")
    });
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
         xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\" \
         entity=\"{entity}\"><tuple id=\"t\"><status><basic>open</basic></status><note>{}</note></tuple>{person}</presence>",
        content.note
    )
}
