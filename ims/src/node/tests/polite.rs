//! Polite blocking cannot be told from absence: everything that a politely blocked watcher is sent about a busy
//! presentity is what an allowed one is sent about a presentity of whom nothing is known, byte for byte and at the same
//! time (RFC 5025 §3.2.1).

use super::*;

/// What alice sees of bob, from her first SUBSCRIBE on.
struct Eyes {
    bench: Bench,
    began: u64,
    /// When something came, and what, without the names of dialogs and transactions.
    seen: Vec<(u64, String)>,
    /// The answer that she was sent last.
    answer: Option<Sent>,
    /// The tag that she was told last.
    tag: String,
    /// NOTIFYs that she has not answered.
    open: Vec<Sent>,
}

/// A message without what is different in any two dialogs.
fn anonymised(sent: &Sent) -> String {
    let is_answer = sent.method() == "SIP/2.0";
    let (head, body) = sent.text.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<String> = Vec::new();
    for line in head.split("\r\n") {
        match line.split_once(": ").map_or("", |(name, _)| name) {
            "Via" | "Call-ID" => {}
            "CSeq" if is_answer => {}
            "From" | "To" => lines.push(line.split(";tag=").next().unwrap().to_owned()),
            _ => lines.push(line.to_owned()),
        }
    }
    // entries of watcher information have a number for each subscription
    let mut rest = body;
    let mut plain = String::new();
    while let Some((before, after)) = rest.split_once("<watcher id=\"") {
        plain.push_str(before);
        plain.push_str("<watcher id=\"");
        rest = after.trim_start_matches(|c| c != '"');
    }
    format!("{}\n\n{plain}{rest}", lines.join("\n"))
}

impl Eyes {
    fn open(mut bench: Bench) -> Eyes {
        bench.wait(10_000);
        Eyes {
            began: bench.now,
            bench,
            seen: Vec::new(),
            answer: None,
            tag: String::new(),
            open: Vec::new(),
        }
    }

    fn see(&mut self, sent: &[Sent]) {
        let at = self.bench.now - self.began;
        for sent in sent {
            match sent.method() {
                "NOTIFY" if self.open.iter().any(|o| o.text == sent.text) => {}
                "NOTIFY" => {
                    self.tag = sent.get("SIP-ETag").to_owned();
                    self.open.push(sent.clone());
                }
                _ => self.answer = Some(sent.clone()),
            }
            self.seen.push((at, anonymised(sent)));
        }
    }

    fn subscribe(&mut self, head: &str, body: &str) {
        let head =
            format!("P-Asserted-Identity: <{ALICE}>\r\nContact: <sip:10.0.0.2:5060>\r\n{head}");
        let sent = self.bench.ask("SUBSCRIBE", BOB, &head, body);
        self.see(&sent);
    }

    fn renew(&mut self, opened: &Sent, more: &str) {
        let dialog = format!(
            "To: {}\r\nCall-ID: {}\r\nEvent: presence\r\n{more}",
            opened.get("To"),
            opened.get("Call-ID")
        );
        self.subscribe(&dialog, "");
    }

    /// Answers what is open, and what comes upon that.
    fn answer(&mut self, status: u16) {
        assert!(!self.open.is_empty(), "{:?}", self.seen.last());
        while !self.open.is_empty() {
            let notify = self.open.remove(0);
            let sent = self.bench.answer(&notify, status, "");
            self.see(&sent);
        }
    }

    /// Lets time pass in small steps.
    fn wait(&mut self, millis: u64) {
        for _ in 0..millis / 50 {
            let sent = self.bench.wait(50);
            self.see(&sent);
        }
    }

    /// Something happens that is none of her business; what bob is answered is not for her.
    fn meanwhile(&mut self, busy: bool, note: &str) {
        let sent = match (busy, note) {
            (false, _) => Vec::new(),
            (true, "registers") => {
                let head =
                    format!("To: <{BOB}>\r\nContact: <sip:scscf.ims.test>\r\nExpires: 600\r\n");
                self.bench.ask("REGISTER", "sip:as.ims.test", &head, "")
            }
            (true, note) => {
                self.bench.publish("", note);
                self.bench.sent(true)
            }
        };
        let for_her: Vec<Sent> = sent
            .into_iter()
            .filter(|s| s.method() == "NOTIFY")
            .collect();
        self.see(&for_her);
    }
}

/// All that a watcher does, with `busy` telling whether bob does anything meanwhile.
fn life(mut eyes: Eyes, busy: bool, wishes: &str, filter: &str) -> Vec<(u64, String)> {
    let kind = match filter {
        "" => "",
        _ => "Content-Type: application/simple-filter+xml\r\n",
    };
    eyes.subscribe(&format!("Event: presence\r\n{wishes}{kind}"), filter);
    let opened = eyes.answer.clone().unwrap();
    eyes.answer(200);
    eyes.meanwhile(busy, "one");
    eyes.wait(6_000);
    eyes.meanwhile(busy, "two");
    eyes.meanwhile(busy, "three");
    eyes.wait(6_000);
    // refreshed, and slow to answer
    eyes.renew(&opened, wishes);
    eyes.meanwhile(busy, "four");
    eyes.renew(&opened, wishes);
    eyes.wait(2_000);
    eyes.answer(200);
    eyes.wait(6_000);
    // with the state in hand
    let has = format!("{wishes}Suppress-If-Match: {}\r\n", eyes.tag);
    eyes.renew(&opened, &has);
    eyes.meanwhile(busy, "five");
    eyes.wait(6_000);
    eyes.renew(&opened, &format!("{wishes}Suppress-If-Match: *\r\n"));
    eyes.meanwhile(busy, "registers");
    eyes.wait(6_000);
    // after a restart
    eyes.bench.restart(1_000);
    eyes.meanwhile(busy, "six");
    eyes.wait(6_000);
    eyes.renew(&opened, wishes);
    eyes.answer(500);
    eyes.meanwhile(busy, "seven");
    eyes.wait(40_000);
    eyes.answer(200);
    eyes.wait(6_000);
    eyes.bench.restart(1_000);
    eyes.meanwhile(busy, "eight");
    eyes.wait(6_000);
    // other ways to look
    eyes.subscribe(&format!("Event: presence\r\nExpires: 0\r\n{wishes}"), "");
    eyes.answer(200);
    eyes.subscribe("Event: presence.winfo\r\nExpires: 0\r\n", "");
    eyes.answer(200);
    eyes.renew(&opened, &format!("{wishes}Expires: 0\r\n"));
    eyes.answer(200);
    eyes.wait(6_000);
    // what leaves in the same millisecond has no order of its own
    eyes.seen.sort();
    eyes.seen
}

#[test]
fn nothing_that_a_politely_blocked_watcher_is_sent_differs_from_what_absence_looks_like() {
    let contact = "<filter-set xmlns='urn:ietf:params:xml:ns:simple-filter'><ns-bindings>\
        <ns-binding prefix='p' urn='urn:ietf:params:xml:ns:pidf'/></ns-bindings><filter id='f'><what><include>\
        /p:presence/p:tuple[p:contact='im:bob']</include></what></filter></filter-set>";
    let trigger = "<filter-set xmlns='urn:ietf:params:xml:ns:simple-filter'><ns-bindings>\
        <ns-binding prefix='p' urn='urn:ietf:params:xml:ns:pidf'/></ns-bindings><filter id='f'><trigger><changed>\
        /p:presence/p:tuple/p:status/p:basic</changed></trigger></filter></filter-set>";
    let partial = "Accept: application/pidf-diff+xml\r\n";
    for (case, wishes, filter) in [
        ("plain", "", ""),
        ("partial", partial, ""),
        ("coded", "Accept-Encoding: gzip\r\n", ""),
        (
            "partial and coded",
            "Accept: application/pidf-diff+xml\r\nAccept-Encoding: deflate\r\n",
            "",
        ),
        ("a filter that selects", "", contact),
        ("a filter that triggers", "", trigger),
        ("a filter and partial", partial, contact),
    ] {
        let mut coded = settings();
        coded.presence.compress_above = 0;
        let mut blocked = Bench::new(coded.clone());
        blocked.rules("polite-block", "");
        blocked.publish("", "zero");
        let mut absent = Bench::new(coded);
        absent.rules("allow", "");
        let one = life(Eyes::open(blocked), true, wishes, filter);
        let other = life(Eyes::open(absent), false, wishes, filter);
        for (one, other) in one.iter().zip(&other) {
            assert_eq!(one, other, "{case}");
        }
        assert_eq!(one.len(), other.len(), "{case}");
        let notifies = one.iter().filter(|(_, text)| text.starts_with("NOTIFY"));
        assert!(notifies.count() >= 6, "{case}");
    }
}
