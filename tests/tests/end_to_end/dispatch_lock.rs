//! The lock by itself, against a real PostgreSQL.

use std::{collections::BTreeMap, fs, time::Duration};

use dispatch_lab_net::free_port;
use dispatch_lock::{Keeper, Settings, Standing, Term, Timing};
use dispatch_tests::postgres::{Ending, Postgres};

use crate::support::eventually;

/// As usual, but one acts at once.
const QUICK: Timing = Timing {
    quiet: Duration::ZERO,
    survey: Duration::ZERO,
    kill: None,
    ..Timing::USUAL
};

async fn postgres() -> Postgres {
    let port = free_port().expect("a port");
    let mut postgres = Postgres::prepare(port, None).await.expect("a cluster");
    postgres.start().await.expect("it comes up");
    postgres
}

fn keeper(postgres: &Postgres, name: &str, more: &[(&str, &str)]) -> Keeper {
    let port = postgres.port().to_string();
    let usual = [
        ("host", "127.0.0.1"),
        ("port", &port),
        ("user", "postgres"),
        ("dbname", "postgres"),
        ("sslmode", "disable"),
    ];
    let keys: BTreeMap<String, String> = usual
        .iter()
        .chain(more)
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let settings = Settings::from_connection(&keys, name).expect("good settings");
    Keeper::start(settings.expect("some settings"), QUICK).expect("a thread")
}

async fn holds_it(keeper: &Keeper) -> Term {
    let standing = keeper.standing();
    eventually("it holds the lock", async || match &*standing.borrow() {
        Standing::Held(term) if term.allows_acting() => Some(term.clone()),
        _ => None,
    })
    .await
}

/// Waits until it says this.
async fn says(keeper: &Keeper, words: &str) {
    let standing = keeper.standing();
    eventually(&format!("it says {words:?}"), async || {
        let said = standing.borrow().to_string();
        said.contains(words).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_holds_the_lock_and_the_other_says_whom_it_waits_for_without_piling_up_sessions() {
    let postgres = postgres().await;
    let first = keeper(&postgres, "the first", &[]);
    let term = holds_it(&first).await;
    // Over the socket: no address, no encryption.
    let socket = postgres.socket().display().to_string();
    let second = keeper(&postgres, "the second", &[("host", &socket)]);
    says(&second, "\"the first\" at 127.0.0.1:").await;

    // Facts M7: its tries are closed again.
    let client = postgres.client().await.expect("a session");
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'the second'";
    for _ in 0..20 {
        let n = client.one(count).await.expect("a count");
        assert!(n == "0" || n == "1", "{n} sessions");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    // What it asks for in vain it does not take from whoever has it.
    assert!(term.allows_acting());
    first.release().await;
    assert!(!term.allows_acting());
    holds_it(&second).await;
    assert_eq!(postgres.holder().await.expect("a holder"), "the second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_lock_ends_the_term_at_once_and_is_taken_again_when_the_database_is_back() {
    let mut postgres = postgres().await;
    let keeper = keeper(&postgres, "us", &[]);
    let term = holds_it(&keeper).await;
    assert!(postgres.kill_the_holder().await.expect("asked"));
    let why = tokio::time::timeout(Duration::from_secs(2), term.over());
    let why = why
        .await
        .expect("noticed long before any answer is overdue");
    assert!(why.contains("57P01"), "{why}");
    assert!(!term.allows_acting());

    let second = holds_it(&keeper).await;
    assert_eq!(second.number(), 2);
    postgres.stop(Ending::Fast).await.expect("stopped");
    second.over().await;
    says(&keeper, "waits for the database").await;
    postgres.start().await.expect("started");
    assert_eq!(holds_it(&keeper).await.number(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_hosts_the_first_that_lets_us_in_is_used_and_what_the_others_say_is_told() {
    let postgres = postgres().await;
    let closed = free_port().expect("a port").to_string();
    let ports = format!("{closed},{}", postgres.port());
    let two = [("host", "127.0.0.1,127.0.0.1"), ("port", &*ports)];
    let first = keeper(&postgres, "us", &two);
    holds_it(&first).await;
    first.release().await;

    let nobody = keeper(&postgres, "us", &[&two[..], &[("dbname", "nope")]].concat());
    says(&nobody, &format!("127.0.0.1:{closed}: ")).await;
    says(&nobody, "database \"nope\" does not exist (3D000)").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encryption_is_used_as_sslmode_says() {
    let port = free_port().expect("a port");
    let mut postgres = Postgres::prepare(port, None).await.expect("a cluster");
    let made = rcgen::generate_simple_self_signed(vec!["db.example".to_owned()]).expect("made");
    let (certificate, key) = (
        postgres.data().join("server.crt"),
        postgres.data().join("server.key"),
    );
    fs::write(&certificate, made.cert.pem()).expect("written");
    fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let root = tempfile::NamedTempFile::new().expect("a file");
    fs::write(root.path(), made.cert.pem()).expect("written");
    let root = root.path().display().to_string();
    for file in [&certificate, &key] {
        postgres.own(file).await.expect("owned");
    }

    // Without encryption there, none is talked into.
    postgres.start().await.expect("it comes up");
    says(
        &keeper(&postgres, "us", &[("sslmode", "require")]),
        "does not support TLS",
    )
    .await;
    postgres.stop(Ending::Fast).await.expect("stopped");
    postgres.set("ssl=on");
    postgres.start().await.expect("it comes up");

    let encrypted = "SELECT coalesce(bool_or(ssl), false) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'us'";
    for (keys, expected) in [
        (vec![("sslmode", "disable")], Ok("f")),
        (vec![("sslmode", "require")], Ok("t")),
        (
            vec![("sslmode", "verify-ca"), ("sslrootcert", &*root)],
            Ok("t"),
        ),
        (
            vec![
                ("sslmode", "verify-full"),
                ("sslrootcert", &*root),
                ("host", "db.example"),
                ("hostaddr", "127.0.0.1"),
            ],
            Ok("t"),
        ),
        (
            vec![("sslmode", "verify-full"), ("sslrootcert", &*root)],
            Err("not valid for name"),
        ),
        (
            vec![
                ("sslmode", "verify-ca"),
                ("sslrootcert", "/usr/share/no-such-file"),
            ],
            Err("sslrootcert: /usr/share/no-such-file cannot be used"),
        ),
    ] {
        let keeper = keeper(&postgres, "us", &keys);
        match expected {
            Ok(expected) => {
                holds_it(&keeper).await;
                let client = postgres.client().await.expect("a session");
                let found = client.one(encrypted).await.expect("an answer");
                assert_eq!(found, expected, "{keys:?}");
                keeper.release().await;
            }
            Err(words) => says(&keeper, words).await,
        }
    }
}
