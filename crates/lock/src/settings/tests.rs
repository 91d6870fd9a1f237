//! What keys come to, what is refused, and what is remarked on.

use super::*;

fn read(keys: &[(&str, &str)]) -> Result<Option<Settings>, SettingsError> {
    let keys = keys
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    Settings::from_connection(&keys, "us")
}

fn good(keys: &[(&str, &str)]) -> Settings {
    let settings = read(keys).unwrap_or_else(|error| panic!("{keys:?}: {error}"));
    settings.expect("there are keys")
}

#[test]
fn without_keys_no_lock_is_to_be_taken() {
    assert!(read(&[]).expect("nothing is fine").is_none());
}

#[test]
fn hosts_addresses_and_ports_are_lists_of_which_the_last_may_be_one() {
    for (keys, expected) in [
        (&[("dbname", "a")][..], "\"a\" at localhost:5432"),
        (&[("host", "db"), ("port", "6543")], "db:6543"),
        (
            &[("host", "db1, db2"), ("port", "6543")],
            "db1:6543, db2:6543",
        ),
        (&[("host", "db1,db2"), ("port", "1,2")], "db1:1, db2:2"),
        (&[("host", "/run/pg,db")], "/run/pg:5432, db:5432"),
        (&[("host", "fd00::7")], "[fd00::7]:5432"),
        (&[("hostaddr", "10.0.0.7")], "10.0.0.7:5432"),
    ] {
        assert_eq!(good(keys).place(), expected, "{keys:?}");
    }
    let named = good(&[("host", "db"), ("hostaddr", "10.0.0.7")]);
    assert_eq!(named.places[0].host, "db");
    assert_eq!(named.places[0].address, "10.0.0.7".parse().ok());
}

#[test]
fn without_a_mode_the_line_is_encrypted_as_the_go_dispatcher_has_it() {
    for (keys, expected) in [
        (&[("host", "db")][..], Encryption::Require),
        (&[("host", "/run/pg")], Encryption::Disable),
        (
            &[("host", "/run/pg"), ("sslmode", "require")],
            Encryption::Disable,
        ),
        (&[("sslmode", "disable")], Encryption::Disable),
        (&[("sslmode", "prefer")], Encryption::Prefer),
        (
            &[("sslmode", "require"), ("sslrootcert", "/ca")],
            Encryption::VerifyCa,
        ),
        (&[("sslmode", "verify-full")], Encryption::VerifyFull),
    ] {
        assert_eq!(good(keys).encryption, expected, "{keys:?}");
    }
}

#[test]
fn what_cannot_be_used_is_refused_with_key_and_remedy() {
    for (keys, expected) in [
        (
            &[("port", "0")][..],
            "PostgreSQL.Connection.port: \"0\" is no port; write a number from 1 to 65535, usually 5432",
        ),
        (
            &[("host", "a,b"), ("port", "1,2,3")],
            "PostgreSQL.Connection.port: has 3 entries, and there are 2 hosts; write one port, or one for each host",
        ),
        (
            &[("hostaddr", "db")],
            "PostgreSQL.Connection.hostaddr: \"db\" is no IP address; write one as in 10.0.0.7, or use host",
        ),
        (
            &[("sslmode", "yes")],
            "PostgreSQL.Connection.sslmode: \"yes\" is none of PostgreSQL's modes; write disable, require, verify-ca or verify-full",
        ),
        (
            &[("sslcert", "/c")],
            "PostgreSQL.Connection.sslkey: is missing, and sslcert is set; write both or neither",
        ),
        (
            &[("connect_timeout", "soon")],
            "PostgreSQL.Connection.connect_timeout: \"soon\" is no number of seconds; write 10, for instance",
        ),
    ] {
        let refused = read(keys).expect_err("it cannot be used").to_string();
        assert_eq!(refused, expected, "{keys:?}");
    }
}

#[test]
fn a_host_that_can_be_none_is_refused_without_being_shown() {
    for host in [
        "127.0.0.1:5432",
        "db,other:5432",
        "[::1]",
        "[::1]:5432",
        "postgres://me:hunter2@db/x",
        "me:hunter2@db",
        "run/pg",
        "db other",
    ] {
        let refused = read(&[("host", host)]).expect_err(host);
        assert_eq!(refused.key, "host", "{host}");
        let words = refused.to_string();
        assert!(
            !words.contains("hunter2") && !words.contains("127"),
            "{words}"
        );
        assert!(
            words.contains("; write a host's name or address"),
            "{words}"
        );
    }
    for host in [
        "db",
        "db.example.",
        "10.0.0.7",
        "::1",
        "fd00::7,db",
        "/run/a:b",
    ] {
        assert!(read(&[("host", host)]).is_ok(), "{host}");
    }
}

#[test]
fn an_only_address_gets_as_much_time_as_the_configuration_gives() {
    let second = Duration::from_secs(1);
    for (text, alone, among_others) in [
        (None, 2 * second, 2 * second),
        (Some("1"), second, second),
        (Some("10"), 10 * second, 2 * second),
        (Some("0"), 60 * second, 2 * second),
        (Some("600"), 60 * second, 2 * second),
    ] {
        let mut keys = vec![("host", "db")];
        keys.extend(text.map(|text| ("connect_timeout", text)));
        let settings = good(&keys);
        let found = (settings.patience(true), settings.patience(false));
        assert_eq!(found, (alone, among_others), "{text:?}");
    }
}

#[test]
fn keys_that_are_not_honoured_or_mistaken_are_remarked_on() {
    let check = |key: &str, expected: Option<&str>| {
        let settings = good(&[("dbname", "x"), (key, "hunter2")]);
        let remarks: Vec<String> = settings.remarks().iter().map(ToString::to_string).collect();
        assert!(!remarks.concat().contains("hunter2"), "{remarks:?}");
        match expected {
            None => assert!(remarks.is_empty(), "{key}: {remarks:?}"),
            Some(words) => assert!(
                remarks.len() == 1 && remarks[0].contains(words),
                "{key}: {remarks:?}"
            ),
        }
    };
    check(
        "service",
        Some("it is ignored; write here what the service file says"),
    );
    check(
        "passfile",
        Some("it is ignored; write the password under password"),
    );
    check("sslcrl", Some("it is ignored; remove it"));
    check("hots", Some("a setting of the session; did you mean host?"));
    check("pasword", Some("did you mean password?"));
    check(
        "wholly_unknown",
        Some("a setting of the session; remove it"),
    );
    check("search_path", None);
    check("client_encoding", None);
    check("user", None);
}

#[test]
fn files_that_cannot_be_used_are_found_before_anybody_connects() {
    let no_file = "/no/such/file.pem";
    for (keys, key) in [
        (
            &[("host", "db"), ("sslrootcert", no_file)][..],
            "sslrootcert",
        ),
        (
            &[("host", "db"), ("sslcert", no_file), ("sslkey", no_file)],
            "sslcert",
        ),
    ] {
        let refused = good(keys).check_files().expect_err("there is no such file");
        assert_eq!(refused.key, key);
        let words = refused.to_string();
        assert!(
            words.contains("/no/such/file.pem cannot be used: "),
            "{words}"
        );
    }
    assert_eq!(good(&[("host", "db")]).check_files(), Ok(()));
    // Nothing is encrypted there.
    let local = good(&[("host", "/run/pg"), ("sslrootcert", no_file)]);
    assert_eq!(local.check_files(), Ok(()));
    let system = good(&[("host", "db"), ("sslrootcert", "system")]);
    assert_eq!(system.encryption, Encryption::VerifyFull);
    assert_eq!(system.root_certificate, None);
}

#[test]
fn what_we_do_not_know_is_a_setting_of_the_session() {
    let settings = good(&[
        ("host", "db"),
        ("client_encoding", "UTF8"),
        ("search_path", "a, b"),
        ("options", "-c x=y"),
    ]);
    assert_eq!(settings.options, r"-c x=y -c search_path=a,\ b");
}

#[test]
fn no_secret_is_shown() {
    let settings = good(&[("host", "db"), ("user", "me"), ("password", "hunter2")]);
    assert!(!format!("{settings:?} {}", settings.place()).contains("hunter2"));
}
