//! A machine's network: open, silent (nothing gets through, nothing breaks) or gone (everything breaks).

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const OPEN: u8 = 0;
const SILENT: u8 = 1;
const GONE: u8 = 2;

/// One machine's.
#[derive(Default)]
pub(crate) struct Gate {
    state: AtomicU8,
    waiting: Mutex<Vec<Weak<Wakers>>>,
}

#[derive(Default)]
struct Wakers {
    read: AtomicWaker,
    write: AtomicWaker,
}

impl Gate {
    pub(crate) fn set_silent(&self, silent: bool) {
        let _ = self.state.compare_exchange(
            if silent { OPEN } else { SILENT },
            if silent { SILENT } else { OPEN },
            Ordering::SeqCst,
            Ordering::SeqCst,
        );
        self.wake();
    }

    pub(crate) fn break_all(&self) {
        self.state.store(GONE, Ordering::SeqCst);
        self.wake();
    }

    fn wake(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|wakers| match wakers.upgrade() {
            Some(wakers) => {
                wakers.read.wake();
                wakers.write.wake();
                true
            }
            None => false,
        });
    }

    /// A stream that goes through this gate.
    pub(crate) fn guard<S>(self: &Arc<Gate>, stream: S) -> Guarded<S> {
        let wakers = Arc::new(Wakers::default());
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|wakers| wakers.strong_count() > 0);
        waiting.push(Arc::downgrade(&wakers));
        Guarded {
            stream,
            gate: self.clone(),
            wakers,
        }
    }

    /// Whether a stream may go on; registers first, so that no change is missed.
    fn check(&self, waker: &AtomicWaker, context: &Context<'_>) -> Poll<io::Result<()>> {
        waker.register(context.waker());
        match self.state.load(Ordering::SeqCst) {
            OPEN => Poll::Ready(Ok(())),
            SILENT => Poll::Pending,
            _ => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

/// A stream behind a gate.
pub(crate) struct Guarded<S> {
    stream: S,
    gate: Arc<Gate>,
    wakers: Arc<Wakers>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.gate.check(&self.wakers.read, context))?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.gate.check(&self.wakers.write, context))?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.gate.check(&self.wakers.write, context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
