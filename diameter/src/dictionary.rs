//! The AVPs that this node knows: RFC 6733 §4.5, RFC 7683 §7, RFC 8506 §8, TS 32.299 §7.2. Codes and types are facts of those
//! documents; the table is ours. An AVP outside it is skipped, or refused with 5001 where its M flag asks for it.

/// Data format of an AVP (RFC 6733 §4.2, §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Octets,
    Utf8,
    U32,
    U64,
    I32,
    I64,
    Enumerated,
    /// Seconds since 1900, see [`crate::avp::time`].
    Time,
    Address,
    /// DiameterIdentity: a fully qualified domain name or a realm.
    Identity,
    /// DiameterURI.
    Uri,
    Grouped,
}

impl Kind {
    /// Least bytes of data of this format.
    pub(crate) fn least(self) -> usize {
        match self {
            Kind::U32 | Kind::I32 | Kind::Enumerated | Kind::Time => 4,
            Kind::U64 | Kind::I64 => 8,
            Kind::Address => 6,
            Kind::Octets | Kind::Utf8 | Kind::Identity | Kind::Uri | Kind::Grouped => 0,
        }
    }
}

/// One AVP as its document defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Def {
    pub name: &'static str,
    pub code: u32,
    /// Vendor-Id of the header; 0 is the IETF and leaves the V flag clear.
    pub vendor: u32,
    pub kind: Kind,
    /// M flag that we set.
    pub mandatory: bool,
}

/// SMI network management private enterprise code of 3GPP.
pub const VENDOR_3GPP: u32 = 10_415;

/// Application-Id of base accounting, used by Rf (RFC 6733 §2.4).
pub const APP_ACCOUNTING: u32 = 3;
/// Application-Id of credit control, used by Ro (RFC 8506 §1.3).
pub const APP_CREDIT_CONTROL: u32 = 4;
/// Application-Id of common messages: capabilities, watchdog, disconnect.
pub const APP_COMMON: u32 = 0;
/// Application-Id with which relays advertise every application (RFC 6733 §2.4).
pub const APP_RELAY: u32 = 0xffff_ffff;

/// Command codes (RFC 6733 §3.1).
pub const CMD_CAPABILITIES_EXCHANGE: u32 = 257;
pub const CMD_RE_AUTH: u32 = 258;
pub const CMD_ACCOUNTING: u32 = 271;
pub const CMD_CREDIT_CONTROL: u32 = 272;
pub const CMD_ABORT_SESSION: u32 = 274;
pub const CMD_SESSION_TERMINATION: u32 = 275;
pub const CMD_DEVICE_WATCHDOG: u32 = 280;
pub const CMD_DISCONNECT_PEER: u32 = 282;

/// The definition of an AVP by vendor and code; `None` when this node does not know it.
#[inline]
pub fn lookup(vendor: u32, code: u32) -> Option<&'static Def> {
    let place = match vendor {
        IETF => IETF_PLACES.get(code as usize)?,
        GPP => GPP_PLACES.get(code.checked_sub(GPP_FIRST)? as usize)?,
        _ => return None,
    };
    TABLE.get(usize::from(*place))
}

/// Codes are dense enough for a place each; every AVP of every message is looked up. [`NOWHERE`] marks the gaps.
static IETF_PLACES: [u8; 640] = places(IETF, 0);
static GPP_PLACES: [u8; 1_500] = places(GPP, GPP_FIRST);
const GPP_FIRST: u32 = 820;
const NOWHERE: u8 = u8::MAX;

/// Where in the table the AVPs of a vendor stand, by code from `first` on. A code outside does not compile.
const fn places<const N: usize>(vendor: u32, first: u32) -> [u8; N] {
    let mut places = [NOWHERE; N];
    let mut i = 0;
    while i < TABLE.len() {
        if TABLE[i].vendor == vendor {
            places[(TABLE[i].code - first) as usize] = i as u8;
        }
        i += 1;
    }
    places
}

/// Every AVP that this node knows.
pub fn all() -> &'static [Def] {
    TABLE
}

/// Each line is a constant and a row of the table: code, vendor, data format, M flag set (`M`) or clear (`O`), name.
macro_rules! table {
    ($($constant:ident: $code:literal, $vendor:ident, $kind:ident, $flag:ident, $name:literal;)*) => {
        $(pub const $constant: Def = Def {
            name: $name,
            code: $code,
            vendor: $vendor,
            kind: Kind::$kind,
            mandatory: $flag,
        };)*
        const TABLE: &[Def] = &[$($constant),*];
    };
}

const IETF: u32 = 0;
const GPP: u32 = VENDOR_3GPP;
const M: bool = true;
const O: bool = false;

table! {
    USER_NAME: 1, IETF, Utf8, M, "User-Name";
    FILTER_ID: 11, IETF, Utf8, M, "Filter-Id";
    CLASS: 25, IETF, Octets, M, "Class";
    SESSION_TIMEOUT: 27, IETF, U32, M, "Session-Timeout";
    PROXY_STATE: 33, IETF, Octets, M, "Proxy-State";
    ACCT_SESSION_ID: 44, IETF, Octets, M, "Acct-Session-Id";
    ACCT_MULTI_SESSION_ID: 50, IETF, Utf8, M, "Acct-Multi-Session-Id";
    EVENT_TIMESTAMP: 55, IETF, Time, M, "Event-Timestamp";
    ACCT_INTERIM_INTERVAL: 85, IETF, U32, M, "Acct-Interim-Interval";
    HOST_IP_ADDRESS: 257, IETF, Address, M, "Host-IP-Address";
    AUTH_APPLICATION_ID: 258, IETF, U32, M, "Auth-Application-Id";
    ACCT_APPLICATION_ID: 259, IETF, U32, M, "Acct-Application-Id";
    VENDOR_SPECIFIC_APPLICATION_ID: 260, IETF, Grouped, M, "Vendor-Specific-Application-Id";
    REDIRECT_HOST_USAGE: 261, IETF, Enumerated, M, "Redirect-Host-Usage";
    REDIRECT_MAX_CACHE_TIME: 262, IETF, U32, M, "Redirect-Max-Cache-Time";
    SESSION_ID: 263, IETF, Utf8, M, "Session-Id";
    ORIGIN_HOST: 264, IETF, Identity, M, "Origin-Host";
    SUPPORTED_VENDOR_ID: 265, IETF, U32, M, "Supported-Vendor-Id";
    VENDOR_ID: 266, IETF, U32, M, "Vendor-Id";
    FIRMWARE_REVISION: 267, IETF, U32, O, "Firmware-Revision";
    RESULT_CODE: 268, IETF, U32, M, "Result-Code";
    PRODUCT_NAME: 269, IETF, Utf8, O, "Product-Name";
    DISCONNECT_CAUSE: 273, IETF, Enumerated, M, "Disconnect-Cause";
    ORIGIN_STATE_ID: 278, IETF, U32, M, "Origin-State-Id";
    FAILED_AVP: 279, IETF, Grouped, M, "Failed-AVP";
    PROXY_HOST: 280, IETF, Identity, M, "Proxy-Host";
    ERROR_MESSAGE: 281, IETF, Utf8, O, "Error-Message";
    ROUTE_RECORD: 282, IETF, Identity, M, "Route-Record";
    DESTINATION_REALM: 283, IETF, Identity, M, "Destination-Realm";
    PROXY_INFO: 284, IETF, Grouped, M, "Proxy-Info";
    RE_AUTH_REQUEST_TYPE: 285, IETF, Enumerated, M, "Re-Auth-Request-Type";
    ACCOUNTING_SUB_SESSION_ID: 287, IETF, U64, M, "Accounting-Sub-Session-Id";
    REDIRECT_HOST: 292, IETF, Uri, M, "Redirect-Host";
    DESTINATION_HOST: 293, IETF, Identity, M, "Destination-Host";
    ERROR_REPORTING_HOST: 294, IETF, Identity, O, "Error-Reporting-Host";
    TERMINATION_CAUSE: 295, IETF, Enumerated, M, "Termination-Cause";
    ORIGIN_REALM: 296, IETF, Identity, M, "Origin-Realm";
    EXPERIMENTAL_RESULT: 297, IETF, Grouped, M, "Experimental-Result";
    EXPERIMENTAL_RESULT_CODE: 298, IETF, U32, M, "Experimental-Result-Code";
    INBAND_SECURITY_ID: 299, IETF, U32, M, "Inband-Security-Id";
    CC_CORRELATION_ID: 411, IETF, Octets, O, "CC-Correlation-Id";
    CC_INPUT_OCTETS: 412, IETF, U64, M, "CC-Input-Octets";
    CC_MONEY: 413, IETF, Grouped, M, "CC-Money";
    CC_OUTPUT_OCTETS: 414, IETF, U64, M, "CC-Output-Octets";
    CC_REQUEST_NUMBER: 415, IETF, U32, M, "CC-Request-Number";
    CC_REQUEST_TYPE: 416, IETF, Enumerated, M, "CC-Request-Type";
    CC_SERVICE_SPECIFIC_UNITS: 417, IETF, U64, M, "CC-Service-Specific-Units";
    CC_SESSION_FAILOVER: 418, IETF, Enumerated, M, "CC-Session-Failover";
    CC_SUB_SESSION_ID: 419, IETF, U64, M, "CC-Sub-Session-Id";
    CC_TIME: 420, IETF, U32, M, "CC-Time";
    CC_TOTAL_OCTETS: 421, IETF, U64, M, "CC-Total-Octets";
    CHECK_BALANCE_RESULT: 422, IETF, Enumerated, M, "Check-Balance-Result";
    COST_INFORMATION: 423, IETF, Grouped, M, "Cost-Information";
    COST_UNIT: 424, IETF, Utf8, M, "Cost-Unit";
    CURRENCY_CODE: 425, IETF, U32, M, "Currency-Code";
    CREDIT_CONTROL: 426, IETF, Enumerated, M, "Credit-Control";
    CREDIT_CONTROL_FAILURE_HANDLING: 427, IETF, Enumerated, M, "Credit-Control-Failure-Handling";
    DIRECT_DEBITING_FAILURE_HANDLING: 428, IETF, Enumerated, M, "Direct-Debiting-Failure-Handling";
    EXPONENT: 429, IETF, I32, M, "Exponent";
    FINAL_UNIT_INDICATION: 430, IETF, Grouped, M, "Final-Unit-Indication";
    GRANTED_SERVICE_UNIT: 431, IETF, Grouped, M, "Granted-Service-Unit";
    RATING_GROUP: 432, IETF, U32, M, "Rating-Group";
    REDIRECT_ADDRESS_TYPE: 433, IETF, Enumerated, M, "Redirect-Address-Type";
    REDIRECT_SERVER: 434, IETF, Grouped, M, "Redirect-Server";
    REDIRECT_SERVER_ADDRESS: 435, IETF, Utf8, M, "Redirect-Server-Address";
    REQUESTED_ACTION: 436, IETF, Enumerated, M, "Requested-Action";
    REQUESTED_SERVICE_UNIT: 437, IETF, Grouped, M, "Requested-Service-Unit";
    RESTRICTION_FILTER_RULE: 438, IETF, Octets, M, "Restriction-Filter-Rule";
    SERVICE_IDENTIFIER: 439, IETF, U32, M, "Service-Identifier";
    SERVICE_PARAMETER_INFO: 440, IETF, Grouped, O, "Service-Parameter-Info";
    SERVICE_PARAMETER_TYPE: 441, IETF, U32, O, "Service-Parameter-Type";
    SERVICE_PARAMETER_VALUE: 442, IETF, Octets, O, "Service-Parameter-Value";
    SUBSCRIPTION_ID: 443, IETF, Grouped, M, "Subscription-Id";
    SUBSCRIPTION_ID_DATA: 444, IETF, Utf8, M, "Subscription-Id-Data";
    UNIT_VALUE: 445, IETF, Grouped, M, "Unit-Value";
    USED_SERVICE_UNIT: 446, IETF, Grouped, M, "Used-Service-Unit";
    VALUE_DIGITS: 447, IETF, I64, M, "Value-Digits";
    VALIDITY_TIME: 448, IETF, U32, M, "Validity-Time";
    FINAL_UNIT_ACTION: 449, IETF, Enumerated, M, "Final-Unit-Action";
    SUBSCRIPTION_ID_TYPE: 450, IETF, Enumerated, M, "Subscription-Id-Type";
    TARIFF_TIME_CHANGE: 451, IETF, Time, M, "Tariff-Time-Change";
    TARIFF_CHANGE_USAGE: 452, IETF, Enumerated, M, "Tariff-Change-Usage";
    G_S_U_POOL_IDENTIFIER: 453, IETF, U32, M, "G-S-U-Pool-Identifier";
    CC_UNIT_TYPE: 454, IETF, Enumerated, M, "CC-Unit-Type";
    MULTIPLE_SERVICES_INDICATOR: 455, IETF, Enumerated, M, "Multiple-Services-Indicator";
    MULTIPLE_SERVICES_CREDIT_CONTROL: 456, IETF, Grouped, M, "Multiple-Services-Credit-Control";
    G_S_U_POOL_REFERENCE: 457, IETF, Grouped, M, "G-S-U-Pool-Reference";
    USER_EQUIPMENT_INFO: 458, IETF, Grouped, O, "User-Equipment-Info";
    USER_EQUIPMENT_INFO_TYPE: 459, IETF, Enumerated, O, "User-Equipment-Info-Type";
    USER_EQUIPMENT_INFO_VALUE: 460, IETF, Octets, O, "User-Equipment-Info-Value";
    SERVICE_CONTEXT_ID: 461, IETF, Utf8, M, "Service-Context-Id";
    ACCOUNTING_RECORD_TYPE: 480, IETF, Enumerated, M, "Accounting-Record-Type";
    ACCOUNTING_REALTIME_REQUIRED: 483, IETF, Enumerated, M, "Accounting-Realtime-Required";
    ACCOUNTING_RECORD_NUMBER: 485, IETF, U32, M, "Accounting-Record-Number";
    OC_SUPPORTED_FEATURES: 621, IETF, Grouped, O, "OC-Supported-Features";
    OC_FEATURE_VECTOR: 622, IETF, U64, O, "OC-Feature-Vector";
    OC_OLR: 623, IETF, Grouped, O, "OC-OLR";
    OC_SEQUENCE_NUMBER: 624, IETF, U64, O, "OC-Sequence-Number";
    OC_VALIDITY_DURATION: 625, IETF, U32, O, "OC-Validity-Duration";
    OC_REPORT_TYPE: 626, IETF, Enumerated, O, "OC-Report-Type";
    OC_REDUCTION_PERCENTAGE: 627, IETF, U32, O, "OC-Reduction-Percentage";
    EVENT_TYPE: 823, GPP, Grouped, M, "Event-Type";
    SIP_METHOD: 824, GPP, Utf8, M, "SIP-Method";
    EVENT: 825, GPP, Utf8, M, "Event";
    CONTENT_TYPE: 826, GPP, Utf8, M, "Content-Type";
    CONTENT_LENGTH: 827, GPP, U32, M, "Content-Length";
    CONTENT_DISPOSITION: 828, GPP, Utf8, M, "Content-Disposition";
    ROLE_OF_NODE: 829, GPP, Enumerated, M, "Role-Of-Node";
    USER_SESSION_ID: 830, GPP, Utf8, M, "User-Session-Id";
    CALLING_PARTY_ADDRESS: 831, GPP, Utf8, M, "Calling-Party-Address";
    CALLED_PARTY_ADDRESS: 832, GPP, Utf8, M, "Called-Party-Address";
    TIME_STAMPS: 833, GPP, Grouped, M, "Time-Stamps";
    SIP_REQUEST_TIMESTAMP: 834, GPP, Time, M, "SIP-Request-Timestamp";
    SIP_RESPONSE_TIMESTAMP: 835, GPP, Time, M, "SIP-Response-Timestamp";
    APPLICATION_SERVER: 836, GPP, Utf8, M, "Application-Server";
    APPLICATION_PROVIDED_CALLED_PARTY_ADDRESS: 837, GPP, Utf8, M, "Application-Provided-Called-Party-Address";
    INTER_OPERATOR_IDENTIFIER: 838, GPP, Grouped, M, "Inter-Operator-Identifier";
    ORIGINATING_IOI: 839, GPP, Utf8, M, "Originating-IOI";
    TERMINATING_IOI: 840, GPP, Utf8, M, "Terminating-IOI";
    IMS_CHARGING_IDENTIFIER: 841, GPP, Utf8, M, "IMS-Charging-Identifier";
    SERVED_PARTY_IP_ADDRESS: 848, GPP, Address, M, "Served-Party-IP-Address";
    APPLICATION_SERVER_INFORMATION: 850, GPP, Grouped, M, "Application-Server-Information";
    ASSOCIATED_URI: 856, GPP, Utf8, M, "Associated-URI";
    CAUSE_CODE: 861, GPP, I32, M, "Cause-Code";
    NODE_FUNCTIONALITY: 862, GPP, Enumerated, M, "Node-Functionality";
    SERVICE_SPECIFIC_DATA: 863, GPP, Utf8, M, "Service-Specific-Data";
    ORIGINATOR: 864, GPP, Enumerated, M, "Originator";
    TIME_QUOTA_THRESHOLD: 868, GPP, U32, M, "Time-Quota-Threshold";
    QUOTA_HOLDING_TIME: 871, GPP, U32, M, "Quota-Holding-Time";
    REPORTING_REASON: 872, GPP, Enumerated, M, "Reporting-Reason";
    SERVICE_INFORMATION: 873, GPP, Grouped, M, "Service-Information";
    IMS_INFORMATION: 876, GPP, Grouped, M, "IMS-Information";
    EXPIRES: 888, GPP, U32, M, "Expires";
    MESSAGE_BODY: 889, GPP, Grouped, M, "Message-Body";
    UNIT_QUOTA_THRESHOLD: 1226, GPP, U32, M, "Unit-Quota-Threshold";
    SERVICE_SPECIFIC_INFO: 1249, GPP, Grouped, M, "Service-Specific-Info";
    CALLED_ASSERTED_IDENTITY: 1250, GPP, Utf8, M, "Called-Asserted-Identity";
    REQUESTED_PARTY_ADDRESS: 1251, GPP, Utf8, M, "Requested-Party-Address";
    SERVICE_SPECIFIC_TYPE: 1257, GPP, U32, M, "Service-Specific-Type";
    ACCESS_NETWORK_INFORMATION: 1263, GPP, Octets, M, "Access-Network-Information";
    IMS_COMMUNICATION_SERVICE_IDENTIFIER: 1281, GPP, Utf8, M, "IMS-Communication-Service-Identifier";
    SIP_REQUEST_TIMESTAMP_FRACTION: 2301, GPP, U32, M, "SIP-Request-Timestamp-Fraction";
    SIP_RESPONSE_TIMESTAMP_FRACTION: 2302, GPP, U32, M, "SIP-Response-Timestamp-Fraction";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_avp_is_found_by_vendor_and_code_and_stands_there_once() {
        assert!(TABLE.is_sorted_by(|a, b| (a.vendor, a.code) < (b.vendor, b.code)));
        assert!(TABLE.len() < usize::from(NOWHERE));
        for def in TABLE {
            assert_eq!(lookup(def.vendor, def.code), Some(def), "{}", def.name);
        }
    }

    #[test]
    fn a_code_means_nothing_without_its_vendor() {
        assert_eq!(lookup(0, 264).map(|d| d.name), Some("Origin-Host"));
        assert_eq!(lookup(VENDOR_3GPP, 264), None);
        assert_eq!(lookup(VENDOR_3GPP, 825).map(|d| d.name), Some("Event"));
        assert_eq!(lookup(0, 825), None);
        for (vendor, code) in [
            (0, 0),
            (0, 639),
            (0, 640),
            (GPP, 0),
            (GPP, 819),
            (GPP, u32::MAX),
            (9, 264),
        ] {
            assert_eq!(lookup(vendor, code), None, "{vendor} {code}");
        }
    }
}
