//! Names that composition and content rules tell apart: namespaces, and the kinds of presence elements.

/// A namespace this server knows something about. `Unqualified` is "no namespace", `Other` any namespace not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Ns {
    Unqualified,
    /// The `xml` prefix.
    Xml,
    /// XML Schema instance (`xsi:schemaLocation` and the like).
    Xsi,
    /// RFC 3863.
    Pidf,
    /// RFC 4479.
    DataModel,
    /// RFC 4480.
    Rpid,
    /// OMA presence extensions to PIDF.
    Oma,
    /// RFC 4119.
    Geopriv,
    Other,
}

/// Namespace of PIDF, the default namespace of every document sent.
pub(crate) const PIDF: &str = "urn:ietf:params:xml:ns:pidf";
/// Namespace of the presence data model.
pub(crate) const DATA_MODEL: &str = "urn:ietf:params:xml:ns:pidf:data-model";
/// Namespace of RPID.
pub(crate) const RPID: &str = "urn:ietf:params:xml:ns:pidf:rpid";
/// Namespace of the OMA presence elements.
pub(crate) const OMA: &str = "urn:oma:xml:prs:pidf:oma-pres";
/// Namespace of location objects.
pub(crate) const GEOPRIV: &str = "urn:ietf:params:xml:ns:pidf:geopriv10";
/// Namespace of CIPID, RFC 4482: unknown to rules, but its values have types.
pub(crate) const CIPID: &str = "urn:ietf:params:xml:ns:pidf:cipid";
/// Namespace of timed status, RFC 4481: likewise.
pub(crate) const TIMED_STATUS: &str = "urn:ietf:params:xml:ns:pidf:timed-status";
/// Namespace of XML Schema instance attributes.
pub(crate) const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// Namespace bound to the prefix `xml`, Namespaces in XML §3.
pub(crate) const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// Namespace of `xmlns` itself, which no prefix may be bound to.
pub(crate) const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

impl Ns {
    pub(crate) fn of(uri: &str) -> Ns {
        match uri {
            "" => Ns::Unqualified,
            PIDF => Ns::Pidf,
            DATA_MODEL => Ns::DataModel,
            RPID => Ns::Rpid,
            OMA => Ns::Oma,
            GEOPRIV => Ns::Geopriv,
            XSI => Ns::Xsi,
            XML => Ns::Xml,
            _ => Ns::Other,
        }
    }

    /// The namespace name; `None` for [`Ns::Other`], whose name is in the document.
    pub(crate) fn uri(self) -> Option<&'static str> {
        Some(match self {
            Ns::Unqualified => "",
            Ns::Pidf => PIDF,
            Ns::DataModel => DATA_MODEL,
            Ns::Rpid => RPID,
            Ns::Oma => OMA,
            Ns::Geopriv => GEOPRIV,
            Ns::Xsi => XSI,
            Ns::Xml => XML,
            Ns::Other => return None,
        })
    }
}

/// What an element inside a tuple, person or device is, as far as a rule can name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Kind {
    // PIDF, RFC 3863 §4.1
    Basic,
    Contact,
    Note,
    Timestamp,
    // data model, RFC 4479
    DeviceId,
    // RPID, RFC 4480 §3
    Activities,
    Class,
    Mood,
    PlaceIs,
    PlaceType,
    Privacy,
    Relationship,
    ServiceClass,
    Sphere,
    StatusIcon,
    TimeOffset,
    UserInput,
    // OMA
    ServiceDescription,
    Willingness,
    OverridingWillingness,
    SessionParticipation,
    RegistrationState,
    BarringState,
    NetworkAvailability,
    /// A location object, RFC 4119.
    Geopriv,
    /// An element no authorisation schema names: `provide-unknown-attribute` may grant it (RFC 5025 §3.3.2.14).
    Unknown,
}

impl Kind {
    /// The kind of a child of a component, by its expanded name.
    pub(crate) fn of(ns: Ns, local: &str) -> Kind {
        match (ns, local) {
            (Ns::Pidf, "basic") => Kind::Basic,
            (Ns::Pidf, "contact") => Kind::Contact,
            (Ns::Pidf | Ns::DataModel, "note") => Kind::Note,
            (Ns::Pidf | Ns::DataModel, "timestamp") => Kind::Timestamp,
            (Ns::DataModel, "deviceID") => Kind::DeviceId,
            (Ns::Rpid, _) => Kind::of_rpid(local),
            (Ns::Oma, _) => Kind::of_oma(local),
            (Ns::Geopriv, "geopriv") => Kind::Geopriv,
            _ => Kind::Unknown,
        }
    }

    fn of_rpid(local: &str) -> Kind {
        match local {
            "activities" => Kind::Activities,
            "class" => Kind::Class,
            "mood" => Kind::Mood,
            "place-is" => Kind::PlaceIs,
            "place-type" => Kind::PlaceType,
            "privacy" => Kind::Privacy,
            "relationship" => Kind::Relationship,
            "service-class" => Kind::ServiceClass,
            "sphere" => Kind::Sphere,
            "status-icon" => Kind::StatusIcon,
            "time-offset" => Kind::TimeOffset,
            "user-input" => Kind::UserInput,
            _ => Kind::Unknown,
        }
    }

    fn of_oma(local: &str) -> Kind {
        match local {
            "service-description" => Kind::ServiceDescription,
            "willingness" => Kind::Willingness,
            "overriding-willingness" => Kind::OverridingWillingness,
            "session-participation" => Kind::SessionParticipation,
            "registration-state" => Kind::RegistrationState,
            "barring-state" => Kind::BarringState,
            "network-availability" => Kind::NetworkAvailability,
            _ => Kind::Unknown,
        }
    }
}
