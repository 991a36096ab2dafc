//! Content indirection (RFC 4483): a PUBLISH whose body is elsewhere, `message/external-body` with access type URL.

mod sha1;

use crate::reject::Reject;
use crate::sip::header::media_type::MediaType;
use crate::sip::text::{hex, number, trim};
use crate::time::datetime;
use crate::time::{Millis, Timestamp};
use bytes::Bytes;

/// Media type of a body that is elsewhere.
pub const EXTERNAL: &str = "message/external-body";
/// Longest URL, in bytes.
const URL: usize = 2048;

/// From where content is fetched, and how much waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Servers that the operator allows: lower-case host and port. Empty: content indirection is not supported.
    pub servers: Vec<(String, u16)>,
    /// Longest wait for a content server.
    pub timeout: Millis,
    /// PUBLISHes that wait at the same time; one more is answered 503.
    pub waiting: usize,
}

/// Where the content is and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    pub host: String,
    pub port: u16,
    /// Path and query.
    pub path: String,
    /// Type of the content, where the body says it (RFC 4483 §4.3).
    pub media_type: Option<String>,
    size: Option<usize>,
    hash: Option<[u8; 20]>,
}

/// What a content server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub media_type: Option<String>,
    pub bytes: Bytes,
}

/// Why there is no content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No connection, or it broke.
    Unreachable,
    /// Another status than 200: a redirection is not followed.
    Refused,
    TooLarge,
    TimedOut,
}

impl External {
    /// Reads a body that is elsewhere. What contradicts the RFC is 400, another way of access or a scheme other than
    /// http 415 (§4.1), a server that the operator has not listed 403, more than `limit` bytes 413.
    pub fn read(
        media: &MediaType<'_>,
        body: &[u8],
        (now, limit): (Timestamp, usize),
        settings: &Settings,
        accept: &'static str,
    ) -> Result<External, Reject> {
        let access = media.param("access-type");
        let access = access.ok_or(Reject::Bad("Missing Access-Type"))?;
        if !access.eq_ignore_ascii_case("URL") {
            return Err(Reject::UnsupportedMedia { accept });
        }
        let url = media.param("URL").ok_or(Reject::Bad("Missing URL"))?;
        // RFC 2017 §3.1: white space in it means nothing
        let url: String = url.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let rest = scheme(&url).ok_or(Reject::UnsupportedMedia { accept })?;
        let (host, port, path) = split(rest).ok_or(Reject::Bad("Bad URL"))?;
        let listed = |(name, at): &(String, u16)| *name == host && *at == port;
        if !settings.servers.iter().any(listed) {
            return Err(Reject::Forbidden("Content Server Not Allowed"));
        }
        let size = match media.param("size") {
            None => None,
            Some(size) => Some(number::<usize>(&size).ok_or(Reject::Bad("Bad Size"))?),
        };
        if size.is_some_and(|size| size > limit) {
            return Err(Reject::TooLarge);
        }
        let hash = match media.param("hash") {
            None => None,
            Some(hash) => Some(digest(&hash).ok_or(Reject::Bad("Bad Hash"))?),
        };
        if let Some(expiration) = media.param("expiration") {
            let until = instant(&expiration).ok_or(Reject::Bad("Bad Expiration"))?;
            if until <= i64::try_from(now.0).unwrap_or(i64::MAX) {
                return Err(Reject::Bad("Content Has Expired"));
            }
        }
        Ok(External {
            host,
            port,
            path,
            media_type: inner_type(body),
            size,
            hash,
        })
    }

    /// The content if it is the one that was announced (RFC 4483 §4.5, §4.8), with its type.
    pub fn check(&self, content: &Content) -> Result<String, Reject> {
        let same_size = self.size.is_none_or(|size| size == content.bytes.len());
        let same = |hash: [u8; 20]| hash == sha1::digest(&content.bytes);
        if !same_size || !self.hash.is_none_or(same) {
            return Err(Reject::Bad("Content Is Not The One Announced"));
        }
        let media_type = self.media_type.clone();
        media_type
            .or_else(|| content.media_type.clone())
            .ok_or(Reject::Bad("Missing Content-Type"))
    }
}

/// What a PUBLISH is answered when its content cannot be had.
pub fn refused(fault: Fault) -> Reject {
    match fault {
        Fault::Unreachable => Reject::BadGateway("Content Server Unreachable"),
        Fault::Refused => Reject::BadGateway("Content Not Found"),
        Fault::TooLarge => Reject::TooLarge,
        Fault::TimedOut => Reject::GatewayTimeout("Content Server Time-out"),
    }
}

/// What follows `http://`.
fn scheme(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    scheme.eq_ignore_ascii_case("http").then_some(rest)
}

/// Host, port and path of what follows `http://`.
fn split(rest: &str) -> Option<(String, u16, String)> {
    let fine = |b: u8| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"' | b'\\' | b'#');
    if rest.len() > URL || !rest.bytes().all(fine) {
        return None;
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (host, port) = server(authority)?;
    let path = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    Some((host, port, path))
}

/// A server as host or `host:port`, lower case, 80 without port; `None` for what is none.
pub fn server(authority: &str) -> Option<(String, u16)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            let fine = |b: u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.');
            if host.is_empty() || !host.bytes().all(fine) {
                return None;
            }
            (format!("[{host}]"), port)
        }
        None => {
            let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
            if host.is_empty() || !host.bytes().all(fine) {
                return None;
            }
            (host.to_owned(), port)
        }
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => 80,
        None => return None,
        Some(port) => number::<u16>(port).filter(|port| *port > 0)?,
    };
    Some((host.to_ascii_lowercase(), port))
}

/// A SHA-1 in hexadecimal digits (RFC 4483 §4.8).
fn digest(text: &str) -> Option<[u8; 20]> {
    let digits: Vec<u8> = text.bytes().map(hex).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|d| d[0] << 4 | d[1]).collect();
    (text.len() == 40).then(|| bytes.try_into().ok()).flatten()
}

/// An instant as RFC 1123 writes it, `Mon, 24 Jun 2002 09:00:00 GMT`, in milliseconds since the epoch.
fn instant(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ];
    let text = text.split_once(',').map_or(text, |(_, rest)| rest);
    let mut words = text.split_ascii_whitespace();
    let (day, month, year) = (words.next()?, words.next()?, words.next()?);
    let (time, zone) = (words.next()?, words.next()?);
    let month = month.get(..3)?.to_ascii_lowercase();
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let utc = ["GMT", "UTC", "UT", "Z"].contains(&zone);
    if !utc || words.next().is_some() {
        return None;
    }
    let day = number::<u8>(day)?;
    datetime::parse(&format!("{year}-{month:02}-{day:02}T{time}Z"))
}

/// `Content-Type` among the header fields that the body holds of the content.
fn inner_type(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let fields = text.lines().take_while(|line| !line.is_empty());
    let mut types = fields.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        trim(name)
            .eq_ignore_ascii_case("Content-Type")
            .then(|| trim(value).to_owned())
    });
    types.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    fn settings() -> Settings {
        Settings {
            servers: vec![
                server("Content.ims.test:8080").unwrap(),
                server("10.0.0.9").unwrap(),
            ],
            timeout: Millis(5_000),
            waiting: 1,
        }
    }

    fn read(params: &str, body: &str) -> Result<External, Reject> {
        let value = format!("message/external-body;{params}");
        let media = MediaType::parse(&value).expect(params);
        External::read(&media, body.as_bytes(), (NOW, 100), &settings(), "a/b")
    }

    #[test]
    fn where_content_is_and_where_it_may_not_be() {
        let url = |url: &str| format!("access-type=\"URL\";URL=\"{url}\"");
        let here = "http://content.ims.test:8080/a";
        for (case, params, outcome) in [
            ("a listed server", url(here), Ok("/a")),
            (
                "in other letters",
                url("HTTP://CONTENT.ims.test:8080/a?b=c"),
                Ok("/a?b=c"),
            ),
            ("the port of http", url("http://10.0.0.9"), Ok("/")),
            (
                "a query without path",
                url("http://10.0.0.9:80?b"),
                Ok("/?b"),
            ),
            ("white space", url("http://10.0.0.9/ a b"), Ok("/ab")),
            ("another server", url("http://evil.test/a"), Err(403)),
            ("another port", url("http://content.ims.test/a"), Err(403)),
            (
                "somebody in front of the server",
                url("http://10.0.0.9@evil.test/a"),
                Err(400),
            ),
            (
                "a name that ends like it",
                url("http://evil-10.0.0.9/a"),
                Err(403),
            ),
            ("a fragment", url("http://10.0.0.9/a#b"), Err(400)),
            ("no server", url("http:///a"), Err(400)),
            ("a port that is none", url("http://10.0.0.9:x/a"), Err(400)),
            ("another scheme", url("https://10.0.0.9/a"), Err(415)),
            ("a file", url("file:///etc/passwd"), Err(415)),
            (
                "another way of access",
                "access-type=FTP;URL=\"x\"".into(),
                Err(415),
            ),
            ("no way of access", format!("URL=\"{here}\""), Err(400)),
            ("no URL", "access-type=URL".into(), Err(400)),
            (
                "as large as may be",
                format!("{};size=100", url(here)),
                Ok("/a"),
            ),
            ("too large", format!("{};size=101", url(here)), Err(413)),
            (
                "a size that is none",
                format!("{};size=x", url(here)),
                Err(400),
            ),
            (
                "a hash that is none",
                format!("{};hash=10AB", url(here)),
                Err(400),
            ),
            (
                "still there",
                format!(
                    "{};expiration=\"Mon, 24 June 2999 09:00:00 GMT\"",
                    url(here)
                ),
                Ok("/a"),
            ),
            (
                "expired",
                format!("{};expiration=\"Mon, 24 Jun 2002 09:00:00 GMT\"", url(here)),
                Err(400),
            ),
            (
                "expires whenever",
                format!("{};expiration=\"tomorrow\"", url(here)),
                Err(400),
            ),
        ] {
            let read = read(&params, "");
            let got = read
                .as_ref()
                .map(|e| e.path.as_str())
                .map_err(|r| r.status().0);
            assert_eq!(got, outcome, "{case}");
        }
    }

    #[test]
    fn content_must_be_what_was_announced() {
        let url = "access-type=URL;URL=\"http://10.0.0.9/a\"";
        let inner = "Content-Type: application/pidf+xml\r\nContent-Disposition: render\r\n\r\n";
        let abc = |media_type: Option<&str>| Content {
            media_type: media_type.map(str::to_owned),
            bytes: Bytes::from_static(b"abc"),
        };
        let hash = "A9993E364706816ABA3E25717850C26C9CD0D89D";
        let other = hash.replace('A', "b");
        for (case, more, body, outcome) in [
            (
                "nothing announced",
                String::new(),
                inner,
                Ok("application/pidf+xml"),
            ),
            (
                "size and hash",
                format!(";size=3;hash={hash}"),
                inner,
                Ok("application/pidf+xml"),
            ),
            ("type of the server", String::new(), "", Ok("text/plain")),
            ("another size", ";size=4".into(), inner, Err(400)),
            ("another hash", format!(";hash={other}"), inner, Err(400)),
        ] {
            let external = read(&format!("{url}{more}"), body).unwrap();
            let checked = external.check(&abc(Some("text/plain")));
            let got = checked.as_deref().map_err(|r| r.status().0);
            assert_eq!(got, outcome, "{case}");
        }
        let external = read(url, "").unwrap();
        assert_eq!(
            external.check(&abc(None)).map_err(|r| r.status().0),
            Err(400),
            "no type"
        );
    }
}
