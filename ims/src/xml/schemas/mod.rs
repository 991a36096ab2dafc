//! Schemas of the documents this server takes and makes, written by us from the documents named in each.

use super::schema::Source;

/// Presence authorisation documents: common policy, presence rules, the OMA additions to both, and ours.
pub const PRESENCE_RULES: [Source<'static>; 6] = [
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
    Source {
        name: "ordered-policy.xsd",
        text: include_str!("ordered-policy.xsd"),
    },
    Source {
        name: "notification-rules.xsd",
        text: include_str!("notification-rules.xsd"),
    },
];

/// Resource lists, RFC 4826 §3.
pub const RESOURCE_LISTS: [Source<'static>; 1] = [Source {
    name: "resource-lists.xsd",
    text: include_str!("resource-lists.xsd"),
}];

/// Services of a resource list server, RFC 4826 §4, and the lists in them.
pub const RLS_SERVICES: [Source<'static>; 2] = [
    Source {
        name: "rls-services.xsd",
        text: include_str!("rls-services.xsd"),
    },
    RESOURCE_LISTS[0],
];

/// Lists that say what each URI in them is for, OMA XDM 1.1.
pub const GROUP_USAGE_LIST: [Source<'static>; 2] = [
    Source {
        name: "oma-uriusage.xsd",
        text: include_str!("oma-uriusage.xsd"),
    },
    RESOURCE_LISTS[0],
];

/// Content to be shown with presence, OMA Presence SIMPLE 2.0.
pub const PRES_CONTENT: [Source<'static>; 1] = [Source {
    name: "pres-content.xsd",
    text: include_str!("pres-content.xsd"),
}];

/// Which documents a user has, OMA XDM 1.1.
pub const XCAP_DIRECTORY: [Source<'static>; 1] = [Source {
    name: "xcap-directory.xsd",
    text: include_str!("xcap-directory.xsd"),
}];

/// What an XCAP server can do, RFC 4825 §12.
pub const XCAP_CAPS: [Source<'static>; 1] = [Source {
    name: "xcap-caps.xsd",
    text: include_str!("xcap-caps.xsd"),
}];

/// The conflict report of XCAP, with OMA's extension.
pub const XCAP_ERROR: [Source<'static>; 2] = [
    Source {
        name: "xcap-error.xsd",
        text: include_str!("xcap-error.xsd"),
    },
    Source {
        name: "oma-xcap-error.xsd",
        text: include_str!("oma-xcap-error.xsd"),
    },
];

/// Presence documents: PIDF, the data model, RPID, CIPID, capabilities, timed status, the OMA elements and location
/// objects.
pub const PRESENCE: [Source<'static>; 9] = [
    Source {
        name: "pidf.xsd",
        text: include_str!("pidf.xsd"),
    },
    Source {
        name: "data-model.xsd",
        text: include_str!("data-model.xsd"),
    },
    Source {
        name: "rpid.xsd",
        text: include_str!("rpid.xsd"),
    },
    Source {
        name: "cipid.xsd",
        text: include_str!("cipid.xsd"),
    },
    Source {
        name: "caps.xsd",
        text: include_str!("caps.xsd"),
    },
    Source {
        name: "timed-status.xsd",
        text: include_str!("timed-status.xsd"),
    },
    Source {
        name: "oma-pres.xsd",
        text: include_str!("oma-pres.xsd"),
    },
    Source {
        name: "basic-policy.xsd",
        text: include_str!("basic-policy.xsd"),
    },
    Source {
        name: "geopriv10.xsd",
        text: include_str!("geopriv10.xsd"),
    },
];

/// Watcher information.
pub const WATCHER_INFO: [Source<'static>; 2] = [
    Source {
        name: "xml.xsd",
        text: include_str!("xml.xsd"),
    },
    Source {
        name: "watcherinfo.xsd",
        text: include_str!("watcherinfo.xsd"),
    },
];

/// Meta-information on a list of resources, RFC 4662 §5.1.
pub const RLMI: [Source<'static>; 2] = [
    Source {
        name: "xml.xsd",
        text: include_str!("xml.xsd"),
    },
    Source {
        name: "rlmi.xsd",
        text: include_str!("rlmi.xsd"),
    },
];
