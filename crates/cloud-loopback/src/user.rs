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

/// The command as it can be run here: root needs no `sudo` (facts L3), which may not be installed.
pub(crate) fn without_needless_sudo(line: &str, is_root: bool) -> &str {
    match line.strip_prefix("sudo ") {
        Some(rest) if is_root => rest.trim_start(),
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sudo_is_left_out_for_root_only() {
        assert_eq!(without_needless_sudo("sudo cat x", true), "cat x");
        assert_eq!(without_needless_sudo("sudo cat x", false), "sudo cat x");
        assert_eq!(without_needless_sudo("sudoku", true), "sudoku");
        assert_eq!(without_needless_sudo("echo sudo x", true), "echo sudo x");
    }

    #[test]
    fn we_have_a_name() {
        assert!(!name().is_empty());
        assert_eq!(name() == "root", is_root());
    }
}
