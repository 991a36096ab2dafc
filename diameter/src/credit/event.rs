//! The one-time event (RFC 8506 §6, Table 5): a debit with its refund, a balance check, a price enquiry.
//!
//! The rows of the table stand beside the arms. Two things are added to it. A debit whose service then fails is
//! refunded (§6.4), and where nobody knows whether it was debited that is first found out. And a request that was
//! stored and times out stays under way until the node gives it up, so that no second one runs beside it.

use super::verdict::{Told, Verdict};
use super::{Backoff, Decision, Denial, Input, Output, Owed, Policy, Question};
use crate::Instant;
use crate::ro::{DebitFailureHandling, RequestType, RequestedAction};
use RequestedAction::{CheckBalance, DirectDebiting, PriceEnquiry, RefundAccount};

/// CC-Request-Number of the debit or enquiry (§8.2).
const FIRST: u32 = 0;

/// That of the refund: it names the session of the debit that it undoes, and must be unique within it (§8.2).
const REFUND: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is under way: the service runs, or nothing is left to do.
    Idle,
    PendingE,
    /// In storage until then.
    Stored(Instant),
    /// What was in storage is under way.
    PendingB,
}

/// What is known of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Account {
    Untouched,
    Perhaps,
    Debited,
}

/// What is known of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    /// Waits for the decision.
    Waiting,
    Granted,
    Delivered,
    /// Not given: denied, or it failed.
    Failed,
}

/// One one-time event.
#[derive(Clone, Debug)]
pub struct OneTime {
    action: RequestedAction,
    state: State,
    account: Account,
    service: Service,
    handling: DebitFailureHandling,
    /// Until when the user waits.
    tx: Option<Instant>,
    /// An alternative server has been tried.
    retried: bool,
    /// A sending was not answered: the T flag is due (RFC 6733 §3).
    lost: bool,
    backoff: Backoff,
}

impl OneTime {
    /// Asks. `action` is not a refund: that follows a debit.
    pub fn start(
        action: RequestedAction,
        now: Instant,
        policy: &Policy,
        out: &mut Vec<Output>,
    ) -> OneTime {
        let mut event = OneTime {
            action,
            state: State::Idle,
            account: Account::Untouched,
            service: Service::Waiting,
            handling: policy.debit_failure,
            tx: Some(now.after(policy.tx)), // Idle, one-time service requested: send, start Tx
            retried: false,
            lost: false,
            backoff: Backoff::default(),
        };
        event.ask(State::PendingE, false, out);
        event
    }

    /// Takes up what an earlier process owed; nothing for what is not owed by an event.
    pub fn resume(owed: Owed, now: Instant) -> Option<OneTime> {
        let (action, account, service) = match owed {
            Owed::Debit => (DirectDebiting, Account::Perhaps, Service::Delivered),
            Owed::Undo => (DirectDebiting, Account::Perhaps, Service::Failed),
            Owed::Refund => (RefundAccount, Account::Debited, Service::Failed),
            Owed::Nothing
            | Owed::Close { .. }
            | Owed::Open { .. }
            | Owed::Uncontrolled
            | Owed::Given { .. } => return None,
        };
        Some(OneTime {
            action,
            state: State::Stored(now), // Idle, request in storage: send stored request
            account,
            service,
            handling: DebitFailureHandling::TerminateOrBuffer,
            tx: None,
            retried: true,
            lost: true,
            backoff: Backoff::default(),
        })
    }

    /// When a `Tick` is due.
    pub fn deadline(&self) -> Option<Instant> {
        let stored = match self.state {
            State::Stored(at) => Some(at),
            _ => None,
        };
        self.tx.into_iter().chain(stored).min()
    }

    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        let over = matches!(self.service, Service::Delivered | Service::Failed);
        self.state == State::Idle && over
    }

    /// What a process that died now would leave behind.
    pub fn owed(&self) -> Owed {
        let under_way = self.state != State::Idle;
        // From the sending on, a process that dies does not know.
        let account = match (self.account, self.state) {
            (Account::Untouched, State::PendingE | State::PendingB) => Account::Perhaps,
            (account, _) => account,
        };
        match (self.action, account, self.service) {
            (CheckBalance | PriceEnquiry, ..) => Owed::Nothing,
            (RefundAccount, ..) if under_way => Owed::Refund,
            (RefundAccount, ..) => Owed::Nothing,
            (DirectDebiting, _, Service::Delivered) if under_way => Owed::Debit,
            (DirectDebiting, _, Service::Delivered) => Owed::Nothing,
            // Until it is delivered, a service that dies with its process has failed.
            (DirectDebiting, Account::Debited, _) => Owed::Refund,
            (DirectDebiting, Account::Perhaps, _) => Owed::Undo,
            (DirectDebiting, Account::Untouched, _) => Owed::Nothing,
        }
    }

    pub fn handle(&mut self, now: Instant, input: Input, policy: &Policy, out: &mut Vec<Output>) {
        match input {
            Input::Tick => self.tick(now, out),
            Input::Ended { used } => self.ended(now, used > 0, out),
            Input::Used { .. } | Input::Begun => self.ended(now, true, out),
            Input::Wanted => {} // it has what it asked for, or nothing
            // An event has no session at the server: "any event not listed ... MUST be considered an error" (§7).
            Input::ReAuth | Input::Abort => {
                out.push(Output::Reply(crate::fault::ResultCode::UNKNOWN_SESSION_ID));
            }
            Input::Answered(_) | Input::Unsent | Input::Lost => match self.state {
                State::PendingE if self.action == RefundAccount => {
                    self.stored(now, input, policy, out)
                }
                State::PendingE => self.pending(now, input, policy, out),
                State::PendingB => self.stored(now, input, policy, out),
                State::Idle | State::Stored(_) => {}
            },
        }
    }

    fn tick(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.tx.is_some_and(|at| at <= now) {
            self.tx = None;
            match self.action {
                // PendingE, Tx expired, CHECK_BALANCE or PRICE_ENQUIRY: indicate service error
                CheckBalance | PriceEnquiry => {
                    self.decide(Decision::Denied(Denial::Unavailable), out)
                }
                // PendingE, Tx expired, DIRECT_DEBITING: grant service, stay
                DirectDebiting => self.decide(Decision::Granted, out),
                RefundAccount => {}
            }
        }
        if matches!(self.state, State::Stored(at) if at <= now) {
            self.ask(State::PendingB, false, out);
        }
    }

    /// The first time that a debit or enquiry is asked: PendingE.
    fn pending(&mut self, now: Instant, input: Input, policy: &Policy, out: &mut Vec<Output>) {
        match input {
            Input::Answered(told) => {
                // §6.5: the server's word "always overrides any existing values".
                self.handling = told.debit_failure.unwrap_or(self.handling);
                match told.verdict {
                    Verdict::Granted => self.granted(&told, out),
                    Verdict::Free => {
                        self.settle(Account::Untouched);
                        self.decide(Decision::Free, out);
                        self.service = Service::Delivered; // nothing can follow from it any more
                    }
                    // Tx running: terminate. Tx expired: the service has been given, Idle.
                    Verdict::Denied(denial) => {
                        self.settle(Account::Untouched);
                        self.decide(Decision::Denied(denial), out);
                        self.forgive();
                        self.write_off(out);
                    }
                    Verdict::Temporary { elsewhere: true } if self.may_retry() => {
                        self.ask(State::PendingE, true, out);
                    }
                    Verdict::Temporary { .. } => {
                        self.given_up(now, Failure::Temporary, policy, out)
                    }
                    Verdict::Failed => self.given_up(now, Failure::Answer, policy, out),
                }
            }
            Input::Lost => {
                self.lost = true;
                self.account = Account::Perhaps;
                if self.may_retry() {
                    // §6.5: "retransmits the request (marked with the T flag) to a backup credit-control server"
                    self.ask(State::PendingE, true, out);
                } else {
                    self.given_up(now, Failure::ToSend, policy, out);
                }
            }
            _ => self.given_up(now, Failure::ToSend, policy, out),
        }
    }

    /// One alternative is tried, and not for a service that has failed without a debit in the meantime.
    fn may_retry(&mut self) -> bool {
        // whoever asked about a price has left with an error (Tx expired)
        let asks_only = self.action != DirectDebiting;
        let untouched = self.account == Account::Untouched;
        let moot = self.service == Service::Failed && (untouched || asks_only);
        !moot && !std::mem::replace(&mut self.retried, true)
    }

    fn granted(&mut self, told: &Told, out: &mut Vec<Output>) {
        if self.action != DirectDebiting {
            let enough = told.enough_credit != Some(false); // §6.2: NO_CREDIT
            let decision = match enough {
                true => Decision::Granted,
                false => Decision::Denied(Denial::NoCredit),
            };
            self.settle(Account::Untouched);
            self.decide(decision, out);
            self.service = Service::Delivered;
            return;
        }
        self.settle(Account::Debited);
        self.decide(Decision::Granted, out);
        if self.service == Service::Failed {
            self.refund(out);
        }
    }

    /// No answer that decides, or one that says no for reasons of its own.
    fn given_up(&mut self, now: Instant, failure: Failure, policy: &Policy, out: &mut Vec<Output>) {
        self.state = State::Idle;
        if self.action != DirectDebiting {
            // PendingE, failure to send, temporary error or failed answer: indicate service error
            self.tx = None;
            self.decide(Decision::Denied(Denial::Unavailable), out);
            self.service = Service::Failed;
            return;
        }
        // "If it can determine from the failed answer that units have not been debited" (§8.15): an error of this
        // server says nothing of an earlier sending that another one may have had.
        let told = match failure {
            Failure::Answer => true,
            Failure::Temporary => !self.lost,
            Failure::ToSend => false,
        };
        if told {
            self.account = Account::Untouched;
        }
        match self.handling {
            // Failure to send, temporary error or failed answer; CONTINUE: grant service, delete
            DebitFailureHandling::Continue => self.decide(Decision::Granted, out),
            // Failed answer or temporary error; TERMINATE_OR_BUFFER; Tx running: terminate
            DebitFailureHandling::TerminateOrBuffer if self.service == Service::Waiting && told => {
                self.decide(Decision::Denied(Denial::Unavailable), out);
            }
            // Failed answer; Tx expired: Idle
            DebitFailureHandling::TerminateOrBuffer if failure == Failure::Answer => {}
            // Failure to send, or temporary error and Tx expired; TERMINATE_OR_BUFFER: store. §6.5: "Otherwise, the
            // credit-control client SHOULD grant the service ... and store the request".
            DebitFailureHandling::TerminateOrBuffer => {
                self.decide(Decision::Granted, out);
                self.lost = true; // §6.5: what is stored "MUST" be marked as a possible duplicate
                self.store(now, policy);
            }
        }
        self.forgive();
        self.write_off(out);
        // A service that failed while its debit is in doubt: the doubt is removed.
        let doubt = self.account == Account::Perhaps && self.service == Service::Failed;
        if doubt && self.state == State::Idle {
            self.lost = true;
            self.store(now, policy);
        }
    }

    /// The request is over.
    fn settle(&mut self, account: Account) {
        self.state = State::Idle;
        self.account = account;
    }

    /// A service that failed before its debit left is not debited afterwards.
    fn forgive(&mut self) {
        if self.service == Service::Failed && self.account == Account::Untouched {
            self.state = State::Idle;
        }
    }

    /// A service that was given and that nobody will debit any more, as the failure handling or a late refusal has it:
    /// for the operator.
    fn write_off(&self, out: &mut Vec<Output>) {
        let given = self.action == DirectDebiting && self.service == Service::Delivered;
        if given && self.state == State::Idle && self.account != Account::Debited {
            out.push(Output::Unsettled(Owed::Debit));
        }
    }

    fn store(&mut self, now: Instant, policy: &Policy) {
        self.state = State::Stored(self.backoff.next(now, policy));
    }

    /// What was in storage, or a refund, has been asked: PendingB, and PendingE of REFUND_ACCOUNT.
    fn stored(&mut self, now: Instant, input: Input, policy: &Policy, out: &mut Vec<Output>) {
        let verdict = match input {
            Input::Answered(told) => Some(told.verdict),
            Input::Lost => {
                self.account = match self.account {
                    Account::Untouched => Account::Perhaps,
                    known => known,
                };
                None
            }
            _ => None,
        };
        self.lost |= verdict.is_none();
        match verdict {
            // Failure to send, or temporary error: store request, or leave it there
            None | Some(Verdict::Temporary { .. }) => {
                self.store(now, policy);
                self.forgive();
            }
            // Successful answer: delete request
            Some(Verdict::Granted) if self.action == RefundAccount => {
                self.settle(Account::Untouched)
            }
            Some(Verdict::Granted) => {
                self.settle(Account::Debited);
                if self.service == Service::Failed {
                    self.refund(out);
                }
            }
            // Failed answer: delete request, and indicate the error
            Some(verdict @ (Verdict::Free | Verdict::Denied(_) | Verdict::Failed)) => {
                let owed = self.owed();
                self.settle(Account::Untouched);
                // 4011: a service that is free of charge is not owed.
                let free = verdict == Verdict::Free && owed == Owed::Debit;
                if owed != Owed::Undo && !free {
                    out.push(Output::Unsettled(owed));
                }
            }
        }
    }

    /// The service was delivered, or it was not.
    fn ended(&mut self, now: Instant, delivered: bool, out: &mut Vec<Output>) {
        match self.service {
            Service::Granted => {}
            Service::Waiting if !delivered => self.tx = None, // the user has left before the decision
            _ => return,                                      // denied before, or told twice
        }
        if delivered {
            self.service = Service::Delivered;
            return self.write_off(out);
        }
        self.service = Service::Failed;
        match (self.state, self.account) {
            (State::Idle, Account::Debited) => self.refund(out),
            (State::Idle, Account::Perhaps) => {
                self.lost = true;
                self.state = State::Stored(now);
            }
            (State::Stored(_), _) => self.forgive(),
            // The answer will say whether there is something to give back.
            (State::Idle | State::PendingE | State::PendingB, _) => {}
        }
    }

    fn refund(&mut self, out: &mut Vec<Output>) {
        if self.action == DirectDebiting {
            self.action = RefundAccount;
            (self.tx, self.lost, self.backoff) = (None, false, Backoff::default());
            self.ask(State::PendingE, false, out);
        }
    }

    fn ask(&mut self, state: State, elsewhere: bool, out: &mut Vec<Output>) {
        self.state = state;
        let number = match self.action {
            RefundAccount => REFUND,
            DirectDebiting | CheckBalance | PriceEnquiry => FIRST,
        };
        out.push(Output::Ask(Question {
            action: Some(self.action),
            requested: Some(1),
            retransmitted: self.lost,
            elsewhere,
            ..Question::new(RequestType::Event, number)
        }));
    }

    fn decide(&mut self, decision: Decision, out: &mut Vec<Output>) {
        if self.service != Service::Waiting {
            return;
        }
        self.tx = None;
        self.service = match decision {
            Decision::Granted | Decision::Free => Service::Granted,
            Decision::Denied(_) => Service::Failed,
        };
        out.push(Output::Decided(decision));
    }
}

/// How a question failed, in the words of §7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    ToSend,
    Temporary,
    Answer,
}

#[cfg(test)]
mod tests;
