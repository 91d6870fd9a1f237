//! Makes one live connection: TCP, banner, handshake, login, verification.

use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use bytes::Bytes;
use dispatch_cloud::exec::ExecError;
use dispatch_model::InstanceSecret;
use ssh2::{HashType, MethodType, Session};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, timeout},
};
use tracing::debug;

use crate::{
    actor,
    address::Endpoint,
    executor::Shared,
    fault::{is_about_the_key, words},
    job::Lane,
    socket::Socket,
    verify::{HostKey, UnverifiedHost},
};

/// AES-GCM first: it may carry 64 times as much as ChaCha20 before the keys are exchanged anew, and a key exchange during
/// a large upload is where libssh2 can get stuck.
const CIPHERS: &str = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,\
                       aes128-ctr,aes192-ctr,aes256-ctr";

/// A key exchange or a login takes a few thousand bytes. A server that sends this many meanwhile is up to no good.
const STEP_BYTES_MAX: u64 = 256 << 10;
/// How often the number of bytes is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Where to go and what to expect there.
pub(crate) struct Destination {
    pub(crate) address: String,
    pub(crate) secret: Option<InstanceSecret>,
    /// The host key that was verified before.
    pub(crate) verified: Option<HostKey>,
    pub(crate) patience: Patience,
}

/// How long to wait before the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// For the TCP connection.
    pub(crate) connect: Duration,
    /// For the server's banner.
    pub(crate) banner: Duration,
}

/// A verified connection.
pub(crate) struct Dialled {
    pub(crate) lane: Lane,
    pub(crate) key: HostKey,
}

/// Why there is none.
pub(crate) struct NotDialled {
    pub(crate) error: ExecError,
    /// More patience might help.
    pub(crate) late: Option<Late>,
}

/// What did not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    Connection,
    Banner,
}

impl From<ExecError> for NotDialled {
    fn from(error: ExecError) -> Self {
        Self { error, late: None }
    }
}

/// Connects, logs in and verifies, each step within its own deadline.
pub(crate) async fn dial(
    shared: &Arc<Shared>,
    destination: Destination,
    closed: watch::Receiver<bool>,
) -> Result<Dialled, NotDialled> {
    let settings = &shared.settings;
    let failed = |reason: String| ExecError::Connect {
        address: destination.address.clone(),
        reason,
    };
    let endpoint = Endpoint::parse(&destination.address, settings.default_port).map_err(&failed)?;
    let address = endpoint.to_string();
    let failed = |reason: String| ExecError::Connect {
        address: address.clone(),
        reason,
    };

    let stream = reach_banner(&endpoint, destination.patience).await?;
    let turn = timeout(settings.gate, shared.gate.acquire())
        .await
        .map_err(|_| {
            failed(format!(
                "no turn for a handshake within {} ms",
                settings.gate.as_millis()
            ))
        })?
        .expect("the gate is never closed");
    let (session, socket) = log_in(shared, stream, &address).await?;
    drop(turn);

    let key =
        host_key(&session).ok_or_else(|| failed("the server showed no host key".to_owned()))?;
    let known = destination.verified.as_ref() == Some(&key);
    let lane = actor::spawn(
        session,
        socket,
        destination.address.clone(),
        settings,
        closed,
    );
    if !known {
        let host = UnverifiedHost {
            address: address.clone(),
            key: key.clone(),
            secret: destination.secret,
            lane: lane.clone(),
            output_bytes_max: settings.output_bytes_max.min(64 << 10),
        };
        let answer = timeout(settings.verify, shared.verifier.verify(&host)).await;
        let reason = match answer {
            Ok(Ok(())) => None,
            Ok(Err(reason)) => Some(reason),
            Err(_) => Some(format!(
                "no answer within {} ms",
                settings.verify.as_millis()
            )),
        };
        if let Some(reason) = reason {
            return Err(ExecError::Unverified { address, reason }.into());
        }
    }
    debug!(%address, host_key = ?key, known, "connected");
    Ok(Dialled { lane, key })
}

/// Connects and waits until the server begins to speak. Takes none of the turns at the handshake.
async fn reach_banner(endpoint: &Endpoint, patience: Patience) -> Result<TcpStream, NotDialled> {
    let failed = |reason: String| ExecError::Connect {
        address: endpoint.to_string(),
        reason,
    };
    let too_late = |late: Late, what: &str, limit: Duration| NotDialled {
        error: failed(format!("{what} within {} ms", limit.as_millis())),
        late: Some(late),
    };
    let stream = timeout(
        patience.connect,
        TcpStream::connect((endpoint.host.as_str(), endpoint.port)),
    )
    .await
    .map_err(|_| too_late(Late::Connection, "no TCP connection", patience.connect))?
    .map_err(|error| failed(error.to_string()))?;
    let n = timeout(patience.banner, stream.peek(&mut [0]))
        .await
        .map_err(|_| too_late(Late::Banner, "the server says nothing", patience.banner))?
        .map_err(|error| failed(error.to_string()))?;
    if n == 0 {
        return Err(failed("the server closed the connection at once".to_owned()).into());
    }
    Ok(stream)
}

/// Key exchange and login, each within its own deadline, on a thread that may block: as long as bytes come, libssh2 does
/// not let go, and a server that sends without end would hold a thread that others need.
async fn log_in(
    shared: &Arc<Shared>,
    stream: TcpStream,
    address: &str,
) -> Result<(Session, Socket), ExecError> {
    let settings = &shared.settings;
    let failed = |reason: String| ExecError::Connect {
        address: address.to_owned(),
        reason,
    };
    let (socket, for_session) = Socket::new(stream).map_err(|error| failed(error.to_string()))?;
    let mut session = Session::new().map_err(|error| failed(words(&error)))?;
    session.set_tcp_stream(for_session);
    for direction in [MethodType::CryptCs, MethodType::CryptSc] {
        session
            .method_pref(direction, CIPHERS)
            .map_err(|error| failed(words(&error)))?;
    }

    let (session, handshake) = blocking(&socket, settings.handshake, session, |session| {
        session.handshake()
    })
    .await
    .map_err(|fault| failed(fault.in_words("no handshake", settings.handshake)))?;
    handshake.map_err(|error| failed(words(&error)))?;

    let with = Arc::clone(shared);
    let (session, login) = blocking(&socket, settings.auth, session, move |session| {
        session.userauth_pubkey_memory(&with.settings.user, None, with.key.reveal(), None)
    })
    .await
    .map_err(|fault| failed(fault.in_words("no answer to the login", settings.auth)))?;
    login.map_err(|error| {
        if is_about_the_key(&error) {
            ExecError::Refused {
                address: address.to_owned(),
                reason: format!(
                    "{} (user {}, {} key)",
                    words(&error),
                    settings.user,
                    shared.key.algorithm()
                ),
            }
        } else {
            failed(words(&error))
        }
    })?;
    session.set_blocking(false);
    Ok((session, socket))
}

/// Why a step of libssh2 was broken off.
enum StepFault {
    TooLate,
    TooMuch,
    Panicked,
}

impl StepFault {
    fn in_words(&self, what: &str, limit: Duration) -> String {
        match self {
            StepFault::TooLate => format!("{what} within {} ms", limit.as_millis()),
            StepFault::TooMuch => {
                format!("{what}, but more than {STEP_BYTES_MAX} bytes of something else")
            }
            StepFault::Panicked => format!("{what}: the thread for it has ended"),
        }
    }
}

/// Does a step of libssh2 on a thread that may block. When it takes too long, or the server sends too much, the
/// connection is shut, which ends the step.
async fn blocking(
    socket: &Socket,
    limit: Duration,
    mut session: Session,
    step: impl FnOnce(&mut Session) -> Result<(), ssh2::Error> + Send + 'static,
) -> Result<(Session, Result<(), ssh2::Error>), StepFault> {
    let guard = ShutOnDrop(socket);
    let before = socket.received().unwrap_or_default();
    let mut work = tokio::task::spawn_blocking(move || {
        session.set_blocking(true);
        let result = step(&mut session);
        (session, result)
    });
    let until = Instant::now() + limit;
    loop {
        if let Ok(done) = timeout(LOOK_EVERY, &mut work).await {
            let done = done.map_err(|_| StepFault::Panicked)?;
            std::mem::forget(guard);
            return Ok(done);
        }
        let received = socket.received().unwrap_or_default();
        if received.saturating_sub(before) > STEP_BYTES_MAX {
            return Err(StepFault::TooMuch);
        }
        if Instant::now() >= until {
            return Err(StepFault::TooLate);
        }
    }
}

/// Ends a connection whose step is given up, by whatever way.
struct ShutOnDrop<'a>(&'a Socket);

impl Drop for ShutOnDrop<'_> {
    fn drop(&mut self) {
        self.0.shut();
    }
}

fn host_key(session: &Session) -> Option<HostKey> {
    let (blob, _) = session.host_key()?;
    let hash = session.host_key_hash(HashType::Sha256)?;
    let fingerprint = format!("SHA256:{}", BASE64_STANDARD_NO_PAD.encode(hash));
    Some(HostKey {
        blob: Bytes::copy_from_slice(blob),
        fingerprint,
    })
}
