//! What happens: the values of which documents and rules are written.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub const TYPE: &str = "Content-Type: application/simple-filter+xml\r\n";

/// Filters that ask for as much as they can, and for things that they may not have.
pub const FILTERS: [&str; 9] = [
    "<what><include>//*</include></what>",
    "<what><include>//*[.=\"open\"]</include><include>//@*</include></what>",
    "<what><include>/p:presence/p:tuple/p:note</include><include>//r:mood</include></what>",
    "<what><include type='namespace'>urn:ietf:params:xml:ns:pidf:rpid</include></what>",
    "<what><include type='namespace'>urn:ietf:params:xml:ns:pidf</include><exclude>//p:contact</exclude></what>",
    "<what><exclude>//p:tuple</exclude></what>",
    "<what><exclude type='namespace'>urn:ietf:params:xml:ns:pidf:data-model</exclude></what>",
    "<trigger><added>//p:note</added></trigger><trigger><changed>//r:mood</changed></trigger>",
    "<what><include>//r:class</include></what><trigger><removed>//*</removed></trigger>",
];

pub fn filter_set(filter: &str) -> String {
    format!(
        "<filter-set xmlns='urn:ietf:params:xml:ns:simple-filter'><ns-bindings>\
         <ns-binding prefix='p' urn='urn:ietf:params:xml:ns:pidf'/>\
         <ns-binding prefix='r' urn='urn:ietf:params:xml:ns:pidf:rpid'/></ns-bindings>\
         <filter id='f'>{filter}</filter></filter-set>"
    )
}

/// A service, person or device: its class, and which elements it has, one bit for each of its table.
#[derive(Clone, Debug)]
pub struct Part {
    pub class: Option<u8>,
    pub items: u16,
}

/// A publication.
#[derive(Clone, Debug)]
pub struct Shape {
    pub tuples: Vec<Part>,
    pub person: Option<Part>,
    pub device: Option<Part>,
    /// At home, or at work; only the first source says so.
    pub sphere: Option<bool>,
}

/// Which components of a sort a rule grants.
#[derive(Clone, Debug)]
pub enum Provide {
    Nothing,
    All,
    Class(u8),
    /// The component of this source and place, by its id.
    Id(usize, usize),
    /// The same by contact, or by device.
    Address(usize, usize),
}

#[derive(Clone, Debug)]
pub struct Rule {
    /// The watchers whom it names, a bit for each; none: everybody.
    pub who: u8,
    /// In place of names: who is named by no other rule.
    pub other: bool,
    pub sphere: Option<bool>,
    /// Seconds from now in which it holds.
    pub valid: Option<(i8, u8)>,
    /// 0 block, 1 confirm, 2 polite-block, 3 and more allow.
    pub handling: u8,
    pub services: Provide,
    pub persons: Provide,
    pub devices: Provide,
    /// Attributes granted, a bit for each of [`super::oracle::PERMISSIONS`].
    pub attributes: u32,
    pub all_attributes: bool,
    /// 0 false, 1 bare, 2 thresholds, 3 full.
    pub user_input: u8,
    /// It says that only notes are to be told, or asks for an interval.
    pub notification: Option<bool>,
}

#[derive(Clone, Debug)]
pub enum Step {
    Publish(usize, Shape),
    Withdraw(usize),
    Rules(Vec<Rule>),
    Subscribe {
        who: usize,
        filter: Option<usize>,
        partial: bool,
    },
    Refresh {
        who: usize,
        filter: Option<usize>,
    },
    /// A watcher wants to know who watches.
    Observe(usize),
    Wait(u8),
    Restart,
}

fn part() -> impl Strategy<Value = Part> {
    (option::of(0..2u8), any::<u16>()).prop_map(|(class, items)| Part { class, items })
}

fn shape() -> impl Strategy<Value = Shape> {
    (
        vec(part(), 0..3),
        option::of(part()),
        option::of(part()),
        option::of(any::<bool>()),
    )
        .prop_map(|(tuples, person, device, sphere)| Shape {
            tuples,
            person,
            device,
            sphere,
        })
}

fn provide() -> impl Strategy<Value = Provide> {
    prop_oneof![
        1 => Just(Provide::Nothing),
        3 => Just(Provide::All),
        2 => (0..2u8).prop_map(Provide::Class),
        1 => (0..2usize, 0..2usize).prop_map(|(source, place)| Provide::Id(source, place)),
        1 => (0..2usize, 0..2usize).prop_map(|(source, place)| Provide::Address(source, place)),
    ]
}

/// Persons of two sources may become one, so they are granted by class or not at all.
fn provide_persons() -> impl Strategy<Value = Provide> {
    prop_oneof![
        Just(Provide::Nothing),
        Just(Provide::All),
        (0..2u8).prop_map(Provide::Class)
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let whom = (
        0..8u8,
        prop::bool::weighted(0.2),
        option::weighted(0.2, any::<bool>()),
        option::weighted(0.2, (-20..20i8, 0..40u8)),
        0..12u8,
    );
    let what = (
        (provide(), provide_persons(), provide()),
        any::<u32>(),
        prop::bool::weighted(0.15),
        0..4u8,
        option::weighted(0.2, any::<bool>()),
    );
    (whom, what).prop_map(|(whom, what)| Rule {
        who: whom.0,
        other: whom.1,
        sphere: whom.2,
        valid: whom.3,
        handling: whom.4,
        services: what.0.0,
        persons: what.0.1,
        devices: what.0.2,
        attributes: what.1,
        all_attributes: what.2,
        user_input: what.3,
        notification: what.4,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..super::WATCHERS.len();
    let filter = || option::weighted(0.4, 0..FILTERS.len());
    prop_oneof![
        6 => (0..2usize, shape()).prop_map(|(source, shape)| Step::Publish(source, shape)),
        1 => (0..2usize).prop_map(Step::Withdraw),
        3 => vec(rule(), 0..4).prop_map(Step::Rules),
        4 => (who.clone(), filter(), any::<bool>())
            .prop_map(|(who, filter, partial)| Step::Subscribe { who, filter, partial }),
        1 => (who.clone(), filter()).prop_map(|(who, filter)| Step::Refresh { who, filter }),
        1 => who.prop_map(Step::Observe),
        4 => (0..30u8).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

/// Rules, a publication and watchers first, so that there is something to be withheld.
pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let begin = (vec(rule(), 1..4), shape(), vec(step(), 8..24));
    begin.prop_map(|(rules, shape, steps)| {
        let mut all = vec![Step::Rules(rules), Step::Publish(0, shape)];
        all.extend(steps);
        all
    })
}
