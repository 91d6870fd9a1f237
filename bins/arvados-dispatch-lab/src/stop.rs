//! The wish to end: SIGINT, SIGTERM and SIGHUP are heard from the first moment to the last.

use std::{process, thread, time::Duration};

use anyhow::Context;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

/// How long everything may take to end; the dispatcher gets ten seconds of it. After that this process ends all the
/// same, and with it what it has started: the kernel sees to that.
const END_WITHIN: Duration = Duration::from_secs(20);
/// The exit code of a program that was interrupted before it had done what it was asked for.
pub(crate) const INTERRUPTED: u8 = 130;

/// Tells that somebody wants this program to end.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Hears signals from here on. A second one ends the program at once.
    pub(crate) fn listen() -> anyhow::Result<Stop> {
        let (sender, receiver) = watch::channel(false);
        let mut signals = Signals::new().context("listen for signals")?;
        tokio::spawn(async move {
            signals.next().await;
            sender.send_replace(true);
            // In a thread of its own: it ends this process whatever the others are stuck in.
            thread::spawn(|| {
                wait(END_WITHIN);
                process::exit(INTERRUPTED.into());
            });
            signals.next().await;
            process::exit(INTERRUPTED.into());
        });
        Ok(Stop(receiver))
    }

    /// Resolves when somebody wants the end.
    pub(crate) async fn wanted(&mut self) {
        // The sender lives until the end of the program.
        let _ = self.0.wait_for(|wanted| *wanted).await;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a thread of its own, which does nothing else and must not depend on the runtime"
)]
fn wait(time: Duration) {
    thread::sleep(time);
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
