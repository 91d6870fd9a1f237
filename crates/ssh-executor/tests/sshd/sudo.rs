//! A login that is not root, and a real `sudo`. Needs root, and the package sudo, which `cargo xtask test` installs.

use std::path::Path;

use dispatch_cloud::exec::{Connection, ExecError};

use crate::support::{PLENTY, SECRET, Sshd, command};

/// A mount namespace that knows the user, lets it use `sudo` or not, and has a secret that only root can read.
const SET_UP: &str = r#"
set -e
secret=$1 rule=$2
shift 2
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir /run/sshd /run/accounts
for file in passwd shadow group; do
    cat /etc/$file > /run/accounts/$file
done
echo 'sshlogin:x:64323:64323::/tmp:/bin/sh' >> /run/accounts/passwd
echo 'sshlogin:x:64323:' >> /run/accounts/group
# Without PAM, an account without a password field is locked.
echo 'sshlogin:*:19000:0:99999:7:::' >> /run/accounts/shadow
for file in passwd shadow group; do
    mount --bind /run/accounts/$file /etc/$file
done
mount -t tmpfs -o mode=0750 tmpfs /etc/sudoers.d
echo "$rule" > /etc/sudoers.d/sshlogin
chmod 0440 /etc/sudoers.d/sshlogin
(umask 0177; printf %s "$secret" > /run/arvados-instance-secret)
exec "$@""#;

/// A server that this user logs in to, and a connection.
fn host(rule: &str) -> (Sshd, std::sync::Arc<dyn Connection>) {
    assert!(
        Path::new("/usr/bin/sudo").exists(),
        "sudo is missing; install it with: apt-get install sudo"
    );
    let prefix = [
        "unshare",
        "-m",
        "--propagation",
        "private",
        "sh",
        "-c",
        SET_UP,
        "sh",
        SECRET,
        rule,
    ];
    let sshd = Sshd::started_by(&prefix, &["SetEnv SHLVL=3 PATH=/usr/bin:/bin"]);
    let connection = sshd.connection(|settings| settings.user = "sshlogin".to_owned());
    (sshd, connection)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_is_not_root_is_verified_and_served_by_sudo() {
    let (sshd, connection) = host("sshlogin ALL=(ALL) NOPASSWD: ALL");
    connection.connect(PLENTY).await.expect("verified");
    for (line, expected) in [
        ("id -un", "sshlogin\n"),
        ("sudo id -un", "root\n"),
        ("sudo cat /var/run/arvados-instance-secret", SECRET),
        (
            "cat /var/run/arvados-instance-secret 2>/dev/null || echo denied",
            "denied\n",
        ),
    ] {
        let output = connection.run(command(line)).await.expect("an answer");
        assert_eq!(output.stdout, expected, "{line}: {output:?}");
    }
    let mut lines = connection
        .lines(
            "sudo sh -c 'while read -r line; do echo \"got $line\"; done'",
            PLENTY,
        )
        .await
        .expect("started");
    lines.write("it").await.expect("written");
    let got = lines.next().await.expect("a line");
    assert_eq!(got, Some("got it".to_owned()));
    assert_eq!(sshd.n_logins(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_may_not_use_sudo_cannot_be_verified_and_is_told_nothing() {
    let (sshd, connection) = host("# nobody");
    let error = connection
        .run(command("true"))
        .await
        .expect_err("no secret");
    assert!(matches!(error, ExecError::Unverified { .. }), "{error:?}");
    assert!(
        error.to_string().contains("sudo: "),
        "the reason is the host's own: {error}"
    );
    assert_eq!(sshd.n_commands(), 1, "the verification alone");
}
