//! Few channels for many commands.

use std::{path::Path, sync::Arc};

use dispatch_cloud::exec::{Command, Connection, ExecError};
use tokio::task::JoinSet;

use crate::support::{PLENTY, Sshd, command, eventually, ms};

/// Runs this many commands at once, each of which counts those that run beside it, and returns the highest count.
async fn most_at_a_time(
    connection: &Arc<dyn Connection>,
    marks: &Path,
    n_commands: usize,
) -> usize {
    let mut counts = JoinSet::new();
    for _ in 0..n_commands {
        let connection = Arc::clone(connection);
        let marks = marks.display().to_string();
        counts.spawn(async move {
            let line = format!("touch {marks}/$$; sleep 0.1; ls {marks} | wc -l; rm {marks}/$$");
            let output = connection
                .run(command(&line))
                .await
                .expect("every command gets its turn");
            String::from_utf8_lossy(&output.stdout)
                .trim()
                .parse::<usize>()
                .expect("a count")
        });
    }
    let mut most = 0;
    while let Some(count) = counts.join_next().await {
        most = most.max(count.expect("no panic"));
    }
    most
}

/// A command that ends when the mark appears.
fn until_mark(mark: &Path) -> String {
    format!(
        "while [ -d $(dirname {0}) ] && [ ! -e {0} ]; do sleep 0.02; done",
        mark.display()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_commands_than_max_sessions_wait_their_turn() {
    let sshd = Sshd::with(&["MaxSessions 10"]);
    let connection = sshd.connection(|_| {});
    assert_eq!(
        most_at_a_time(&connection, &sshd.path("marks"), 30).await,
        8
    );
    assert_eq!(sshd.n_logins(), 1);
    assert!(
        !sshd.log().contains("no more sessions"),
        "the server never had to refuse one"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_allows_fewer_sessions_is_obeyed() {
    let sshd = Sshd::with(&["MaxSessions 3"]);
    let connection = sshd.connection(|_| {});
    assert_eq!(
        most_at_a_time(&connection, &sshd.path("marks"), 12).await,
        3
    );
    assert_eq!(sshd.n_logins(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_allows_one_session_gets_one_command_after_the_other() {
    let sshd = Sshd::with(&["MaxSessions 1"]);
    let connection = sshd.connection(|_| {});
    for n in 0..20 {
        let output = connection.run(command(&format!("echo {n}"))).await;
        assert_eq!(output.expect("an answer").stdout, format!("{n}\n"));
    }
    assert_eq!(
        most_at_a_time(&connection, &sshd.path("marks"), 12).await,
        1
    );
    assert_eq!(sshd.n_logins(), 1, "none of them cost a new connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_allows_no_session_is_no_use() {
    let sshd = Sshd::with(&["MaxSessions 0"]);
    let connection = sshd.connection(|_| {});
    let error = connection
        .run(command("true"))
        .await
        .expect_err("nothing can run");
    assert!(matches!(error, ExecError::Unverified { .. }), "{error:?}");
    assert!(
        error.to_string().contains("the server opens no channel"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_in_time_out_keeps_its_channel_until_it_ends() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|settings| {
        settings.channels_max = 2;
        settings.stuck_after = PLENTY;
    });
    connection.connect(PLENTY).await.expect("connected");
    let line = until_mark(&sshd.mark("go"));
    let late = || Command {
        deadline: ms(200),
        ..command(&line)
    };
    let (one, two) = tokio::join!(connection.run(late()), connection.run(late()));
    assert_eq!(
        [one, two],
        [
            Err(ExecError::TimedOut(ms(200))),
            Err(ExecError::TimedOut(ms(200)))
        ]
    );
    let third = Command {
        deadline: ms(200),
        ..command(&format!("touch {}", sshd.mark("third").display()))
    };
    let error = connection
        .run(third)
        .await
        .expect_err("there is no channel");
    assert!(
        error.did_not_run() && error.to_string().contains("no free channel within 200 ms"),
        "{error}"
    );
    std::fs::write(sshd.mark("go"), "").expect("written");
    assert!(
        connection
            .run(command("true"))
            .await
            .expect("an answer")
            .success()
    );
    assert!(!sshd.mark("third").exists());
    assert_eq!(sshd.n_logins(), 1, "still the same connection");
}

/// Cancelled at all moments between "not yet sent" and "has read everything": whatever was begun reads all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_was_begun_gets_its_whole_input_although_nobody_waits_any_more() {
    const INPUT_BYTES: usize = 300_000;
    let sshd = Sshd::start();
    let connection = sshd.connection(|settings| settings.stuck_after = PLENTY);
    connection.connect(PLENTY).await.expect("connected");
    let counts = sshd.path("counts");
    let counting = || Command {
        stdin: vec![b'x'; INPUT_BYTES].into(),
        ..command(&format!("wc -c >> {}", counts.display()))
    };
    let mut in_time = 0;
    for round in 1.. {
        let mut calls = JoinSet::new();
        for n in 0..16 {
            let connection = Arc::clone(&connection);
            let counting = counting();
            // They are begun one after the other: each is given a little longer than the one before.
            calls.spawn(async move {
                tokio::time::timeout(ms(2 * n * round), connection.run(counting))
                    .await
                    .is_ok()
            });
        }
        while let Some(ended) = calls.join_next().await {
            in_time += usize::from(ended.expect("no panic"));
        }
        // Begun last, so all others have been told what they will ever be told.
        connection.run(counting()).await.expect("an answer");
        in_time += 1;
        eventually("all that was begun has ended", || {
            let counted = std::fs::read_to_string(&counts).unwrap_or_default();
            // The first command was the verification.
            counted.lines().count() == sshd.n_commands() - 1
        })
        .await;
        let counted = std::fs::read_to_string(&counts).expect("counts");
        for count in counted.lines() {
            assert_eq!(count.trim(), INPUT_BYTES.to_string(), "{counted}");
        }
        if counted.lines().count() > in_time + 5 {
            return;
        }
        assert!(round < 50, "never cancelled one that had been begun");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_without_a_free_channel_is_replaced_in_the_end() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|settings| {
        settings.channels_max = 3;
        settings.stuck_after = ms(300);
    });
    connection.connect(PLENTY).await.expect("connected");
    let useful = tokio::spawn({
        let connection = Arc::clone(&connection);
        let line = format!("{}; echo useful", until_mark(&sshd.mark("useful")));
        async move { connection.run(command(&line)).await }
    });
    eventually("it runs", || sshd.n_commands() == 2).await;
    let line = until_mark(&sshd.mark("go"));
    let late = || Command {
        deadline: ms(100),
        ..command(&line)
    };
    let (one, two) = tokio::join!(connection.run(late()), connection.run(late()));
    assert_eq!(
        [one, two],
        [
            Err(ExecError::TimedOut(ms(100))),
            Err(ExecError::TimedOut(ms(100)))
        ]
    );
    assert!(
        connection
            .run(command("true"))
            .await
            .expect("an answer")
            .success()
    );
    assert_eq!(sshd.n_logins(), 2, "on a new connection");
    std::fs::write(sshd.mark("useful"), "").expect("written");
    assert_eq!(
        useful
            .await
            .expect("no panic")
            .expect("it was left alone")
            .stdout,
        "useful\n"
    );
    std::fs::write(sshd.mark("go"), "").expect("written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_wait_in_a_full_queue_is_refused_at_once() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|settings| {
        settings.channels_max = 1;
        settings.queue_max = 2;
    });
    connection.connect(PLENTY).await.expect("connected");
    let mut waiting = JoinSet::new();
    for n in 0..8 {
        if n == 1 {
            eventually("the first has left the queue", || sshd.n_commands() == 2).await;
        }
        let connection = Arc::clone(&connection);
        let line = until_mark(&sshd.mark("go"));
        waiting.spawn(async move { connection.run(command(&line)).await });
    }
    let refused = waiting
        .join_next()
        .await
        .expect("one of them")
        .expect("no panic")
        .expect_err("the queue is full");
    assert!(
        refused.did_not_run() && refused.to_string().contains("wait already"),
        "{refused}"
    );
    std::fs::write(sshd.mark("go"), "").expect("written");
    let results = waiting.join_all().await;
    let n_run = results.iter().filter(|result| result.is_ok()).count();
    assert!(
        (3..=7).contains(&n_run),
        "one that ran and two that waited, perhaps more later: {n_run}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_command_in_the_queue_never_runs() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|settings| settings.channels_max = 1);
    let line = until_mark(&sshd.mark("go"));
    let first = command(&line);
    let first = connection.run(first);
    tokio::pin!(first);
    assert!(tokio::time::timeout(ms(200), &mut first).await.is_err());
    let second = format!("touch {}", sshd.mark("second").display());
    assert!(
        tokio::time::timeout(ms(100), connection.run(command(&second)))
            .await
            .is_err()
    );
    std::fs::write(sshd.mark("go"), "").expect("written");
    assert!(first.await.expect("an answer").success());
    assert!(
        connection
            .run(command("true"))
            .await
            .expect("an answer")
            .success()
    );
    assert!(!sshd.mark("second").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_go_to_and_fro_beside_commands_and_count_as_one_channel() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|settings| settings.channels_max = 2);
    let ended = sshd.mark("ended");
    let line = format!(
        "while read -r line; do echo \"got $line\"; done; touch {}",
        ended.display()
    );
    let mut lines = connection.lines(&line, PLENTY).await.expect("started");
    for word in ["one", "two words", ""] {
        lines.write(word).await.expect("written");
        assert_eq!(
            lines.next().await.expect("an answer"),
            Some(format!("got {word}"))
        );
        assert!(
            connection
                .run(command("true"))
                .await
                .expect("beside it")
                .success()
        );
    }
    let waiting = tokio::time::timeout(ms(50), lines.next()).await;
    assert!(waiting.is_err(), "nothing more was said");
    lines
        .write("after")
        .await
        .expect("giving up waiting has lost nothing");
    assert_eq!(
        lines.next().await.expect("an answer"),
        Some("got after".to_owned())
    );
    // One channel is left for commands.
    std::fs::create_dir(sshd.mark("count")).expect("a folder");
    assert_eq!(most_at_a_time(&connection, &sshd.mark("count"), 4).await, 1);
    drop(lines);
    eventually("the command sees the end of its input", || ended.exists()).await;
    assert_eq!(most_at_a_time(&connection, &sshd.mark("count"), 4).await, 2);
    assert_eq!(sshd.n_logins(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lines_of_a_command_that_ends_are_all_delivered() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|_| {});
    let mut lines = connection
        .lines("seq 1 20000; printf last", PLENTY)
        .await
        .expect("started");
    for n in 1..=20_000 {
        assert_eq!(lines.next().await.expect("a line"), Some(n.to_string()));
    }
    assert_eq!(lines.next().await.expect("a line"), Some("last".to_owned()));
    assert_eq!(lines.next().await, Ok(None));
    assert_eq!(lines.next().await, Ok(None));
}
