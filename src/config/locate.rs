//! Where in the file a value stands, for error messages.

use toml::de::{DeTable, DeValue};

/// Number of the line that holds byte `at`; the first is 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or(text);
    1 + before.bytes().filter(|b| *b == b'\n').count()
}

/// The full key whose name or value covers byte `at`.
pub(super) fn key_at(text: &str, at: usize) -> Option<String> {
    let document = DeTable::parse(text).ok()?;
    let mut path = Vec::new();
    let mut table = document.get_ref();
    loop {
        let covers = |span: std::ops::Range<usize>| span.contains(&at);
        let found = table
            .iter()
            .find(|(key, value)| covers(key.span()) || covers(value.span()));
        // The span of `[section]` is its header only, so a key below it is looked for everywhere.
        let found = found.or_else(|| table.iter().find(|(_, value)| holds(value.get_ref(), at)));
        let (key, value) = found?;
        path.push(key.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(inner) if holds(value.get_ref(), at) => table = inner,
            _ => return Some(path.join(".")),
        }
    }
}

/// Whether anything inside `value` covers byte `at`.
fn holds(value: &DeValue<'_>, at: usize) -> bool {
    let DeValue::Table(table) = value else {
        return false;
    };
    table.iter().any(|(key, value)| {
        key.span().contains(&at) || value.span().contains(&at) || holds(value.get_ref(), at)
    })
}

/// The line of a full key, or of the nearest section that is there.
pub(super) fn line_of_key(text: &str, key: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let (mut table, mut line) = (document.get_ref(), None);
    for part in key.split('.') {
        let name = part.split('[').next().unwrap_or(part); // `peers[1]`: the array as a whole
        let Some((found, value)) = table.iter().find(|(key, _)| key.get_ref().as_ref() == name)
        else {
            break;
        };
        line = Some(line_of(text, found.span().start));
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => break,
        }
    }
    line
}
