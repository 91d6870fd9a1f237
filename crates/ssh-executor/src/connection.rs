//! The handle of one instance, as callers see it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use dispatch_cloud::exec::{Command, Connection, ExecError, Lines, Output, Target};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    call::{Failure, lines_on, run_on},
    executor::Shared,
    job::Lane,
    link::{Asking, Link, not_connected},
};

/// The pause before the second further try of a command that was not sent; the first comes at once. It doubles.
const RETRY_MIN: Duration = Duration::from_millis(50);
/// The longest of these pauses.
const RETRY_MAX: Duration = Duration::from_secs(1);

/// One instance. Without a live connection it is nothing but this.
pub(crate) struct SshConnection {
    link: Arc<Link>,
}

impl SshConnection {
    pub(crate) fn new(shared: Arc<Shared>, target: Target) -> Self {
        Self {
            link: Arc::new(Link::new(shared, target)),
        }
    }

    /// Makes a call on a live connection. If that ends before the command was sent, on the next one, and so on until
    /// the deadline: nothing has run.
    async fn call<T, F>(
        &self,
        deadline: Duration,
        until: Instant,
        make: impl Fn(Lane) -> F,
    ) -> Result<T, ExecError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let asking = Asking::ForCommand { until };
        let mut pause = Duration::ZERO;
        loop {
            let lane = self.link.lane_until(asking, until, deadline).await?;
            let address = lane.address.clone();
            let failure = match make(lane).await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            if !failure.is_worth_another_try() || Instant::now() + pause >= until {
                return Err(failure.into_error(&address, deadline));
            }
            sleep(pause).await;
            pause = (pause * 2).clamp(RETRY_MIN, RETRY_MAX);
        }
    }
}

#[async_trait]
impl Connection for SshConnection {
    fn set_address(&self, address: &str) {
        self.link.set_address(address);
    }

    async fn connect(&self, deadline: Duration) -> Result<(), ExecError> {
        let until = Instant::now() + deadline;
        self.link
            .lane_until(Asking::Explicitly, until, deadline)
            .await
            .map(drop)
    }

    async fn run(&self, command: Command) -> Result<Output, ExecError> {
        let until = Instant::now() + command.deadline;
        let bytes_max = self.link.shared.settings.output_bytes_max;
        let command = &command;
        let make = |lane| async move { run_on(&lane, command, until, bytes_max).await };
        self.call(command.deadline, until, make).await
    }

    async fn upload(&self, command: Command) -> Result<Output, ExecError> {
        let until = Instant::now() + command.deadline;
        let prepared = async {
            let turn = self.link.uploading.lock().await;
            Ok((turn, self.link.lane_of_its_own(until).await?))
        };
        let (_turn, lane) = timeout_at(until, prepared)
            .await
            .map_err(|_| not_connected(&self.link.address(), command.deadline))??;
        run_on(
            &lane,
            &command,
            until,
            self.link.shared.settings.output_bytes_max,
        )
        .await
        .map_err(|failure| failure.into_error(&lane.address, command.deadline))
    }

    async fn lines(&self, command: &str, deadline: Duration) -> Result<Box<dyn Lines>, ExecError> {
        let until = Instant::now() + deadline;
        let write_deadline = self.link.shared.settings.line_write;
        let make = |lane| async move { lines_on(&lane, command, until, write_deadline).await };
        let ends = self.call(deadline, until, make).await?;
        Ok(Box::new(ends))
    }

    fn close(&self) {
        self.link.close();
    }
}

impl Drop for SshConnection {
    fn drop(&mut self) {
        self.close();
    }
}
