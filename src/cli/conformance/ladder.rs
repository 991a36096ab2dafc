//! A message ladder from SIPp's message trace, for the eyes of whoever looks into a failure.

/// One message, seen from SIPp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// True when SIPp sent it.
    pub sent: bool,
    /// Request line or status line.
    pub first: String,
    pub cseq: String,
    pub call_id: String,
}

/// Messages in the order of the trace. SIPp writes a rule of dashes, a line that says sent or received, an empty line,
/// and the message.
pub fn steps(trace: &str) -> Vec<Step> {
    let mut found = Vec::new();
    let mut lines = trace.lines().peekable();
    while let Some(line) = lines.next() {
        let sent = line.contains(" message sent ");
        if !sent && !line.contains(" message received ") {
            continue;
        }
        let first = lines
            .by_ref()
            .find(|text| !text.trim().is_empty())
            .unwrap_or_default();
        let mut step = Step {
            sent,
            first: first.trim().to_owned(),
            cseq: String::new(),
            call_id: String::new(),
        };
        while let Some(text) =
            lines.next_if(|text| !text.trim().is_empty() && !text.starts_with("-----"))
        {
            if let Some(value) = header(text, "cseq", "cseq") {
                step.cseq = value;
            } else if let Some(value) = header(text, "call-id", "i") {
                step.call_id = value;
            }
        }
        found.push(step);
    }
    found
}

fn header(line: &str, name: &str, compact: &str) -> Option<String> {
    let (key, value) = line.split_once(':')?;
    let key = key.trim();
    (key.eq_ignore_ascii_case(name) || key.eq_ignore_ascii_case(compact))
        .then(|| value.trim().to_owned())
}

/// Width of the arrow between the two sides, in characters.
const WIDTH: usize = 56;

/// The ladder as text: SIPp left, the target right. Retransmissions are folded into one arrow with a count.
pub fn render(trace: &str) -> String {
    let steps = steps(trace);
    let mut text = format!(
        "    {:<w$}{:>w2$}\n",
        "SIPp",
        "target",
        w = WIDTH / 2 + 1,
        w2 = WIDTH / 2 + 1
    );
    let mut at = 0;
    while let Some(step) = steps.get(at) {
        let same = steps[at..]
            .iter()
            .take_while(|other| *other == step)
            .count();
        let times = if same > 1 {
            format!(" x{same}")
        } else {
            String::new()
        };
        let words = format!(" {}{times} ", short(&step.first));
        let arrow = if step.sent {
            format!("--{words:-<0$}>", WIDTH - 3)
        } else {
            format!("<-{words:-<0$}-", WIDTH - 3)
        };
        text += &format!("    |{arrow}|  {}  {}\n", step.cseq, dialog(&step.call_id));
        at += same;
    }
    text
}

/// `PUBLISH sip:bob@ims.test` or `412 Conditional Request Failed`: the line without the version, cut to the arrow.
fn short(first: &str) -> String {
    let text = first
        .strip_prefix("SIP/2.0 ")
        .or(first.strip_suffix(" SIP/2.0"))
        .unwrap_or(first);
    text.chars().take(WIDTH - 12).collect()
}

/// What stands before `///` in a Call-ID names the dialog within a scenario.
fn dialog(call_id: &str) -> &str {
    call_id.split_once("///").map_or("", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "\
----------------------------------------------- 2026-01-01 10:00:00.000000\n\
UDP message sent (300 bytes):\n\n\
PUBLISH sip:bob@ims.test SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nCall-ID: source///1-2@h\r\nCSeq: 1 PUBLISH\r\n\r\n<presence/>\n\n\
----------------------------------------------- 2026-01-01 10:00:00.100000\n\
UDP message received [200] bytes :\n\n\
SIP/2.0 412 Conditional Request Failed\r\ni: source///1-2@h\r\nCSeq: 1 PUBLISH\r\n\r\n";

    #[test]
    fn messages_are_read_from_the_trace_in_order() {
        let found = steps(TRACE);
        assert_eq!(found.len(), 2);
        assert!(found[0].sent && !found[1].sent);
        assert_eq!(found[1].first, "SIP/2.0 412 Conditional Request Failed");
        assert_eq!(found[1].call_id, "source///1-2@h");
    }

    #[test]
    fn arrows_point_to_where_the_message_went() {
        let text = render(TRACE);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[1].contains("|-- PUBLISH sip:bob@ims.test -"),
            "{text}"
        );
        assert!(lines[1].contains(">|  1 PUBLISH  source"), "{text}");
        assert!(
            lines[2].contains("|<- 412 Conditional Request Failed -"),
            "{text}"
        );
    }

    #[test]
    fn a_retransmission_is_one_arrow_with_a_count() {
        let text = render(&format!(
            "{TRACE}{}",
            &TRACE[TRACE
                .rfind("-----------------------------------------------")
                .unwrap_or(0)..]
        ));
        assert!(text.contains("412 Conditional Request Failed x2"), "{text}");
    }
}
