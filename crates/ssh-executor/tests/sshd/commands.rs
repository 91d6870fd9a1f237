//! What a command gets and leaves behind.

use bytes::Bytes;
use dispatch_cloud::exec::{Command, ExecError, Executor, Exit};

use crate::support::{PLENTY, SECRET, Sshd, command, executor, ms, target};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn output_and_exit_status_come_back_as_they_are() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|_| {});
    for (line, exit, stdout, stderr) in [
        ("true", 0, "", ""),
        ("exit 1", 1, "", ""),
        ("echo out; echo err >&2; exit 2", 2, "out\n", "err\n"),
        ("exit 255", 255, "", ""),
        (
            "printf '%s|' 'a b' \"$HOME_OF_NOBODY\" 'it'\\''s'",
            0,
            "a b||it's|",
            "",
        ),
        // The shell has no terminal and nothing of ours in its environment.
        ("tty; env | grep -c DISPATCH", 1, "not a tty\n0\n", ""),
    ] {
        let output = connection.run(command(line)).await.expect(line);
        assert_eq!(output.exit, Exit::Status(exit), "{line}");
        assert_eq!(output.success(), exit == 0, "{line}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), stdout, "{line}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), stderr, "{line}");
        assert!(!output.truncated, "{line}");
    }
    let output = connection
        .run(command("/nowhere/at/all"))
        .await
        .expect("an answer");
    assert_eq!(output.exit, Exit::Status(127));
    assert_eq!(sshd.n_logins(), 1, "all of it on one connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_killed_by_a_signal_did_not_succeed() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|_| {});
    for name in ["KILL", "TERM", "SEGV"] {
        let output = connection
            .run(command(&format!("kill -{name} $$")))
            .await
            .expect("an answer");
        assert_eq!(output.exit, Exit::Signal(name.to_owned()));
        assert!(!output.success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_not_text_are_kept() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|_| {});
    let output = connection
        .run(command(
            r"printf '\000\377\200\n\r\001'; printf '\376\000\375' >&2",
        ))
        .await
        .expect("an answer");
    assert_eq!(output.stdout.as_ref(), b"\x00\xff\x80\n\r\x01");
    assert_eq!(output.stderr.as_ref(), b"\xfe\x00\xfd");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standard_input_arrives_and_ends() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|_| {});
    let with_input = |line: &str, stdin: &'static [u8]| Command {
        line: line.to_owned(),
        stdin: Bytes::from_static(stdin),
        deadline: PLENTY,
    };
    let output = connection
        .run(with_input("cat; echo end", b"a\0b\xff"))
        .await
        .expect("an answer");
    assert_eq!(output.stdout.as_ref(), b"a\0b\xffend\n");
    // A command need not read its input.
    let output = connection
        .run(with_input("exit 3", &[b'x'; 200_000]))
        .await
        .expect("an answer");
    assert_eq!(output.exit, Exit::Status(3));
    // It may close its output long before it has read its input.
    let mark = sshd.mark("input");
    let line = format!("exec >&- 2>&-; sleep 0.05; cat > {}", mark.display());
    let stdin = Bytes::from(vec![7; 5 << 20]);
    let output = connection
        .run(Command {
            line,
            stdin: stdin.clone(),
            deadline: PLENTY,
        })
        .await
        .expect("an answer");
    assert!(output.success());
    assert!(
        std::fs::read(&mark).expect("written") == stdin,
        "all of it arrived"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_in_time_out_is_given_up_and_may_still_run() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|_| {});
    connection.connect(PLENTY).await.expect("connected");
    let late = Command {
        deadline: ms(100),
        ..command("sleep 1")
    };
    let error = connection.run(late).await.expect_err("too late");
    assert_eq!(error, ExecError::TimedOut(ms(100)));
    assert!(!error.did_not_run());
    assert!(
        connection
            .run(command("true"))
            .await
            .expect("the connection works")
            .success()
    );
    assert_eq!(sshd.n_logins(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_with_a_zero_byte_is_refused() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|_| {});
    let error = connection
        .run(command("echo a\0b"))
        .await
        .expect_err("no shell takes it");
    assert!(error.did_not_run(), "{error}");
    assert!(
        connection
            .run(command("true"))
            .await
            .expect("the connection works")
            .success()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_without_port_means_the_default_port() {
    let sshd = Sshd::start();
    let executor = executor(|settings| settings.default_port = sshd.address.port());
    for address in ["127.0.0.1", "localhost", &sshd.address.to_string()] {
        let connection = executor.connection(target(address, Some(SECRET)));
        connection.connect(PLENTY).await.expect(address);
    }
}
