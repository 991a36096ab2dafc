//! Schemas of the documents this server takes and makes, written by us from the documents named in each.

use super::schema::Source;

/// Presence authorisation documents: common policy, presence rules and the OMA additions to both.
pub const PRESENCE_RULES: [Source<'static>; 4] = [
    Source {
        name: "common-policy.xsd",
        text: include_str!("common-policy.xsd"),
    },
    Source {
        name: "pres-rules.xsd",
        text: include_str!("pres-rules.xsd"),
    },
    Source {
        name: "oma-common-policy.xsd",
        text: include_str!("oma-common-policy.xsd"),
    },
    Source {
        name: "oma-pres-rules.xsd",
        text: include_str!("oma-pres-rules.xsd"),
    },
];

/// The conflict report of XCAP.
pub const XCAP_ERROR: [Source<'static>; 1] = [Source {
    name: "xcap-error.xsd",
    text: include_str!("xcap-error.xsd"),
}];
