//! What all instances share.

use std::{fmt, sync::Arc};

use dispatch_cloud::exec::{Connection, Executor, Target};
use tokio::sync::Semaphore;

use crate::{
    connection::SshConnection,
    key::PrivateKey,
    settings::Settings,
    verify::{VerifyHost, by_secret_file},
};

/// Opens SSH connections to instances. Must be used inside a tokio runtime with I/O and time enabled.
pub struct SshExecutor {
    shared: Arc<Shared>,
}

/// Settings, key and verification, and the turns at the handshake.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) key: PrivateKey,
    pub(crate) verifier: Arc<dyn VerifyHost>,
    pub(crate) gate: Semaphore,
}

impl SshExecutor {
    /// Verifies hosts by the secret that they can read (facts §2.2, "read instance secret").
    pub fn new(settings: Settings, key: PrivateKey) -> Self {
        let verifier = by_secret_file(&settings);
        Self::with_verifier(settings, key, verifier)
    }

    /// Verifies hosts in another way, such as a driver may know.
    pub fn with_verifier(
        settings: Settings,
        key: PrivateKey,
        verifier: Arc<dyn VerifyHost>,
    ) -> Self {
        let gate = Semaphore::new(settings.handshakes_max.max(1));
        Self {
            shared: Arc::new(Shared {
                settings,
                key,
                verifier,
                gate,
            }),
        }
    }
}

impl Executor for SshExecutor {
    fn connection(&self, target: Target) -> Arc<dyn Connection> {
        Arc::new(SshConnection::new(Arc::clone(&self.shared), target))
    }
}

impl fmt::Debug for SshExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SshExecutor")
            .field("settings", &self.shared.settings)
            .field("key", &self.shared.key)
            .finish_non_exhaustive()
    }
}
