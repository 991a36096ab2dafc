//! What came of each case: one line on the terminal, JUnit XML and JSON for machines.

use super::scenario::Scenario;
use ims::xml::text::escaped;
use serde_json::json;
use std::time::Duration;

/// The outcome of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    /// The reason, and below it the ladder.
    Failed {
        reason: String,
        ladder: String,
    },
    /// Why it was not judged.
    Skipped {
        reason: String,
    },
}

/// A case and what came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub scenario: Scenario,
    pub verdict: Verdict,
    pub took: Duration,
}

impl Outcome {
    /// The line on the terminal, and what a failure needs below it.
    pub fn line(&self) -> String {
        let Scenario { name, ids, .. } = &self.scenario;
        let (word, more) = match &self.verdict {
            Verdict::Passed => ("ok  ", String::new()),
            Verdict::Failed { reason, ladder } => (
                "FAIL",
                format!("\n    {}\n    {reason}\n{ladder}", self.scenario.title),
            ),
            Verdict::Skipped { reason } => ("skip", format!("\n     {reason}")),
        };
        format!(
            "{word} {name}  [{}]  {:.2} s{more}",
            ids.join(" "),
            self.took.as_secs_f64()
        )
    }
}

/// Passed, failed, skipped.
pub fn count(outcomes: &[Outcome]) -> (usize, usize, usize) {
    outcomes.iter().fold(
        (0, 0, 0),
        |(passed, failed, skipped), outcome| match outcome.verdict {
            Verdict::Passed => (passed + 1, failed, skipped),
            Verdict::Failed { .. } => (passed, failed + 1, skipped),
            Verdict::Skipped { .. } => (passed, failed, skipped + 1),
        },
    )
}

/// JUnit XML as continuous integration servers read it: one suite, one test case a scenario.
pub fn junit(outcomes: &[Outcome]) -> String {
    let (_, failed, skipped) = count(outcomes);
    let seconds: f64 = outcomes
        .iter()
        .map(|outcome| outcome.took.as_secs_f64())
        .sum();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"conformance\" tests=\"{}\" failures=\"{failed}\" \
         skipped=\"{skipped}\" time=\"{seconds:.3}\">\n",
        outcomes.len()
    );
    for outcome in outcomes {
        let (service, case) = outcome
            .scenario
            .name
            .split_once('/')
            .unwrap_or(("", &outcome.scenario.name));
        text += &format!(
            "  <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
            escaped(service),
            escaped(case),
            outcome.took.as_secs_f64()
        );
        text += &match &outcome.verdict {
            Verdict::Passed => "/>\n".to_owned(),
            Verdict::Failed { reason, ladder } => {
                format!(
                    ">\n    <failure message=\"{}\">{}</failure>\n  </testcase>\n",
                    escaped(reason),
                    escaped(ladder)
                )
            }
            Verdict::Skipped { reason } => {
                format!(
                    ">\n    <skipped message=\"{}\"/>\n  </testcase>\n",
                    escaped(reason)
                )
            }
        };
    }
    text + "</testsuite>\n"
}

/// The same as JSON, with the requirement ids, for score cards.
pub fn json(target: &str, outcomes: &[Outcome]) -> String {
    let (passed, failed, skipped) = count(outcomes);
    let cases: Vec<_> = outcomes
        .iter()
        .map(|outcome| {
            let (result, reason, ladder) = match &outcome.verdict {
                Verdict::Passed => ("passed", None, None),
                Verdict::Failed { reason, ladder } => ("failed", Some(reason), Some(ladder)),
                Verdict::Skipped { reason } => ("skipped", Some(reason), None),
            };
            json!({
                "name": outcome.scenario.name, "title": outcome.scenario.title, "ids": outcome.scenario.ids,
                "result": result, "reason": reason, "ladder": ladder, "seconds": outcome.took.as_secs_f64(),
            })
        })
        .collect();
    let report = json!({
        "target": target, "passed": passed, "failed": failed, "skipped": skipped, "cases": cases,
    });
    format!("{report:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn outcome(name: &str, verdict: Verdict) -> Outcome {
        let scenario = Scenario {
            name: name.to_owned(),
            folder: "f".into(),
            title: "t".to_owned(),
            ids: vec!["PUB-01".to_owned()],
            needs: BTreeSet::new(),
            limit: Duration::from_secs(1),
            before: Vec::new(),
            known: None,
        };
        Outcome {
            scenario,
            verdict,
            took: Duration::from_millis(1500),
        }
    }

    fn three() -> Vec<Outcome> {
        vec![
            outcome("presence/a", Verdict::Passed),
            outcome(
                "presence/b",
                Verdict::Failed {
                    reason: "got <412> & \"more\"".into(),
                    ladder: "-->\u{1}".into(),
                },
            ),
            outcome(
                "presence/c",
                Verdict::Skipped {
                    reason: "needs luck".into(),
                },
            ),
        ]
    }

    #[test]
    fn junit_is_well_formed_whatever_a_peer_wrote() {
        let text = junit(&three());
        let document = roxmltree::Document::parse(&text).expect("well-formed");
        let suite = document.root_element();
        assert_eq!(suite.attribute("tests"), Some("3"));
        assert_eq!(suite.attribute("failures"), Some("1"));
        let failure = suite
            .descendants()
            .find(|node| node.has_tag_name("failure"))
            .expect("the failure");
        assert_eq!(failure.attribute("message"), Some("got <412> & \"more\""));
    }

    #[test]
    fn json_counts_what_it_lists() {
        let value: serde_json::Value = serde_json::from_str(&json("t", &three())).expect("JSON");
        assert_eq!(
            (&value["passed"], &value["failed"], &value["skipped"]),
            (&json!(1), &json!(1), &json!(1))
        );
        assert_eq!(value["cases"][1]["reason"], "got <412> & \"more\"");
    }

    #[test]
    fn a_line_says_case_ids_and_time() {
        assert_eq!(three()[0].line(), "ok   presence/a  [PUB-01]  1.50 s");
    }
}
