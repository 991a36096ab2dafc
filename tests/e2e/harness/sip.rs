//! SIP messages as text: built plainly, parsed naively.

/// A message that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub first: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Message {
    pub fn parse(bytes: &[u8]) -> Option<Message> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let first = lines.next()?.to_owned();
        let headers = lines.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((full(name.trim()), value.trim().to_owned()))
        });
        Some(Message {
            first,
            headers: headers.collect(),
            body: body.to_owned(),
        })
    }

    /// The status code; `None` for a request.
    pub fn status(&self) -> Option<u16> {
        self.first.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    pub fn is_request(&self, method: &str) -> bool {
        self.first.split(' ').next() == Some(method)
    }

    /// First value of a header field; empty when it is absent.
    pub fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or("")
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let name = name.to_ascii_lowercase();
        self.headers
            .iter()
            .filter(move |(key, _)| *key == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn cseq(&self) -> u64 {
        self.get("cseq")
            .split(' ')
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or(0)
    }

    pub fn branch(&self) -> &str {
        let via = self.get("via");
        via.split_once("branch=").map_or("", |(_, rest)| {
            rest.split([';', ',', ' ']).next().unwrap_or("")
        })
    }

    /// The URI between angle brackets.
    pub fn uri(&self, name: &str) -> String {
        let value = self.get(name);
        let inner = value
            .split_once('<')
            .and_then(|(_, rest)| rest.split_once('>'));
        inner.map_or(value, |(uri, _)| uri).to_owned()
    }

    /// The response a UA gives to this request.
    pub fn answer(&self, status: &str) -> String {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for (name, value) in &self.headers {
            if ["via", "from", "to", "call-id", "cseq", "record-route"].contains(&name.as_str()) {
                text += &format!("{name}: {value}\r\n");
            }
        }
        text + "Content-Length: 0\r\n\r\n"
    }
}

fn full(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let long = match name.as_str() {
        "v" => "via",
        "f" => "from",
        "t" => "to",
        "i" => "call-id",
        "m" => "contact",
        "l" => "content-length",
        "c" => "content-type",
        "o" => "event",
        "k" => "supported",
        "u" => "allow-events",
        other => other,
    };
    long.to_owned()
}

/// A request under construction. Headers it needs but was not given are added when it is sent.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub uri: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn new(method: &str, uri: &str) -> Request {
        Request {
            method: method.to_owned(),
            uri: uri.to_owned(),
            headers: Vec::new(),
            body: String::new(),
        }
    }

    pub fn with(mut self, name: &str, value: impl std::fmt::Display) -> Request {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn without(mut self, name: &str) -> Request {
        self.headers
            .retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self
    }

    pub fn body(mut self, kind: &str, body: &str) -> Request {
        self.body = body.to_owned();
        self.with("Content-Type", kind)
    }

    pub fn has(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|(key, _)| key.eq_ignore_ascii_case(name))
    }

    /// An initial PUBLISH of `user` for himself.
    pub fn publish(user: &str, body: &str) -> Request {
        let request = Request::new("PUBLISH", user)
            .with("P-Asserted-Identity", format!("<{user}>"))
            .with("Event", "presence")
            .with("Expires", 600);
        if body.is_empty() {
            request
        } else {
            request.body("application/pidf+xml", body)
        }
    }

    /// An initial SUBSCRIBE of `watcher` to `presentity`.
    pub fn subscribe(watcher: &str, presentity: &str) -> Request {
        Request::new("SUBSCRIBE", presentity)
            .with("P-Asserted-Identity", format!("<{watcher}>"))
            .with("From", format!("<{watcher}>;tag=w"))
            .with("Event", "presence")
            .with("Accept", "application/pidf+xml")
            .with("Expires", 600)
    }

    /// The text, with `Via`, `Max-Forwards`, `From`, `To`, `Call-ID`, `CSeq`, `Contact` and `Content-Length` added where
    /// they are missing. `me` is `host:port`, `serial` makes what must be unique.
    pub fn text(&self, transport: &str, me: &str, serial: u64) -> String {
        let mut text = format!("{} {} SIP/2.0\r\n", self.method, self.uri);
        let suffix = if transport == "TCP" {
            ";transport=tcp"
        } else {
            ""
        };
        let added = [
            (
                "Via",
                format!(
                    "SIP/2.0/{transport} {me};branch=z9hG4bK{}x{serial};rport",
                    me.replace([':', '.', '[', ']'], "")
                ),
            ),
            ("Max-Forwards", "70".to_owned()),
            ("From", "<sip:tester@ims.test>;tag=f".to_owned()),
            ("To", format!("<{}>", self.uri)),
            ("Call-ID", format!("c{serial}@{me}")),
            ("CSeq", format!("1 {}", self.method)),
            ("Contact", format!("<sip:ue@{me}{suffix}>")),
        ];
        for (name, value) in added {
            if !self.has(name) {
                text += &format!("{name}: {value}\r\n");
            }
        }
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        if !self.has("Content-Length") {
            text += &format!("Content-Length: {}\r\n", self.body.len());
        }
        text + "\r\n" + &self.body
    }
}

/// A presence document with one service.
pub fn pidf(entity: &str, basic: &str, note: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{entity}\">\
         <tuple id=\"t1\"><status><basic>{basic}</basic></status><note>{note}</note></tuple></presence>"
    )
}
