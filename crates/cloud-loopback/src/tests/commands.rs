//! Commands behind the executor's contract.

use super::*;

async fn with_instance() -> (Host, LoopbackSet, Arc<dyn Connection>) {
    let host = Host::new();
    let set = host.open();
    set.create(order("a")).await.expect("an instance");
    let connection = connection(&set, "a");
    (host, set, connection)
}

async fn run(connection: &dyn Connection, line: &str) -> Output {
    connection.run(command(line)).await.expect("an output")
}

#[tokio::test]
async fn output_errors_and_exit_codes_come_back() {
    let (_host, _set, connection) = with_instance().await;
    let output = run(&*connection, "echo out; echo err >&2; exit 3").await;
    assert_eq!(output.exit, Exit::Status(3));
    assert_eq!(
        (&output.stdout[..], &output.stderr[..]),
        (&b"out\n"[..], &b"err\n"[..])
    );
    assert!(!output.truncated);
    assert_eq!(
        run(&*connection, "kill -KILL $$").await.exit,
        Exit::Signal("KILL".to_owned())
    );
    assert_eq!(
        run(&*connection, "/no/such/program").await.exit,
        Exit::Status(127)
    );
}

#[tokio::test]
async fn standard_input_is_given_whole_and_may_be_left_unread() {
    let (_host, _set, connection) = with_instance().await;
    let big = Bytes::from(vec![b'x'; 4 << 20]);
    let counted = Command {
        stdin: big.clone(),
        ..command("wc -c")
    };
    let output = connection.upload(counted).await.expect("an output");
    assert_eq!(output.stdout, "4194304\n");
    let unread = Command {
        stdin: big,
        ..command("exec <&-; echo done")
    };
    let output = connection.run(unread).await.expect("an output");
    assert_eq!(output.stdout, "done\n");
}

#[tokio::test]
async fn a_command_has_a_session_of_its_own_and_none_of_our_environment() {
    let (_host, _set, connection) = with_instance().await;
    let output = run(&*connection, "cut -d' ' -f6 /proc/$$/stat; echo $$; env").await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines();
    let (session, pid) = (
        lines.next().expect("a session"),
        lines.next().expect("a process"),
    );
    assert_eq!(session, pid, "it leads its session");
    assert!(!text.contains("CARGO"), "{text}");
}

#[tokio::test]
async fn needless_sudo_is_left_out() {
    let (_host, _set, connection) = with_instance().await;
    if crate::user::is_root() {
        assert_eq!(run(&*connection, "sudo echo it").await.stdout, "it\n");
    }
}

#[tokio::test]
async fn what_is_too_much_is_dropped_and_said() {
    let (_host, _set, connection) = with_instance().await;
    let output = run(&*connection, "head -c 17000000 /dev/zero").await;
    assert!(output.truncated && output.success());
    assert_eq!(output.stdout.len(), 16 << 20);
}

#[tokio::test]
async fn a_command_out_of_time_says_so() {
    let (_host, _set, connection) = with_instance().await;
    let deadline = Duration::from_millis(50);
    let late = Command {
        deadline,
        ..command("sleep 600")
    };
    let error = connection.run(late).await.expect_err("out of time");
    assert_eq!(error, ExecError::TimedOut(deadline));
}

#[tokio::test]
async fn a_command_that_is_given_up_is_killed_with_its_children() {
    let (host, _set, connection) = with_instance().await;
    let file = host.locks().join("pids");
    let pids = || fs::read_to_string(&file).unwrap_or_default();
    let line = format!("sleep 600 & echo $! $$ >{}; wait", file.display());
    tokio::select! {
        output = connection.run(command(&line)) => panic!("it has ended: {output:?}"),
        () = eventually("both have started", || pids().ends_with('\n')) => {}
    }
    assert_eq!(pids().split_whitespace().count(), 2);
    eventually("both have ended", || {
        pids().split_whitespace().all(has_ended)
    })
    .await;
}

#[tokio::test]
async fn somebody_left_behind_does_not_hold_the_answer_back() {
    let (_host, set, connection) = with_instance().await;
    let output = run(&*connection, "setsid sleep 600 & echo $!").await;
    assert!(output.success());
    let pid = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(
        run(&*connection, &format!("kill -0 {pid}")).await.success(),
        "it goes on"
    );
    let id = set.list(&Tags::new()).await.expect("a list")[0].id.clone();
    set.destroy(&id).await.expect("destroyed");
}

#[tokio::test]
async fn closing_ends_what_is_under_way_and_what_comes_later() {
    let (_host, _set, connection) = with_instance().await;
    let (ended, ()) = tokio::join!(connection.run(command("sleep 600")), async {
        tokio::task::yield_now().await;
        connection.close();
    });
    assert!(
        matches!(ended, Err(ExecError::Disconnected(_))),
        "{ended:?}"
    );
    let later = connection.run(command("true")).await;
    assert!(
        matches!(later, Err(ExecError::Disconnected(_))),
        "{later:?}"
    );
    assert!(connection.lines("cat", PATIENCE).await.is_err());
}

#[tokio::test]
async fn lines_go_both_ways_and_end_with_their_holder() {
    let (_host, _set, connection) = with_instance().await;
    let script = "while read -r line; do echo \"got $line\"; done; echo bye";
    let mut lines = connection.lines(script, PATIENCE).await.expect("started");
    for word in ["one", "two"] {
        lines.write(word).await.expect("written");
        let answer = lines.next().await.expect("an answer");
        assert_eq!(answer, Some(format!("got {word}")));
    }
    let mut lines = connection
        .lines("echo $$; exec sleep 600", PATIENCE)
        .await
        .expect("started");
    let pid = lines.next().await.expect("an answer").expect("a line");
    drop(lines);
    eventually("it has ended with its holder", || has_ended(&pid)).await;
    let mut lines = connection
        .lines("printf 'last\\nrest'", PATIENCE)
        .await
        .expect("started");
    assert_eq!(lines.next().await, Ok(Some("last".to_owned())));
    assert_eq!(lines.next().await, Ok(None));
}

#[tokio::test]
async fn a_connection_is_good_for_its_own_instance_only() {
    let (_host, set, old) = with_instance().await;
    old.connect(PATIENCE).await.expect("the right instance");
    let id = set.list(&Tags::new()).await.expect("a list")[0].id.clone();
    set.destroy(&id).await.expect("destroyed");
    assert!(
        old.run(command("true"))
            .await
            .expect_err("gone")
            .did_not_run()
    );
    set.create(order("b")).await.expect("the next");
    let error = old
        .run(command("true"))
        .await
        .expect_err("another instance");
    assert!(matches!(error, ExecError::Unverified { .. }), "{error}");
}
