//! What spot instances have cost since when: asked of the cloud beside its lists, and told to the runners on them with
//! each list of theirs (facts E17–E19, §2.2.3).

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use dispatch_cloud::Wrapped;
use dispatch_model::{InstanceId, InstanceType};
use dispatch_runner::price_document;

/// The cloud may take so long to tell; nobody waits for it.
const ASK_WITHIN: Duration = Duration::from_secs(120);

/// The newest that is known, as the document that runners read.
#[derive(Debug, Default)]
pub(crate) struct Prices {
    documents: Mutex<BTreeMap<InstanceId, Bytes>>,
    asking: tokio::sync::Mutex<()>,
    failing: AtomicBool,
}

impl Prices {
    /// What the runners on this instance are to be told, if anything is known.
    pub(crate) fn of(&self, instance: &InstanceId) -> Option<Bytes> {
        self.documents().get(instance).cloned()
    }

    /// Brings what is known up to date for these instances, and forgets all others. Does nothing while it is still at
    /// it. If it fails, what was known stays.
    pub(crate) async fn ask(&self, set: &Wrapped, spot: &[(InstanceId, Arc<InstanceType>)]) {
        let Ok(_asking) = self.asking.try_lock() else {
            return;
        };
        if spot.is_empty() {
            self.documents().clear();
            return;
        }
        match set.prices_within(spot, ASK_WITHIN).await {
            Ok(histories) => {
                self.failing.store(false, Ordering::Relaxed);
                let documents = histories
                    .into_iter()
                    .filter_map(|(instance, points)| {
                        Some((instance, Bytes::from(price_document(&points)?)))
                    })
                    .collect();
                *self.documents() = documents;
            }
            // Said once: it is asked again after each list.
            Err(error) if !self.failing.swap(true, Ordering::Relaxed) => tracing::warn!(
                Error = error.message,
                "the cloud does not say what spot instances cost; runners use the configured prices, or the last that \
                 were known"
            ),
            Err(error) => tracing::debug!(
                Error = error.message,
                "the cloud still does not say what spot instances cost"
            ),
        }
    }

    fn documents(&self) -> MutexGuard<'_, BTreeMap<InstanceId, Bytes>> {
        self.documents
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
