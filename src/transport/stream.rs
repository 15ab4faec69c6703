//! The byte stream of a connection, with the time limits that HTTP libraries leave out: a client that says nothing, one
//! that never comes to a request, one that does not take its answer, and a connection past its age.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::activity::{Limits, PARTING};
use super::connection::Connection;
use super::slots::Slot;
use super::unheard::{Report, Unheard};

/// A stream that ends when the connection has been idle or alive for too long.
pub(super) struct Stream<T> {
    inner: T,
    connection: Arc<Connection>,
    limits: Limits,
    alarm: Pin<Box<Sleep>>,
    stalled: Option<Pin<Box<Sleep>>>,
    parting: Option<Parting>,
    unheard: Unheard,
    _slot: Slot,
}

impl<T> Stream<T> {
    pub(super) fn new(inner: T, connection: Arc<Connection>, limits: Limits, slot: Slot, report: Report) -> Self {
        let (alarm, unheard) = (Box::pin(sleep(limits.look())), Unheard::new(report));
        Self { inner, connection, limits, alarm, stalled: None, parting: None, unheard, _slot: slot }
    }

    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Ready when the connection's time is up.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.alarm.as_mut().poll(cx).is_ready() {
            match self.connection.activity().patience(&self.limits, self.stalled.is_some()) {
                None => return Poll::Ready(()),
                Some(left) => {
                    let next = left.min(self.limits.look());
                    let next = Instant::now().checked_add(next).unwrap_or_else(Instant::now);
                    self.alarm.as_mut().reset(next);
                }
            }
        }
        Poll::Pending
    }

    /// An answer that nobody takes for the idle time is given up, and one that is taken drop by drop with the connection.
    fn watch_write<R>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if self.connection.activity().overdue(&self.limits) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
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

/// Closing while bytes are still coming in makes the kernel reset the connection, and the client, busy sending, may
/// never read the refusal. So after the last word what comes in is taken and dropped for a while.
struct Parting {
    silence: Pin<Box<Sleep>>,
    end: Instant,
}

impl Parting {
    fn new(longest: Duration) -> Self {
        let end = Instant::now().checked_add(longest).unwrap_or_else(Instant::now);
        Self { silence: Box::pin(sleep(PARTING)), end }
    }

    /// Ready when the other end has closed, or has had its time.
    fn poll(&mut self, inner: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>) -> Poll<()> {
        let mut dropped = [0; 8192];
        while self.silence.as_mut().poll(cx).is_pending() {
            let mut buf = ReadBuf::new(&mut dropped);
            match ready!(Pin::new(&mut *inner).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {
                    let next = Instant::now().checked_add(PARTING).unwrap_or(self.end);
                    self.silence.as_mut().reset(next.min(self.end));
                }
                _ => return Poll::Ready(()),
            }
        }
        Poll::Ready(())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Stream<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Asked first: a client that keeps sending bytes must not keep the alarm from being heard.
        if self.poll_alarm(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        let came = buf.filled().len().saturating_sub(before);
        if came > 0 && !self.connection.activity().bears(came, &self.limits) {
            buf.set_filled(before);
            self.connection.cut();
            return Poll::Ready(Ok(()));
        }
        if came > 0 && self.connection.activity().hears() {
            self.alarm.as_mut().reset(Instant::now());
        }
        result
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<T> {
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
        let this = &mut *self;
        if this.parting.is_none() {
            let result = Pin::new(&mut this.inner).poll_shutdown(cx);
            ready!(this.watch_write(cx, result))?;
        }
        let longest = this.limits.header;
        this.parting.get_or_insert_with(|| Parting::new(longest)).poll(&mut this.inner, cx).map(Ok)
    }
}
