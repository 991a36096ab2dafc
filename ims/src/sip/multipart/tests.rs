//! What is divided, what is refused, and that what is written reads back.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn media(params: &str) -> MediaType<'_> {
    MediaType::parse(params).expect(params)
}

/// Bodies and content ids of the parts.
fn read<'a>(params: &str, body: &'a str) -> Result<Vec<(Option<String>, &'a str)>, Fault> {
    let parts = parse(&media(params), body.as_bytes(), 3)?;
    let text = |part: &Part<'a>| {
        let body = std::str::from_utf8(part.body).unwrap();
        (part.id().map(str::to_owned), body)
    };
    Ok(parts.iter().map(text).collect())
}

#[test]
fn parts_are_divided_as_rfc_2046_says() {
    let plain = "multipart/related;boundary=b";
    let id = |id: &str| Some(id.to_owned());
    for (case, params, body, parts) in [
        (
            "one part",
            plain,
            "--b\r\n\r\nx\r\n--b--",
            Ok(vec![(None, "x")]),
        ),
        (
            "two parts",
            plain,
            "--b\r\n\r\nx\r\n--b\r\n\r\ny\r\n--b--\r\n",
            Ok(vec![(None, "x"), (None, "y")]),
        ),
        (
            "preamble and epilogue",
            plain,
            "pre --b\r\n--b\r\n\r\nx\r\n--b--\r\nepilogue\r\n--b\r\n",
            Ok(vec![(None, "x")]),
        ),
        (
            "an id",
            plain,
            "--b\r\ncontent-id: <a@b>\r\n\r\nx\r\n--b--",
            Ok(vec![(id("a@b"), "x")]),
        ),
        (
            "a folded field",
            plain,
            "--b\r\nContent-ID:\r\n <a@b>\r\n\r\nx\r\n--b--",
            Ok(vec![(id("a@b"), "x")]),
        ),
        (
            "an id without brackets is none",
            plain,
            "--b\r\nContent-ID: a@b\r\n\r\nx\r\n--b--",
            Ok(vec![(None, "x")]),
        ),
        (
            "line ends inside",
            plain,
            "--b\r\n\r\nx\r\n\r\ny\r\n--b--",
            Ok(vec![(None, "x\r\n\r\ny")]),
        ),
        (
            "an empty body",
            plain,
            "--b\r\nA: b\r\n\r\n\r\n--b--",
            Ok(vec![(None, "")]),
        ),
        (
            "a head alone",
            plain,
            "--b\r\nA: b\r\n--b--",
            Ok(vec![(None, "")]),
        ),
        (
            "nothing at all",
            plain,
            "--b\r\n--b--",
            Ok(vec![(None, "")]),
        ),
        (
            "padding",
            plain,
            "--b \t\r\n\r\nx\r\n--b-- ",
            Ok(vec![(None, "x")]),
        ),
        (
            "a boundary that begins like ours",
            plain,
            "--b\r\n\r\n--bb\r\nx\r\n--b2\r\n--b--",
            Ok(vec![(None, "--bb\r\nx\r\n--b2")]),
        ),
        (
            "a boundary in quotes",
            "multipart/related;boundary=\"b c:d\"",
            "--b c:d\r\n\r\nx\r\n--b c:d--",
            Ok(vec![(None, "x")]),
        ),
        (
            "no boundary",
            "multipart/related",
            "--b\r\n\r\nx\r\n--b--",
            Err(Fault::Boundary),
        ),
        (
            "an empty boundary",
            "multipart/related;boundary=\"\"",
            "--\r\n\r\nx\r\n----",
            Err(Fault::Boundary),
        ),
        (
            "a boundary that is none",
            "multipart/related;boundary=\"a{b\"",
            "",
            Err(Fault::Boundary),
        ),
        (
            "another boundary",
            plain,
            "--c\r\n\r\nx\r\n--c--",
            Err(Fault::Undivided),
        ),
        ("no end", plain, "--b\r\n\r\nx\r\n", Err(Fault::Undivided)),
        (
            "an end that goes on",
            plain,
            "--b\r\n\r\nx\r\n--b--x",
            Err(Fault::Undivided),
        ),
        ("nothing", plain, "", Err(Fault::Undivided)),
        (
            "bare line feeds",
            plain,
            "--b\n\nx\n--b--",
            Err(Fault::Undivided),
        ),
        (
            "a field without colon",
            plain,
            "--b\r\nfield\r\n\r\nx\r\n--b--",
            Err(Fault::Head),
        ),
        (
            "a fold of nothing",
            plain,
            "--b\r\n fold\r\n\r\nx\r\n--b--",
            Err(Fault::Head),
        ),
        (
            "a control character",
            plain,
            "--b\r\nA: \u{1}\r\n\r\nx\r\n--b--",
            Err(Fault::Head),
        ),
        (
            "one id twice",
            plain,
            "--b\r\nContent-ID: <a>\r\n\r\nx\r\n--b\r\nContent-ID: <a>\r\n\r\ny\r\n--b--",
            Err(Fault::SameId),
        ),
        (
            "four parts of three",
            plain,
            "--b\r\n\r\n1\r\n--b\r\n\r\n2\r\n--b\r\n\r\n3\r\n--b\r\n\r\n4\r\n--b--",
            Err(Fault::TooMany),
        ),
    ] {
        assert_eq!(read(params, body), parts, "{case}");
    }
    let long = format!("--b\r\nA: {}\r\n\r\nx\r\n--b--", "x".repeat(HEAD));
    assert_eq!(
        read(plain, &long),
        Err(Fault::Head),
        "a head that is too long"
    );
    let many = format!("--b\r\n{}\r\nx\r\n--b--", "A: b\r\n".repeat(FIELDS + 1));
    assert_eq!(read(plain, &many), Err(Fault::Head), "too many fields");
    let boundary = "b".repeat(BOUNDARY + 1);
    let params = format!("multipart/related;boundary={boundary}");
    assert_eq!(read(&params, ""), Err(Fault::Boundary), "71 characters");
}

#[test]
fn the_root_is_the_part_that_start_names_or_the_first() {
    let body = "--b\r\nContent-Type: image/png\r\nContent-ID: <i@x>\r\n\r\nx\r\n--b\r\n\
        Content-Type: application/pidf+xml;charset=utf-8\r\nContent-ID: <p@x>\r\n\r\ny\r\n--b--";
    for (case, params, position) in [
        ("the first", "multipart/related;boundary=b", Ok(0)),
        (
            "named",
            "multipart/related;boundary=b;start=\"<p@x>\"",
            Ok(1),
        ),
        (
            "of its type",
            "multipart/related;boundary=b;start=\"<p@x>\";type=\"Application/pidf+xml\"",
            Ok(1),
        ),
        (
            "of another type",
            "multipart/related;boundary=b;type=\"application/pidf+xml\"",
            Err(Fault::Root),
        ),
        (
            "nobody",
            "multipart/related;boundary=b;start=\"<q@x>\"",
            Err(Fault::Root),
        ),
        (
            "no id",
            "multipart/related;boundary=b;start=\"p@x\"",
            Err(Fault::Root),
        ),
    ] {
        let media = media(params);
        let parts = parse(&media, body.as_bytes(), 3).unwrap();
        assert_eq!(root(&media, &parts), position, "{case}");
    }
    assert_eq!(root(&media("multipart/related"), &[]), Err(Fault::Root));
}

#[test]
fn a_transfer_encoding_is_told() {
    for (encoding, plain) in [
        ("", true),
        ("Content-Transfer-Encoding: BINARY\r\n", true),
        ("Content-Transfer-Encoding: base64\r\n", false),
    ] {
        let body = format!("--b\r\n{encoding}\r\nx\r\n--b--");
        let parts = parse(&media("a/b;boundary=b"), body.as_bytes(), 1).unwrap();
        assert_eq!(parts[0].is_plain(), plain, "{encoding}");
    }
}

#[test]
fn cid_uris_name_content_ids() {
    for (uri, id) in [
        ("cid:icon@home1.test", Some("icon@home1.test")),
        ("CID:a%25b%40c", Some("a%b@c")),
        ("cid:", None),
        ("cid:%4", None),
        ("cid:%zz", None),
        ("cid:%ff", None),
        ("http://a.test/cid:x", None),
        ("cid", None),
    ] {
        assert_eq!(content_id(uri).as_deref(), id, "{uri}");
    }
}

#[test]
fn a_part_that_holds_the_boundary_gets_another() {
    let hostile = format!("\r\n--part-{:016x}--\r\n--part-{0:016x}-1--", 7);
    let part = Outgoing {
        fields: vec![("Content-Type", "text/plain\r\nX: y")],
        body: hostile.as_bytes(),
    };
    let written = related("text/plain", Some("r@x"), &[part], 7);
    assert!(written.media_type.contains(";start=\"<r@x>\""));
    let parts = parse(&media(&written.media_type), &written.bytes, 9).unwrap();
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].body, hostile.as_bytes());
    assert_eq!(parts[0].field("X"), None);
}

/// What hostile bodies are made of.
const PIECES: &[&[u8]] = &[
    b"--b",
    b"--",
    b"\r\n",
    b" ",
    b"Content-ID: <a>",
    b":",
    b"\xff",
    b"x",
    b"\n",
];

proptest! {
    #[test]
    fn what_is_written_reads_back(
        bodies in vec(vec(any::<u8>(), 0..80), 1..5), mark in 0u64..4,
    ) {
        let parts: Vec<Outgoing<'_>> = bodies
            .iter()
            .map(|body| Outgoing { fields: vec![("Content-Type", "a/b")], body })
            .collect();
        let written = related("a/b", None, &parts, mark);
        let media = MediaType::parse(&written.media_type).unwrap();
        let read = parse(&media, &written.bytes, 5).unwrap();
        prop_assert_eq!(root(&media, &read), Ok(0));
        let read: Vec<&[u8]> = read.iter().map(|part| part.body).collect();
        let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(read, bodies);
    }

    #[test]
    fn whatever_comes_is_divided_or_refused(
        pieces in vec(proptest::sample::select(PIECES), 0..40),
    ) {
        let body = pieces.concat();
        let media = MediaType::parse("multipart/related;boundary=b").unwrap();
        if let Ok(parts) = parse(&media, &body, 8) {
            prop_assert!(!parts.is_empty() && parts.len() <= 8);
            let held: usize = parts.iter().map(|part| part.body.len()).sum();
            prop_assert!(held <= body.len());
        }
    }
}
