use super::*;

fn level(version: u32, full: bool, resources: Vec<Resource>) -> Level {
    Level {
        uri: "sip:l@x".into(),
        version,
        full,
        names: Vec::new(),
        resources,
    }
}

fn resource(uri: &str, instances: Vec<Instance>) -> Resource {
    Resource {
        uri: uri.into(),
        names: Vec::new(),
        instances,
    }
}

fn state(text: &str) -> Told {
    Told::State(Content {
        media_type: "a/b".into(),
        bytes: text.to_owned().into(),
    })
}

fn instance(id: &str, phase: Phase, told: Option<Told>) -> Instance {
    Instance {
        id: id.into(),
        phase,
        reason: None,
        told,
    }
}

fn active(uri: &str, text: &str) -> Resource {
    resource(uri, vec![instance("1", Phase::Active, Some(state(text)))])
}

/// Each resource with its states.
fn shown(picture: &Picture) -> String {
    let rows = picture.rows().map(|(uri, row)| {
        let instances = row.instances.values().map(|known| match &known.state {
            What::Nothing => known.phase.text().to_owned(),
            What::State(content) => String::from_utf8_lossy(&content.bytes).into_owned(),
            What::List(inner) => format!("[{}]", shown(inner)),
        });
        format!("{uri}={}", instances.collect::<Vec<_>>().join("+"))
    });
    rows.collect::<Vec<_>>().join(" ")
}

#[test]
fn versions_decide_what_counts_and_what_was_lost() {
    let news = |lost| Taken::News {
        lost,
        changed: vec!["b".into()],
    };
    for (case, before, full, version, taken) in [
        ("the first, full", None, true, 0, news(false)),
        (
            "the first, full, of another number",
            None,
            true,
            7,
            news(false),
        ),
        ("the first, partial", None, false, 0, news(true)),
        ("the next, partial", Some(4), false, 5, news(false)),
        ("one lost, partial", Some(4), false, 6, news(true)),
        ("one lost, full", Some(4), true, 6, news(false)),
        ("the same, partial", Some(4), false, 4, Taken::Stale),
        ("the same, full", Some(4), true, 4, Taken::Stale),
        ("an older one", Some(4), true, 3, Taken::Stale),
        (
            "behind the last number",
            Some(u32::MAX),
            true,
            0,
            Taken::Stale,
        ),
    ] {
        let mut picture = Picture::default();
        if let Some(version) = before {
            picture.take(level(version, true, vec![active("b", "old")]));
        }
        let outcome = picture.take(level(version, full, vec![active("b", "new")]));
        let counts = outcome != Taken::Stale;
        assert_eq!(outcome, taken, "{case}");
        assert_eq!(
            shown(&picture),
            if counts { "b=new" } else { "b=old" },
            "{case}"
        );
        let expected = if counts { Some(version) } else { before };
        assert_eq!(picture.version(), expected, "{case}");
    }
}

#[test]
fn a_partial_one_changes_what_it_names_and_a_full_one_everything() {
    let mut picture = Picture::default();
    let pending = || resource("c", vec![instance("1", Phase::Pending, None)]);
    picture.take(level(
        0,
        true,
        vec![active("a", "A"), active("b", "B"), pending()],
    ));
    assert_eq!(shown(&picture), "a=A b=B c=pending");
    picture.take(level(1, false, vec![active("c", "C"), active("d", "D")]));
    assert_eq!(shown(&picture), "a=A b=B c=C d=D");
    let gone = resource("a", vec![instance("1", Phase::Terminated, None)]);
    let kept = resource("b", vec![instance("1", Phase::Active, None)]);
    let unknown = resource("d", vec![]);
    picture.take(level(2, false, vec![gone, kept, unknown]));
    assert_eq!(shown(&picture), "a=terminated b=B c=C d=");
    let second = resource("b", vec![instance("2", Phase::Active, Some(state("B2")))]);
    picture.take(level(3, false, vec![second]));
    assert_eq!(shown(&picture), "a=terminated b=B+B2 c=C d=");
    let bare = resource("b", vec![instance("1", Phase::Active, None)]);
    picture.take(level(4, true, vec![bare]));
    assert_eq!(shown(&picture), "b=active");
}

#[test]
fn a_list_within_has_a_table_and_a_version_of_its_own() {
    let mut picture = Picture::default();
    let within = |inner| {
        let told = Told::List(Box::new(inner));
        resource("team", vec![instance("1", Phase::Active, Some(told))])
    };
    picture.take(level(
        0,
        true,
        vec![within(level(4, true, vec![active("a", "A")]))],
    ));
    // the outer one is full, the inner one is not
    picture.take(level(
        1,
        true,
        vec![within(level(5, false, vec![active("b", "B")]))],
    ));
    assert_eq!(shown(&picture), "team=[a=A b=B]");
    let lost = picture.take(level(2, false, vec![within(level(9, false, vec![]))]));
    assert!(matches!(lost, Taken::News { lost: true, .. }), "{lost:?}");
    assert_eq!(shown(&picture), "team=[a=A b=B]");
}
