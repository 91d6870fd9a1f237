//! Looks after the running parts: obeys signals, and ends the process when the loop has ended, whatever ended it.

use std::{io, time::Duration};

use dispatch_management_api::Tls;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinHandle,
    time::{Instant, Interval, interval_at},
};

use crate::StartError;

/// How long the management API gets to finish after the loop has ended.
const SERVER_STOP_WITHIN: Duration = Duration::from_secs(3);
/// How often the certificate is read again without being asked (facts §2.6).
const CERTIFICATE_EVERY: Duration = Duration::from_secs(3600);

/// What may be asked of a daemon from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    /// To end.
    Stop,
    /// To read the certificate again.
    Reload,
}

/// The signals that mean something to us.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    hourly: Interval,
}

impl Signals {
    /// From here on they do not end the process by themselves.
    pub(crate) fn listen() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            hourly: interval_at(Instant::now() + CERTIFICATE_EVERY, CERTIFICATE_EVERY),
        })
    }

    /// Waits for the next. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hang_up.recv() => Asked::Reload,
            _ = self.hourly.tick() => Asked::Reload,
        }
    }
}

/// Runs until the loop has ended: well if that was asked for, otherwise with an error (facts M4).
pub(crate) async fn supervise(
    mut command: JoinHandle<Result<(), StartError>>,
    mut server: JoinHandle<()>,
    stop: watch::Sender<bool>,
    tls: Option<&Tls>,
    mut asked: impl AsyncFnMut() -> Asked,
) -> Result<(), StartError> {
    loop {
        tokio::select! {
            asked = asked() => match asked {
                Asked::Stop => {
                    // Not started by systemd: nobody to tell.
                    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
                    stop.send_replace(true);
                }
                Asked::Reload => reload(tls),
            },
            ended = &mut command => {
                let asked = stop.send_replace(true);
                let _ = tokio::time::timeout(SERVER_STOP_WITHIN, &mut server).await;
                return match ended {
                    Ok(Err(error)) => Err(error),
                    Ok(Ok(())) if asked => {
                        tracing::info!("dispatcher stopped");
                        Ok(())
                    }
                    Ok(Ok(())) => Err(StartError::LoopDied("it returned".to_owned())),
                    Err(error) => Err(StartError::LoopDied(error.to_string())),
                };
            }
        }
    }
}

fn reload(tls: Option<&Tls>) {
    match tls.map(Tls::reload) {
        None => tracing::debug!("there is no certificate to read again"),
        Some(Ok(())) => tracing::info!("certificate read again"),
        Some(Err(error)) => {
            tracing::error!(%error, "certificate not read; the old one stays in use");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn never() -> Asked {
        std::future::pending().await
    }

    /// Supervises this loop beside a server that ends when it is told to.
    async fn check(
        shell: impl Future<Output = ()> + Send + 'static,
        asked: impl AsyncFnMut() -> Asked,
    ) -> Result<(), String> {
        let (stop, mut stopping) = watch::channel(false);
        let server = tokio::spawn(async move {
            let _ = stopping.wait_for(|stop| *stop).await;
        });
        let command = tokio::spawn(async {
            shell.await;
            Ok(())
        });
        let ended = supervise(command, server, stop, None, asked).await;
        ended.map_err(|error| error.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn the_daemon_ends_with_an_error_when_its_loop_dies() {
        let died = check(async { panic!("by a mistake of ours") }, never).await;
        let error = died.expect_err("it died");
        assert!(error.contains("by a mistake of ours"), "{error}");
        let returned = check(async {}, never).await;
        assert!(returned.is_err_and(|error| error.contains("it returned")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_ends_because_it_was_asked_to_has_ended_well() {
        let (asked, was_asked) = tokio::sync::oneshot::channel();
        let mut asked = Some(asked);
        let shell = async move {
            was_asked.await.expect("asked");
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        let first_stop = async || {
            match asked.take() {
                Some(asked) => asked.send(()).expect("it listens"),
                None => return never().await,
            }
            Asked::Stop
        };
        assert_eq!(check(shell, first_stop).await, Ok(()));
    }
}
