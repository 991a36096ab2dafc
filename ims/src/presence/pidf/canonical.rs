//! Equality of elements from different publications: same expanded names, attributes and text, whatever the prefixes,
//! quotes, order of attributes, comments and white space between elements.

use super::fragment::{Parsed, Piece};
use super::lexis;
use super::scan::Token;

/// One spelling for all equal elements.
pub(crate) fn canonical(parsed: &Parsed, piece: &Piece) -> String {
    let mut out = String::new();
    let mut text = String::new();
    let mut scanner = parsed.scan(piece);
    loop {
        match scanner.next() {
            Ok(Token::Start(tag)) => {
                flush(&mut text, &mut out);
                push(&mut out, "<", tag.uri, tag.local, "");
                let mut attributes: Vec<_> = scanner.attributes().iter().collect();
                attributes.sort_unstable_by_key(|attribute| (attribute.uri, attribute.local));
                for attribute in attributes {
                    push(
                        &mut out,
                        "@",
                        attribute.uri,
                        attribute.local,
                        &lexis::unescape(attribute.value),
                    );
                }
            }
            Ok(Token::Text {
                text: run, cdata, ..
            }) => {
                text.push_str(&if cdata {
                    run.into()
                } else {
                    lexis::unescape(run)
                });
            }
            Ok(Token::End(_)) => {
                flush(&mut text, &mut out);
                out.push('\u{1}');
            }
            // An element that does not read again equals nothing but itself; it was read once, so this is not reached.
            Ok(Token::Eof) | Err(_) => return out,
        }
    }
}

/// Control characters, which no XML document contains, keep the parts apart.
fn push(out: &mut String, mark: &str, uri: &str, local: &str, value: &str) {
    for part in [mark, uri, "\u{2}", local, "\u{2}", value, "\u{2}"] {
        out.push_str(part);
    }
}

fn flush(text: &mut String, out: &mut String) {
    out.push_str(lexis::trim(text));
    text.clear();
}
