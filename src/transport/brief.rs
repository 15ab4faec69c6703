//! Connections that are few and short: each has a place and a time, and whoever takes longer, be it to ask or to read the
//! answer, is cut off.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// The places, and how long one is anybody's.
#[derive(Clone)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    time: Duration,
}

impl Places {
    pub(super) fn new(most: usize, time: Duration) -> Self {
        Self { free: Arc::new(Semaphore::new(most)), time }
    }

    /// The stream in a place of its own.
    ///
    /// # Errors
    /// [`io::ErrorKind::ConnectionRefused`] when there is none.
    pub(super) fn take<T>(&self, stream: T) -> io::Result<Brief<T>> {
        let place = Arc::clone(&self.free).try_acquire_owned();
        let place = place.map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        Ok(Brief { stream, over: Box::pin(sleep(self.time)), _place: place })
    }
}

/// A stream that ends when its time is over.
pub(super) struct Brief<T> {
    stream: T,
    over: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl<T> Brief<T> {
    fn in_time(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.over.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Brief<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.in_time(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Brief<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.in_time(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn who_does_not_read_or_does_not_ask_is_cut_off_and_gives_the_place_back() {
        let places = Places::new(1, Duration::from_millis(50));
        let (ours, _theirs) = tokio::io::duplex(16);
        let mut stream = places.take(ours).unwrap();
        let (other, _end) = tokio::io::duplex(16);
        assert_eq!(places.take(other).err().map(|error| error.kind()), Some(io::ErrorKind::ConnectionRefused));
        let unread = stream.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(unread.kind(), io::ErrorKind::TimedOut);
        drop(stream);
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut stream = places.take(ours).unwrap();
        theirs.write_all(b"GET").await.unwrap();
        let mut word = [0; 3];
        stream.read_exact(&mut word).await.unwrap();
        assert_eq!(stream.read(&mut word).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
