//! Who may tell whom: keys, and the verification of hosts.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use dispatch_cloud::exec::{Command, Connection, ExecError, Executor};
use dispatch_model::InstanceSecret;
use dispatch_ssh_executor::{PrivateKey, Settings, SshExecutor, UnverifiedHost, VerifyHost};
use tempfile::TempDir;

use crate::support::{
    PLENTY, SECRET, Sshd, client_key, command, connection_to, make_key, ms, target, user,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_kinds_and_forms_of_keys_log_in() {
    let sshd = Sshd::start();
    let folder = TempDir::new().expect("a folder");
    for kind in [
        "ed25519",
        "ecdsa -b 256",
        "ecdsa -b 384",
        "ecdsa -b 521",
        "rsa -b 2048",
    ] {
        for form in ["RFC4716", "PEM", "PKCS8"] {
            let path = folder.path().join(format!("{kind} {form}"));
            let mut arguments: Vec<&str> = kind.split(' ').collect();
            arguments.splice(0..0, ["-m", form, "-t"]);
            let key = PrivateKey::parse(&make_key(&path, &arguments)).expect("a key");
            std::fs::write(sshd.path("authorized_keys"), key.public_line()).expect("written");
            let connection = SshExecutor::new(settings(), key)
                .connection(target(&sshd.address.to_string(), Some(SECRET)));
            connection
                .connect(PLENTY)
                .await
                .unwrap_or_else(|error| panic!("{kind} as {form}: {error}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ed25519_key_in_pkcs8_logs_in() {
    let sshd = Sshd::start();
    // RFC 8410, section 10.3.
    let key = PrivateKey::parse(
        "-----BEGIN PRIVATE KEY-----\n\
         MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
         -----END PRIVATE KEY-----\n",
    )
    .expect("a key");
    std::fs::write(sshd.path("authorized_keys"), key.public_line()).expect("written");
    let connection = SshExecutor::new(settings(), key)
        .connection(target(&sshd.address.to_string(), Some(SECRET)));
    connection.connect(PLENTY).await.expect("connected");
}

fn settings() -> Settings {
    Settings {
        boot_reach: PLENTY,
        ..Settings::new(user(), 22)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_the_host_does_not_know_is_refused() {
    let sshd = Sshd::start();
    std::fs::write(sshd.path("authorized_keys"), "").expect("written");
    let error = sshd
        .connection(|_| {})
        .connect(PLENTY)
        .await
        .expect_err("refused");
    assert!(matches!(error, ExecError::Refused { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .contains("does not accept the dispatcher's key"),
        "{error}"
    );
    assert_eq!(sshd.n_commands(), 0);
}

/// Runs a command that would leave a mark, and returns why it did not.
async fn refused(sshd: &Sshd, connection: &Arc<dyn Connection>) -> ExecError {
    let line = format!("touch {}", sshd.mark("told").display());
    let error = connection
        .run(command(&line))
        .await
        .expect_err("not verified");
    assert!(error.did_not_run());
    let error_too = connection
        .upload(command(&line))
        .await
        .expect_err("not verified");
    assert!(error_too.did_not_run());
    assert!(
        connection.lines(&line, PLENTY).await.is_err(),
        "not verified"
    );
    assert!(
        !sshd.mark("told").exists(),
        "nothing may run before the verification"
    );
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_with_another_secret_is_told_nothing() {
    let sshd = Sshd::start();
    for shown in ["another", "", "0123456789abcdef0123456789abcdef01234567\n"] {
        sshd.set_secret(shown);
        let n_commands = sshd.n_commands();
        let connection = sshd.connection(|_| {});
        let error = refused(&sshd, &connection).await;
        assert!(
            error
                .to_string()
                .contains("could not show that it is the instance: it shows another secret"),
            "{error}"
        );
        assert!(!error.to_string().contains(SECRET));
        assert_eq!(
            sshd.n_commands() - n_commands,
            3,
            "each attempt has run the verification and nothing else"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_without_the_secret_file_is_told_nothing() {
    let sshd = Sshd::start();
    std::fs::remove_file(sshd.path("secret")).expect("removed");
    let connection = sshd.connection(|settings| settings.pause_min = ms(1));
    let error = refused(&sshd, &connection).await.to_string();
    assert!(
        error.contains("its secret cannot be read (exit status 1: ")
            && error.contains("No such file"),
        "{error}"
    );
    // Its first boot writes the file while we ask.
    sshd.set_secret(SECRET);
    assert!(
        connection
            .run(command("true"))
            .await
            .expect("verified")
            .success()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_takes_too_long_to_show_its_secret_is_told_nothing() {
    let sshd = Sshd::start();
    std::fs::write(sshd.path("bin").join("cat"), "#!/bin/sh\nexec sleep 2\n").expect("written");
    let connection = sshd.connection(|settings| settings.verify = ms(200));
    let error = refused(&sshd, &connection).await;
    assert!(matches!(error, ExecError::Unverified { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_secret_to_compare_with_nobody_is_even_called() {
    let sshd = Sshd::start();
    for secret in [None, Some("")] {
        let connection = connection_to(&sshd.address.to_string(), secret, |_| {});
        let error = connection
            .run(command("true"))
            .await
            .expect_err("not verified");
        assert!(matches!(error, ExecError::Unverified { .. }), "{error:?}");
        assert!(matches!(
            connection.connect(PLENTY).await,
            Err(ExecError::Unverified { .. })
        ));
    }
    assert_eq!(sshd.n_logins(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_verified_again_only_when_its_key_has_changed() {
    let mut sshd = Sshd::start();
    let connection = sshd.connection(|settings| settings.pause_min = ms(1));
    connection.run(command("true")).await.expect("verified");
    assert_eq!(sshd.n_commands(), 2, "the verification, and the command");

    sshd.restart(false);
    sshd.set_secret("forgotten");
    connection
        .run(command("true"))
        .await
        .expect("known by its key");
    assert_eq!(sshd.n_commands(), 3, "the command alone");

    sshd.restart(true);
    let error = connection
        .run(command("touch $MARKS/told"))
        .await
        .expect_err("another key and no secret");
    assert!(matches!(error, ExecError::Unverified { .. }), "{error:?}");
    assert!(!sshd.mark("told").exists());

    sshd.set_secret(SECRET);
    connection.run(command("true")).await.expect("verified");
    assert_eq!(
        sshd.n_commands(),
        6,
        "a failed verification, one that succeeded, and the command"
    );
}

/// Verifies by a command of its own.
struct BySerial {
    asked: AtomicBool,
}

#[async_trait]
impl VerifyHost for BySerial {
    fn can_verify(&self, _secret: Option<&InstanceSecret>) -> bool {
        true
    }

    async fn verify(&self, host: &UnverifiedHost) -> Result<(), String> {
        self.asked.store(true, Ordering::Relaxed);
        assert!(host.key.fingerprint.starts_with("SHA256:"));
        let command = Command {
            line: "echo serial-7".to_owned(),
            stdin: bytes::Bytes::new(),
            deadline: PLENTY,
        };
        match host.run(command).await {
            Ok(output) if output.stdout == "serial-7\n" => Ok(()),
            Ok(_) => Err("its serial number is another".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_may_verify_in_its_own_way() {
    let sshd = Sshd::start();
    let verifier = Arc::new(BySerial {
        asked: AtomicBool::new(false),
    });
    let executor = SshExecutor::with_verifier(
        settings(),
        client_key(),
        Arc::clone(&verifier) as Arc<dyn VerifyHost>,
    );
    let connection = executor.connection(target(&sshd.address.to_string(), None));
    assert!(
        connection
            .run(command("true"))
            .await
            .expect("verified")
            .success()
    );
    assert!(verifier.asked.load(Ordering::Relaxed));
}
