//! Many hosts at a time.

use std::{sync::Arc, time::Duration};

use dispatch_cloud::exec::{Command, Exit};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::support::{PLENTY, SECRET, Sshd, command, connection_to, eventually, executor, target};
use dispatch_cloud::exec::Executor as _;

/// As many as a test machine of two cores bears.
const HOSTS: usize = 16;
const SHORT_COMMANDS: usize = 20;
/// Commands at a time on one host.
const AT_A_TIME: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_hosts_are_connected_at_once_and_serve_a_long_command_and_short_ones() {
    let hosts: Vec<Arc<Sshd>> = (0..HOSTS).map(|_| Arc::new(Sshd::start())).collect();
    // One executor for all, as in the dispatcher.
    let executor = executor(|_| {});
    let mut fleet = JoinSet::new();
    for host in &hosts {
        let connection = executor.connection(target(&host.address.to_string(), Some(SECRET)));
        let go = host.mark("go").display().to_string();
        fleet.spawn(async move {
            connection.connect(PLENTY).await.expect("connected");
            let long = format!(
                "while [ -d $(dirname {go}) ] && [ ! -e {go} ]; do sleep 0.1; done; echo done"
            );
            let long = tokio::spawn({
                let connection = Arc::clone(&connection);
                async move {
                    let patient = Command {
                        deadline: Duration::from_secs(120),
                        ..command(&long)
                    };
                    connection.run(patient).await
                }
            });
            let turns = Arc::new(Semaphore::new(AT_A_TIME));
            let mut short = JoinSet::new();
            for n in 0..SHORT_COMMANDS {
                let (connection, turns) = (Arc::clone(&connection), Arc::clone(&turns));
                short.spawn(async move {
                    let _turn = turns.acquire().await.expect("open");
                    let patient = Command {
                        deadline: Duration::from_secs(120),
                        ..command(&format!("echo {n}; echo e{n} >&2; exit {n}"))
                    };
                    let output = connection.run(patient).await.expect("an answer");
                    assert_eq!(output.stdout, format!("{n}\n"));
                    assert_eq!(output.stderr, format!("e{n}\n"));
                    assert_eq!(output.exit, Exit::Status(i32::try_from(n).expect("small")));
                });
            }
            while let Some(done) = short.join_next().await {
                done.expect("no mix-up");
            }
            assert!(!long.is_finished());
            std::fs::write(&go, "").expect("written");
            let output = long.await.expect("no panic").expect("an answer");
            assert_eq!(output.stdout, "done\n");
        });
    }
    while let Some(done) = fleet.join_next().await {
        done.expect("every host serves");
    }
    for host in &hosts {
        assert_eq!(host.n_logins(), 1);
        assert_eq!(host.n_commands(), 1 + 1 + SHORT_COMMANDS, "verified once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_keeps_the_output_open_keeps_the_command_open() {
    let sshd = Sshd::start();
    let connection = connection_to(&sshd.address.to_string(), Some(SECRET), |_| {});
    let go = sshd.mark("go").display().to_string();
    let line = format!(
        "(while [ -d $(dirname {go}) ] && [ ! -e {go} ]; do sleep 0.02; done; echo child) & echo parent"
    );
    let running = tokio::spawn({
        let connection = Arc::clone(&connection);
        async move { connection.run(command(&line)).await }
    });
    eventually("it runs", || sshd.n_commands() == 2).await;
    let others = connection.run(command("true")).await.expect("beside it");
    assert!(others.success());
    assert!(!running.is_finished());
    std::fs::write(&go, "").expect("written");
    let output = running.await.expect("no panic").expect("an answer");
    assert_eq!(output.stdout, "parent\nchild\n");
}
