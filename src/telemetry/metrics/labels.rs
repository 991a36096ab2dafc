//! The values that labels take: each family's in full, so that no input can add to them.

/// A set of label values known in full beforehand, so that each has its own counter from the start.
pub trait Label: Copy + 'static {
    const ALL: &'static [Self];
    fn index(self) -> usize;
    fn as_str(self) -> &'static str;
}

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }
        impl Label for $name {
            const ALL: &'static [Self] = &[$($name::$variant,)+];
            fn index(self) -> usize { self as usize }
            fn as_str(self) -> &'static str { match self { $($name::$variant => $text,)+ } }
        }
    };
}

labels! {
    /// Request methods that are counted by name; a hostile peer cannot add to them.
    Method {
        Publish = "PUBLISH",
        Subscribe = "SUBSCRIBE",
        Notify = "NOTIFY",
        Register = "REGISTER",
        Options = "OPTIONS",
        Message = "MESSAGE",
        Invite = "INVITE",
        Ack = "ACK",
        Bye = "BYE",
        Cancel = "CANCEL",
        Get = "GET",
        Head = "HEAD",
        Put = "PUT",
        Delete = "DELETE",
        Other = "other",
    }
}

impl From<&str> for Method {
    fn from(name: &str) -> Method {
        let known = Method::ALL.iter().find(|method| method.as_str() == name);
        known.copied().unwrap_or(Method::Other)
    }
}

labels! {
    /// What became of a NOTIFY.
    NotifyOutcome {
        /// 2xx.
        Delivered = "delivered",
        /// The watcher no longer knows the subscription (RFC 6665 §4.2.2): 481 and its like.
        Gone = "gone",
        /// Any other final refusal.
        Refused = "refused",
        /// No answer within 64*T1, or no way to send it.
        TimedOut = "timeout",
    }
}

labels! {
    /// Why input was dropped or refused before any service saw it, or why an answer was not sent.
    Rejected {
        /// Not a message of the protocol.
        Malformed = "malformed",
        /// Above a size or count limit.
        TooLarge = "too_large",
        /// From an address that is not trusted.
        Untrusted = "untrusted",
        /// A response that belongs to no transaction: too late, or to a request that was never ours.
        Stray = "stray",
        /// More work than transactions and queues hold: answered 503, or a datagram for which there was no room to leave.
        Overload = "overload",
        /// Too slow or too quiet a connection.
        Idle = "idle",
        /// More connections than allowed.
        Connections = "connections",
        /// Asked too often, or guessed passwords.
        Rate = "rate",
        /// Wrong password.
        Credentials = "credentials",
    }
}

labels! {
    /// Queues whose depth tells of overload.
    Queue {
        /// Inputs waiting for the driver: from TCP and HTTP.
        Driver = "driver",
        /// Batches waiting for the disk.
        Store = "store",
        /// Requests waiting for a Diameter answer.
        Charging = "charging",
    }
}

labels! {
    /// What the server holds.
    Held {
        Publications = "publications",
        Subscriptions = "subscriptions",
        Registrations = "registrations",
        Followed = "followed_registrations",
        Documents = "documents",
        /// Subscriptions of others to changes of documents.
        DocumentSubscriptions = "document_subscriptions",
        /// Subscriptions to lists, and members of these, each as often as it is watched.
        ListSubscriptions = "list_subscriptions",
        ListMembers = "list_members",
        /// Members of lists who are watched in other networks, each once for each watcher, and our dialogs with these.
        BackEnds = "back_ends",
        BackEndDialogs = "back_end_dialogs",
        /// Copies of documents of other XDMSs.
        RemoteDocuments = "remote_documents",
        /// Users whose documents on other XDMSs are followed by the xcap-diff package.
        RemoteFollowed = "remote_followed",
        /// Other XDMSs that do not answer.
        RemoteSilent = "remote_xdms_silent",
        /// Sessions of credit control that last as long as a subscription.
        CreditSessions = "credit_sessions",
        ServerTransactions = "server_transactions",
        ClientTransactions = "client_transactions",
        Connections = "connections",
        HttpConnections = "http_connections",
    }
}

labels! {
    /// What became of a charging record.
    ChargingOutcome {
        /// The CDF answered with success.
        Acknowledged = "acknowledged",
        /// The CDF refused it for good; it lies in quarantine.
        Quarantined = "quarantined",
        /// Sent again after a time-out or a lost connection.
        Resent = "resent",
        /// Written to a file, since the spool was at its limit.
        Exported = "exported",
    }
}

labels! {
    /// What became of requests for credit, and of what they were for.
    CreditOutcome {
        /// Requests sent, each sending.
        Asked = "asked",
        /// Of these, sent again with the T flag.
        Resent = "resent",
        /// Of these, refunds.
        Refunding = "refunding",
        /// Services that were granted, also without an answer as the failure handling has it.
        Granted = "granted",
        /// Granted free of charge.
        Free = "free",
        /// Refused: the account does not cover it.
        NoCredit = "no_credit",
        /// Refused: the OCS does not serve the user.
        Refused = "refused",
        /// Refused: nobody could say.
        Unavailable = "unavailable",
        /// Lasting services that lost their credit.
        Withdrawn = "withdrawn",
        /// Charges of which nothing is owed any more.
        Settled = "settled",
        /// Charges that the OCS refuses for good.
        GivenUp = "given_up",
        /// Prices and balances that were asked about.
        Enquired = "enquired",
    }
}

labels! {
    /// What another XDMS answered to a question for a document.
    RemoteAnswer {
        Document = "document",
        Unchanged = "unchanged",
        Absent = "absent",
        /// Too large, or no valid document of its usage and user.
        Unusable = "unusable",
        /// Another status.
        Refused = "refused",
        /// No connection, or too late.
        Silence = "silence",
    }
}
