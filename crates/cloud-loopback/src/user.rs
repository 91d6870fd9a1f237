//! Who we are on this host.

use std::fs;

/// Whether commands that need root need no `sudo`.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The name of the user we run as; the number where there is no name.
pub(crate) fn name() -> String {
    let uid = rustix::process::geteuid().as_raw().to_string();
    if is_root() {
        return "root".to_owned();
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    name.unwrap_or(uid)
}

/// The command as it can be run here: root needs no `sudo` (facts L3), which may not be installed. What others run
/// by `sudo` is given the variable of this name by `env`, since `sudo` passes none on.
pub(crate) fn runnable(line: &str, is_root: bool, variable: &str) -> String {
    match line.strip_prefix(SUDO).map(str::trim_start) {
        Some(command) if is_root => command.to_owned(),
        Some(command) => format!("sudo env \"{variable}=${variable}\" {command}"),
        None => line.to_owned(),
    }
}

/// Whether a command runs as somebody else than we.
pub(crate) fn runs_as_root(line: &str, is_root: bool) -> bool {
    !is_root && line.starts_with(SUDO)
}

/// How commands that need root begin (facts §2.2).
const SUDO: &str = "sudo ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sudo_is_left_out_for_root_and_told_the_mark_for_others() {
        let check = |line: &str, is_root: bool, expected: &str| {
            assert_eq!(runnable(line, is_root, "MARK"), expected);
        };
        check("sudo cat x", true, "cat x");
        check("sudo cat x", false, "sudo env \"MARK=$MARK\" cat x");
        for other in ["sudoku", "echo sudo x"] {
            check(other, true, other);
            check(other, false, other);
        }
    }

    #[test]
    fn we_have_a_name() {
        assert!(!name().is_empty());
        assert_eq!(name() == "root", is_root());
    }
}
