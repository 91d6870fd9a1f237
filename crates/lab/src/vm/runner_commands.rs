//! `crunch-run --list`, `--detach` and `--kill` (facts §2.2, §2.2.1).

use serde_json::json;

use super::{
    Effect, Phase, Runner, document,
    shell::{Outcome, Shell},
};

/// How long `--kill` waits for the process, ms.
const KILL_WAIT_MS: u64 = 1000;

/// Runs the runner with these arguments.
pub(crate) fn run(shell: &mut Shell<'_, '_>, arguments: &[&str], stdin: &[u8]) -> Outcome {
    // Single- and double-dash flags are the same to it.
    let flags: Vec<&str> = arguments
        .iter()
        .map(|word| {
            word.strip_prefix("--")
                .or(word.strip_prefix('-'))
                .unwrap_or(word)
        })
        .collect();
    let user = shell.user.clone();
    let owner = shell.vm.lock_owner.get_or_insert_with(|| user.clone());
    if *owner != user {
        return Outcome::failed(
            1,
            "crunch-run: open /var/lock/crunch-run-all.lock: permission denied",
        );
    }
    if flags.first() == Some(&"detach") && !shell.may_use_docker() {
        return complain(
            shell,
            format!("crunch-run: {user} may not use /var/run/docker.sock"),
        );
    }
    match (flags.as_slice(), arguments) {
        (["list"], _) => list(shell),
        (["list", "stdin-prices"], _) => match document::check_prices(stdin) {
            Ok(()) => list(shell),
            Err(message) => complain(shell, format!("crunch-run: prices: {message}")),
        },
        (["kill", ..], [_, signal, uuid]) => match signal.parse() {
            Ok(signal) => kill(shell, signal, uuid),
            Err(_) => complain(shell, format!("crunch-run: invalid signal {signal}")),
        },
        (["detach", "stdin-config", ..], [_, _, options @ .., uuid]) => {
            detach(shell, options, uuid, stdin)
        }
        _ => complain(
            shell,
            format!("crunch-run: usage: unexpected arguments {arguments:?}"),
        ),
    }
}

fn complain(shell: &mut Shell<'_, '_>, message: String) -> Outcome {
    shell.effects.push(Effect::Complaint(message.clone()));
    Outcome::failed(1, message)
}

fn list(shell: &mut Shell<'_, '_>) -> Outcome {
    let now = shell.surroundings.now.ms;
    let mut text = String::new();
    if shell.vm.broken {
        text.push_str("broken\n");
    }
    for runner in shell
        .vm
        .runners
        .values()
        .filter(|runner| runner.listed_from <= now)
    {
        text.push_str(&runner.uuid);
        text.push_str(if runner.alive() { "\n" } else { " stale\n" });
    }
    Outcome::out(text)
}

fn kill(shell: &mut Shell<'_, '_>, signal: u32, uuid: &str) -> Outcome {
    let Some(runner) = shell
        .vm
        .runners
        .get_mut(uuid)
        .filter(|runner| runner.alive())
    else {
        return Outcome::default();
    };
    if runner.fate.ignores_term && signal != 9 {
        return Outcome::failed(
            1,
            format!("crunch-run: {uuid}: pid {} is still alive", runner.pid),
        )
        .taking(KILL_WAIT_MS);
    }
    let after = shell.surroundings.runner.kill_ms.draw(&mut shell.vm.luck);
    if !runner.terminating {
        runner.terminating = true;
        shell.effects.push(Effect::Terminate {
            uuid: uuid.to_owned(),
            pid: runner.pid,
            after,
        });
    }
    if after < KILL_WAIT_MS {
        Outcome::default().taking(after + 1)
    } else {
        Outcome::failed(
            1,
            format!("crunch-run: {uuid}: pid {} is still alive", runner.pid),
        )
        .taking(KILL_WAIT_MS)
    }
}

fn detach(shell: &mut Shell<'_, '_>, options: &[&str], uuid: &str, stdin: &[u8]) -> Outcome {
    if uuid.len() != 27 {
        return complain(
            shell,
            format!("crunch-run: malformed container UUID {uuid:?}"),
        );
    }
    if let Some(option) = options.iter().find(|option| !option.starts_with('-')) {
        return complain(shell, format!("crunch-run: unexpected argument {option:?}"));
    }
    let start = match document::Start::read(stdin, uuid, shell.surroundings.root_token) {
        Ok(start) => start,
        Err(message) => {
            let broken_off = message.contains("EOF while parsing");
            let message = format!("crunch-run: decode config from stdin: {message}");
            if broken_off {
                // What a dispatcher leaves that is killed, or cuts its calls off, in the midst of it.
                shell.effects.push(Effect::BrokenOff(message.clone()));
                return Outcome::failed(1, message);
            }
            return complain(shell, message);
        }
    };
    if shell.vm.runners.contains_key(uuid) {
        return Outcome::failed(
            1,
            format!(
                "crunch-run: lock /var/lock/crunch-run-{uuid}.lock: resource temporarily unavailable"
            ),
        );
    }
    let took = shell.surroundings.runner.detach_ms.draw(&mut shell.vm.luck);
    shell.vm.next_pid += 1;
    let pid = shell.vm.next_pid;
    shell.vm.runners.insert(
        uuid.to_owned(),
        Runner {
            uuid: uuid.to_owned(),
            pid,
            phase: Phase::Starting,
            fate: shell.surroundings.fate,
            terminating: false,
            listed_from: shell.surroundings.now.ms + took / 2,
            token: start.token,
            gateway_address: start.gateway_address,
        },
    );
    shell.effects.push(Effect::Began {
        uuid: uuid.to_owned(),
        pid,
    });
    Outcome::out(format!("{}\n", json!({ "UUID": uuid, "PID": pid }))).taking(took)
}
