//! One pass over a body: scanner and grammar side by side, pieces noted as they close.

use super::fragment::{Bound, Component, MAX_BOUND, Namespace, Parsed, Piece, Place, Sort, Span};
use super::lexis;
use super::names::{Kind, Ns};
use super::scan::{Scanner, Tag, Token};
use super::validate::{Grammar, Role};
use super::{Limits, PidfError};

/// A piece whose end tag has not been seen yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    start: usize,
    name_len: usize,
    kind: Kind,
    place: Place,
    ns: Namespace,
    /// Bindings declared outside, and of these the ones used so far.
    inherited: u64,
    used: u64,
    /// Elements open inside it.
    depth: usize,
}

struct Reader<'a, 'l> {
    document: u32,
    limits: &'l Limits,
    scanner: Scanner<'a>,
    text: String,
    entity: Span,
    components: Vec<Component>,
    pieces: Vec<Piece>,
    presence: Vec<Piece>,
    bindings: Vec<Bound>,
    namespaces: Vec<Span>,
    ids: Vec<Span>,
    pending: Option<Pending>,
    /// Elements open outside pieces; 2 is inside a component.
    depth: usize,
}

/// Reads `body`, which is UTF-8 and within the limit on its size.
pub(crate) fn read(body: &str, limits: &Limits) -> Result<Parsed, PidfError> {
    // The body as it is, and behind it what is read out of it.
    let mut text = String::with_capacity(body.len() + 256);
    text.push_str(body);
    let reader = Reader {
        document: span(0, body.len())?.end,
        limits,
        scanner: Scanner::new(body),
        text,
        entity: Span::default(),
        components: Vec::with_capacity(4),
        pieces: Vec::with_capacity(24),
        presence: Vec::new(),
        bindings: Vec::with_capacity(6),
        namespaces: Vec::new(),
        ids: Vec::new(),
        pending: None,
        depth: 0,
    };
    reader.run()
}

impl Reader<'_, '_> {
    fn run(mut self) -> Result<Parsed, PidfError> {
        let mut grammar = Grammar::new();
        let mut at = 0;
        loop {
            match self.scanner.next()? {
                Token::Start(tag) => {
                    at = tag.start;
                    let role = grammar
                        .open(&tag, self.scanner.attributes())
                        .map_err(|what| PidfError::Invalid { what, at })?;
                    self.start(&tag, role)?;
                }
                Token::Text { text, at, cdata } => {
                    grammar
                        .text(text, cdata)
                        .map_err(|what| PidfError::Invalid { what, at })?;
                }
                Token::End(end) => {
                    grammar
                        .close()
                        .map_err(|what| PidfError::Invalid { what, at })?;
                    self.end(end)?;
                }
                Token::Eof => return self.finish(),
            }
        }
    }

    fn start(&mut self, tag: &Tag<'_>, role: Role) -> Result<(), PidfError> {
        match role {
            Role::Inside => {
                if let Some(pending) = &mut self.pending {
                    pending.depth += 1;
                    pending.used |= tag.used & pending.inherited;
                }
                return self.inner_id(tag);
            }
            Role::Piece(kind, place) => {
                self.pending = Some(Pending {
                    start: tag.start,
                    name_len: tag.name.len(),
                    kind,
                    place,
                    ns: self.namespace(tag.ns, tag.uri)?,
                    inherited: self.scanner.inherited(),
                    used: tag.used & self.scanner.inherited(),
                    depth: 0,
                });
                return self.inner_id(tag);
            }
            Role::Presence => {
                let entity = self.attribute("entity");
                if entity.is_empty() {
                    return Err(PidfError::Invalid {
                        what: "presence without entity",
                        at: tag.start,
                    });
                }
                self.entity = self.keep(&entity)?;
            }
            Role::Component(sort) => self.component(sort, tag.start)?,
            Role::Status => {}
        }
        self.depth += 1;
        Ok(())
    }

    fn component(&mut self, sort: Sort, at: usize) -> Result<(), PidfError> {
        if self.components.len() >= self.limits.components {
            return Err(PidfError::TooMany {
                what: "Too many tuples, persons or devices",
            });
        }
        let id = self.attribute("id");
        if !lexis::is_ncname(&id) {
            return Err(PidfError::Invalid {
                what: "id is not a name",
                at,
            });
        }
        let id = self.keep(&id)?;
        let first = u16::try_from(self.pieces.len()).map_err(|_| TOO_MANY_ELEMENTS)?;
        self.components.push(Component {
            sort,
            id,
            first,
            count: 0,
        });
        Ok(())
    }

    /// Value of an attribute of the current tag; the grammar has made sure that it is there.
    fn attribute(&self, name: &str) -> String {
        let found = self
            .scanner
            .attributes()
            .iter()
            .find(|attribute| attribute.name == name);
        found.map_or_else(String::new, |attribute| {
            lexis::trim(&lexis::unescape(attribute.value)).to_owned()
        })
    }

    /// Notes an `id` of type `xs:ID` inside a piece: ids are unique in a document, so composition may have to change it.
    fn inner_id(&mut self, tag: &Tag<'_>) -> Result<(), PidfError> {
        if !matches!(tag.ns, Ns::Rpid | Ns::DataModel | Ns::Pidf) {
            return Ok(());
        }
        if let Some(id) = self
            .scanner
            .attributes()
            .iter()
            .find(|attribute| attribute.name == "id")
        {
            if !lexis::is_ncname(id.value) {
                return Err(PidfError::Invalid {
                    what: "id is not a name",
                    at: id.value_at,
                });
            }
            self.ids
                .push(span(id.value_at, id.value_at + id.value.len())?);
        }
        Ok(())
    }

    fn end(&mut self, end: usize) -> Result<(), PidfError> {
        match &mut self.pending {
            None => self.depth -= 1,
            Some(pending) if pending.depth > 0 => pending.depth -= 1,
            Some(_) => {
                if let Some(pending) = self.pending.take() {
                    self.piece(&pending, end)?;
                }
            }
        }
        Ok(())
    }

    /// Notes a complete piece.
    fn piece(&mut self, pending: &Pending, end: usize) -> Result<(), PidfError> {
        if self.pieces.len() + self.presence.len() >= self.limits.elements {
            return Err(TOO_MANY_ELEMENTS);
        }
        let piece = Piece {
            span: span(pending.start, end)?,
            uses: self.bound(pending.used)?,
            name_len: u16::try_from(pending.name_len).map_err(|_| PidfError::TooMany {
                what: "Element name too long",
            })?,
            kind: pending.kind,
            place: pending.place,
            ns: pending.ns,
        };
        match self.components.last_mut() {
            Some(component) if self.depth >= 2 => {
                component.count += 1;
                self.pieces.push(piece);
            }
            _ => self.presence.push(piece),
        }
        Ok(())
    }

    /// Turns scanner positions into positions of `bindings`.
    fn bound(&mut self, mut used: u64) -> Result<u32, PidfError> {
        let mut mask = 0;
        while used != 0 {
            let position = used.trailing_zeros() as usize;
            used &= used - 1;
            let Some(binding) = self
                .scanner
                .binding(position)
                .filter(|binding| binding.ns != Ns::Xml)
            else {
                continue;
            };
            let ns = self.namespace(binding.ns, binding.uri)?;
            let known = self
                .bindings
                .iter()
                .position(|b| b.ns == ns && slice(&self.text, b.prefix) == binding.prefix);
            let index = match known {
                Some(index) => index,
                None if self.bindings.len() < MAX_BOUND => {
                    let prefix = self.keep(binding.prefix)?;
                    self.bindings.push(Bound { prefix, ns });
                    self.bindings.len() - 1
                }
                None => {
                    return Err(PidfError::TooMany {
                        what: "Too many namespace prefixes",
                    });
                }
            };
            mask |= 1 << index;
        }
        Ok(mask)
    }

    fn namespace(&mut self, ns: Ns, uri: &str) -> Result<Namespace, PidfError> {
        if ns != Ns::Other {
            return Ok(Namespace::known(ns));
        }
        let position = match self
            .namespaces
            .iter()
            .position(|span| slice(&self.text, *span) == uri)
        {
            Some(position) => position,
            None => {
                let uri = self.keep(uri)?;
                self.namespaces.push(uri);
                self.namespaces.len() - 1
            }
        };
        Namespace::other(position).ok_or(PidfError::TooMany {
            what: "Too many namespaces",
        })
    }

    fn keep(&mut self, text: &str) -> Result<Span, PidfError> {
        let start = self.text.len();
        self.text.push_str(text);
        span(start, self.text.len())
    }

    fn finish(self) -> Result<Parsed, PidfError> {
        let parsed = Parsed {
            text: self.text.into_boxed_str(),
            document: self.document,
            entity: self.entity,
            components: self.components.into_boxed_slice(),
            pieces: self.pieces.into_boxed_slice(),
            presence: self.presence.into_boxed_slice(),
            bindings: self.bindings.into_boxed_slice(),
            namespaces: self.namespaces.into_boxed_slice(),
            ids: self.ids.into_boxed_slice(),
        };
        let mut ids: Vec<&str> = parsed
            .components
            .iter()
            .map(|c| c.id)
            .chain(parsed.ids.iter().copied())
            .map(|id| parsed.slice(id))
            .collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(PidfError::Invalid {
                what: "id given twice",
                at: 0,
            });
        }
        Ok(parsed)
    }
}

const TOO_MANY_ELEMENTS: PidfError = PidfError::TooMany {
    what: "Too many presence elements",
};

fn slice(text: &str, span: Span) -> &str {
    text.get(span.start as usize..span.end as usize)
        .unwrap_or("")
}

fn span(start: usize, end: usize) -> Result<Span, PidfError> {
    match (u32::try_from(start), u32::try_from(end)) {
        (Ok(start), Ok(end)) => Ok(Span { start, end }),
        _ => Err(PidfError::TooLarge),
    }
}
