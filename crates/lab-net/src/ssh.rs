//! One SSH server per machine.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dispatch_lab::{
    When,
    vm::{Execution, Exit, Kind, Reach, kind_of},
};
use russh::{
    Channel, ChannelId, ChannelOpenFailure, Sig,
    keys::PrivateKey,
    server::{Auth, ChannelOpenHandle, Config, Handle, Handler, Msg, Session, VerifiedPublicKey},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};

use crate::{
    fleet::{Shared, WATCH_LINES_MAX},
    gate::Gate,
    keys,
    overheard::Heard,
};

/// As OpenSSH's MaxSessions.
const CHANNELS_MAX: usize = 10;
/// Standard input that a command may have.
const STDIN_MAX_BYTES: usize = 512 << 20;

/// Serves one machine until it is dropped.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    listener: TcpListener,
    address: String,
    host_key: PrivateKey,
    gate: Arc<Gate>,
) {
    let config = Arc::new(Config {
        keys: vec![host_key],
        auth_rejection_time: Duration::ZERO,
        auth_rejection_time_initial: Some(Duration::ZERO),
        inactivity_timeout: None,
        nodelay: true,
        ..Config::default()
    });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(shared.clone(), stream, address.clone(), config.clone(), gate.clone()));
                }
                Err(error) => {
                    tracing::warn!(%address, %error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(
    shared: Arc<Shared>,
    stream: TcpStream,
    address: String,
    config: Arc<Config>,
    gate: Arc<Gate>,
) {
    let reach = shared.with(|world, now| world.reach(&address, now));
    let _ = stream.set_nodelay(true);
    match reach {
        Reach::Refused => return,
        // Silent from birth: the connection stays open until the client or the machine goes. One that falls silent
        // later is held by its gate.
        Reach::Silent
            if shared
                .with(|world, now| world.vm_at(&address).is_some_and(|vm| !vm.is_silent(now))) =>
        {
            return hold(stream).await;
        }
        Reach::Silent => {}
        Reach::Speaks(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
    }
    let handler = Connection {
        shared,
        address,
        user: String::new(),
        channels: BTreeMap::new(),
        ended: Ended::default(),
    };
    match russh::server::run_stream(config, gate.guard(stream), handler).await {
        Ok(session) => {
            if let Err(error) = session.await {
                tracing::trace!(%error, "an SSH connection ended");
            }
        }
        Err(error) => tracing::trace!(%error, "an SSH connection did not come about"),
    }
}

/// Reads and says nothing.
async fn hold(mut stream: TcpStream) {
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}

struct Connection {
    shared: Arc<Shared>,
    address: String,
    user: String,
    channels: BTreeMap<ChannelId, Use>,
    /// Channels that this side has closed: russh does not tell when the client closes them too.
    ended: Ended,
}

type Ended = Arc<Mutex<Vec<ChannelId>>>;

/// What a channel is used for.
enum Use {
    /// Nothing yet.
    Idle,
    /// A command that waits for the end of its input.
    Collects { command: String, stdin: Vec<u8> },
    /// A command that runs.
    Runs,
    /// A command that never ends: its session is taken even after the client has closed the channel.
    Hangs,
    /// An exit watch, with the beginning of its next line.
    Watches { watch: u64, partial: String },
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        let own_key = self.shared.public_key.clone();
        let wanted = self.shared.with(|world, _| {
            world
                .vm_at(&self.address)
                .map(|vm| vm.public_key.clone().unwrap_or(own_key))
        });
        let known = wanted.is_some_and(|line| keys::is_same(&line, key.public_key));
        if !known || !matches!(user, "crunch" | "root") {
            return Ok(Auth::reject());
        }
        self.user = user.to_owned();
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        for ended in std::mem::take(&mut *lock(&self.ended)) {
            self.channels.remove(&ended);
        }
        if self.channels.len() >= CHANNELS_MAX {
            tracing::debug!(address = %self.address, "a channel too many is refused");
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
        } else {
            self.channels.insert(channel.id(), Use::Idle);
            reply.accept().await;
        }
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some(place @ Use::Idle) = self.channels.get_mut(&channel) else {
            return session.channel_failure(channel);
        };
        session.channel_success(channel)?;
        let command = String::from_utf8_lossy(command).into_owned();
        match kind_of(&command) {
            Kind::ReadsInput => {
                *place = Use::Collects {
                    command,
                    stdin: Vec::new(),
                }
            }
            Kind::NeedsNothing => self.run(channel, &command, &[], session.handle()),
            Kind::Watch { user } => {
                self.hear(&command, &[]);
                self.watch(channel, user, session.handle());
            }
        }
        Ok(())
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        match self.channels.get_mut(&channel) {
            Some(Use::Collects { stdin, .. }) if stdin.len() + data.len() > STDIN_MAX_BYTES => {
                session.close(channel)?
            }
            Some(Use::Collects { stdin, .. }) => stdin.extend_from_slice(data),
            Some(Use::Watches { watch, partial }) => {
                partial.push_str(&String::from_utf8_lossy(data));
                let mut lines: Vec<String> = partial.split('\n').map(str::to_owned).collect();
                *partial = lines.pop().unwrap_or_default();
                let watch = *watch;
                for line in lines {
                    self.shared
                        .with(|world, now| world.watch_line(watch, &line, now));
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn channel_eof(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        match self.channels.get_mut(&channel) {
            Some(Use::Collects { command, stdin }) => {
                let (command, stdin) = (std::mem::take(command), std::mem::take(stdin));
                self.run(channel, &command, &stdin, session.handle());
            }
            Some(Use::Watches { watch, .. }) => self.shared.close_watch(*watch),
            _ => {}
        }
        Ok(())
    }

    async fn channel_close(
        &mut self,
        channel: ChannelId,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        match self.channels.get(&channel) {
            Some(Use::Hangs) => return Ok(()),
            Some(Use::Watches { watch, .. }) => self.shared.close_watch(*watch),
            _ => {}
        }
        self.channels.remove(&channel);
        tracing::debug!(address = %self.address, channel = %channel, open = self.channels.len(), "a channel is closed");
        Ok(())
    }
}

impl Connection {
    fn hear(&self, command: &str, stdin: &[u8]) {
        self.shared.ear.hear(|| Heard::Command {
            address: self.address.clone(),
            user: self.user.clone(),
            line: command.to_owned(),
            stdin: stdin.to_vec(),
        });
    }

    fn run(&mut self, channel: ChannelId, command: &str, stdin: &[u8], handle: Handle) {
        let (address, user) = (&self.address, &self.user);
        self.hear(command, stdin);
        let execution = self
            .shared
            .with(|world, now| world.exec(address, user, command, stdin, now));
        let when = execution.as_ref().map(|execution| execution.when);
        let shown: String = command.chars().take(160).collect();
        tracing::debug!(%address, %user, channel = %channel, command = %shown, ?when, "a command");
        let ends = execution.filter(|execution| execution.when != When::Never);
        self.channels.insert(
            channel,
            if ends.is_some() {
                Use::Runs
            } else {
                Use::Hangs
            },
        );
        if let Some(execution) = ends {
            tokio::spawn(finish(handle, channel, execution, self.ended.clone()));
        }
    }

    fn watch(&mut self, channel: ChannelId, by_sudo: Option<String>, handle: Handle) {
        let address = &self.address;
        let user = by_sudo.as_ref().unwrap_or(&self.user);
        let Some(watch) = self
            .shared
            .with(|world, now| world.open_watch(address, user, now))
        else {
            return;
        };
        let (lines, mut printed) = mpsc::channel::<String>(WATCH_LINES_MAX);
        self.shared.listen_to_watch(watch, lines);
        self.channels.insert(
            channel,
            Use::Watches {
                watch,
                partial: String::new(),
            },
        );
        let ended = self.ended.clone();
        tokio::spawn(async move {
            while let Some(line) = printed.recv().await {
                if handle.data(channel, format!("{line}\n")).await.is_err() {
                    return;
                }
            }
            end(&handle, channel, &Exit::Status(0), &ended).await;
        });
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        for used in self.channels.values() {
            if let Use::Watches { watch, .. } = used {
                self.shared.close_watch(*watch);
            }
        }
    }
}

/// Sends a command's outcome when its time has come.
async fn finish(handle: Handle, channel: ChannelId, execution: Execution, ended: Ended) {
    if let When::After(ms) | When::Cut(ms) = execution.when {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
    if !execution.stdout.is_empty() && handle.data(channel, execution.stdout).await.is_err() {
        return;
    }
    if !execution.stderr.is_empty()
        && handle
            .extended_data(channel, 1, execution.stderr)
            .await
            .is_err()
    {
        return;
    }
    end(&handle, channel, &execution.exit, &ended).await;
}

/// Each of these fails only where the connection is gone, and then there is nobody to tell.
async fn end(handle: &Handle, channel: ChannelId, exit: &Exit, ended: &Ended) {
    let _ = match exit {
        Exit::Status(status) => {
            handle
                .exit_status_request(channel, u32::try_from(*status).unwrap_or(255))
                .await
        }
        Exit::Signal(name) => {
            let signal = Sig::Custom(name.clone());
            handle
                .exit_signal_request(channel, signal, false, String::new(), String::new())
                .await
        }
    };
    let _ = handle.eof(channel).await;
    lock(ended).push(channel);
    let _ = handle.close(channel).await;
}

fn lock(ended: &Ended) -> MutexGuard<'_, Vec<ChannelId>> {
    ended.lock().unwrap_or_else(PoisonError::into_inner)
}
