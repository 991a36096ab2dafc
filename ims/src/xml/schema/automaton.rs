//! Content models as position automata (Glushkov's construction): each element or wildcard of the model is
//! a position, and a document is matched by the set of positions it can be at. One step costs at most the
//! size of that set times the followers; nothing is ever tried twice.

use super::model::{ElementId, Wildcard};

/// Most positions in one content model, after repeating `maxOccurs`.
pub(super) const POSITIONS: usize = 1024;

/// Most pairs of a position and one that may follow it, in one content model.
const FOLLOWERS: usize = 200_000;

/// A content model as written.
#[derive(Clone, Debug)]
pub(super) enum Particle {
    Leaf(Leaf),
    Sequence(Vec<Particle>),
    Choice(Vec<Particle>),
    /// At least, at most (none: without bound).
    Repeat(Box<Particle>, u32, Option<u32>),
}

#[derive(Clone, Debug)]
pub(super) enum Leaf {
    Element(ElementId),
    Any(Wildcard),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Automaton {
    leaves: Vec<Leaf>,
    first: Vec<u16>,
    follow: Vec<Vec<u16>>,
    last: Vec<bool>,
    empty: bool,
}

/// Where a document is in a content model: before its first element, or at these positions.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor {
    at: Vec<u16>,
    begun: bool,
    /// Whether the last step led to where it began: one more element of the same name is taken the same way.
    rests: bool,
    /// Kept for their memory, from one step to the next.
    next: Vec<u16>,
    candidates: Vec<u16>,
}

impl Cursor {
    pub fn rests(&self) -> bool {
        self.rests
    }
}

/// What one particle adds to the automaton.
#[derive(Default)]
struct Part {
    first: Vec<u16>,
    last: Vec<u16>,
    empty: bool,
}

impl Automaton {
    /// Builds the automaton, or says which limit the model breaks.
    pub fn new(particle: &Particle) -> Result<Automaton, String> {
        let mut automaton = Automaton::default();
        let mut followers = 0;
        let whole = automaton.add(particle, &mut followers)?;
        for follow in &mut automaton.follow {
            follow.sort_unstable();
            follow.dedup();
        }
        automaton.last = vec![false; automaton.leaves.len()];
        for position in whole.last {
            if let Some(last) = automaton.last.get_mut(usize::from(position)) {
                *last = true;
            }
        }
        automaton.first = whole.first;
        automaton.empty = whole.empty;
        Ok(automaton)
    }

    fn add(&mut self, particle: &Particle, followers: &mut usize) -> Result<Part, String> {
        match particle {
            Particle::Leaf(leaf) => self.leaf(leaf),
            Particle::Sequence(parts) => {
                let mut whole = Part {
                    empty: true,
                    ..Part::default()
                };
                for part in parts {
                    let next = self.add(part, followers)?;
                    self.then(&mut whole, next, followers)?;
                }
                Ok(whole)
            }
            Particle::Choice(parts) => {
                // An empty choice matches nothing but emptiness here; the schemas in use have none.
                let mut whole = Part {
                    empty: parts.is_empty(),
                    ..Part::default()
                };
                for part in parts {
                    let next = self.add(part, followers)?;
                    whole.first.extend(next.first);
                    whole.last.extend(next.last);
                    whole.empty |= next.empty;
                }
                Ok(whole)
            }
            Particle::Repeat(inner, min, max) => self.repeat(inner, *min, *max, followers),
        }
    }

    fn leaf(&mut self, leaf: &Leaf) -> Result<Part, String> {
        if self.leaves.len() >= POSITIONS {
            return Err(format!("a content model has more than {POSITIONS} places"));
        }
        let position = u16::try_from(self.leaves.len()).map_err(|error| error.to_string())?;
        self.leaves.push(leaf.clone());
        self.follow.push(Vec::new());
        Ok(Part {
            first: vec![position],
            last: vec![position],
            empty: false,
        })
    }

    /// The required copies, then the optional ones; a loop on the last copy when there is no bound.
    fn repeat(
        &mut self,
        inner: &Particle,
        min: u32,
        max: Option<u32>,
        followers: &mut usize,
    ) -> Result<Part, String> {
        let copies = max.unwrap_or(min.max(1));
        let mut whole = Part {
            empty: true,
            ..Part::default()
        };
        for copy in 0..copies {
            // Copies of nothing make no position, so they are counted here.
            *followers += 1;
            let mut next = self.add(inner, followers)?;
            if max.is_none() && copy + 1 == copies {
                let first = next.first.clone();
                self.join(&next.last, &first, followers)?;
            }
            next.empty |= copy >= min;
            self.then(&mut whole, next, followers)?;
        }
        Ok(whole)
    }

    fn then(&mut self, whole: &mut Part, next: Part, followers: &mut usize) -> Result<(), String> {
        self.join(&whole.last, &next.first, followers)?;
        if whole.empty {
            whole.first.extend(&next.first);
        }
        if next.empty {
            whole.last.extend(next.last);
        } else {
            whole.last = next.last;
        }
        whole.empty &= next.empty;
        Ok(())
    }

    fn join(&mut self, from: &[u16], to: &[u16], followers: &mut usize) -> Result<(), String> {
        *followers = followers.saturating_add(from.len().saturating_mul(to.len()));
        if *followers > FOLLOWERS {
            return Err("a content model is too large".to_owned());
        }
        for position in from {
            if let Some(follow) = self.follow.get_mut(usize::from(*position)) {
                follow.extend_from_slice(to);
            }
        }
        Ok(())
    }

    /// Steps over one element. `matched` says whether a leaf takes it; returns the leaf that did, an
    /// element before a wildcard, or none with the cursor unmoved.
    pub fn step<T>(
        &self,
        cursor: &mut Cursor,
        mut matched: impl FnMut(&Leaf) -> Option<T>,
    ) -> Option<T> {
        let mut taken: Option<(bool, T)> = None;
        let mut next = std::mem::take(&mut cursor.next);
        let mut candidates = std::mem::take(&mut cursor.candidates);
        next.clear();
        candidates.clear();
        candidates.extend(self.candidates(cursor));
        if cursor.at.len() > 1 {
            candidates.sort_unstable();
            candidates.dedup();
        }
        for position in &candidates {
            let Some(leaf) = self.leaves.get(usize::from(*position)) else {
                continue;
            };
            let Some(found) = matched(leaf) else { continue };
            next.push(*position);
            let by_name = matches!(leaf, Leaf::Element(_));
            if !matches!(taken, Some((before, _)) if before || !by_name) {
                taken = Some((by_name, found));
            }
        }
        let (_, found) = taken?;
        cursor.rests = cursor.begun && cursor.at == next;
        cursor.begun = true;
        cursor.next = std::mem::replace(&mut cursor.at, next);
        cursor.candidates = candidates;
        Some(found)
    }

    /// How an element is taken wherever in the content it stands; none where that depends on its place.
    pub fn sole<T: PartialEq>(&self, matched: impl FnMut(&Leaf) -> Option<T>) -> Option<T> {
        let mut taken = self.leaves.iter().filter_map(matched);
        let first = taken.next()?;
        taken.all(|other| other == first).then_some(first)
    }

    /// Whether the content may end here.
    pub fn may_end(&self, cursor: &Cursor) -> bool {
        if !cursor.begun {
            return self.empty;
        }
        cursor
            .at
            .iter()
            .any(|p| self.last.get(usize::from(*p)).copied().unwrap_or_default())
    }

    /// The leaves that could come next, for a message.
    pub fn expected<'a>(&'a self, cursor: &'a Cursor) -> impl Iterator<Item = &'a Leaf> {
        self.candidates(cursor)
            .filter_map(|position| self.leaves.get(usize::from(position)))
    }

    fn candidates<'a>(&'a self, cursor: &'a Cursor) -> impl Iterator<Item = u16> + 'a {
        let first: &[u16] = if cursor.begun { &[] } else { &self.first };
        let follow = cursor
            .at
            .iter()
            .filter_map(|p| self.follow.get(usize::from(*p)))
            .flatten();
        first.iter().chain(follow).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::Particle::{Choice, Leaf as L, Repeat, Sequence};
    use super::*;

    fn letter(c: char) -> Particle {
        L(Leaf::Element(ElementId(c as u32)))
    }

    fn times(particle: Particle, min: u32, max: Option<u32>) -> Particle {
        Repeat(Box::new(particle), min, max)
    }

    fn accepts(particle: &Particle, word: &str) -> bool {
        let automaton = Automaton::new(particle).unwrap();
        let mut cursor = Cursor::default();
        let all = word.chars().all(|c| {
            let found = automaton.step(&mut cursor, |leaf| match leaf {
                Leaf::Element(id) => (id.0 == c as u32).then_some(()),
                Leaf::Any(_) => None,
            });
            found.is_some()
        });
        all && automaton.may_end(&cursor)
    }

    #[test]
    fn words_are_matched_as_the_model_says() {
        let model = || {
            Sequence(vec![
                times(letter('a'), 0, Some(1)),
                times(Choice(vec![letter('b'), letter('c')]), 2, Some(3)),
                times(letter('d'), 0, None),
            ])
        };
        for (word, accepted) in [
            ("bb", true),
            ("abc", true),
            ("abccddd", true),
            ("b", false),
            ("bbbb", false),
            ("aab", false),
            ("bba", false),
            ("", false),
        ] {
            assert_eq!(accepts(&model(), word), accepted, "{word}");
        }
        let repeated = times(Sequence(vec![letter('a'), letter('b')]), 1, None);
        for (word, accepted) in [("ab", true), ("abab", true), ("aba", false), ("", false)] {
            assert_eq!(accepts(&repeated, word), accepted, "{word}");
        }
        let optional_inside = times(
            Choice(vec![times(letter('a'), 0, Some(1)), letter('b')]),
            1,
            None,
        );
        for (word, accepted) in [("", true), ("abba", true), ("c", false)] {
            assert_eq!(accepts(&optional_inside, word), accepted, "{word}");
        }
        assert!(accepts(&times(letter('a'), 0, Some(0)), ""));
        assert!(!accepts(&times(letter('a'), 0, Some(0)), "a"));
    }

    #[test]
    fn where_a_cursor_rests_the_same_letter_leads_nowhere_else() {
        let models = [
            times(Choice(vec![letter('a'), letter('b')]), 0, None),
            Sequence(vec![
                times(letter('a'), 0, Some(3)),
                times(Choice(vec![letter('b'), letter('a')]), 1, None),
                times(letter('c'), 0, None),
            ]),
            times(Sequence(vec![letter('a'), letter('b')]), 0, None),
            times(times(letter('a'), 0, Some(2)), 2, None),
        ];
        let fits = |letter: char| {
            move |leaf: &Leaf| match leaf {
                Leaf::Element(id) => (id.0 == letter as u32).then_some(id.0),
                Leaf::Any(_) => None,
            }
        };
        let mut rested = 0;
        for model in models {
            let automaton = Automaton::new(&model).unwrap();
            for word in 0..3_usize.pow(7) {
                let letters = (0..7).map(|n| ['a', 'b', 'c'][word / 3_usize.pow(n) % 3]);
                let mut cursor = Cursor::default();
                for letter in letters {
                    let Some(found) = automaton.step(&mut cursor, fits(letter)) else {
                        break;
                    };
                    if cursor.rests() {
                        let mut again = cursor.clone();
                        assert_eq!(automaton.step(&mut again, fits(letter)), Some(found));
                        assert_eq!((&again.at, again.rests), (&cursor.at, true));
                        rested += 1;
                    }
                }
            }
        }
        assert!(rested > 1_000, "only {rested} rests");
    }

    #[test]
    fn an_ambiguous_model_costs_no_backtracking() {
        // (a?){60} a{60}: a backtracking matcher takes 2 to the 60 steps on 60 letters.
        let model = Sequence(vec![
            times(times(letter('a'), 0, Some(1)), 60, Some(60)),
            times(letter('a'), 60, Some(60)),
        ]);
        for (length, accepted) in [(59, false), (60, true), (120, true), (121, false)] {
            assert_eq!(
                accepts(&model, &"a".repeat(length)),
                accepted,
                "{length} letters"
            );
        }
    }

    #[test]
    fn a_model_too_large_is_refused_when_it_is_built() {
        for (case, model) in [
            ("positions", times(letter('a'), 2000, None)),
            (
                "followers",
                times(Choice((0..600).map(|_| letter('a')).collect()), 0, None),
            ),
            (
                "copies of nothing",
                times(Sequence(Vec::new()), 0, Some(u32::MAX)),
            ),
            (
                "nested repeats",
                times(times(letter('a'), 100, Some(100)), 100, Some(100)),
            ),
        ] {
            assert!(Automaton::new(&model).is_err(), "{case}");
        }
    }
}
