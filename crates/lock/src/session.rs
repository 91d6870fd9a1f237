//! One session of the database, and what is asked of it. Every question is one message, so that it works behind
//! poolers too; but a pooler that gives the backend to somebody else is noticed, since the lock is then not ours.

use std::time::Duration;

use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use crate::{
    connect::words,
    holder::{self, Holder},
};

/// The server notices a line that was cut without a word within about ten seconds, and frees the lock. Only those
/// settings are set that this version of the server has.
const PREPARE: &str = "\
SELECT set_config(s.name, v.value, false) FROM pg_settings s JOIN (VALUES \
('tcp_keepalives_idle', '3'), ('tcp_keepalives_interval', '2'), ('tcp_keepalives_count', '3'), \
('tcp_user_timeout', '9000'), ('statement_timeout', '0'), ('idle_session_timeout', '0') \
) v (name, value) ON v.name = s.name";
const IS_REPLICA: &str = "SELECT pg_is_in_recovery()";
const TAKE: &str = "SELECT pg_try_advisory_lock(10005)";
const RELEASE: &str = "SELECT pg_advisory_unlock(10005)";
/// Whether this very backend holds it.
const STILL_HELD: &str = "\
SELECT count(*) > 0 AND NOT pg_is_in_recovery() FROM pg_locks WHERE locktype = 'advisory' AND classid = 0 \
AND objid = 10005 AND objsubid = 1 AND granted AND pid = pg_backend_pid()";

/// A session. Dropping it closes the line at once.
pub(crate) struct Session {
    client: Client,
    line: JoinHandle<String>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.line.abort();
    }
}

impl Session {
    pub(crate) fn new(client: Client, line: JoinHandle<String>) -> Session {
        Session { client, line }
    }

    pub(crate) async fn prepare(&self) -> Result<(), String> {
        self.client
            .simple_query(PREPARE)
            .await
            .map_err(|e| words(&e))?;
        if self.yes(IS_REPLICA).await? {
            return Err(
                "it is a replica, whose locks mean nothing; name the primary server".to_owned(),
            );
        }
        Ok(())
    }

    /// Tries to take the lock: whether we have it.
    pub(crate) async fn take(&self) -> Result<bool, String> {
        self.yes(TAKE).await
    }

    pub(crate) async fn still_held(&self) -> Result<bool, String> {
        self.yes(STILL_HELD).await
    }

    pub(crate) async fn release(&self) -> Result<bool, String> {
        self.yes(RELEASE).await
    }

    /// Who holds the lock; `None` if nobody does at this moment.
    pub(crate) async fn holder(&self) -> Result<Option<Holder>, String> {
        let row = self.row(holder::QUERY).await?;
        Ok(row
            .map(|row| Holder::from_columns(|n| row.try_get(n).ok().flatten().map(str::to_owned))))
    }

    /// Waits until the line has ended: why. Cancel-safe.
    pub(crate) async fn ended(&mut self) -> String {
        match (&mut self.line).await {
            Ok(why) => why,
            Err(error) => format!("its task died: {error}"),
        }
    }

    /// Why the line ended, if that is known by now; otherwise this.
    pub(crate) async fn end_or(&mut self, why: String) -> String {
        const A_MOMENT: Duration = Duration::from_millis(50);
        timeout(A_MOMENT, self.ended()).await.unwrap_or(why)
    }

    async fn yes(&self, question: &str) -> Result<bool, String> {
        let row = self.row(question).await?;
        let answer = row.as_ref().and_then(|row| row.try_get(0).ok().flatten());
        Ok(answer == Some("t"))
    }

    async fn row(&self, question: &str) -> Result<Option<SimpleQueryRow>, String> {
        let answer = self.client.simple_query(question).await;
        let messages = answer.map_err(|error| words(&error))?;
        Ok(messages.into_iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        }))
    }
}
