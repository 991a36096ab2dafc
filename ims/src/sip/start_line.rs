//! The first line: request, response or neither (RFC 3261 §7.1, §7.2).

use super::method::Method;
use super::parse::Fault;
use super::text::{is_token, number};

/// What the first line says.
pub(super) enum StartLine<'a> {
    Request {
        method: Option<Method<'a>>,
        uri: &'a str,
        fault: Option<Fault>,
    },
    Response {
        status: u16,
        reason: &'a str,
    },
    Neither(&'static str),
}

impl<'a> StartLine<'a> {
    pub fn parse(line: &'a str) -> StartLine<'a> {
        if line
            .get(..4)
            .is_some_and(|s| s.eq_ignore_ascii_case("SIP/"))
        {
            return Self::status_line(line);
        }
        let Some((before, version)) = line.trim_end_matches([' ', '\t']).rsplit_once(' ') else {
            return StartLine::Neither("neither a request nor a response");
        };
        let Some(number) = version
            .get(..4)
            .filter(|s| s.eq_ignore_ascii_case("SIP/"))
            .and(version.get(4..))
        else {
            return StartLine::Neither("neither a request nor a response");
        };
        let (method, uri) = before.split_once(' ').unwrap_or((before, ""));
        let method = is_token(method).then(|| Method::new(method));
        let is_number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        let fault = match number.split_once('.') {
            Some((major, minor)) if is_number(major) && is_number(minor) && number != "2.0" => {
                Some((505, "Version Not Supported"))
            }
            Some(("2", "0"))
                if method.is_some() && line.len() == line.trim_end_matches([' ', '\t']).len() =>
            {
                None
            }
            _ => Some((400, "Bad Request Line")),
        };
        StartLine::Request { method, uri, fault }
    }

    fn status_line(line: &'a str) -> StartLine<'a> {
        let mut words = line.splitn(3, ' ');
        let (version, code, reason) = (words.next(), words.next(), words.next().unwrap_or(""));
        let status = code
            .filter(|c| c.len() == 3)
            .and_then(number::<u16>)
            .filter(|s| (100..700).contains(s));
        match (version, status) {
            (Some(version), Some(status)) if version.eq_ignore_ascii_case("SIP/2.0") => {
                StartLine::Response { status, reason }
            }
            _ => StartLine::Neither("malformed status line"),
        }
    }
}
