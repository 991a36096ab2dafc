//! The network between the peers and the server: datagrams that get lost, doubled, late and overtaken; streams that
//! keep their order; partitions of single peers.

use crate::dice::Dice;
use ims::sip::Transport;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// How bad it is. Percentages of datagrams.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub loss: u64,
    pub duplication: u64,
    /// Datagrams that take up to [`Weather::slowest`] milliseconds and are overtaken by others.
    pub slow: u64,
    /// At most 5 s, which is T4: RFC 3261 §17 assumes that no message stays longer in the network.
    pub slowest: u64,
}

impl Weather {
    pub const CALM: Weather = Weather {
        loss: 0,
        duplication: 0,
        slow: 0,
        slowest: 0,
    };
}

#[derive(Debug)]
pub struct Network {
    pub weather: Weather,
    /// Peers that are cut off, and until when (milliseconds of virtual time).
    partitions: BTreeMap<IpAddr, u64>,
    /// When the last bytes of a stream arrive: the next ones are not earlier.
    streams: BTreeMap<(SocketAddr, SocketAddr), u64>,
}

impl Network {
    pub fn new(weather: Weather) -> Network {
        Network {
            weather,
            partitions: BTreeMap::new(),
            streams: BTreeMap::new(),
        }
    }

    pub fn cut_off(&mut self, peer: IpAddr, until: u64) {
        self.partitions.insert(peer, until);
    }

    pub fn heal(&mut self) {
        self.partitions.clear();
    }

    pub fn is_cut_off(&self, now: u64, one: SocketAddr, other: SocketAddr) -> bool {
        [one, other]
            .iter()
            .any(|end| self.partitions.get(&end.ip()).is_some_and(|&t| now < t))
    }

    /// When copies of a message arrive: none, one or two.
    pub fn arrivals(
        &mut self,
        now: u64,
        transport: Transport,
        from: SocketAddr,
        to: SocketAddr,
        dice: &mut Dice,
    ) -> Vec<u64> {
        let near = now + dice.between(1, 40);
        if self.is_cut_off(now, from, to) {
            return Vec::new();
        }
        if transport == Transport::Tcp {
            let last = self.streams.entry((from, to)).or_default();
            *last = near.max(*last);
            return vec![*last];
        }
        let copies = if dice.percent(self.weather.loss) {
            0
        } else {
            1 + usize::from(dice.percent(self.weather.duplication))
        };
        (0..copies)
            .map(|_| {
                let slow = dice.percent(self.weather.slow);
                near + if slow {
                    dice.between(0, self.weather.slowest.max(1))
                } else {
                    dice.between(0, 20)
                }
            })
            .collect()
    }
}
