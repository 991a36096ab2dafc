//! A TCP connection to a peer, on which neither side waits for the other's acknowledgement.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Writes leave at once, and what is read is acknowledged at once.
///
/// A peer that gathers small writes (Nagle; freeDiameter does) sends its first answer, then nothing until that one is
/// acknowledged. The kernel delays acknowledgements by up to 40 ms where nothing goes the other way, and nothing does
/// while the window of requests is full: every window would take that long.
#[derive(Debug)]
pub(super) struct Socket(TcpStream);

impl Socket {
    pub fn new(stream: TcpStream) -> io::Result<Socket> {
        stream.set_nodelay(true)?;
        Ok(Socket(stream))
    }

    /// The kernel goes back to delaying by itself, so this is said after each read.
    fn acknowledge(&self) {
        // Where it cannot be asked for, the connection is only slower.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _ = self.0.set_quickack(true);
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.0).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.acknowledge();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
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

    #[tokio::test]
    async fn what_is_read_is_acknowledged_without_delay_also_in_a_dialogue() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connect = async || {
            let ours = TcpStream::connect(address).await.unwrap();
            (ours, listener.accept().await.unwrap().0)
        };
        let (mut plain, mut peer) = connect().await;
        talk(&mut plain, &mut peer).await;
        assert!(!plain.quickack().unwrap(), "the kernel delays by itself");
        let (ours, mut peer) = connect().await;
        let mut ours = Socket::new(ours).unwrap();
        talk(&mut ours, &mut peer).await;
        assert!(ours.0.quickack().unwrap());
    }
}
