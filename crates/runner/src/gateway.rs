//! Where and with which secret a container's gateway is reached (facts R8, R9).

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use dispatch_model::ContainerId;

/// The gateway's address for the runner: the instance's host without its SSH port, and port 0, which lets the runner
/// choose one. A bare IPv6 address gets brackets.
pub fn gateway_address(instance_address: &str) -> String {
    let host = without_port(instance_address);
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:0")
    } else {
        format!("{host}:0")
    }
}

/// HMAC-SHA256 of the container's UUID under the SystemRootToken, in lowercase hexadecimal digits.
pub fn gateway_secret(system_root_token: &str, container: &ContainerId) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(system_root_token.as_bytes())
        .expect("HMAC takes keys of any length");
    mac.update(container.as_str().as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// `host`, `host:port`, `[v6]`, `[v6]:port` or a bare `v6`, without the port.
fn without_port(address: &str) -> &str {
    if let Some(end) = address.strip_prefix('[').and_then(|rest| rest.find(']')) {
        return &address[..end + 2];
    }
    match address.split_once(':') {
        Some((host, port)) if !port.contains(':') => host,
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ssh_port_is_dropped_and_ipv6_is_bracketed() {
        for (address, expected) in [
            ("127.10.1.3:4022", "127.10.1.3:0"),
            ("10.0.0.1", "10.0.0.1:0"),
            ("vm.example:22", "vm.example:0"),
            ("fd00::1", "[fd00::1]:0"),
            ("[fd00::1]", "[fd00::1]:0"),
            ("[fd00::1]:22", "[fd00::1]:0"),
            ("", ":0"),
        ] {
            assert_eq!(gateway_address(address), expected, "{address}");
        }
    }

    /// RFC 4231, test case 2.
    #[test]
    fn the_secret_is_the_hmac_of_the_uuid() {
        assert_eq!(
            gateway_secret("Jefe", &"what do ya want for nothing?".into()),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
