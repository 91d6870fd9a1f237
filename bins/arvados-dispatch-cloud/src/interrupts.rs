//! Signals that ask a command to end: the first one politely, the second one at once.

use std::io;

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Counts SIGINT and SIGTERM, however often somebody asks.
pub(crate) struct Interrupts {
    seen: watch::Receiver<(usize, &'static str)>,
    _counter: Counter,
}

/// Ends the counting.
struct Counter(tokio::task::JoinHandle<()>);

impl Drop for Counter {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Interrupts {
    /// From now on neither signal ends the process by itself.
    pub(crate) fn listen() -> io::Result<Interrupts> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (tell, seen) = watch::channel((0, ""));
        let counter = tokio::spawn(async move {
            loop {
                let (came, name) = tokio::select! {
                    came = interrupt.recv() => (came, "SIGINT"),
                    came = terminate.recv() => (came, "SIGTERM"),
                };
                if came.is_none() {
                    return;
                }
                tell.send_modify(|(n, last)| {
                    *n += 1;
                    *last = name;
                });
            }
        });
        Ok(Interrupts {
            seen,
            _counter: Counter(counter),
        })
    }

    /// How many came so far.
    pub(crate) fn n(&self) -> usize {
        self.seen.borrow().0
    }

    /// Waits for the first: its name.
    pub(crate) async fn first(&self) -> String {
        self.nth(1).await
    }

    /// Waits for the second: its name.
    pub(crate) async fn second(&self) -> String {
        self.nth(2).await
    }

    async fn nth(&self, wanted: usize) -> String {
        let mut seen = self.seen.clone();
        match seen.wait_for(|(n, _)| *n >= wanted).await {
            Ok(seen) => seen.1.to_owned(),
            // Nobody counts any more.
            Err(_) => std::future::pending().await,
        }
    }
}
