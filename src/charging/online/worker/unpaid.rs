//! What no OCS takes goes on the list, in the batch that forgets the charge.

use super::{Credit, ccr};
use crate::charging::line::wall_clock;
use crate::charging::online::accounts::Lane;
use crate::charging::unpaid::{Loss, Unpaid};
use crate::telemetry::metrics::CreditOutcome;
use ims::charge;
use ims::record::{Batch, Table};
use tracing::error;

impl Credit {
    /// The batch that forgets a charge lists what is lost with it. The line in the log leads to the SIP request and to
    /// the session at the OCS.
    pub(super) fn list(&mut self, batch: &mut Batch, lane: Lane, number: u64, loss: Loss) {
        self.metrics.credit(CreditOutcome::GivenUp);
        let charged = self.charges.get(&number);
        let event = charged.and_then(|charged| charge::record::read(&charged.event).ok());
        let (Some(event), Some(charged)) = (event, charged) else {
            return error!(number, ?loss, "the OCS refuses for good what is owed");
        };
        self.trail.listed(lane, number, &charged.track);
        let session_id = ccr::session_id(&self.sender, &event);
        let why = match loss.result {
            0 => "no OCS took what is owed",
            _ => "the OCS refuses for good what is owed",
        };
        error!(
            number,
            owed = ?loss.what,
            units = loss.units,
            result = loss.result,
            ocs = loss.ocs,
            session_id,
            method = event.method.as_str(),
            icid = event.icid,
            call_id = event.call_id,
            "{why}"
        );
        let entry = Unpaid {
            record: charged.event.to_vec(),
            loss,
            session_id,
            at: wall_clock(),
        };
        let key = self.unpaid.key(number, entry.at);
        batch.put(Table::Unpaid, &key, &entry);
        self.unpaid.add(1);
    }

    /// What an earlier process has noted as lost, and not listed.
    pub(super) fn take_over(&mut self, batch: &mut Batch, number: u64, loss: Loss) {
        batch.delete(Table::Credit, &number.to_be_bytes());
        self.list(batch, Lane::Awaited, number, loss);
        if let Some(mut charged) = self.charges.remove(&number) {
            let lane = Lane::Awaited;
            self.trail.ended(lane, number, &mut charged.track, true);
        }
    }

    pub(super) fn commit_taken_over(&mut self, mut batch: Batch) {
        self.trail.add_to(Lane::Awaited, &mut batch);
        let done = move |outcome| {
            if let Err(error) = outcome {
                error!(%error, "what no OCS takes could not be listed");
            }
        };
        if !batch.is_empty() {
            self.committer.submit(batch, Box::new(done));
        }
    }
}
