//! Who may see which mark, worked out from the values (RFC 4745 §10, RFC 5025 §3), and the texts made of them.

use super::steps::{Part, Provide, Rule, Shape};
use super::{BOB, WATCHERS};
use crate::time::Timestamp;
use crate::time::datetime;
use std::collections::BTreeSet;

/// What a rule may grant with a boolean. The last two are unknown attributes, by namespace.
pub const PERMISSIONS: [&str; 17] = [
    "note",
    "relationship",
    "status-icon",
    "privacy",
    "deviceID",
    "activities",
    "mood",
    "place-type",
    "place-is",
    "time-offset",
    "class",
    "sphere",
    "willingness",
    "session-participation",
    "barring-state",
    "urn:x:a",
    "urn:x:b",
];
/// Permissions in OMA's namespace.
const OMA: [&str; 3] = ["willingness", "session-participation", "barring-state"];

/// An element: the permission that shows it, and its text around a mark. `user-input` is shown with its mark when it is
/// granted in full.
type Item = (&'static str, &'static str);

const UNKNOWN_A: Item = (
    "urn:x:a",
    "<xa:ext xmlns:xa='urn:x:a'><xa:in>@</xa:in></xa:ext>",
);
const UNKNOWN_B: Item = ("urn:x:b", "<ext xmlns='urn:x:b' at='@'/>");
const USER_INPUT: Item = (
    "user-input",
    "<r:user-input idle-threshold='600' id='@'>active</r:user-input>",
);
const ICON: Item = (
    "status-icon",
    "<r:status-icon>http://ims.test/@.png</r:status-icon>",
);
const PRIVACY: Item = (
    "privacy",
    "<r:privacy><r:note>@</r:note><r:unknown/></r:privacy>",
);

/// In a service, before its contact.
const TUPLE: [Item; 9] = [
    (
        "relationship",
        "<r:relationship><r:other>@</r:other></r:relationship>",
    ),
    ICON,
    PRIVACY,
    UNKNOWN_A,
    UNKNOWN_B,
    USER_INPUT,
    (
        "willingness",
        "<op:willingness><op:basic>open</op:basic><m:m xmlns:m='urn:m'>@</m:m></op:willingness>",
    ),
    (
        "session-participation",
        "<op:session-participation><op:basic>open</op:basic><m:m xmlns:m='urn:m'>@</m:m></op:session-participation>",
    ),
    ("deviceID", "<dm:deviceID>urn:m:@</dm:deviceID>"),
];
const PERSON: [Item; 10] = [
    (
        "activities",
        "<r:activities><r:other>@</r:other></r:activities>",
    ),
    ("mood", "<r:mood><r:other>@</r:other></r:mood>"),
    (
        "place-type",
        "<r:place-type><r:other>@</r:other></r:place-type>",
    ),
    ("place-is", "<r:place-is><r:note>@</r:note></r:place-is>"),
    (
        "time-offset",
        "<r:time-offset description='@'>60</r:time-offset>",
    ),
    ICON,
    PRIVACY,
    UNKNOWN_A,
    USER_INPUT,
    (
        "willingness",
        "<op:overriding-willingness><op:basic>open</op:basic><m:m xmlns:m='urn:m'>@</m:m></op:overriding-willingness>",
    ),
];
const DEVICE: [Item; 3] = [UNKNOWN_A, UNKNOWN_B, USER_INPUT];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Tuple,
    Person,
    Device,
}

/// A component as it is published now.
#[derive(Clone, Debug)]
struct Component {
    sort: Sort,
    source: usize,
    place: usize,
    class: Option<u8>,
    /// Mark and permission of each element.
    elements: Vec<(String, &'static str)>,
}

impl Component {
    fn id(&self) -> String {
        let sort = match self.sort {
            Sort::Tuple => 't',
            Sort::Person => 'p',
            Sort::Device => 'd',
        };
        format!("mkid{sort}{}n{}x", self.source, self.place)
    }

    /// Contact of a service, number of a device.
    fn address(&self) -> String {
        address(self.sort, self.source, self.place)
    }
}

fn address(sort: Sort, source: usize, place: usize) -> String {
    match sort {
        Sort::Device => format!("urn:mkdev{source}n{place}x"),
        _ => format!("sip:mkct{source}n{place}x@ims.test"),
    }
}

/// What a watcher is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Refused,
    /// Pending, or politely blocked.
    Nothing,
    Allowed,
}

/// Rules as they were put, with the instant.
#[derive(Debug, Default)]
pub struct Truth {
    rules: Vec<(Rule, u64)>,
    parts: Vec<Component>,
    sphere: Option<bool>,
    marks: usize,
}

impl Truth {
    fn mark(&mut self) -> String {
        self.marks += 1;
        format!("mk{}x", self.marks)
    }

    pub fn withdraw(&mut self, source: usize) {
        self.parts.retain(|part| part.source != source);
        if source == 0 {
            self.sphere = None;
        }
    }

    /// A source publishes: the document.
    pub fn publish(&mut self, source: usize, shape: &Shape) -> String {
        self.withdraw(source);
        let mut body = String::new();
        for (place, tuple) in shape.tuples.iter().enumerate() {
            body.push_str(&self.component(Sort::Tuple, source, place, tuple, None));
        }
        let sphere = shape
            .sphere
            .filter(|_| source == 0 && shape.person.is_some());
        if let Some(person) = &shape.person {
            body.push_str(&self.component(Sort::Person, source, 0, person, sphere));
        }
        if let Some(device) = &shape.device {
            body.push_str(&self.component(Sort::Device, source, 0, device, None));
        }
        if source == 0 {
            self.sphere = sphere;
        }
        format!(
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' \
             xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' xmlns:op='urn:oma:xml:prs:pidf:oma-pres' entity='{BOB}'>\
             {body}</presence>"
        )
    }

    fn component(
        &mut self,
        sort: Sort,
        source: usize,
        place: usize,
        part: &Part,
        sphere: Option<bool>,
    ) -> String {
        let mut component = Component {
            sort,
            source,
            place,
            class: part.class,
            elements: Vec::new(),
        };
        let table: &[Item] = match sort {
            Sort::Tuple => &TUPLE,
            Sort::Person => &PERSON,
            Sort::Device => &DEVICE,
        };
        let mut inside = String::new();
        for (bit, (permission, text)) in table.iter().enumerate() {
            if part.items & (1 << bit) != 0 {
                let mark = self.mark();
                inside.push_str(&text.replace('@', &mark));
                component.elements.push((mark, permission));
            }
        }
        if let Some(class) = part.class {
            inside.push_str(&format!("<r:class>mkclass{class}x</r:class>"));
        }
        if let Some(home) = sphere {
            let mark = self.mark();
            let name = if home { "home" } else { "work" };
            inside.push_str(&format!("<r:sphere id='{mark}'><r:{name}/></r:sphere>"));
            component.elements.push((mark, "sphere"));
        }
        let mut note = String::new();
        if part.items & 1 << 12 != 0 {
            note = self.mark();
            component.elements.push((note.clone(), "note"));
        }
        let id = component.id();
        let address = component.address();
        self.parts.push(component);
        let noted = |prefix: &str| match note.as_str() {
            "" => String::new(),
            note => format!("<{prefix}note>{note}</{prefix}note>"),
        };
        match sort {
            Sort::Tuple => format!(
                "<tuple id='{id}'><status><basic>open</basic></status>{inside}<contact>{address}</contact>{}</tuple>",
                noted("")
            ),
            Sort::Person => format!("<dm:person id='{id}'>{inside}{}</dm:person>", noted("dm:")),
            Sort::Device => format!(
                "<dm:device id='{id}'>{inside}<dm:deviceID>{address}</dm:deviceID>{}</dm:device>",
                noted("dm:")
            ),
        }
    }

    /// Bob puts these rules: the document.
    pub fn rule(&mut self, rules: &[Rule], now: u64) -> String {
        self.rules = rules.iter().map(|rule| (rule.clone(), now)).collect();
        let rules: String = rules
            .iter()
            .enumerate()
            .map(|(n, r)| written(n, r, now))
            .collect();
        format!(
            "<cp:ruleset xmlns:cp='urn:ietf:params:xml:ns:common-policy' xmlns:pr='urn:ietf:params:xml:ns:pres-rules' \
             xmlns:ocp='urn:oma:xml:xdm:common-policy' xmlns:o='urn:oma:xml:prs:pres-rules'>{rules}</cp:ruleset>"
        )
    }

    /// The rules that apply to a watcher (RFC 4745 §10.1).
    fn applying(&self, who: usize, now: u64) -> Vec<&Rule> {
        let named = |rule: &Rule| !rule.other && rule.who & (1 << who) != 0;
        let by_another = self.rules.iter().any(|(rule, _)| named(rule));
        let applies = |rule: &Rule, put: u64| {
            let whom = match (rule.other, rule.who) {
                (true, _) => !by_another,
                (false, 0) => true,
                (false, _) => named(rule),
            };
            let sphere = rule.sphere.is_none_or(|home| self.sphere == Some(home));
            let valid = rule.valid.is_none_or(|valid| {
                let (from, until) = interval(valid, put);
                (from..until).contains(&now)
            });
            whom && sphere && valid
        };
        let all = self.rules.iter().filter(|(rule, put)| applies(rule, *put));
        all.map(|(rule, _)| rule).collect()
    }

    /// The highest handling of the rules that apply (RFC 4745 §10.2).
    pub fn handling(&self, who: usize, now: u64) -> Option<u8> {
        let rules = self.applying(who, now).into_iter();
        rules.map(|rule| rule.handling).max()
    }

    pub fn verdict(&self, who: usize, now: u64) -> Verdict {
        match self.handling(who, now) {
            None | Some(0) => Verdict::Refused,
            Some(1 | 2) => Verdict::Nothing,
            Some(_) => Verdict::Allowed,
        }
    }

    /// The marks that a watcher may be shown.
    pub fn may_see(&self, who: usize, now: u64) -> BTreeSet<String> {
        self.marks_of(who, now, true)
    }

    /// The marks of elements, without those of ids, of which there is one where two persons are one.
    pub fn must_see(&self, who: usize, now: u64) -> BTreeSet<String> {
        self.marks_of(who, now, false)
    }

    fn marks_of(&self, who: usize, now: u64, ids: bool) -> BTreeSet<String> {
        let mut marks = BTreeSet::new();
        if self.verdict(who, now) != Verdict::Allowed {
            return marks;
        }
        // only an allow carries transformations here
        let rules = self.applying(who, now);
        let rules: Vec<&&Rule> = rules.iter().filter(|rule| rule.handling > 2).collect();
        let all = rules.iter().any(|rule| rule.all_attributes);
        let granted = |permission: &str| {
            let at = PERMISSIONS.iter().position(|p| *p == permission);
            let input = permission == "user-input" && rules.iter().any(|r| r.user_input == 3);
            all || input || at.is_some_and(|at| rules.iter().any(|r| r.attributes & (1 << at) != 0))
        };
        for part in &self.parts {
            let shows = |rule: &&&Rule| shows(rule, part);
            if !rules.iter().any(shows) {
                continue;
            }
            let shown = part
                .elements
                .iter()
                .filter(|(_, permission)| granted(permission));
            marks.extend(shown.map(|(mark, _)| mark.clone()));
            if part.sort != Sort::Person {
                marks.extend(super::marks(&part.address()));
            }
            let class = part.class.map(|class| format!("mkclass{class}x"));
            if granted("class") {
                marks.extend(class);
            } else if ids {
                // a grant by class names it already
                let named = rules
                    .iter()
                    .any(|rule| by_class(provide(rule, part.sort), part));
                marks.extend(class.filter(|_| named));
            }
            marks.extend(Some(part.id()).filter(|_| ids));
        }
        marks
    }
}

fn provide(rule: &Rule, sort: Sort) -> &Provide {
    match sort {
        Sort::Tuple => &rule.services,
        Sort::Person => &rule.persons,
        Sort::Device => &rule.devices,
    }
}

fn by_class(provide: &Provide, part: &Component) -> bool {
    matches!(provide, Provide::Class(class) if part.class == Some(*class))
}

fn shows(rule: &Rule, part: &Component) -> bool {
    let provide = provide(rule, part.sort);
    match provide {
        Provide::Nothing => false,
        Provide::All => true,
        Provide::Class(_) => by_class(provide, part),
        Provide::Id(source, place) | Provide::Address(source, place) => {
            (part.source, part.place) == (*source, *place)
        }
    }
}

/// When a rule holds, in milliseconds since the epoch; whole seconds, as the document says it.
fn interval((from, long): (i8, u8), put: u64) -> (u64, u64) {
    let begin = (put / 1000 * 1000).saturating_add_signed(i64::from(from) * 1000);
    (begin, begin + u64::from(long) * 1000)
}

fn written(number: usize, rule: &Rule, now: u64) -> String {
    let mut conditions = String::new();
    if rule.other {
        conditions.push_str("<ocp:other-identity/>");
    } else if rule.who != 0 {
        let named = WATCHERS
            .iter()
            .enumerate()
            .filter(|(n, _)| rule.who & (1 << n) != 0);
        let ones: String = named
            .map(|(_, id)| format!("<cp:one id='{id}'/>"))
            .collect();
        conditions.push_str(&format!("<cp:identity>{ones}</cp:identity>"));
    }
    if let Some(home) = rule.sphere {
        let value = if home { "home" } else { "work" };
        conditions.push_str(&format!("<cp:sphere value='{value}'/>"));
    }
    if let Some(valid) = rule.valid {
        let (from, until) = interval(valid, now);
        let text = |at: u64| datetime::format(Timestamp(at));
        let (from, until) = (text(from), text(until));
        conditions.push_str(&format!(
            "<cp:validity><cp:from>{from}</cp:from><cp:until>{until}</cp:until></cp:validity>"
        ));
    }
    let handling = ["block", "confirm", "polite-block", "allow"][usize::from(rule.handling.min(3))];
    let notification = match rule.notification {
        None => "",
        Some(true) => {
            "<n:notification xmlns:n='urn:presentia:xml:notification-rules'><n:trigger><n:element name='note'/>\
             </n:trigger></n:notification>"
        }
        Some(false) => {
            "<n:notification xmlns:n='urn:presentia:xml:notification-rules' interval='10'/>"
        }
    };
    let transformations = if rule.handling > 2 {
        transformations(rule)
    } else {
        String::new()
    };
    format!(
        "<cp:rule id='r{number}'><cp:conditions>{conditions}</cp:conditions><cp:actions>\
         <pr:sub-handling>{handling}</pr:sub-handling>{notification}</cp:actions>{transformations}</cp:rule>"
    )
}

fn transformations(rule: &Rule) -> String {
    let mut text = String::new();
    for (name, all, address_name, sort) in [
        ("devices", "all-devices", "deviceID", Sort::Device),
        ("persons", "all-persons", "", Sort::Person),
        ("services", "all-services", "service-uri", Sort::Tuple),
    ] {
        let member = match provide(rule, sort) {
            Provide::Nothing => String::new(),
            Provide::All => format!("<pr:{all}/>"),
            Provide::Class(class) => format!("<pr:class>mkclass{class}x</pr:class>"),
            Provide::Id(source, place) => {
                let part = Component {
                    sort,
                    source: *source,
                    place: *place,
                    class: None,
                    elements: Vec::new(),
                };
                format!("<pr:occurrence-id>{}</pr:occurrence-id>", part.id())
            }
            Provide::Address(source, place) => {
                let address = address(sort, *source, *place);
                format!("<pr:{address_name}>{address}</pr:{address_name}>")
            }
        };
        text.push_str(&format!("<pr:provide-{name}>{member}</pr:provide-{name}>"));
    }
    for (bit, name) in PERMISSIONS.iter().enumerate() {
        if rule.attributes & (1 << bit) == 0 {
            continue;
        }
        text.push_str(&if let Some(space) = name.strip_prefix("urn:") {
            format!(
                "<pr:provide-unknown-attribute ns='urn:{space}' name='ext'>true</pr:provide-unknown-attribute>"
            )
        } else {
            let prefix = if OMA.contains(name) { "o" } else { "pr" };
            format!("<{prefix}:provide-{name}>true</{prefix}:provide-{name}>")
        });
    }
    let input = ["false", "bare", "thresholds", "full"][usize::from(rule.user_input)];
    text.push_str(&format!(
        "<pr:provide-user-input>{input}</pr:provide-user-input>"
    ));
    if rule.all_attributes {
        text.push_str("<pr:provide-all-attributes/>");
    }
    format!("<cp:transformations>{text}</cp:transformations>")
}
