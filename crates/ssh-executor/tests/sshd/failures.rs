//! Servers that die, hang, or never were.

use std::{
    io::Write,
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dispatch_cloud::exec::{Connection, ExecError, Executor};
use tokio::{task::JoinSet, time::Instant};

use crate::support::{
    PLENTY, SECRET, Sshd, command, connection_to, eventually, executor, ms, target,
};

/// Starts a command that does not end by itself, and waits until it runs.
async fn endless(
    sshd: &Sshd,
    connection: &Arc<dyn Connection>,
) -> tokio::task::JoinHandle<Option<ExecError>> {
    let n_commands = sshd.n_commands();
    let connection = Arc::clone(connection);
    let task = tokio::spawn(async move { connection.run(command("sleep 30")).await.err() });
    eventually("the command runs", || sshd.n_commands() > n_commands.max(1)).await;
    task
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_killed_under_a_command_is_reported_and_replaced() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|_| {});
    let running = endless(&sshd, &connection).await;
    let mut lines = connection.lines("cat", PLENTY).await.expect("started");
    sshd.signal_sessions("KILL");
    let error = running.await.expect("no panic").expect("it broke");
    assert!(matches!(error, ExecError::Disconnected(_)), "{error:?}");
    assert!(!error.did_not_run());
    assert!(matches!(
        lines.next().await,
        Err(ExecError::Disconnected(_))
    ));
    assert!(matches!(
        lines.write("more").await,
        Err(ExecError::Disconnected(_))
    ));
    assert!(
        connection
            .run(command("true"))
            .await
            .expect("on a new connection")
            .success()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_killed_while_idle_goes_unnoticed_by_callers() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|_| {});
    for n in 1..=5 {
        assert!(
            connection
                .run(command("true"))
                .await
                .expect("an answer")
                .success()
        );
        assert_eq!(sshd.n_logins(), n);
        sshd.signal_sessions("KILL");
        eventually("the session is gone", || sshd.sessions().is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_went_silent_is_noticed_busy_or_idle() {
    let sshd = Sshd::start();
    let impatient = |settings: &mut dispatch_ssh_executor::Settings| {
        settings.keepalive = ms(200);
        settings.dead_after = ms(700);
    };
    let connection = sshd.connection(impatient);
    let running = endless(&sshd, &connection).await;
    let since = Instant::now();
    sshd.signal_sessions("STOP");
    let error = running.await.expect("no panic").expect("it broke");
    assert!(
        matches!(&error, ExecError::Disconnected(why) if why.contains("nothing was heard")),
        "{error:?}"
    );
    assert!(since.elapsed() >= ms(400), "not without asking first");
    assert!(
        connection
            .run(command("true"))
            .await
            .expect("on a new connection")
            .success()
    );
    let n_logins = sshd.n_logins();
    sshd.signal_sessions("STOP");
    // The dead connection is noticed without anybody using it: a command then runs at once on a new one.
    tokio::time::timeout(PLENTY, async {
        loop {
            let quick = dispatch_cloud::exec::Command {
                deadline: ms(300),
                ..command("true")
            };
            if connection.run(quick).await.is_ok() {
                break;
            }
        }
    })
    .await
    .expect("noticed");
    assert!(sshd.n_logins() > n_logins);
    sshd.signal_sessions("CONT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_shows_that_it_lives() {
    let sshd = Sshd::start();
    let connection = sshd.connection(|settings| {
        settings.keepalive = ms(100);
        settings.dead_after = ms(3000);
    });
    connection.connect(PLENTY).await.expect("connected");
    let n_opened = || {
        sshd.log()
            .matches("server_input_channel_open: ctype session")
            .count()
    };
    eventually("signs of life", || n_opened() >= 8).await;
    assert!(
        connection
            .run(command("true"))
            .await
            .expect("an answer")
            .success()
    );
    assert_eq!(sshd.n_logins(), 1, "it was never given up");
    assert_eq!(sshd.n_commands(), 2, "signs of life run nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_there_is_known_at_once() {
    let address = TcpListener::bind("127.0.0.1:0")
        .and_then(|free| free.local_addr())
        .expect("a free port");
    let since = Instant::now();
    let connection = connection_to(&address.to_string(), Some(SECRET), |_| {});
    let error = connection.connect(PLENTY).await.expect_err("refused");
    assert!(
        matches!(&error, ExecError::Connect { address: at, .. } if *at == address.to_string()),
        "{error:?}"
    );
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(since.elapsed() < Duration::from_secs(5));
}

/// A server that accepts, says this, and then nothing more. Counts its connections.
fn taciturn(says: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let n_accepted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&n_accepted);
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            stream.write_all(says.as_bytes()).expect("said");
            counter.fetch_add(1, Ordering::Relaxed);
            kept.push(stream);
        }
    });
    (address, n_accepted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_never_speaks_costs_no_turn_at_the_handshake() {
    let (silent, n_accepted) = taciturn("");
    let sshd = Sshd::start();
    let executor = executor(|settings| {
        settings.handshakes_max = 1;
        settings.boot_reach = Duration::from_secs(1);
    });
    let to_silent = executor.connection(target(&silent, Some(SECRET)));
    let waiting = tokio::spawn(async move { to_silent.connect(PLENTY).await });
    eventually("it waits for the banner", || {
        n_accepted.load(Ordering::Relaxed) == 1
    })
    .await;
    executor
        .connection(target(&sshd.address.to_string(), Some(SECRET)))
        .connect(PLENTY)
        .await
        .expect("not held up");
    let error = waiting.await.expect("no panic").expect_err("never spoke");
    assert!(
        error
            .to_string()
            .contains("the server says nothing within 1000 ms"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_after_its_banner_holds_its_turn_for_a_while_only() {
    let (stuck, n_accepted) = taciturn("SSH-2.0-OpenSSH_9.2\r\n");
    let sshd = Sshd::start();
    let executor = executor(|settings| {
        settings.handshakes_max = 1;
        settings.handshake = ms(300);
    });
    let to_stuck = executor.connection(target(&stuck, Some(SECRET)));
    let waiting = tokio::spawn(async move { to_stuck.connect(PLENTY).await });
    eventually("it shakes hands", || {
        n_accepted.load(Ordering::Relaxed) == 1
    })
    .await;
    executor
        .connection(target(&sshd.address.to_string(), Some(SECRET)))
        .connect(PLENTY)
        .await
        .expect("after it");
    let error = waiting.await.expect("no panic").expect_err("never went on");
    assert!(
        error.to_string().contains("no handshake within 300 ms"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn something_that_is_no_ssh_server_is_no_instance() {
    let (web, _) = taciturn("HTTP/1.1 400 Bad Request\r\n\r\n");
    let connection = connection_to(&web, Some(SECRET), |settings| settings.handshake = ms(300));
    let error = connection.connect(PLENTY).await.expect_err("no SSH");
    assert!(matches!(error, ExecError::Connect { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failure_commands_pause_and_connect_does_not() {
    let (silent, n_accepted) = taciturn("");
    let connection = connection_to(&silent, Some(SECRET), |settings| {
        settings.boot_reach = ms(50);
        settings.pause_min = Duration::from_secs(60);
        settings.pause_max = Duration::from_secs(60);
    });
    let first = connection
        .run(command("true"))
        .await
        .expect_err("nobody speaks");
    assert_eq!(n_accepted.load(Ordering::Relaxed), 1);
    let since = Instant::now();
    let second = connection
        .run(command("true"))
        .await
        .expect_err("in the pause");
    assert_eq!(second, first, "the reason is that of the last attempt");
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "it does not wait for nothing"
    );
    assert_eq!(
        n_accepted.load(Ordering::Relaxed),
        1,
        "and nobody is called"
    );
    for n in 2..=4 {
        connection.connect(PLENTY).await.expect_err("nobody speaks");
        assert_eq!(
            n_accepted.load(Ordering::Relaxed),
            n,
            "whoever asks to connect is obeyed"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_booting_server_that_is_slow_to_speak_is_given_more_time_with_each_attempt() {
    let (silent, _) = taciturn("");
    let connection = connection_to(&silent, Some(SECRET), |settings| {
        settings.boot_reach = ms(20);
        settings.banner = ms(70);
    });
    for patience in ["20 ms", "40 ms", "60 ms", "70 ms", "70 ms"] {
        let error = connection.connect(PLENTY).await.expect_err("never spoke");
        assert!(
            error
                .to_string()
                .ends_with(&format!("the server says nothing within {patience}")),
            "{error}"
        );
    }
}

/// A server that says `first` to each client, and then sends `again` as fast as it is taken.
fn endless_talker(first: &'static [u8], again: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let again = again.clone();
            std::thread::spawn(move || {
                let mut sent = stream.write_all(first);
                while sent.is_ok() {
                    sent = stream.write_all(&again);
                }
            });
        }
    });
    address
}

/// Packets before the key exchange, in the clear: nothing that anybody asked for.
fn unasked_packets() -> Vec<u8> {
    let mut packet = vec![0_u8; 4 + 30_000];
    packet[..4].copy_from_slice(&30_000_u32.to_be_bytes());
    packet[4] = 8;
    packet[5] = 6;
    packet
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_never_stop_talking_hold_up_nobody() {
    let sshd = Sshd::start();
    let executor = executor(|_| {});
    let talkers = [
        endless_talker(b"", b"never a line that begins with SSH\n".repeat(1000)),
        endless_talker(b"", vec![b'x'; 1 << 16]),
        endless_talker(b"SSH-2.0-OpenSSH_9.2\r\n", unasked_packets()),
        endless_talker(b"SSH-2.0-OpenSSH_9.2\r\n", unasked_packets()),
    ];
    let mut attempts = JoinSet::new();
    for address in talkers {
        let connection = executor.connection(target(&address, Some(SECRET)));
        attempts.spawn(async move { connection.connect(PLENTY).await });
    }
    let other = executor.connection(target(&sshd.address.to_string(), Some(SECRET)));
    for _ in 0..10 {
        let output = other.run(command("true")).await.expect("not held up");
        assert!(output.success());
    }
    while let Some(result) = attempts.join_next().await {
        let error = result.expect("no panic").expect_err("no instance");
        let text = error.to_string();
        let expected = "no handshake, but more than 262144 bytes of something else";
        assert!(text.contains(expected), "{text}");
    }
}
