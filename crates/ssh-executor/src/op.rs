//! The life of one channel.
//!
//! ```text
//!   Opening ──► Telling ──► Streaming ──► Closing ──► Freed
//!      └───────────┴── cancelled ────────────┘
//! ```
//!
//! Every step that has to wait is repeated in the next round with the same arguments (rule 3 of the measured design):
//! a packet that libssh2 has sent in part blocks all others until its owner sends the rest. So a cancelled channel is
//! not dropped: it goes on until what it began has gone out, reads and discards, and is freed once the server has
//! closed it too. Until then it counts against the limit of channels, as it counts against the server's.
//!
//! A command that was told before it was cancelled gets the whole of a short input all the same. Ending its input early
//! would make it act on half a document, or on none.

use std::io::{Read, Write};

use dispatch_cloud::exec::{Exit, Output};
use ssh2::{Channel, Session};
use tokio::time::Instant;
use tracing::debug;

use crate::{
    fault::{Fault, Step, sort, sort_io, tidy},
    job::{Answer, Input, Job, JobError},
    sink::Sink,
    socket::Socket,
};

/// So much of one stream is moved in one round, so that channels take turns.
const BYTES_PER_ROUND: usize = 256 << 10;

/// One channel and what it is for.
pub(crate) struct Op {
    job: Job,
    stage: Stage,
    channel: Option<Channel>,
    /// Whether the last write has to be repeated.
    writing: bool,
    input_ended: bool,
    pub(crate) began: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Opening,
    Telling,
    Streaming,
    Closing,
    Freed,
}

/// The server opened no channel: the job may have another try.
pub(crate) struct NoChannel {
    pub(crate) why: String,
}

impl Op {
    /// A channel to be opened for this job.
    pub(crate) fn new(job: Job, now: Instant) -> Self {
        Self {
            job,
            stage: Stage::Opening,
            channel: None,
            writing: false,
            input_ended: false,
            began: now,
        }
    }

    /// Whether it is being opened or told its command. Only one may be at a time: libssh2 keeps the state of an open
    /// per session, and takes another channel's reply for this one's.
    pub(crate) fn is_starting(&self) -> bool {
        matches!(self.stage, Stage::Opening | Stage::Telling)
    }

    /// Whether somebody waits for what it does.
    pub(crate) fn is_awaited(&self) -> bool {
        self.job.answer.is_awaited() && !self.job.ticket.is_cancelled()
    }

    /// Whether it holds its channel for nobody.
    pub(crate) fn is_abandoned(&self) -> bool {
        !self.is_awaited() && !self.is_freed()
    }

    /// Whether it may be dropped.
    pub(crate) fn is_freed(&self) -> bool {
        self.stage == Stage::Freed
    }

    /// Whether it has something to send, so that it must not rely on the socket's events alone.
    pub(crate) fn is_sending(&self) -> bool {
        match self.stage {
            Stage::Opening | Stage::Telling | Stage::Closing => true,
            Stage::Streaming => self.writing || (self.job.input.is_finished() && !self.input_ended),
            Stage::Freed => false,
        }
    }

    /// Whether it is a long-lived command.
    pub(crate) fn is_lines(&self) -> bool {
        self.job.answer.is_lines()
    }

    /// Tells the caller that there will be no output.
    pub(crate) fn fail(&mut self, why: &str) {
        let why = why.to_owned();
        self.job.answer.fail(match self.stage {
            Stage::Opening => JobError::NotStarted(why),
            Stage::Telling | Stage::Streaming | Stage::Closing | Stage::Freed => {
                JobError::Broken(why)
            }
        });
    }

    /// Gives the job back.
    pub(crate) fn into_job(self) -> Job {
        self.job
    }

    /// Goes as far as it can now. Says whether anything moved.
    pub(crate) fn step(
        &mut self,
        session: &Session,
        socket: &Socket,
    ) -> Result<Result<bool, NoChannel>, Fault> {
        match self.stage {
            Stage::Opening => match sort(session.channel_session()) {
                Ok(None) => Ok(Ok(false)),
                Ok(Some(channel)) => {
                    self.channel = Some(channel);
                    let wanted = self.job.answer.is_awaited() && self.job.ticket.send();
                    self.stage = if wanted {
                        Stage::Telling
                    } else {
                        Stage::Closing
                    };
                    Ok(Ok(true))
                }
                Err(Fault::Channel(why)) => Ok(Err(NoChannel { why })),
                Err(fault) => Err(fault),
            },
            Stage::Telling => self.tell().map(Ok),
            Stage::Streaming => self.stream(session, socket).map(Ok),
            Stage::Closing => self.close(session, socket).map(Ok),
            Stage::Freed => Ok(Ok(false)),
        }
    }

    fn channel(&mut self) -> &mut Channel {
        self.channel
            .as_mut()
            .expect("a channel from Telling to Closing")
    }

    fn tell(&mut self) -> Result<bool, Fault> {
        let channel = self
            .channel
            .as_mut()
            .expect("a channel from Telling to Closing");
        match sort(channel.exec(&self.job.line)) {
            Ok(None) => Ok(false),
            Ok(Some(())) => {
                self.job.answer.started();
                self.stage = Stage::Streaming;
                Ok(true)
            }
            Err(Fault::Channel(why)) => {
                self.job.answer.fail(JobError::Denied(format!(
                    "the server does not run the command: {why}"
                )));
                self.job.input = Input::nothing();
                self.stage = Stage::Closing;
                Ok(true)
            }
            Err(fault) => Err(fault),
        }
    }

    fn stream(&mut self, session: &Session, socket: &Socket) -> Result<bool, Fault> {
        if !self.is_awaited() {
            self.job.stdout = Sink::Discard;
            self.job.stderr = Sink::Discard;
            self.stage = Stage::Closing;
            return Ok(true);
        }
        let mut moved = self.write(session)?;
        self.end_input(socket)?;
        moved |= self.read(session)?;
        // The server's side has ended and everything of it has been read; input may still be wanted until it closes.
        if self.channel().eof()
            && self.adjusted()?
            && sort_lenient(self.channel().wait_close())?.is_some()
            && self.job.stdout.finish()
            && self.job.stderr.finish()
        {
            self.finish()?;
            if !self.writing {
                self.job.input = Input::nothing();
            }
            self.stage = Stage::Closing;
            moved = true;
        }
        Ok(moved)
    }

    fn write(&mut self, session: &Session) -> Result<bool, Fault> {
        let channel = self
            .channel
            .as_mut()
            .expect("a channel from Telling to Closing");
        let mut n_total = 0;
        while n_total < BYTES_PER_ROUND {
            let block = self.job.input.block();
            if block.is_empty() {
                break;
            }
            match sort_io(channel.write(block), session) {
                Ok(Some(0) | None) => {
                    self.writing = true;
                    return Ok(n_total > 0);
                }
                Ok(Some(n)) => {
                    self.job.input.taken(n);
                    n_total += n;
                }
                // The command takes no more input; its output still counts.
                Err(Fault::Channel(_)) => {
                    self.job.input = Input::nothing();
                    self.input_ended = true;
                }
                Err(fault) => return Err(fault),
            }
        }
        self.writing = false;
        Ok(n_total > 0)
    }

    fn end_input(&mut self, socket: &Socket) -> Result<(), Fault> {
        if self.job.input.is_finished() && !self.input_ended && socket.takes_a_packet() {
            self.input_ended = sort_lenient(self.channel().send_eof())?.is_some();
        }
        Ok(())
    }

    fn read(&mut self, session: &Session) -> Result<bool, Fault> {
        let channel = self
            .channel
            .as_ref()
            .expect("a channel from Telling to Closing");
        let mut buffer = [0; 16 << 10];
        let mut moved = false;
        for (stream, sink) in [(0, &mut self.job.stdout), (1, &mut self.job.stderr)] {
            let mut stream = channel.stream(stream);
            let mut n_total = 0;
            while n_total < BYTES_PER_ROUND && sink.has_room() {
                match lenient(sort_io(stream.read(&mut buffer), session))? {
                    None | Some(0) => break,
                    Some(n) => {
                        sink.take(&buffer[..n]);
                        n_total += n;
                    }
                }
            }
            moved |= n_total > 0;
        }
        Ok(moved)
    }

    /// Reading may have left a window adjustment half sent, and does not come back to it after the last byte. Adjusting
    /// by nothing completes it, or does nothing.
    fn adjusted(&mut self) -> Result<bool, Fault> {
        Ok(sort_lenient(self.channel().adjust_receive_window(0, false).map(drop))?.is_some())
    }

    /// The server has closed the channel: tells the caller how it ended.
    fn finish(&mut self) -> Result<(), Fault> {
        let channel = self
            .channel
            .as_ref()
            .expect("a channel from Telling to Closing");
        // A command killed by a signal also has a status, and it is 0.
        let signal = lenient(sort(channel.exit_signal()))?.and_then(|exit| exit.exit_signal);
        let status = lenient(sort(channel.exit_status()))?.unwrap_or(-1);
        let exit = signal.map_or(Exit::Status(status), Exit::Signal);
        let stdout = std::mem::replace(&mut self.job.stdout, Sink::Discard);
        let stderr = std::mem::replace(&mut self.job.stderr, Sink::Discard);
        if self.is_lines() {
            let (stderr, _) = stderr.into_kept();
            let stderr = tidy(&String::from_utf8_lossy(&stderr));
            debug!(?exit, %stderr, "long-lived command has ended");
            self.job.answer = Answer::Nobody;
            return Ok(());
        }
        self.job.answer.finish(|| {
            let (stdout, cut) = stdout.into_kept();
            let (stderr, also_cut) = stderr.into_kept();
            Output {
                exit,
                stdout,
                stderr,
                truncated: cut || also_cut,
            }
        });
        Ok(())
    }

    fn close(&mut self, session: &Session, socket: &Socket) -> Result<bool, Fault> {
        let mut moved = self.read(session)?;
        if !self.adjusted()? {
            return Ok(moved);
        }
        // A write that waits for the server's window has sent nothing yet and can be left; any other must go out.
        if (self.writing || self.job.input.is_short())
            && self.channel().write_window().remaining > 0
        {
            let channel = self
                .channel
                .as_mut()
                .expect("a channel from Telling to Closing");
            match sort_io(channel.write(self.job.input.block()), session) {
                Ok(Some(0) | None) => {
                    self.writing = true;
                    return Ok(moved);
                }
                Ok(Some(n)) => {
                    self.job.input.taken(n);
                    self.writing = false;
                    return Ok(true);
                }
                // Nobody reads it any more.
                Err(Fault::Channel(_)) => {
                    self.job.input = Input::nothing();
                    self.writing = false;
                }
                Err(fault) => return Err(fault),
            }
        }
        if !self.input_ended {
            if !socket.takes_a_packet() {
                return Ok(moved);
            }
            self.input_ended = sort_lenient(self.channel().send_eof())?.is_some();
        }
        if self.input_ended && sort_lenient(self.channel().close())?.is_some() {
            self.channel = None;
            self.stage = Stage::Freed;
            moved = true;
        }
        Ok(moved)
    }
}

/// A fault of the channel while it ends is as good as its end.
fn sort_lenient(result: Result<(), ssh2::Error>) -> Step<()> {
    match sort(result) {
        Err(Fault::Channel(_)) => Ok(Some(())),
        other => other,
    }
}

fn lenient<T>(step: Step<T>) -> Step<T> {
    match step {
        Err(Fault::Channel(_)) => Ok(None),
        other => other,
    }
}
