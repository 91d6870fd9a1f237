//! Handles: one dialer, moving, closing.

use std::sync::Arc;

use dispatch_cloud::exec::ExecError;
use tokio::task::JoinSet;

use crate::support::{PLENTY, SECRET, Sshd, command, connection_to, eventually, ms};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_share_one_attempt_to_connect() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|_| {});
    let mut callers = JoinSet::new();
    for n in 0..20 {
        let connection = Arc::clone(&connection);
        callers.spawn(async move {
            match n % 2 {
                0 => connection.connect(PLENTY).await,
                _ => connection.run(command("true")).await.map(drop),
            }
        });
    }
    while let Some(result) = callers.join_next().await {
        result.expect("no panic").expect("connected");
    }
    assert_eq!(sshd.n_logins(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_outlives_a_caller_who_gives_up() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|_| {});
    let error = connection.connect(ms(0)).await.expect_err("no time at all");
    assert!(
        error.did_not_run() && error.to_string().contains("no connection within 0 ms"),
        "{error}"
    );
    eventually("connected all the same", || sshd.n_commands() == 1).await;
    connection.connect(PLENTY).await.expect("connected");
    assert_eq!(sshd.n_logins(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_lived_commands_in_all_sessions_make_way() {
    let sshd = Sshd::with(&["MaxSessions 2"]);
    let connection = sshd.connection(|_| {});
    let mut lines = connection.lines("cat", PLENTY).await.expect("started");
    let _others = connection.lines("cat", PLENTY).await.expect("started");
    for _ in 0..10 {
        let output = connection.run(command("true")).await;
        assert!(output.expect("an answer").success());
    }
    assert!(lines.next().await.is_err(), "whoever reads it is told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_lived_command_that_is_begun_again_and_again_keeps_nobody_waiting() {
    let sshd = Sshd::with(&["MaxSessions 1"]);
    let connection = sshd.connection(|_| {});
    let watching = tokio::spawn({
        let connection = Arc::clone(&connection);
        async move {
            loop {
                if let Ok(mut lines) = connection.lines("cat", PLENTY).await {
                    while matches!(lines.next().await, Ok(Some(_))) {}
                }
                // The dispatcher waits for a second; here both want each new connection at the same moment.
                tokio::task::yield_now().await;
            }
        }
    });
    for _ in 0..10 {
        let output = connection.run(command("true")).await;
        assert!(output.expect("an answer").success());
    }
    watching.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_without_address_is_a_case_of_its_own() {
    let connection = connection_to("", Some(SECRET), |_| {});
    assert_eq!(connection.connect(PLENTY).await, Err(ExecError::NoAddress));
    assert_eq!(
        connection.run(command("true")).await,
        Err(ExecError::NoAddress)
    );
    assert_eq!(
        connection.upload(command("true")).await,
        Err(ExecError::NoAddress)
    );
    let sshd = Sshd::start();
    connection.set_address(&sshd.address.to_string());
    assert!(
        connection
            .run(command("true"))
            .await
            .expect("an answer")
            .success()
    );
    let error = connection_to("[::1", Some(SECRET), |_| {})
        .connect(PLENTY)
        .await
        .expect_err("no address");
    assert!(
        error.to_string().contains("a bracket is missing"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moving_leaves_a_running_command_alone() {
    let (old, new) = (Sshd::start(), Sshd::start());
    let connection = old.connection(|_| {});
    let running = tokio::spawn({
        let connection = Arc::clone(&connection);
        let line = format!(
            "while [ -d $(dirname {0}) ] && [ ! -e {0} ]; do sleep 0.02; done; echo done",
            old.mark("go").display()
        );
        async move { connection.run(command(&line)).await }
    });
    eventually("it runs", || old.n_commands() == 2).await;
    connection.set_address(&new.address.to_string());
    assert!(
        connection
            .run(command("true"))
            .await
            .expect("an answer")
            .success()
    );
    assert_eq!(
        (old.n_commands(), new.n_commands()),
        (2, 2),
        "verified and run there"
    );
    std::fs::write(old.mark("go"), "").expect("written");
    assert_eq!(
        running.await.expect("no panic").expect("left alone").stdout,
        "done\n"
    );
    eventually("the old connection ends", || old.sessions().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_new_address_does_not_answer_the_old_connection_serves() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|_| {});
    connection.connect(PLENTY).await.expect("connected");
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|free| free.local_addr())
        .expect("a free port");
    connection.set_address(&free.to_string());
    for _ in 0..3 {
        assert!(
            connection
                .run(command("true"))
                .await
                .expect("an answer")
                .success()
        );
    }
    assert_eq!(sshd.n_logins(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_ends_everything_under_way() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|settings| settings.channels_max = 2);
    let mut lines = connection.lines("cat", PLENTY).await.expect("started");
    let mut calls = JoinSet::new();
    for _ in 0..3 {
        let connection = Arc::clone(&connection);
        calls.spawn(async move { connection.run(command("sleep 30")).await });
    }
    eventually("one of them runs", || sshd.n_commands() == 3).await;
    connection.close();
    while let Some(result) = calls.join_next().await {
        let error = result.expect("no panic").expect_err("closed");
        // On a busy host one of them has not even been sent yet.
        let ended = matches!(error, ExecError::Disconnected(_)) || error.did_not_run();
        assert!(ended, "{error:?}");
    }
    assert!(matches!(
        lines.next().await,
        Err(ExecError::Disconnected(_))
    ));
    eventually("the connection ends", || sshd.sessions().is_empty()).await;
    let error = connection.run(command("true")).await.expect_err("closed");
    assert!(error.did_not_run(), "{error:?}");
    connection.connect(PLENTY).await.expect_err("closed");
    assert_eq!(sshd.n_logins(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_handle_leaves_no_connection_behind() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|_| {});
    connection.connect(PLENTY).await.expect("connected");
    assert!(!sshd.sessions().is_empty());
    drop(connection);
    eventually("the connection ends", || sshd.sessions().is_empty()).await;
}
