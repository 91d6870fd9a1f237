//! Logs in to the database: one place after the other, each of its addresses in bounded time.

use std::{collections::BTreeSet, error::Error as _, net::IpAddr, time::Duration};

use tokio::{net::lookup_host, time::timeout};
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

/// A resolver asks its second server when the first has been silent for five seconds.
const LOOK_UP_WITHIN: Duration = Duration::from_secs(6);

/// More addresses of one name than this would not be got round in time.
const ADDRESSES_MAX: usize = 8;

/// The first place that lets us in and is no replica. An error says of each place what is wrong there.
pub(crate) async fn connect(settings: &Settings) -> Result<Session, String> {
    let mut troubles = Vec::new();
    let alone = settings.places.len() == 1;
    for place in &settings.places {
        let tried = match addresses(place).await {
            Ok(addresses) => try_each(settings, place, &addresses, alone).await,
            Err(trouble) => Err(format!("{place}: {trouble}")),
        };
        match tried {
            Ok(session) => return Ok(session),
            Err(trouble) => troubles.push(trouble),
        }
    }
    Err(troubles.join("; "))
}

/// Where a place is to be found. None: in a directory.
async fn addresses(place: &Place) -> Result<Vec<IpAddr>, String> {
    if place.is_directory() {
        return Ok(vec![]);
    }
    if let Some(address) = place.address.or_else(|| place.host.parse().ok()) {
        return Ok(vec![address]);
    }
    let found = timeout(
        LOOK_UP_WITHIN,
        lookup_host((place.host.as_str(), place.port)),
    )
    .await;
    let found = found
        .map_err(|_| {
            format!(
                "its name was not found within {} s",
                LOOK_UP_WITHIN.as_secs()
            )
        })?
        .map_err(|error| format!("its name is not found: {error}"))?;
    let mut seen = BTreeSet::new();
    let addresses: Vec<IpAddr> = found
        .map(|address| address.ip())
        .filter(|address| seen.insert(*address))
        .take(ADDRESSES_MAX)
        .collect();
    if addresses.is_empty() {
        return Err("its name has no address".to_owned());
    }
    Ok(addresses)
}

/// One address after the other, each with time of its own: behind one that is silent there may be one that answers. Only
/// where there is nothing else to try, as much time as the configuration gives.
async fn try_each(
    settings: &Settings,
    place: &Place,
    addresses: &[IpAddr],
    alone: bool,
) -> Result<Session, String> {
    let each: Vec<Option<IpAddr>> = match addresses {
        [] => vec![None],
        some => some.iter().copied().map(Some).collect(),
    };
    let alone = alone && each.len() == 1;
    let within = settings.patience(alone);
    let mut troubles = Vec::new();
    for address in &each {
        let trouble = match timeout(within, connect_to(settings, place, *address, within)).await {
            Ok(Ok(session)) => return Ok(session),
            Ok(Err(trouble)) => trouble,
            Err(_) => no_answer(within, alone),
        };
        troubles.push(match address {
            Some(address) if each.len() > 1 => format!("{place} ({address}): {trouble}"),
            _ => format!("{place}: {trouble}"),
        });
    }
    Err(troubles.join("; "))
}

fn no_answer(within: Duration, alone: bool) -> String {
    let hint = if alone {
        " (connect_timeout may give it more)"
    } else {
        ""
    };
    format!("no answer within {} s{hint}", within.as_secs_f64())
}

async fn connect_to(
    settings: &Settings,
    place: &Place,
    address: Option<IpAddr>,
    within: Duration,
) -> Result<Session, String> {
    let mut config = Config::new();
    let encryption = if place.is_directory() {
        Encryption::Disable
    } else {
        settings.encryption
    };
    config
        .host(&place.host)
        .port(place.port)
        .application_name(&settings.application)
        .connect_timeout(within)
        .keepalives(true)
        .keepalives_idle(std::time::Duration::from_secs(SILENCE_SECS))
        .tcp_user_timeout(std::time::Duration::from_secs(SILENCE_SECS))
        .ssl_mode(match encryption {
            Encryption::Disable => SslMode::Disable,
            Encryption::Prefer => SslMode::Prefer,
            Encryption::Require | Encryption::VerifyCa | Encryption::VerifyFull => SslMode::Require,
        });
    if let Some(address) = address {
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
        let maker = Maker::new(settings).map_err(|error| error.to_string())?;
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    const SILENT: Ipv4Addr = Ipv4Addr::new(127, 0, 71, 1);
    const SPEAKS: Ipv4Addr = Ipv4Addr::new(127, 0, 71, 2);

    fn settings(keys: &[(&str, &str)]) -> Settings {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let settings = Settings::from_connection(&keys.iter().map(own).collect(), "us");
        settings.expect("good keys").expect("some keys")
    }

    #[tokio::test]
    async fn behind_an_address_that_is_silent_the_next_one_of_the_name_is_tried() {
        let speaking = TcpListener::bind((SPEAKS, 0)).await.expect("a port");
        let port = speaking.local_addr().expect("an address").port();
        // Whoever connects is let in by the kernel, and never hears anything.
        let silent = TcpListener::bind((SILENT, port)).await.expect("a port");
        let server = tokio::spawn(async move {
            let (mut line, _) = speaking.accept().await.expect("a client");
            let _ = line.read(&mut [0; 1024]).await.expect("its first words");
            let fields = b"SFATAL\0C28000\0Mno such user\0\0";
            let length = u32::try_from(fields.len() + 4).expect("short");
            let answer = [b"E".as_slice(), &length.to_be_bytes(), fields].concat();
            line.write_all(&answer).await.expect("sent");
        });
        let port = port.to_string();
        let mut settings =
            settings(&[("host", "db.test"), ("port", &port), ("sslmode", "disable")]);
        settings.among_others = Duration::from_millis(200);
        let addresses = [SILENT, SPEAKS].map(IpAddr::from);
        let place = settings.places[0].clone();
        let Err(trouble) = try_each(&settings, &place, &addresses, true).await else {
            panic!("nobody lets us in");
        };
        server.await.expect("the second was asked");
        for part in [
            "db.test:",
            "(127.0.71.1): no answer within 0.2 s;",
            "(127.0.71.2): FATAL: no such user (28000)",
        ] {
            assert!(trouble.contains(part), "{part} is missing: {trouble}");
        }
        drop(silent);
    }

    #[tokio::test]
    async fn a_name_is_looked_up_and_an_address_is_not() {
        let place = |host: &str| settings(&[("host", host)]).places[0].clone();
        let local = addresses(&place("localhost")).await.expect("a name");
        assert!(local.iter().all(IpAddr::is_loopback) && !local.is_empty());
        let there = addresses(&place("10.0.0.7")).await;
        assert_eq!(there, Ok(vec![IpAddr::from([10, 0, 0, 7])]));
        assert_eq!(addresses(&place("/run/pg")).await, Ok(vec![]));
    }
}
