//! SIP as text, just enough for peers that we write ourselves and for reading what the server sends.
//! It shares nothing with the parser and the writer under test.

/// One message.
#[derive(Clone, Debug)]
pub struct Message {
    pub start: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Message {
    pub fn parse(bytes: &[u8]) -> Message {
        let text = std::str::from_utf8(bytes).expect("messages here are UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let header = |line: &str| {
            let (name, value) = line.split_once(':').expect("a header line");
            (name.trim().to_ascii_lowercase(), value.trim().to_owned())
        };
        Message {
            start,
            headers: lines.map(header).collect(),
            body: body.to_owned(),
        }
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// First value of a header, named in lower case; empty when there is none.
    pub fn get(&self, name: &str) -> &str {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map_or("", |(_, value)| value)
    }

    pub fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(n, _)| n == name)
    }

    /// Status of a response; `None` for a request.
    pub fn status(&self) -> Option<u16> {
        self.start
            .strip_prefix("SIP/2.0 ")
            .and_then(|rest| rest.get(..3))
            .and_then(|code| code.parse().ok())
    }

    /// Method of a request, or the one that a response answers.
    pub fn method(&self) -> &str {
        match self.status() {
            Some(_) => self.get("cseq").split(' ').nth(1).unwrap_or_default(),
            None => self.start.split(' ').next().unwrap_or_default(),
        }
    }

    pub fn cseq(&self) -> u32 {
        let number = self.get("cseq").split(' ').next();
        number.and_then(|n| n.parse().ok()).expect("a CSeq number")
    }

    pub fn branch(&self) -> &str {
        param(self.get("via"), "branch").unwrap_or_default()
    }

    pub fn tag_in_from(&self) -> &str {
        param(self.get("from"), "tag").unwrap_or_default()
    }

    pub fn tag_in_to(&self) -> &str {
        param(self.get("to"), "tag").unwrap_or_default()
    }

    /// `Expires` in seconds.
    pub fn expires(&self) -> Option<u64> {
        self.get("expires").parse().ok()
    }

    pub fn icid(&self) -> Option<&str> {
        param(self.get("p-charging-vector"), "icid-value").map(|v| v.trim_matches('"'))
    }

    /// A response to this request.
    pub fn answer(&self, status: u16, more: &str) -> Vec<u8> {
        let mut text = format!("SIP/2.0 {status} Whatever\r\n");
        for (name, value) in &self.headers {
            if ["via", "from", "to", "call-id", "cseq"].contains(&name.as_str()) {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        text.push_str(more);
        text.push_str("Content-Length: 0\r\n\r\n");
        text.into_bytes()
    }
}

/// Parameter of a header value, outside the angle brackets.
pub fn param<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let outside = value.rsplit_once('>').map_or(value, |(_, rest)| rest);
    outside.split(';').find_map(|part| {
        let (key, value) = part.trim().split_once('=')?;
        (key == name).then_some(value)
    })
}

/// What lies between `open` and `close`, everywhere it does.
pub fn between<'a>(text: &'a str, open: &str, close: &str) -> Vec<&'a str> {
    text.split(open)
        .skip(1)
        .filter_map(|rest| rest.split_once(close).map(|(inner, _)| inner))
        .collect()
}
