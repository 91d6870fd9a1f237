//! Logs in to the database: one place after the other, each in bounded time.

use std::error::Error as _;

use tokio::time::timeout;
use tokio_postgres::{
    Client, Config, Connection, NoTls, Socket,
    config::SslMode,
    tls::{NoTlsStream, TlsStream},
};

use crate::{
    session::Session,
    settings::{Encryption, Place, Settings},
    tls::{Encrypted, Maker},
};

/// What tells the line's end of a host that fell silent, and both ends that there is nobody any more.
const SILENCE_SECS: u64 = 5;

/// The first place that lets us in and is no replica. An error says of each place what is wrong there.
pub(crate) async fn connect(settings: &Settings) -> Result<Session, String> {
    let mut troubles = Vec::new();
    for place in &settings.places {
        let within = settings.connect_within;
        match timeout(within, connect_to(settings, place)).await {
            Ok(Ok(session)) => return Ok(session),
            Ok(Err(trouble)) => troubles.push(format!("{place}: {trouble}")),
            Err(_) => troubles.push(format!("{place}: no answer within {} s", within.as_secs())),
        }
    }
    Err(troubles.join("; "))
}

async fn connect_to(settings: &Settings, place: &Place) -> Result<Session, String> {
    let mut config = Config::new();
    let directory = place.host.starts_with('/');
    let encryption = if directory {
        Encryption::Disable
    } else {
        settings.encryption
    };
    config
        .host(&place.host)
        .port(place.port)
        .application_name(&settings.application)
        .connect_timeout(settings.connect_within)
        .keepalives(true)
        .keepalives_idle(std::time::Duration::from_secs(SILENCE_SECS))
        .tcp_user_timeout(std::time::Duration::from_secs(SILENCE_SECS))
        .ssl_mode(match encryption {
            Encryption::Disable => SslMode::Disable,
            Encryption::Prefer => SslMode::Prefer,
            Encryption::Require | Encryption::VerifyCa | Encryption::VerifyFull => SslMode::Require,
        });
    if let Some(address) = place.address {
        config.hostaddr(address);
    }
    if let Some(user) = &settings.user {
        config.user(user);
    }
    if let Some(password) = &settings.password {
        config.password(password);
    }
    if let Some(database) = &settings.database {
        config.dbname(database);
    }
    if !settings.options.is_empty() {
        config.options(&settings.options);
    }
    let session = if encryption == Encryption::Disable {
        let (client, connection) = config.connect(NoTls).await.map_err(|e| words(&e))?;
        started::<NoTlsStream>(client, connection)
    } else {
        let maker = Maker::new(settings)?;
        let (client, connection) = config.connect(maker).await.map_err(|e| words(&e))?;
        started::<Encrypted>(client, connection)
    };
    session.prepare().await?;
    Ok(session)
}

/// The task that reads and writes; its end is the session's.
fn started<T>(client: Client, connection: Connection<Socket, T>) -> Session
where
    T: TlsStream + Unpin + Send + 'static,
{
    let task = tokio::spawn(async move {
        match connection.await {
            Ok(()) => "the connection was closed".to_owned(),
            Err(error) => words(&error),
        }
    });
    Session::new(client, task)
}

/// The database's own words, or the chain of causes.
pub(crate) fn words(error: &tokio_postgres::Error) -> String {
    if let Some(database) = error.as_db_error() {
        return format!(
            "{}: {} ({})",
            database.severity(),
            database.message(),
            database.code().code()
        );
    }
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words = format!("{words}: {cause_words}");
        }
        source = cause.source();
    }
    words
}
