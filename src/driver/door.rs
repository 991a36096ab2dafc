//! The door of the driver: what others ask of it, what it hears of its own doings, and how it waits for either.

use crate::charging::online::Word;
use crate::http::{Busy, Port};
use crate::store::StoreError;
use crate::transport::Arrival;
use bytes::Bytes;
use ims::event::turn::Ticket;
use ims::node::{Administered, Administration, Fetched};
use ims::sip::Transport;
use ims::xdm;
use std::net::SocketAddr;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// What others ask of the driver; bounded, so that they wait when it has enough.
#[derive(Debug)]
pub enum Request {
    Arrived(Arrival),
    Xcap(xdm::Request, oneshot::Sender<xdm::Response>),
    Administer(Administration, oneshot::Sender<Administered>),
}

/// What the driver hears of its own doings; never more than it has started.
#[derive(Debug)]
pub enum Notice {
    Committed {
        turn: u64,
        result: Result<(), StoreError>,
    },
    Resolved {
        to: Option<SocketAddr>,
        transport: Transport,
        bytes: Bytes,
        ticket: Option<Ticket>,
    },
    Undeliverable(Ticket),
    /// What the charging system says of a request or a service that has credit.
    Credit {
        number: u64,
        word: Word,
    },
    /// What an HTTP server answered, or why it did not.
    Fetched {
        number: u64,
        fetched: Fetched,
    },
    /// Take no new state; stop when everything is told or at this instant.
    Drain {
        until: Instant,
    },
}

/// The door for HTTP.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    notices: mpsc::UnboundedSender<Notice>,
}

impl Handle {
    pub fn drain(&self, until: Instant) {
        // the driver may have ended already, which is what is asked for
        let _ = self.notices.send(Notice::Drain { until });
    }

    /// Where transports leave what arrives.
    pub fn requests(&self) -> mpsc::Sender<Request> {
        self.requests.clone()
    }

    pub fn notices(&self) -> mpsc::UnboundedSender<Notice> {
        self.notices.clone()
    }
}

impl Port for Handle {
    fn submit(&self, request: xdm::Request) -> Result<oneshot::Receiver<xdm::Response>, Busy> {
        let (reply, answer) = oneshot::channel();
        self.requests
            .try_send(Request::Xcap(request, reply))
            .map(|()| answer)
            .map_err(|_| Busy)
    }

    fn administer(&self, request: Administration) -> Result<oneshot::Receiver<Administered>, Busy> {
        let (reply, answer) = oneshot::channel();
        self.requests
            .try_send(Request::Administer(request, reply))
            .map(|()| answer)
            .map_err(|_| Busy)
    }
}

/// The receiving ends of a [`Handle`].
#[derive(Debug)]
pub struct Inbox {
    requests: mpsc::Receiver<Request>,
    notices: mpsc::UnboundedReceiver<Notice>,
    /// What ended the last wait.
    request: Option<Request>,
    notice: Option<Notice>,
}

impl Inbox {
    pub(super) fn request(&mut self) -> Option<Request> {
        self.request
            .take()
            .or_else(|| self.requests.try_recv().ok())
    }

    pub(super) fn notice(&mut self) -> Option<Notice> {
        self.notice.take().or_else(|| self.notices.try_recv().ok())
    }

    /// Requests that wait.
    pub(super) fn waiting(&self) -> usize {
        self.requests.len()
    }

    /// Waits for either; what comes is kept for the next turn.
    pub(super) async fn filled(&mut self) {
        tokio::select! {
            notice = self.notices.recv() => self.notice = notice,
            request = self.requests.recv() => self.request = request,
        }
    }
}

/// A handle and its inbox; `queue` requests may wait.
pub fn channel(queue: usize) -> (Handle, Inbox) {
    let (requests, taken) = mpsc::channel(queue.max(1));
    let (notices, heard) = mpsc::unbounded_channel();
    (
        Handle { requests, notices },
        Inbox {
            requests: taken,
            notices: heard,
            request: None,
            notice: None,
        },
    )
}
