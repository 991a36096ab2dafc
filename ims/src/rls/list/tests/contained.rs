//! Lists in requests (RFC 5367, RFC 5363, RFC 5364).

use super::super::contained::{self, Bodies, MEDIA_TYPE};
use super::*;
use crate::reject::Reject;
use crate::sip::coding::Coding;

const ACCEPT: &str = "application/simple-filter+xml";

fn list(entries: usize) -> String {
    let entry = |n| format!("<entry uri=\"sip:u{n}@x.test\"/>");
    let all: String = (0..entries).map(entry).collect();
    document(&format!("<list>{all}</list>"))
}

fn take<'a>(
    media_type: &str,
    disposition: Option<&str>,
    body: &'a [u8],
) -> Result<Bodies<'a>, Reject> {
    let limits = Limits {
        contained: 3,
        bytes: 4_000,
        ..Limits::default()
    };
    Bodies::read(media_type, disposition, body, &limits, ACCEPT)
}

/// Parts between boundaries: head lines, then content.
fn parts(all: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (head, content) in all {
        bytes.extend(format!("--b\r\n{}\r\n\r\n", head.replace('\n', "\r\n")).as_bytes());
        bytes.extend(*content);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"--b--\r\n");
    bytes
}

fn summary(taken: &Result<Bodies<'_>, Reject>) -> String {
    match taken {
        Err(reject) => reject.status().0.to_string(),
        Ok(Bodies { list, rest }) => {
            let rest = rest.as_ref().map_or("", |rest| rest.media_type.as_str());
            let list = if list.is_some() { "list" } else { "" };
            format!("{list} {rest}").trim().to_owned()
        }
    }
}

#[test]
fn a_body_is_a_list_a_filter_both_or_refused() {
    let some = list(2);
    let some = some.as_bytes();
    let (most, more) = (list(3), list(4));
    let large = document(&format!("<list><!--{}--></list>", "x".repeat(4_000)));
    let recipients = Some("recipient-list");
    for (case, media_type, disposition, body, expected) in [
        ("nothing", "", None, &b""[..], ""),
        ("a list", MEDIA_TYPE, recipients, some, "list"),
        (
            "with parameters, in any case",
            "Application/Resource-Lists+XML;charset=\"utf-8\"",
            Some("Recipient-List; handling=required"),
            some,
            "list",
        ),
        ("without a disposition", MEDIA_TYPE, None, some, "list"),
        (
            "with another disposition",
            MEDIA_TYPE,
            Some("render"),
            some,
            "415",
        ),
        (
            "with another, that may be passed over",
            MEDIA_TYPE,
            Some("recipient-list-history; handling=optional"),
            some,
            "",
        ),
        ("a filter", ACCEPT, None, b"<filter-set/>", ACCEPT),
        (
            "changes to a list",
            "application/resource-lists-diff+xml",
            recipients,
            b"<diff/>",
            "application/resource-lists-diff+xml",
        ),
        ("no media type", "list", recipients, some, "415"),
        ("no XML", MEDIA_TYPE, recipients, b"bob, alice", "400"),
        (
            "cut short",
            MEDIA_TYPE,
            recipients,
            &some[..some.len() - 1],
            "400",
        ),
        (
            "XML of another kind",
            MEDIA_TYPE,
            recipients,
            b"<resource-lists/>",
            "400",
        ),
        (
            "with a document type",
            MEDIA_TYPE,
            recipients,
            b"<!DOCTYPE x><x/>",
            "400",
        ),
        (
            "as many entries as may be",
            MEDIA_TYPE,
            recipients,
            most.as_bytes(),
            "list",
        ),
        ("one more", MEDIA_TYPE, recipients, more.as_bytes(), "413"),
        (
            "too many bytes",
            MEDIA_TYPE,
            recipients,
            large.as_bytes(),
            "413",
        ),
        (
            "no boundary",
            "multipart/mixed",
            None,
            b"--b\r\n\r\n--b--",
            "400",
        ),
    ] {
        let taken = take(media_type, disposition, body);
        assert_eq!(summary(&taken), expected, "{case}");
    }
}

#[test]
fn a_list_may_be_a_part_of_a_body() {
    let some = list(2);
    let some = some.as_bytes();
    let packed = Coding::Deflate.encode(some);
    let bomb = Coding::Gzip.encode(&vec![b' '; 100_000]);
    let of_list =
        "Content-Type: application/resource-lists+xml\nContent-Disposition: recipient-list";
    let with = |line: &str| format!("{of_list}\n{line}");
    let (deflate, gzip) = (
        with("Content-Encoding: deflate"),
        with("Content-Encoding: gzip"),
    );
    let (unknown, base64) = (
        with("Content-Encoding: br"),
        with("Content-Transfer-Encoding: base64"),
    );
    let filter = "Content-Type: application/simple-filter+xml";
    let optional = "Content-Type: text/plain\nContent-Disposition: render;handling=optional";
    for (case, all, expected) in [
        ("alone", vec![(of_list, some)], "list"),
        (
            "beside a filter",
            vec![(filter, b"<filter-set/>"), (of_list, some)],
            "list application/simple-filter+xml",
        ),
        ("in a coding", vec![(&*deflate, &*packed)], "list"),
        (
            "in a coding that it is not in",
            vec![(&*gzip, &*packed)],
            "400",
        ),
        ("in an unknown coding", vec![(&*unknown, &*packed)], "415"),
        ("made to hurt", vec![(&*gzip, &*bomb)], "413"),
        (
            "in a transfer encoding",
            vec![(&*base64, &b"PGE+"[..])],
            "415",
        ),
        ("twice", vec![(of_list, some), (of_list, some)], "400"),
        (
            "beside what may be passed over",
            vec![(filter, b"<f/>"), (of_list, some), (optional, b"hi")],
            "list application/simple-filter+xml",
        ),
        (
            "beside what may not",
            vec![
                (filter, b"<f/>"),
                (of_list, some),
                ("Content-Type: text/plain", b"hi"),
            ],
            "415",
        ),
        ("a part of no type", vec![("Content-ID: <x>", some)], "415"),
        (
            "more parts than anybody needs",
            vec![(filter, b"x"); 9],
            "400",
        ),
    ] {
        let body = parts(&all);
        let taken = take("multipart/mixed;boundary=b", None, &body);
        assert_eq!(summary(&taken), expected, "{case}");
        if let Ok(Bodies {
            list: Some(list), ..
        }) = taken
        {
            assert_eq!(&*list, some, "{case}");
        }
    }
}

#[test]
fn what_is_more_than_a_flat_list_is_discarded_and_copy_control_changes_nothing() {
    let text = "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\" xmlns:cp=\"urn:ietf:params:xml:ns:copycontrol\">\
         <list><display-name>Ours</display-name><entry uri=\"sip:a@x.test\" cp:copyControl=\"to\"/>\
         <entry uri=\"sip:b@x.test\" cp:copyControl=\"bcc\" cp:anonymize=\"true\"/>\
         <entry uri=\"sip:undisclosed@x.test\" cp:copyControl=\"to\" cp:count=\"2\"/>\
         <list><entry uri=\"sip:c@x.test\"/></list><external anchor=\"http://x/y\"/><entry-ref ref=\"a#l>1\"/>\
         <entry uri=\"sip:l@x.test\"/></list><list><entry uri=\"sip:a@x.test\"/><entry uri=\"sip:d@x.test\"/></list></resource-lists>";
    let places = Places::default()
        .with("a", "<list name='l'><entry uri='sip:z@x.test'/></list>")
        .service("sip:l@x.test", Err(Absent::Foreign));
    struct Nowhere(Places);
    impl References for Nowhere {
        fn list(&self, _: u32, _: &str) -> Result<Found, Absent> {
            Err(Absent::Discarded)
        }
        fn entry(&self, _: u32, _: &str) -> Result<Found, Absent> {
            Err(Absent::Discarded)
        }
        fn service(&self, from: u32, uri: &str) -> Result<Option<Found>, Absent> {
            References::service(&self.0, from, uri)
        }
    }
    let limits = Limits {
        refuses: true,
        ..Limits::default()
    };
    let listed = contained::read(
        "sip:rls@x.test",
        text.as_bytes(),
        &Nowhere(places),
        &limits,
        hash(),
    )
    .unwrap();
    assert_eq!(
        told(&listed),
        "a b undisclosed c l!rejected d | an external list counts for nothing here, \
         an entry that is referred to counts for nothing here"
    );
    assert!(!listed.refused);
    let list = listed.list.unwrap();
    assert_eq!(
        (&*list.uri, &*list.names[0].text),
        ("sip:rls@x.test", "Ours")
    );
    let nothing = document("<list/>");
    let empty = contained::read(
        "sip:rls@x.test",
        nothing.as_bytes(),
        &Places::default(),
        &limits,
        hash(),
    );
    assert_eq!(told(&empty.unwrap()), "", "an empty list is one");
}
