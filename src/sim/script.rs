//! What a simulator answers: rules such as `PUBLISH=3004,2001` or `silent@0.1`, and a chance that is the same at each
//! run with the same seed.

use std::str::FromStr;

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// What the simulator does by itself: 2001, or what the account allows.
    Default,
    /// This Result-Code.
    Result(u32),
    Silent,
    /// The connection is closed without a word.
    Disconnect,
}

/// What requests can be told apart by, besides their SIP method.
pub const KINDS: &[&str] = &[
    "INITIAL",
    "UPDATE",
    "TERMINATION",
    "DEBIT",
    "REFUND",
    "BALANCE",
    "PRICE",
];

/// Acts of one rule at most.
const ACTS_MAX: usize = 1_000;

/// `[KEY=]ACT[@PROBABILITY][,ACT...]`: requests of this kind meet the acts in turn, the last one again and again.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Upper case; `None`: every request.
    key: Option<String>,
    acts: Vec<(Act, f64)>,
    next: usize,
}

impl Rule {
    /// The kind of request that it is for, in upper case; `None`: every one.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Rule, String> {
        let (key, acts) = match text.split_once('=') {
            Some((key, acts)) => (Some(key.trim().to_ascii_uppercase()), acts),
            None => (None, text),
        };
        let word = |key: &String| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphabetic());
        if key.as_ref().is_some_and(|key| !word(key)) {
            return Err(format!(
                "\"{text}\" does not begin with a method or kind of request"
            ));
        }
        let acts: Vec<(Act, f64)> = acts.split(',').map(act).collect::<Result<_, _>>()?;
        if acts.len() > ACTS_MAX {
            return Err(format!("more than {ACTS_MAX} acts in one rule"));
        }
        Ok(Rule { key, acts, next: 0 })
    }
}

fn act(text: &str) -> Result<(Act, f64), String> {
    let (act, chance) = text.trim().split_once('@').unwrap_or((text.trim(), "1"));
    let wrong =
        || format!("\"{text}\" is no Result-Code, \"silent\", \"disconnect\" or \"default\"");
    let act = match act {
        "silent" => Act::Silent,
        "disconnect" => Act::Disconnect,
        "default" => Act::Default,
        code => match code.parse() {
            Ok(code @ 1_000..10_000) => Act::Result(code),
            _ => return Err(wrong()),
        },
    };
    match chance.parse() {
        Ok(chance) if (0.0..=1.0).contains(&chance) => Ok((act, chance)),
        _ => Err(format!("\"{chance}\" is no probability between 0 and 1")),
    }
}

/// Rules in their order: the first that fits a request decides.
#[derive(Clone, Debug)]
pub struct Script {
    rules: Vec<Rule>,
    random: u64,
}

impl Script {
    pub fn new(rules: Vec<Rule>, seed: u64) -> Script {
        Script {
            rules,
            random: seed,
        }
    }

    /// A rule that goes before all others.
    pub fn prepend(&mut self, rule: Rule) {
        self.rules.retain(|old| old.key != rule.key);
        self.rules.insert(0, rule);
    }

    /// What becomes of a request with these keys.
    pub fn decide(&mut self, keys: &[&str]) -> Act {
        let fits = |rule: &&mut Rule| match &rule.key {
            Some(key) => keys.iter().any(|k| k.eq_ignore_ascii_case(key)),
            None => true,
        };
        let Some(rule) = self.rules.iter_mut().find(fits) else {
            return Act::Default;
        };
        let Some((act, chance)) = rule.acts.get(rule.next).copied() else {
            return Act::Default;
        };
        if rule.next + 1 < rule.acts.len() {
            rule.next += 1;
        }
        match chance < 1.0 && self.roll() >= chance {
            true => Act::Default,
            false => act,
        }
    }

    /// The next number from 0 to 1 (SplitMix64, whose step and mixing constants these are).
    fn roll(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(rules: &[&str]) -> Script {
        Script::new(rules.iter().map(|r| r.parse().unwrap()).collect(), 7)
    }

    #[test]
    fn the_first_rule_that_fits_decides_and_goes_through_its_acts() {
        let mut script = script(&["publish=3004,2001", "DEBIT=silent", "4012,default"]);
        let all: Vec<Act> = [
            &["PUBLISH", "DEBIT"][..],
            &["PUBLISH"],
            &["PUBLISH"],
            &["SUBSCRIBE", "DEBIT"],
            &["NOTIFY"],
            &["NOTIFY"],
        ]
        .iter()
        .map(|keys| script.decide(keys))
        .collect();
        let codes = [
            Act::Result(3004),
            Act::Result(2001),
            Act::Result(2001),
            Act::Silent,
            Act::Result(4012),
            Act::Default,
        ];
        assert_eq!(all, codes);
        script.prepend("PUBLISH=disconnect".parse().unwrap());
        assert_eq!(script.decide(&["PUBLISH"]), Act::Disconnect);
    }

    #[test]
    fn a_chance_is_met_about_as_often_as_it_says_and_alike_at_each_run() {
        let run = || {
            let mut script = script(&["5012@0.25"]);
            (0..4_000)
                .filter(|_| script.decide(&[]) != Act::Default)
                .count()
        };
        assert!((900..1_100).contains(&run()), "{}", run());
        assert_eq!(run(), run());
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in [
            "",
            "PUBLISH=",
            "=2001",
            "99",
            "10000",
            "quiet",
            "2001@2",
            "2001@x",
            "P-1=2001",
            "2001,,2001",
        ] {
            assert!(text.parse::<Rule>().is_err(), "{text}");
        }
        for text in ["2001", "PUBLISH=2001", "silent@0.5,disconnect@0,default"] {
            assert!(text.parse::<Rule>().is_ok(), "{text}");
        }
    }
}
