//! `lab-crunch-run`: a stand-in for crunch-run on the lab's real `sshd` machines. It keeps real lock files and real
//! processes as the facts describe them (§2.2, §2.2.1), and runs nothing: it asks the lab what becomes of it.

mod child;
mod http;
mod locks;
mod process;

use std::{
    io::{Read, Write},
    process::{Command, ExitCode, Stdio},
};

use serde_json::json;

/// Tells the detached process from the one that was called.
const CHILD_FLAG: &str = "--lab-child";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Single- and double-dash flags are the same.
    let flags: Vec<&str> = arguments
        .iter()
        .map(|word| {
            word.strip_prefix("--")
                .or(word.strip_prefix('-'))
                .unwrap_or(word)
        })
        .collect();
    let done = match flags.as_slice() {
        ["list"] => list(),
        ["list", "stdin-prices"] => read_input().and_then(|_| list()),
        ["kill", signal, uuid] => kill(signal, uuid),
        ["detach", "stdin-config", .., uuid] => detach(uuid),
        ["lab-child", uuid, lock] => child::run(uuid, lock),
        _ => Err(format!("usage: unexpected arguments {arguments:?}")),
    };
    match done {
        Ok(code) => code,
        Err(message) => {
            let _ = writeln!(std::io::stderr(), "crunch-run: {message}");
            ExitCode::FAILURE
        }
    }
}

fn read_input() -> Result<Vec<u8>, String> {
    let mut input = Vec::new();
    std::io::stdin()
        .read_to_end(&mut input)
        .map_err(|error| format!("read standard input: {error}"))?;
    Ok(input)
}

/// A line on standard output; a reader that has gone away is no error of ours.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn list() -> Result<ExitCode, String> {
    let _all = locks::whole_directory()?;
    if locks::is_broken() {
        say("broken");
    }
    for uuid in locks::uuids()? {
        match locks::look(&uuid)? {
            locks::State::Free | locks::State::Nameless => {}
            locks::State::Held(pid) if process::is_alive(pid) => {
                // Makes a runner read its prices again.
                process::send(pid, libc::SIGUSR2);
                say(&uuid);
            }
            locks::State::Held(_) => say(&format!("{uuid} stale")),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn kill(signal: &str, uuid: &str) -> Result<ExitCode, String> {
    let signal: i32 = signal
        .parse()
        .map_err(|_| format!("invalid signal {signal:?}"))?;
    let state = {
        let _all = locks::whole_directory()?;
        locks::look(uuid)?
    };
    let locks::State::Held(pid) = state else {
        return Ok(ExitCode::SUCCESS);
    };
    process::send(pid, signal);
    // Polls for one second, as the real one does.
    for _ in 0..20 {
        if !process::is_alive(pid) {
            return Ok(ExitCode::SUCCESS);
        }
        process::pause(50);
    }
    Err(format!("{uuid}: pid {pid} is still alive"))
}

fn detach(uuid: &str) -> Result<ExitCode, String> {
    if uuid.len() != 27 {
        return Err(format!("malformed container UUID {uuid:?}"));
    }
    let input = read_input()?;
    let lock = {
        let _all = locks::whole_directory()?;
        locks::take(uuid)?
    };
    let program = std::env::current_exe().map_err(|error| format!("find own path: {error}"))?;
    let mut command = Command::new(program);
    command
        .args([CHILD_FLAG, uuid, &lock.number().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    process::detached(&mut command, lock.number());
    let mut child = command
        .spawn()
        .map_err(|error| format!("start the detached process: {error}"))?;
    let pid = child.id();
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(&input)
            .map_err(|error| format!("hand the configuration over: {error}"))?;
    }
    // It closes its standard output once it has read all, or says what is wrong.
    let mut complaint = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        let _ = stdout.read_to_string(&mut complaint);
    }
    if !complaint.is_empty() {
        return Err(complaint.trim_end().to_owned());
    }
    lock.write(&json!({"UUID": uuid, "PID": pid}).to_string())?;
    say(&json!({"UUID": uuid, "PID": pid}).to_string());
    Ok(ExitCode::SUCCESS)
}
