//! The programs that a virtual machine has.

use super::{
    Ailment, SECRET_FILE, runner_commands, scripts,
    shell::{Outcome, Shell},
};

/// Runs one program.
pub(crate) fn run(shell: &mut Shell<'_, '_>, words: &[String], stdin: &[u8]) -> Outcome {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some((program, arguments)) = words.split_first() else {
        return Outcome::default();
    };
    match (*program, arguments) {
        ("true" | ":", _) => Outcome::default(),
        ("false", _) => Outcome::status(1),
        ("sudo", arguments) => sudo(shell, arguments, stdin),
        ("sh" | "bash" | "/bin/sh" | "/bin/bash", ["-c", script, ..]) => {
            let user = shell.user.clone();
            shell.nested(&user, |inner| inner.script(script, stdin))
        }
        ("sh" | "bash" | "/bin/sh" | "/bin/bash", ["-e" | "-ec", script, ..]) => {
            let user = shell.user.clone();
            shell.nested(&user, |inner| {
                inner.stop_on_error = true;
                inner.script(script, stdin)
            })
        }
        ("set", flags) => {
            shell.stop_on_error |= flags
                .iter()
                .any(|flag| flag.starts_with('-') && flag.contains('e'));
            Outcome::default()
        }
        ("exit", rest) => {
            shell.stop = true;
            Outcome::status(
                rest.first()
                    .and_then(|status| status.parse().ok())
                    .unwrap_or(0),
            )
        }
        ("umask", [mask]) => match u32::from_str_radix(mask, 8) {
            Ok(mask) => {
                shell.umask = mask;
                Outcome::default()
            }
            Err(_) => Outcome::failed(2, format!("sh: umask: Illegal number: {mask}")),
        },
        ("echo", ["-n", rest @ ..]) => Outcome::out(rest.join(" ")),
        ("echo", rest) => Outcome::out(format!("{}\n", rest.join(" "))),
        ("printf", ["%s", rest @ ..]) => Outcome::out(rest.concat()),
        ("printf", ["%s\\n", rest @ ..]) => Outcome::out(
            rest.iter()
                .map(|word| format!("{word}\n"))
                .collect::<String>(),
        ),
        ("printf", [text]) if !text.contains(['%', '\\']) => Outcome::out(*text),
        ("cat", []) => Outcome::out(stdin),
        ("cat", paths) => cat(shell, paths),
        ("mkdir", ["-p", paths @ ..] | paths) => {
            for path in paths {
                let mode = 0o777 & !shell.umask;
                shell.vm.files.make_directory(path, mode);
            }
            Outcome::default()
        }
        ("touch", paths) => {
            for path in paths {
                let missing = shell.vm.files.get(path).is_none();
                if let Some(Err(message)) = missing.then(|| shell.write(path, &[], false)) {
                    return Outcome::failed(1, format!("touch: {message}"));
                }
            }
            Outcome::default()
        }
        ("chmod", [mode, paths @ ..]) => chmod(shell, mode, paths),
        ("rm", paths) => {
            for path in paths.iter().filter(|path| !path.starts_with('-')) {
                shell.vm.files.remove(path);
            }
            Outcome::default()
        }
        ("mv", ["-f", from, to] | [from, to]) => match shell.vm.files.get(from).cloned() {
            Some(file) => {
                shell.vm.files.remove(from);
                shell.vm.files.put(to, file);
                Outcome::default()
            }
            None => Outcome::failed(
                1,
                format!("mv: cannot stat '{from}': No such file or directory"),
            ),
        },
        ("md5sum", paths) => md5sum(shell, paths),
        ("sleep", [secs]) => Outcome::default().taking(
            secs.parse::<f64>()
                .map_or(0, |secs| (secs.max(0.0) * 1000.0) as u64),
        ),
        ("id", ["-u"]) => Outcome::out(if shell.is_root() { "0\n" } else { "1000\n" }),
        ("whoami", []) | ("id", ["-un"]) => Outcome::out(format!("{}\n", shell.user)),
        ("hostname", []) => Outcome::out(format!("{}\n", shell.vm.instance)),
        ("systemctl", ["is-system-running"]) => boot_probe(shell),
        (program, arguments) => runner(shell, program, arguments, stdin),
    }
}

fn sudo(shell: &mut Shell<'_, '_>, arguments: &[&str], stdin: &[u8]) -> Outcome {
    let (user, command) = scripts::sudo_to(arguments);
    if !shell.knows(user) {
        return Outcome::failed(
            1,
            format!(
                "sudo: unknown user {user}\nsudo: error initializing audit plugin sudoers_audit"
            ),
        );
    }
    if command.is_empty() {
        return Outcome::failed(1, "usage: sudo command");
    }
    let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
    shell.nested(user, |inner| inner.simple(&command, stdin))
}

/// A machine whose boot probe fails says what a systemd that is not done says.
fn boot_probe(shell: &Shell<'_, '_>) -> Outcome {
    let late = shell.surroundings.now.ms < shell.vm.boot_probe_ok_from;
    if late || shell.vm.ailment == Ailment::BootProbeFails {
        return Outcome {
            status: 1,
            ..Outcome::out("starting\n")
        };
    }
    Outcome::out("running\n")
}

fn cat(shell: &mut Shell<'_, '_>, paths: &[&str]) -> Outcome {
    let mut outcome = Outcome::default();
    for path in paths {
        match shell.vm.files.get(path) {
            Some(file) if !shell.is_root() && file.mode & 0o004 == 0 => {
                return Outcome::failed(1, format!("cat: {path}: Permission denied"));
            }
            Some(file) => outcome
                .stdout
                .extend(file.content.clone().unwrap_or_default()),
            None => return Outcome::failed(1, format!("cat: {path}: No such file or directory")),
        }
        if *path == SECRET_FILE {
            shell.vm.secret_read = true;
        }
    }
    outcome
}

fn chmod(shell: &mut Shell<'_, '_>, mode: &str, paths: &[&str]) -> Outcome {
    let Ok(mode) = u32::from_str_radix(mode, 8) else {
        return Outcome::failed(1, format!("chmod: invalid mode: '{mode}'"));
    };
    for path in paths {
        if !shell.vm.files.chmod(path, mode) && !shell.vm.files.is_directory(path) {
            return Outcome::failed(
                1,
                format!("chmod: cannot access '{path}': No such file or directory"),
            );
        }
    }
    Outcome::default()
}

fn md5sum(shell: &Shell<'_, '_>, paths: &[&str]) -> Outcome {
    let mut outcome = Outcome::default();
    for path in paths {
        match shell.vm.files.get(path) {
            Some(file) => outcome
                .stdout
                .extend(format!("{}  {path}\n", file.md5).bytes()),
            None => {
                return Outcome::failed(1, format!("md5sum: {path}: No such file or directory"));
            }
        }
    }
    outcome
}

/// Anything else: the runner, if it is there and its content is what its name says.
fn runner(shell: &mut Shell<'_, '_>, program: &str, arguments: &[&str], stdin: &[u8]) -> Outcome {
    let path = if program.contains('/') {
        program.to_owned()
    } else {
        format!("/usr/bin/{program}")
    };
    let name = path.rsplit('/').next().unwrap_or_default();
    let missing = || Outcome::failed(127, format!("sh: 1: {program}: not found"));
    if name.split('~').next() != Some("crunch-run") || shell.vm.ailment == Ailment::RunnerMissing {
        return missing();
    }
    let Some(file) = shell.vm.files.get(&path) else {
        return missing();
    };
    if file.mode & 0o111 == 0 {
        return Outcome::failed(126, format!("sh: 1: {program}: Permission denied"));
    }
    // A binary that was cut short is not the one its name promises.
    if name.split_once('~').is_some_and(|(_, md5)| md5 != file.md5) {
        return Outcome::failed(
            126,
            format!("sh: 1: {program}: cannot execute binary file: Exec format error"),
        );
    }
    runner_commands::run(shell, arguments, stdin)
}
