//! What a watcher is granted: the combined transformations of all rules that match.

use std::collections::BTreeSet;

/// Boolean permissions on attributes, RFC 5025 §3.3.2 and the OMA presence rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Attribute {
    Activities,
    Class,
    DeviceId,
    Mood,
    PlaceIs,
    PlaceType,
    Privacy,
    Relationship,
    Sphere,
    StatusIcon,
    TimeOffset,
    Note,
    // OMA
    Willingness,
    NetworkAvailability,
    SessionParticipation,
    RegistrationState,
    BarringState,
    Geopriv,
}

/// How much of `<user-input>` is granted, RFC 5025 §3.3.2.12; ordered, so that combining is the maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UserInput {
    #[default]
    False,
    /// Without its attributes.
    Bare,
    /// With `idle-threshold` only.
    Thresholds,
    Full,
}

/// One way to name a component, RFC 5025 §3.3.1; `ServiceId` is OMA's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Member {
    Class(Box<str>),
    OccurrenceId(Box<str>),
    DeviceId(Box<str>),
    ServiceUri(Box<str>),
    ServiceUriScheme(Box<str>),
    ServiceId(Box<str>),
}

/// Which components of one sort are shown. Ordered: all is more than any set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provide {
    Some(BTreeSet<Member>),
    All,
}

impl Default for Provide {
    fn default() -> Self {
        Provide::Some(BTreeSet::new())
    }
}

impl Provide {
    /// Union, RFC 4745 §10.2.
    pub fn combine(&mut self, other: &Provide) {
        match (&mut *self, other) {
            (Provide::All, _) => {}
            (_, Provide::All) => *self = Provide::All,
            (Provide::Some(mine), Provide::Some(theirs)) => mine.extend(theirs.iter().cloned()),
        }
    }
}

/// A grant. Two watchers with equal permissions see the same document, so a view is cached by this value. The
/// default grants nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permissions {
    pub services: Provide,
    pub persons: Provide,
    pub devices: Provide,
    pub user_input: UserInput,
    /// Every attribute, known or not (§3.3.2.15); [`Permissions::combine`] then forgets the single grants.
    all_attributes: bool,
    /// One bit for each [`Attribute`].
    attributes: u32,
    /// Namespace and local name of unknown attributes granted (§3.3.2.14).
    unknown: BTreeSet<(Box<str>, Box<str>)>,
}

impl Permissions {
    /// Nothing: a document without components.
    pub fn none() -> Self {
        Permissions::default()
    }

    /// These components, with nothing but what is always shown of them.
    pub fn components(services: Provide, persons: Provide, devices: Provide) -> Self {
        Permissions {
            services,
            persons,
            devices,
            ..Permissions::default()
        }
    }

    /// Everything: the presentity itself, or an operator's default.
    pub fn all() -> Self {
        let mut all = Permissions::components(Provide::All, Provide::All, Provide::All);
        all.grant_all_attributes();
        all
    }

    pub fn grant(&mut self, attribute: Attribute) {
        if !self.all_attributes {
            self.attributes |= 1 << attribute as u32;
        }
    }

    /// Grants the unknown attribute of that expanded name.
    pub fn grant_unknown(&mut self, ns: &str, name: &str) {
        if !self.all_attributes {
            self.unknown.insert((ns.into(), name.into()));
        }
    }

    pub fn grant_all_attributes(&mut self) {
        // One value for one meaning: what all attributes include is not kept beside it, so equal grants compare equal.
        self.all_attributes = true;
        self.attributes = 0;
        self.unknown.clear();
        self.user_input = UserInput::Full;
    }

    pub fn grants(&self, attribute: Attribute) -> bool {
        self.all_attributes || self.attributes & (1 << attribute as u32) != 0
    }

    pub fn grants_unknown(&self, ns: &str, name: &str) -> bool {
        self.all_attributes || self.unknown.iter().any(|(n, l)| &**n == ns && &**l == name)
    }

    pub fn grants_all_attributes(&self) -> bool {
        self.all_attributes
    }

    /// Adds the grants of another rule that matches too: booleans OR, sets union, numbers maximum (RFC 4745 §10.2).
    pub fn combine(&mut self, other: &Permissions) {
        self.services.combine(&other.services);
        self.persons.combine(&other.persons);
        self.devices.combine(&other.devices);
        self.user_input = self.user_input.max(other.user_input);
        if self.all_attributes || other.all_attributes {
            self.grant_all_attributes();
        } else {
            self.attributes |= other.attributes;
            self.unknown.extend(other.unknown.iter().cloned());
        }
    }
}
