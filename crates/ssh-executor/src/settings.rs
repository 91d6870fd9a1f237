//! What all connections of one executor have in common.

use std::{fs, time::Duration};

/// How to connect, how long to wait for what, and how much to keep. Durations are for one step each; a caller's own
/// deadline ends everything it waits for earlier.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The user to log in as. Unless it is `root`, the default verification reads the secret with `sudo` (facts X5).
    pub user: String,
    /// Where to connect if the address names no port (facts §2.6 SSHPort; see [`port`]).
    pub default_port: u16,
    /// For the TCP connection, and for the server's banner, while an instance is expected to boot, that is until it was
    /// connected for the first time. Grows by itself, up to `connect` and `banner`, when they come too late.
    pub boot_reach: Duration,
    /// For the TCP connection, afterwards.
    pub connect: Duration,
    /// For the server's banner, afterwards.
    pub banner: Duration,
    /// For a turn at the handshake gate.
    pub gate: Duration,
    /// For the key exchange.
    pub handshake: Duration,
    /// For the login.
    pub auth: Duration,
    /// For the verification command.
    pub verify: Duration,
    /// How many handshakes and logins run at a time, counted from the server's banner: they cost processor time,
    /// and waiting for a banner costs none.
    pub handshakes_max: usize,
    /// After how much silence the server is asked for a sign of life.
    pub keepalive: Duration,
    /// After how much silence the connection counts as dead. More than `keepalive`.
    pub dead_after: Duration,
    /// Commands at a time on one connection, long-lived ones included. A server's MaxSessions is 10 unless set
    /// (facts K18); two are left as a margin for sessions whose end the server has yet to notice.
    pub channels_max: usize,
    /// Commands that may wait for a channel; one more is refused at once. As many containers as fit on the largest
    /// instance may start together.
    pub queue_max: usize,
    /// How long a server may take to open a channel and start a command in it, and how long commands may wait while
    /// abandoned ones hold all channels, before a new connection is made.
    pub stuck_after: Duration,
    /// How much is kept of each output stream of a command; the rest is read and dropped, and the output is marked.
    pub output_bytes_max: usize,
    /// How long writing a line to a long-lived command may take.
    pub line_write: Duration,
    /// The pause after a first failure to connect; it doubles with each further one.
    pub pause_min: Duration,
    /// The longest pause.
    pub pause_max: Duration,
}

impl Settings {
    /// The values that suit instances in a cloud's own network.
    pub fn new(user: impl Into<String>, default_port: u16) -> Self {
        Self {
            user: user.into(),
            default_port,
            boot_reach: Duration::from_secs(1),
            connect: Duration::from_secs(10),
            banner: Duration::from_secs(10),
            gate: Duration::from_secs(30),
            handshake: Duration::from_secs(20),
            auth: Duration::from_secs(20),
            verify: Duration::from_secs(10),
            handshakes_max: 64,
            keepalive: Duration::from_secs(15),
            dead_after: Duration::from_secs(45),
            channels_max: 8,
            queue_max: 512,
            stuck_after: Duration::from_secs(10),
            output_bytes_max: 16 << 20,
            line_write: Duration::from_secs(10),
            pause_min: Duration::from_millis(200),
            pause_max: Duration::from_secs(10),
        }
    }

    /// "sudo " unless the login user is root (facts §2.2).
    pub(crate) fn sudo(&self) -> &'static str {
        if self.user == "root" { "" } else { "sudo " }
    }
}

/// A port by number or by name, as `Containers.CloudVMs.SSHPort` has it: "22", "ssh", or a name in /etc/services.
pub fn port(text: &str) -> Result<u16, PortError> {
    let services = || fs::read_to_string("/etc/services").unwrap_or_default();
    dispatch_model::tcp_port(text, services).ok_or_else(|| PortError(text.trim().to_owned()))
}

/// Neither a port number nor the name of a service.
#[derive(Debug, thiserror::Error)]
#[error(
    "\"{0}\" is no port: write a number from 1 to 65535, \"ssh\", or a TCP service of /etc/services"
)]
pub struct PortError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_number_or_a_name() {
        assert_eq!(port("22").expect("a number"), 22);
        assert_eq!(port(" 2222 ").expect("a number"), 2222);
        assert_eq!(port("ssh").expect("a name"), 22);
        for wrong in ["", "0", "65536", "-1", "no-such-service", "22x"] {
            let error = port(wrong).expect_err(wrong).to_string();
            assert!(
                error.starts_with(&format!("\"{wrong}\" is no port")),
                "{error}"
            );
        }
    }
}
