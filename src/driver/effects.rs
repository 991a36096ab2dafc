//! Effects of the node, performed: messages sent, answers given, charges handed over, documents fetched.

use super::{Driver, Notice};
use crate::http::fetch;
use bytes::Bytes;
use ims::event::turn::Ticket;
use ims::node::{Effect, Fetch};
use ims::sip::{Destination, Transport};
use std::net::SocketAddr;

impl Driver {
    pub(super) fn perform_all(&mut self, effects: Vec<Effect>) {
        let mut charges = Vec::new();
        for effect in effects {
            match effect {
                Effect::Charge(event) => charges.push(*event),
                other => self.perform(other),
            }
        }
        if let Some(charging) = self.charging.as_ref().filter(|_| !charges.is_empty()) {
            charging(charges);
        }
    }

    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Send {
                to: Destination::Flow(flow),
                bytes,
                ticket,
            } => match flow.transport {
                Transport::Udp => self.udp.send(Some(flow.local), flow.remote, bytes),
                Transport::Tcp => self.tcp.reply(flow.connection, flow.remote, bytes, ticket),
            },
            Effect::Send {
                to:
                    Destination::Host {
                        host,
                        port,
                        transport,
                    },
                bytes,
                ticket,
            } => {
                let transport = transport.unwrap_or(Transport::Udp);
                match self.resolver.known(&host, port) {
                    Some(Some(to)) => self.send_to(to, transport, bytes, ticket),
                    Some(None) => self.undeliverable(ticket),
                    None => self.look_up(host, port, transport, bytes, ticket),
                }
            }
            Effect::Xcap { number, response } => {
                if let Some(reply) = self.state.replies.remove(&number) {
                    let _ = reply.send(*response); // the client may have gone
                }
            }
            Effect::Administered { number, answer } => {
                if let Some(reply) = self.state.orders.remove(&number) {
                    let _ = reply.send(*answer);
                }
            }
            Effect::Fetch(fetch) => self.fetch(*fetch),
            Effect::Credit(request) => {
                if let Some(online) = &self.online {
                    online.ask(*request);
                }
            }
            Effect::CreditUsed { number, units } => {
                if let Some(online) = &self.online {
                    online.used(number, units);
                }
            }
            Effect::CreditWanted { number } => {
                if let Some(online) = &self.online {
                    online.wanted(number);
                }
            }
            Effect::CreditEnded { number, delivered } => {
                if let Some(online) = &self.online {
                    online.ended(number, delivered);
                }
            }
            Effect::Charge(event) => {
                if let Some(charging) = &self.charging {
                    charging(vec![*event]);
                }
            }
        }
    }

    /// Has something fetched beside the loop.
    fn fetch(&self, wanted: Fetch) {
        let (resolver, vouched) = (self.resolver.clone(), self.vouched.clone());
        let notices = self.handle.notices();
        tokio::spawn(async move {
            let number = wanted.number;
            let fetched = fetch::fetch(&resolver, &vouched, wanted).await;
            // the driver may have ended, and the publisher asks again
            let _ = notices.send(Notice::Fetched { number, fetched });
        });
    }

    pub(super) fn send_to(
        &mut self,
        to: SocketAddr,
        transport: Transport,
        bytes: Bytes,
        ticket: Option<Ticket>,
    ) {
        match transport {
            Transport::Udp => self.udp.send(None, to, bytes),
            Transport::Tcp => self.tcp.send(to, bytes, ticket),
        }
    }

    fn undeliverable(&self, ticket: Option<Ticket>) {
        if let Some(ticket) = ticket {
            let _ = self.handle.notices().send(Notice::Undeliverable(ticket));
        }
    }

    fn look_up(
        &self,
        host: Box<str>,
        port: Option<u16>,
        transport: Transport,
        bytes: Bytes,
        ticket: Option<Ticket>,
    ) {
        let (resolver, notices) = (self.resolver.clone(), self.handle.notices());
        tokio::spawn(async move {
            let to = resolver.look_up(&host, port).await;
            let _ = notices.send(Notice::Resolved {
                to,
                transport,
                bytes,
                ticket,
            });
        });
    }
}
