//! When filters fire.

use super::*;

const BASIC: &str = "/p:presence/p:tuple/p:status/p:basic";

#[test]
fn a_trigger_fires_on_its_change_and_on_no_other() {
    let before = state("a", "closed", "60", "<r:away/>");
    let opened = state("a", "open", "60", "<r:away/>");
    let moved = state("a", "closed", "180", "<r:away/>");
    let busy = state("a", "closed", "60", "<r:away/><r:busy/>");
    let renamed = state("b", "open", "60", "<r:away/>");
    let changed =
        |attributes: &str| format!("<trigger><changed {attributes}>{BASIC}</changed></trigger>");
    let offset =
        |by: &str| format!("<trigger><changed by='{by}'>//r:time-offset</changed></trigger>");
    for (case, trigger, after, fires) in [
        ("any change of it", changed(""), &opened, true),
        ("a change of something else", changed(""), &busy, false),
        (
            "from and to",
            changed("from='closed' to='open'"),
            &opened,
            true,
        ),
        (
            "without regard to case",
            changed("from='CLOSED' to='OPEN'"),
            &opened,
            true,
        ),
        ("to another value", changed("to='closed'"), &opened, false),
        ("from another value", changed("from='open'"), &opened, false),
        (
            "in a tuple with another id",
            changed("to='open'"),
            &renamed,
            true,
        ),
        ("by at least so much", offset("120"), &moved, true),
        ("by less", offset("120.5"), &moved, false),
        (
            "something new",
            "<trigger><added>//r:busy</added></trigger>".into(),
            &busy,
            true,
        ),
        (
            "nothing gone",
            "<trigger><removed>//r:away</removed></trigger>".into(),
            &busy,
            false,
        ),
        (
            "the same removed",
            "<trigger><removed>//r:busy</removed></trigger>".into(),
            &before,
            false,
        ),
        (
            "a tuple of another id is a new one",
            "<trigger><added>//p:tuple</added></trigger>".into(),
            &renamed,
            true,
        ),
        (
            "and the old one is gone",
            "<trigger><removed>//p:tuple</removed></trigger>".into(),
            &renamed,
            true,
        ),
        (
            "an attribute",
            "<trigger><changed>//p:tuple/@id</changed></trigger>".into(),
            &renamed,
            true,
        ),
        (
            "an element whose inside changed",
            "<trigger><changed>//r:activities</changed></trigger>".into(),
            &busy,
            true,
        ),
        (
            "all of one trigger",
            format!("<trigger><changed>{BASIC}</changed><added>//r:busy</added></trigger>"),
            &opened,
            false,
        ),
        (
            "any of several triggers",
            format!(
                "<trigger><changed>{BASIC}</changed></trigger><trigger><added>//r:busy</added></trigger>"
            ),
            &busy,
            true,
        ),
        (
            "no trigger",
            "<what><include>//p:tuple</include></what>".into(),
            &busy,
            true,
        ),
    ] {
        assert_eq!(filter(&trigger).fires(&before, after), fires, "{case}");
        assert!(!filter(&trigger).fires(after, after), "{case}: no change");
    }
}
