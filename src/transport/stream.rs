//! The byte stream of a connection, with the time limits that HTTP libraries leave out: a client that says nothing, one
//! that never comes to a request, one that does not take its answer, and a connection past its age.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::connection::Connection;
use super::slots::Slot;
use super::unheard::{Report, Unheard};

/// How long what may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// From the handshake to the first request.
    pub(super) first: Duration,
    /// Without a request.
    pub(super) idle: Duration,
    /// In total.
    pub(super) max_age: Duration,
}

/// A stream that ends when the connection has been idle or alive for too long.
pub(super) struct Stream<T> {
    inner: T,
    connection: Arc<Connection>,
    limits: Limits,
    alarm: Pin<Box<Sleep>>,
    stalled: Option<Pin<Box<Sleep>>>,
    unheard: Unheard,
    _slot: Slot,
}

impl<T> Stream<T> {
    pub(super) fn new(inner: T, connection: Arc<Connection>, limits: Limits, slot: Slot, report: Report) -> Self {
        let (alarm, unheard) = (Box::pin(sleep(limits.first)), Unheard::new(report));
        Self { inner, connection, limits, alarm, stalled: None, unheard, _slot: slot }
    }

    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Ready when the connection's time is up.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.alarm.as_mut().poll(cx).is_ready() {
            let Limits { first, idle, max_age } = self.limits;
            match self.connection.activity().patience(first, idle, max_age) {
                None => return Poll::Ready(()),
                Some(left) => {
                    let next = Instant::now().checked_add(left).unwrap_or_else(Instant::now);
                    self.alarm.as_mut().reset(next);
                }
            }
        }
        Poll::Pending
    }

    /// An answer that nobody takes for the idle time is given up.
    fn watch_write<R>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let idle = self.limits.idle;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(idle)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Stream<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Asked first: a client that keeps sending bytes must not keep the alarm from being heard.
        if self.poll_alarm(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Stream<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.unheard.watch(bytes);
        let result = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.watch_write(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unheard.watch_all(slices);
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.watch_write(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.watch_write(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.watch_write(cx, result)
    }
}
