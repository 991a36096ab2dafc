//! Proofs made by hand, after RFC 7616 §3.4.1.

use super::*;
use std::io::Write;

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const TARGET: &str = "/xcap-root/pres-rules/users/sip:bob@ims.test/index?xmlns(a=urn:a)";

fn guard(settings: XcapDigest) -> Guard {
    let identities = ["sip:bob@ims.test".to_owned(), "tel:+36105550001".to_owned()];
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{}", line("bob", "r", "secret", &identities).unwrap()).unwrap();
    let settings = XcapDigest {
        users: file.path().to_owned(),
        ..settings
    };
    let hash = RandomState::with_seeds(1, 2, 3, 4);
    Guard::new(&settings, "r", Key::random().unwrap(), &hash).unwrap()
}

fn asked(now: u64) -> Asked<'static> {
    Asked {
        method: "GET",
        target: TARGET,
        peer: PEER,
        now: Duration::from_secs(now),
    }
}

/// Credentials in which everything can be wrong.
struct Given<'a> {
    name: &'a str,
    password: &'a str,
    hash: Hash,
    uri: &'a str,
    count: &'a str,
    rest: &'a str,
}

const GIVEN: Given<'static> = Given {
    name: "bob",
    password: "secret",
    hash: Hash::Sha256,
    uri: TARGET,
    count: "00000001",
    rest: "qop=auth",
};

fn credentials(nonce: &str, given: &Given<'_>) -> String {
    let Given {
        name,
        uri,
        count,
        rest,
        hash,
        password,
    } = given;
    let secret = hash.of(&[name, "r", password]);
    let subject = hash.of(&["GET", uri]);
    let response = hash.of(&[&secret, nonce, count, "c", "auth", &subject]);
    let algorithm = match hash {
        Hash::Md5 => "MD5",
        Hash::Sha256 => "SHA-256",
    };
    format!(
        "Digest username=\"{name}\", realm=\"r\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\", \
         algorithm={algorithm}, cnonce=\"c\", nc={count}, {rest}"
    )
}

/// The nonce of the first challenge.
fn nonce(guard: &Guard, now: u64) -> String {
    let challenges = guard.challenges(Duration::from_secs(now), false);
    let challenge = Digest::parse(challenges.first().unwrap()).unwrap();
    challenge.param("nonce").unwrap().into_owned()
}

#[test]
fn credentials_are_judged() {
    let absolute = format!("https://xcap.ims.test{TARGET}");
    for (case, given, status) in [
        ("right", GIVEN, "known"),
        (
            "with MD5",
            Given {
                hash: Hash::Md5,
                ..GIVEN
            },
            "known",
        ),
        (
            "in absolute form",
            Given {
                uri: &absolute,
                ..GIVEN
            },
            "known",
        ),
        (
            "a wrong password",
            Given {
                password: "x",
                ..GIVEN
            },
            "challenge",
        ),
        (
            "an unknown user",
            Given {
                name: "eve",
                ..GIVEN
            },
            "challenge",
        ),
        ("for something else", Given { uri: "/x", ..GIVEN }, "bad"),
        (
            "a count of one digit",
            Given {
                count: "1",
                ..GIVEN
            },
            "challenge",
        ),
        (
            "without qop",
            Given {
                rest: "x=y",
                ..GIVEN
            },
            "challenge",
        ),
        (
            "the body is hashed too",
            Given {
                rest: "qop=auth-int",
                ..GIVEN
            },
            "challenge",
        ),
        (
            "a name of a kilobyte",
            Given {
                name: &"n".repeat(1024),
                ..GIVEN
            },
            "challenge",
        ),
    ] {
        let guard = guard(XcapDigest::default());
        let value = credentials(&nonce(&guard, 0), &given);
        let seen = match guard.judge(&value, asked(0)) {
            Verdict::Known {
                identities,
                next_nonce,
            } => {
                assert_eq!(
                    identities,
                    ["sip:bob@ims.test", "tel:+36105550001"],
                    "{case}"
                );
                assert_eq!(next_nonce, None, "{case}");
                "known"
            }
            Verdict::Challenge { is_stale } => {
                assert!(!is_stale, "{case}");
                "challenge"
            }
            Verdict::BadRequest => "bad",
            Verdict::Wait(_) => "wait",
        };
        assert_eq!(seen, status, "{case}");
    }
    let guard = guard(XcapDigest::default());
    for junk in [
        "",
        "Digest",
        "Digest ,,,=",
        "Basic Ym9iOnNlY3JldA==",
        "Digest username",
    ] {
        assert_eq!(guard.judge(junk, asked(0)), CHALLENGE, "{junk}");
    }
}

#[test]
fn a_replay_is_stale_and_the_next_count_is_not() {
    let guard = guard(XcapDigest::default());
    let nonce = nonce(&guard, 0);
    let first = credentials(&nonce, &GIVEN);
    let second = credentials(
        &nonce,
        &Given {
            count: "00000002",
            ..GIVEN
        },
    );
    let stale = Verdict::Challenge { is_stale: true };
    assert!(matches!(
        guard.judge(&first, asked(1)),
        Verdict::Known { .. }
    ));
    assert_eq!(guard.judge(&first, asked(1)), stale, "again");
    assert!(matches!(
        guard.judge(&second, asked(1)),
        Verdict::Known { .. }
    ));
    let third = credentials(
        &nonce,
        &Given {
            count: "00000003",
            ..GIVEN
        },
    );
    let Verdict::Known {
        next_nonce: Some(next),
        ..
    } = guard.judge(&third, asked(200))
    else {
        panic!("no next nonce");
    };
    assert!(matches!(
        guard.judge(&credentials(&next, &GIVEN), asked(400)),
        Verdict::Known { .. }
    ));
    let late = credentials(
        &nonce,
        &Given {
            count: "00000004",
            ..GIVEN
        },
    );
    assert_eq!(guard.judge(&late, asked(301)), stale, "too old");
    let foreign = credentials(&"0".repeat(64), &GIVEN);
    assert_eq!(guard.judge(&foreign, asked(0)), stale, "made by nobody");
}

#[test]
fn only_what_is_offered_is_taken() {
    let only = XcapDigest {
        algorithms: vec![DigestAlgorithm::Sha256],
        ..XcapDigest::default()
    };
    let guard = guard(only);
    let value = credentials(
        &nonce(&guard, 0),
        &Given {
            hash: Hash::Md5,
            ..GIVEN
        },
    );
    assert_eq!(guard.judge(&value, asked(0)), CHALLENGE);
    assert_eq!(guard.challenges(Duration::ZERO, true).len(), 1);
    assert!(guard.challenges(Duration::ZERO, true)[0].ends_with(", stale=true"));
}

#[test]
fn who_guesses_waits_and_others_do_not() {
    let guard = guard(XcapDigest::default());
    let wrong = credentials(
        &nonce(&guard, 0),
        &Given {
            password: "x",
            ..GIVEN
        },
    );
    let right = credentials(&nonce(&guard, 0), &GIVEN);
    for guess in 0..5 {
        assert_eq!(guard.judge(&wrong, asked(0)), CHALLENGE, "guess {guess}");
    }
    let wait = Verdict::Wait(Duration::from_secs(1));
    assert_eq!(guard.judge(&wrong, asked(0)), wait);
    assert_eq!(guard.judge(&right, asked(0)), wait, "even the right one");
    let elsewhere = Asked {
        peer: "192.0.2.9".parse().unwrap(),
        ..asked(0)
    };
    assert!(matches!(
        guard.judge(&right, elsewhere),
        Verdict::Known { .. }
    ));
    assert_eq!(guard.judge(&wrong, asked(2)), CHALLENGE, "after the wait");
    assert_eq!(
        guard.judge(&wrong, asked(2)),
        Verdict::Wait(Duration::from_secs(2))
    );
    // many names from one address
    for name in 0..60 {
        let name = format!("user{name}");
        let _ = guard.judge(
            &credentials(
                "n",
                &Given {
                    name: &name,
                    ..GIVEN
                },
            ),
            asked(10),
        );
    }
    let other = credentials(
        "n",
        &Given {
            name: "carol",
            ..GIVEN
        },
    );
    assert!(matches!(guard.judge(&other, asked(10)), Verdict::Wait(_)));
}

/// A node selector or a namespace binding names URIs, and the path with one is no absolute form.
#[test]
fn a_path_that_names_a_uri_is_a_path() {
    let path = "/xcap-root/resource-lists/users/sip:bob@ims.test/index/~~/external%5B@anchor=%22http://x/y%22%5D";
    for (uri, target, is_good) in [
        (path, path, true),
        ("/a?xmlns(b=http://c)", "/a?xmlns(b=http://c)", true),
        ("/a://b/c", "/c", false),
        ("https://xcap.ims.test/c", "/c", true),
        ("https://xcap.ims.test", "/", false),
    ] {
        let guard = guard(XcapDigest::default());
        let value = credentials(&nonce(&guard, 0), &Given { uri, ..GIVEN });
        let verdict = guard.judge(&value, Asked { target, ..asked(0) });
        assert_eq!(matches!(verdict, Verdict::Known { .. }), is_good, "{uri}");
        assert!(is_good || verdict == Verdict::BadRequest, "{uri}");
    }
}
