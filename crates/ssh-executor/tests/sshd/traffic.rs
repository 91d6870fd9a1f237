//! Much at a time, and much of it.

use std::sync::Arc;

use bytes::Bytes;
use dispatch_cloud::exec::{Command, Connection, Exit};
use tokio::task::JoinSet;

use crate::support::{PLENTY, Sshd, command, eventually};

/// Bytes that do not repeat soon.
fn noise(n: usize, seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(n);
    while bytes.len() < n {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(n);
    bytes.into()
}

async fn echo(connection: &Arc<dyn Connection>, n: usize, seed: u64) {
    let stdin = noise(n, seed);
    let command = Command {
        line: "cat".to_owned(),
        stdin: stdin.clone(),
        deadline: PLENTY,
    };
    let output = connection.run(command).await.expect("an answer");
    assert_eq!(output.exit, Exit::Status(0));
    assert!(
        output.stdout == stdin,
        "{n} bytes came back changed ({} of them)",
        output.stdout.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_commands_pass_a_long_one_on_the_same_connection() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|_| {});
    let long = tokio::spawn({
        let connection = Arc::clone(&connection);
        let line = format!(
            "while [ -d $(dirname {0}) ] && [ ! -e {0} ]; do sleep 0.02; done; echo done",
            sshd.mark("go").display()
        );
        async move { connection.run(command(&line)).await }
    });
    let mut short = JoinSet::new();
    for n in 0..40 {
        let connection = Arc::clone(&connection);
        short.spawn(async move {
            let output = connection
                .run(command(&format!("echo {n}; echo e{n} >&2; exit {n}")))
                .await
                .expect("an answer");
            assert_eq!(output.stdout, format!("{n}\n"));
            assert_eq!(output.stderr, format!("e{n}\n"));
            assert_eq!(output.exit, Exit::Status(n));
        });
    }
    while let Some(result) = short.join_next().await {
        result.expect("no mix-up");
    }
    assert!(!long.is_finished());
    std::fs::write(sshd.mark("go"), "").expect("written");
    assert_eq!(
        long.await.expect("no panic").expect("an answer").stdout,
        "done\n"
    );
    assert_eq!(sshd.n_logins(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_output_is_cut_at_the_limit_while_others_go_on() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|_| {});
    let large = tokio::spawn({
        let connection = Arc::clone(&connection);
        async move {
            connection
                .run(command(
                    "head -c 1000000 /dev/zero >&2; head -c 20000000 /dev/zero",
                ))
                .await
        }
    });
    for n in 0..10 {
        assert_eq!(
            connection
                .run(command(&format!("echo {n}")))
                .await
                .expect("an answer")
                .stdout,
            format!("{n}\n")
        );
    }
    let output = large.await.expect("no panic").expect("an answer");
    assert_eq!(
        (output.stdout.len(), output.stderr.len(), output.truncated),
        (16 << 20, 1_000_000, true)
    );
    assert!(output.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn megabytes_of_input_come_back_unchanged_on_all_channels() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|_| {});
    let mut echoes = JoinSet::new();
    for n in 1..=12 {
        let connection = Arc::clone(&connection);
        echoes.spawn(async move { echo(&connection, (n as usize % 4 + 1) << 20, n).await });
    }
    while let Some(result) = echoes.join_next().await {
        result.expect("unchanged");
    }
    assert_eq!(sshd.n_logins(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_times_sixty_megabytes_come_back_unchanged_side_by_side() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|settings| settings.output_bytes_max = 64 << 20);
    let n = 60 << 20;
    tokio::join!(echo(&connection, n, 1), echo(&connection, n, 2));
    assert_eq!(sshd.n_logins(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_commands_share_one_connection() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|_| {});
    for n in 0..200 {
        let output = connection
            .run(command(&format!("exit {}", n % 7)))
            .await
            .expect("an answer");
        assert_eq!(output.exit, Exit::Status(n % 7));
    }
    assert_eq!(sshd.n_logins(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_exchanged_anew_under_way() {
    let sshd = Sshd::with(&["RekeyLimit default 1"]);
    let connection = sshd.connection(|_| {});
    let long = tokio::spawn({
        let connection = Arc::clone(&connection);
        async move {
            connection
                .run(command(
                    "for n in 1 2 3 4 5 6 7; do sleep 0.3; echo $n; done",
                ))
                .await
        }
    });
    let mut n = 0;
    while !long.is_finished() {
        n += 1;
        echo(&connection, 300_000, n).await;
    }
    assert_eq!(
        long.await.expect("no panic").expect("an answer").stdout,
        "1\n2\n3\n4\n5\n6\n7\n"
    );
    let n_exchanges = sshd.log().matches("SSH2_MSG_NEWKEYS received").count();
    assert!(n_exchanges >= 3, "{n_exchanges} key exchanges only");
    assert_eq!(sshd.n_logins(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_exchanged_anew_after_every_megabyte() {
    let sshd = Sshd::with(&["RekeyLimit 1M"]);
    let connection = sshd.connection(|_| {});
    let mut echoes = JoinSet::new();
    for n in 1..=8 {
        let connection = Arc::clone(&connection);
        echoes.spawn(async move { echo(&connection, (n as usize) << 19, n).await });
    }
    while let Some(result) = echoes.join_next().await {
        result.expect("unchanged");
    }
    assert!(sshd.log().matches("SSH2_MSG_NEWKEYS received").count() >= 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_exchanged_anew_dozens_of_times_within_one_input() {
    let sshd = Sshd::with(&["RekeyLimit 1M"]);
    let connection = sshd.connection(|settings| settings.output_bytes_max = 32 << 20);
    echo(&connection, 32 << 20, 1).await;
    let n_exchanges = sshd.log().matches("SSH2_MSG_NEWKEYS received").count();
    assert!(n_exchanges >= 30, "{n_exchanges} key exchanges only");
    assert_eq!(sshd.n_logins(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_cancelled_while_they_are_sent_leave_the_connection_usable() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|_| {});
    connection.connect(PLENTY).await.expect("connected");
    let mut sending = JoinSet::new();
    for n in 0..30 {
        let connection = Arc::clone(&connection);
        let line = format!(
            "touch {}; cat > /dev/null",
            sshd.mark(&n.to_string()).display()
        );
        let stdin = noise(8 << 20, n);
        sending.spawn(async move {
            connection
                .run(Command {
                    line,
                    stdin,
                    deadline: PLENTY,
                })
                .await
        });
    }
    let marks = sshd.path("marks");
    eventually("the first are under way", || {
        std::fs::read_dir(&marks).expect("a folder").count() >= 3
    })
    .await;
    sending.shutdown().await;
    for n in 1..=8 {
        echo(&connection, 100_000, n).await;
    }
    assert_eq!(sshd.n_logins(), 1, "it is still the same connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_has_a_verified_connection_of_its_own() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|_| {});
    connection.connect(PLENTY).await.expect("connected");
    let stdin = noise(12 << 20, 1);
    let line = format!("cat > {}", sshd.mark("uploaded").display());
    let upload = connection.upload(Command {
        line,
        stdin: stdin.clone(),
        deadline: PLENTY,
    });
    let meanwhile = connection.run(command("echo meanwhile"));
    let (uploaded, meanwhile) = tokio::join!(upload, meanwhile);
    assert!(uploaded.expect("an answer").success());
    assert_eq!(meanwhile.expect("an answer").stdout, "meanwhile\n");
    assert!(
        std::fs::read(sshd.mark("uploaded")).expect("written") == stdin,
        "unchanged"
    );
    assert_eq!(sshd.n_logins(), 2);
    // Verified once: the key is the same.
    assert_eq!(sshd.n_commands(), 3);
    eventually("the second connection ends", || sshd.sessions().len() <= 2).await;
}
