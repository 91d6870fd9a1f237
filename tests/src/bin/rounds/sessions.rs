//! Which sessions have held the dispatchers' lock, and when each began: by what the database says.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use dispatch_tests::postgres::Door;
use tokio::time::{Instant, sleep, timeout};

use crate::{verdict::Session, wires::Wires};

/// Far shorter than the time for which a new holder only surveys, so that none is missed that acts.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// All that were seen.
#[derive(Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<Vec<(String, Session)>>>);

impl Sessions {
    /// Looks on, for ever.
    pub(crate) async fn watch(self, door: Door, n_daemons: usize) {
        loop {
            // The database may be away.
            let seen = timeout(Duration::from_secs(2), look(&door, n_daemons)).await;
            if let Ok(Ok((pid, session))) = seen {
                let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                // Process ids come again when the server is started again.
                let known = all.iter().any(|(known, before)| {
                    let apart = session.began.max(before.began) - session.began.min(before.began);
                    *known == pid && apart < Duration::from_secs(2)
                });
                if !known {
                    all.push((pid, session));
                }
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// In the order in which they were seen.
    pub(crate) fn all(&self) -> Vec<Session> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(_, session)| *session).collect()
    }
}

async fn look(door: &Door, n_daemons: usize) -> anyhow::Result<(String, Session)> {
    let client = door.client().await?;
    let asked = Instant::now();
    let answer = client
        .one(
            "SELECT concat_ws(' ', pid, host(client_addr), extract(epoch from clock_timestamp() - backend_start)) \
             FROM pg_locks JOIN pg_stat_activity USING (pid) \
             WHERE locktype = 'advisory' AND objid = 10005 AND granted",
        )
        .await?;
    let mut words = answer.split(' ');
    let (Some(pid), Some(address), Some(age)) = (words.next(), words.next(), words.next()) else {
        anyhow::bail!("the database says {answer:?}");
    };
    let by = (0..n_daemons).find(|by| Wires::daemon(*by) == address);
    let age = Duration::from_secs_f64(age.parse()?);
    let session = Session {
        by: by.context("it is nobody's session")?,
        // At the earliest.
        began: asked
            .checked_sub(age)
            .context("it is older than this machine")?,
    };
    Ok((pid.to_owned(), session))
}
