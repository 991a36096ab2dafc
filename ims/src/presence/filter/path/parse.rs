//! Reading an expression.

use super::{Axis, Bindings, Budget, Comparison, Condition, Name, Operand, Path, Step, Term};
use crate::presence::filter::number::Decimal;
use crate::presence::pidf::lexis::{is_space, trim};

/// Why it is none, as one says it before "in expression".
type Read<T> = Result<T, &'static str>;

/// A whole expression.
pub(super) fn selection(expression: &str, bindings: &Bindings, budget: &mut Budget) -> Read<Path> {
    let mut reader = Reader {
        rest: expression,
        bindings,
        budget,
    };
    reader.space();
    let mut path = Path {
        steps: Vec::new(),
        attribute: None,
    };
    while !reader.rest.is_empty() {
        if path.attribute.is_some() {
            return Err("step behind an attribute");
        }
        let axis = reader.separator().ok_or("no / before a step")?;
        reader.step(axis, &mut path)?;
    }
    let rootless = path.steps.is_empty();
    match path.attribute {
        None if rootless => Err("no element"),
        Some((Axis::Child, _)) if rootless => Err("attribute of nothing"),
        _ => Ok(path),
    }
}

struct Reader<'a> {
    rest: &'a str,
    bindings: &'a Bindings,
    budget: &'a mut Budget,
}

impl<'a> Reader<'a> {
    fn space(&mut self) {
        self.rest = self
            .rest
            .trim_start_matches(|c: char| c.is_ascii() && is_space(c as u8));
    }

    /// Takes `text` if it is next, and the white space behind it.
    fn take(&mut self, text: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(text) else {
            return false;
        };
        self.rest = rest;
        self.space();
        true
    }

    fn separator(&mut self) -> Option<Axis> {
        if self.take("//") {
            Some(Axis::Descendant)
        } else {
            self.take("/").then_some(Axis::Child)
        }
    }

    /// One step, with its conditions, onto the path.
    fn step(&mut self, axis: Axis, path: &mut Path) -> Read<()> {
        self.budget.spend()?;
        if self.take("@") {
            path.attribute = Some((axis, self.name(false)?));
            return Ok(());
        }
        let mut step = Step {
            axis,
            test: self.name(true)?,
            conditions: Vec::new(),
        };
        while self.take("[") {
            step.conditions.push(self.condition()?);
        }
        path.steps.push(step);
        Ok(())
    }

    /// A name test. Prefixes are those of `<ns-bindings>` alone (RFC 4661 §3.3).
    fn name(&mut self, element: bool) -> Read<Name> {
        if self.take("*") {
            return Ok(Name {
                space: None,
                local: None,
            });
        }
        let first = self.word()?;
        if !self.rest.starts_with(':') {
            // a binding of the empty prefix is for elements, as the default namespace of a document is
            let space = self.bound("").filter(|_| element).unwrap_or("");
            self.space();
            return Ok(Name {
                space: Some(space.into()),
                local: Some(first.into()),
            });
        }
        self.rest = &self.rest[1..];
        let space = match first {
            "xml" => crate::presence::pidf::names::XML,
            _ => self.bound(first).ok_or("prefix without ns-binding")?,
        };
        let local = if self.rest.starts_with('*') {
            self.rest = &self.rest[1..];
            None
        } else {
            Some(self.word()?.into())
        };
        self.space();
        Ok(Name {
            space: Some(space.into()),
            local,
        })
    }

    fn bound(&self, prefix: &str) -> Option<&'a str> {
        let mut bindings = self.bindings.iter();
        bindings
            .find(|(bound, _)| **bound == *prefix)
            .map(|(_, space)| &**space)
    }

    /// A name without colon. What follows it is not yet looked at.
    fn word(&mut self) -> Read<&'a str> {
        let starts = |c: char| c.is_alphabetic() || c == '_' || !c.is_ascii();
        let goes_on = |c: char| starts(c) || c.is_ascii_digit() || c == '-' || c == '.';
        let end = self.rest.find(|c| !goes_on(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if !word.starts_with(starts) {
            return Err("no name");
        }
        self.rest = rest;
        Ok(word)
    }

    /// The inside of brackets and the closing one.
    fn condition(&mut self) -> Read<Condition> {
        let mut groups = vec![vec![self.term()?]];
        loop {
            if self.take("]") {
                return Ok(Condition(groups));
            }
            let joined = self.word().map_err(|_| "no ] at the end of a condition")?;
            self.space();
            let term = self.term()?;
            match (joined, groups.last_mut()) {
                ("and", Some(group)) => group.push(term),
                ("or", _) => groups.push(vec![term]),
                _ => return Err("neither and nor or between conditions"),
            }
        }
    }

    fn term(&mut self) -> Read<Term> {
        self.budget.spend()?;
        let operand = if self.take("..") {
            Operand::Parent
        } else if self.take(".") {
            Operand::Itself
        } else {
            Operand::Below(self.relative()?)
        };
        let comparison = if self.take("=") {
            Comparison::Equal
        } else if self.take("<") {
            Comparison::Less
        } else if self.take(">") {
            Comparison::Greater
        } else {
            return Err("no =, < or > in a condition");
        };
        let value = self.value()?;
        Ok(Term {
            operand,
            comparison,
            number: Decimal::parse(value),
            value: trim(value).into(),
        })
    }

    /// A path from the element that has the condition.
    fn relative(&mut self) -> Read<Path> {
        let mut path = Path {
            steps: Vec::new(),
            attribute: None,
        };
        self.bare_step(Axis::Child, &mut path)?;
        while path.attribute.is_none() {
            let Some(axis) = self.separator() else { break };
            self.bare_step(axis, &mut path)?;
        }
        Ok(path)
    }

    /// A step that can have no condition: conditions do not nest (RFC 4661 §5).
    fn bare_step(&mut self, axis: Axis, path: &mut Path) -> Read<()> {
        self.step(axis, path)?;
        match path.steps.last() {
            Some(step) if !step.conditions.is_empty() => Err("condition inside a condition"),
            _ => Ok(()),
        }
    }

    /// Quoted text, or a number.
    fn value(&mut self) -> Read<&'a str> {
        let quote = self.rest.chars().next().filter(|c| matches!(c, '"' | '\''));
        let value = match quote {
            Some(quote) => {
                let (value, rest) = self.rest[1..]
                    .split_once(quote)
                    .ok_or("no end of quoted text")?;
                self.rest = rest;
                value
            }
            None => {
                let ends = |c: char| !c.is_ascii_digit() && !matches!(c, '.' | '-' | '+');
                let end = self.rest.find(ends).unwrap_or(self.rest.len());
                let (value, rest) = self.rest.split_at(end);
                Decimal::parse(value).ok_or("neither quoted text nor a number")?;
                self.rest = rest;
                value
            }
        };
        self.space();
        Ok(value)
    }
}
