//! A TCP connection to a peer, on which neither side waits for long for the other's acknowledgement.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// How long an acknowledgement may wait where nobody waits for the answers.
const GATHER: Duration = Duration::from_millis(1);

/// When what was read is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acknowledge {
    /// With each read: users wait for what this peer answers.
    AtOnce,
    /// Within a millisecond or two, for all that came meanwhile, which costs a tenth of that.
    Soon,
}

/// Writes leave at once, and what is read is acknowledged at once or soon.
///
/// A peer that gathers small writes (Nagle; freeDiameter does) sends its first answer, then nothing until that one is
/// acknowledged. The kernel delays acknowledgements by up to 40 ms where nothing goes the other way, and nothing does
/// while the window of requests is full: every window would take that long.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    acknowledge: Acknowledge,
    timer: Pin<Box<Sleep>>,
    /// Something was read that no write has acknowledged on its way: the timer runs.
    owed: bool,
}

impl Socket {
    pub fn new(stream: TcpStream, acknowledge: Acknowledge) -> io::Result<Socket> {
        stream.set_nodelay(true)?;
        Ok(Socket {
            stream,
            acknowledge,
            timer: Box::pin(sleep(GATHER)),
            owed: false,
        })
    }

    /// Something was read.
    fn owe(&mut self) {
        match self.acknowledge {
            // The kernel goes back to delaying by itself, so this is said after each read.
            Acknowledge::AtOnce => self.acknowledge(true),
            Acknowledge::Soon if self.owed => {}
            Acknowledge::Soon => {
                self.timer.as_mut().reset(Instant::now() + GATHER);
                self.owed = true;
            }
        }
    }

    /// Nothing more is there to read: pays when the timer has run out.
    fn wait_to_pay(&mut self, context: &mut Context<'_>) {
        if self.owed && self.timer.as_mut().poll(context).is_ready() {
            self.owed = false;
            self.acknowledge(true);
            // what comes next is gathered again
            self.acknowledge(false);
        }
    }

    fn acknowledge(&self, at_once: bool) {
        // Where it cannot be asked for, the connection is only slower.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _ = self.stream.set_quickack(at_once);
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let _ = at_once;
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        match &read {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => self.owe(),
            Poll::Ready(_) => {}
            Poll::Pending => self.wait_to_pay(context),
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(1..)) = written {
            self.owed = false; // each segment acknowledges what was received before it
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Questions and answers until the kernel takes this for a dialogue, in which acknowledgements are delayed.
    async fn talk(ours: &mut (impl AsyncRead + AsyncWrite + Unpin), peer: &mut TcpStream) {
        for _ in 0..20 {
            ours.write_u8(1).await.unwrap();
            peer.read_u8().await.unwrap();
            peer.write_u8(2).await.unwrap();
            ours.read_u8().await.unwrap();
        }
    }

    /// A connection of ours, and what we make of it.
    async fn connected(acknowledge: Acknowledge) -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await;
        let (peer, _) = listener.accept().await.unwrap();
        (Socket::new(ours.unwrap(), acknowledge).unwrap(), peer)
    }

    #[tokio::test]
    async fn what_is_read_is_acknowledged_without_delay_also_in_a_dialogue() {
        let (ours, mut peer) = connected(Acknowledge::AtOnce).await;
        let mut plain = ours.stream;
        talk(&mut plain, &mut peer).await;
        assert!(!plain.quickack().unwrap(), "the kernel delays by itself");
        let (mut ours, mut peer) = connected(Acknowledge::AtOnce).await;
        talk(&mut ours, &mut peer).await;
        assert!(ours.stream.quickack().unwrap());
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_acknowledged_by_the_next_write_or_the_timer() {
        let (mut ours, mut peer) = connected(Acknowledge::Soon).await;
        talk(&mut ours, &mut peer).await;
        peer.write_u8(1).await.unwrap();
        ours.read_u8().await.unwrap();
        assert!(ours.owed);
        ours.write_u8(2).await.unwrap();
        assert!(!ours.owed, "a segment that leaves acknowledges");
        peer.write_u8(3).await.unwrap();
        ours.read_u8().await.unwrap();
        assert!(ours.owed);
        let mut byte = [0];
        let paid = std::future::poll_fn(|context| {
            let mut buffer = ReadBuf::new(&mut byte);
            assert!(
                Pin::new(&mut ours)
                    .poll_read(context, &mut buffer)
                    .is_pending()
            );
            if ours.owed {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        });
        paid.await;
        assert!(
            !ours.stream.quickack().unwrap(),
            "and what comes next is gathered again"
        );
    }
}
