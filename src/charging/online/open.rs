//! Charges that are not over, as the store has them, for those who look for one.

use super::{ccr, record};
use crate::charging::accounts::each as each_of;
use crate::charging::acr::Sender;
use crate::charging::cdr::{Cdr, Credit};
use crate::charging::desk::Wanted;
use crate::store::{Reader, StoreError};
use diameter::credit::Owed;
use ims::record::Table;
use record::Left;

/// Shows each that is wanted.
pub fn each(
    reader: &dyn Reader,
    sender: &Sender,
    wanted: &Wanted,
    mut show: impl FnMut(Cdr),
) -> Result<(), StoreError> {
    each_of(reader, Table::Credit, |_, value| {
        let Some((left, event, _)) = record::read(value) else {
            return;
        };
        if !wanted.is(&event) {
            return;
        }
        let (what, units, server) = match left {
            Left::Owed(kept) => {
                let (what, units) = told(&kept.owed);
                (what, units, kept.server)
            }
            Left::Unpaid(loss) => (loss.what.name(), loss.units, Some(loss.ocs)),
        };
        show(Cdr {
            session_id: ccr::session_id(sender, &event),
            cdf: server.unwrap_or_default(),
            credit: Some(Credit::owed(what, units)),
            ..Cdr::new(sender, &event, "open")
        });
    })
}

/// What is left to be done, and about how many units.
fn told(owed: &Owed) -> (&'static str, u64) {
    match owed {
        Owed::Debit => ("debit", 1),
        Owed::Undo | Owed::Refund => ("refund", 1),
        Owed::Close { used, report, .. } | Owed::Open { used, report, .. } => {
            ("session", used + report.map_or(0, |(_, units)| units))
        }
        Owed::Given { used } => ("report", *used),
        Owed::Nothing | Owed::Uncontrolled => ("free", 0),
    }
}
