//! Addresses of services: `scheme://host[:port][/path]`.

use std::fmt;

/// A service's URL, taken apart. An empty host, as in `http://:9006`, means every interface of this machine.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Address {
    /// Whether it is https (or wss).
    pub tls: bool,
    /// Name or IP address; IPv6 without brackets.
    pub host: String,
    /// The port, the scheme's own if none was written.
    pub port: u16,
    /// The path, without a slash at its end: "" or "/something".
    pub path: String,
    /// Whether the port was written.
    port_written: bool,
}

/// Why a text is not an address.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AddressError {
    /// The scheme is missing or another one.
    #[error("does not begin with http:// or https://")]
    Scheme,
    /// There is a user name in it.
    #[error("has a user name or password in it")]
    UserInfo,
    /// The host has characters that no host has.
    #[error("has a host that is not valid")]
    Host,
    /// The port is none.
    #[error("has a port that is not a number from 1 to 65535")]
    Port,
    /// A query or a fragment follows.
    #[error("has something after its path")]
    Tail,
}

impl Address {
    /// Reads an address. The host may be empty.
    pub fn parse(text: &str) -> Result<Address, AddressError> {
        let (scheme, rest) = text.split_once("://").ok_or(AddressError::Scheme)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => false,
            "https" | "wss" => true,
            _ => return Err(AddressError::Scheme),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(AddressError::UserInfo);
        }
        if path.contains(['?', '#']) {
            return Err(AddressError::Tail);
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (host, after) = bracketed.split_once(']').ok_or(AddressError::Host)?;
                host.parse::<std::net::Ipv6Addr>()
                    .map_err(|_| AddressError::Host)?;
                let port = after.strip_prefix(':').or(after.is_empty().then_some(""));
                (host, port.ok_or(AddressError::Port)?)
            }
            None => authority.split_once(':').unwrap_or((authority, "")),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if !authority.starts_with('[') && !host.chars().all(is_name) {
            return Err(AddressError::Host);
        }
        let port_written = !port.is_empty();
        let port = match port {
            "" if tls => 443,
            "" => 80,
            text if text.bytes().all(|b| b.is_ascii_digit()) => text
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or(AddressError::Port)?,
            _ => return Err(AddressError::Port),
        };
        Ok(Address {
            tls,
            host: host.to_owned(),
            port,
            path: path.trim_end_matches('/').to_owned(),
            port_written,
        })
    }

    /// `host` or `host:port` as it was written: what runners get as `ARVADOS_API_HOST` (facts §2.2.2).
    pub fn host_port(&self) -> String {
        let host = self.bracketed_host();
        if self.port_written {
            format!("{host}:{}", self.port)
        } else {
            host
        }
    }

    /// `host:port`, always with the port: for connecting and listening.
    pub fn socket(&self) -> String {
        format!("{}:{}", self.bracketed_host(), self.port)
    }

    fn bracketed_host(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        }
    }
}

/// The URL, without a slash at its end.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.host_port(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart_and_put_together() {
        let rows = [
            (
                "https://arvados.example/",
                "https://arvados.example",
                "arvados.example",
                "arvados.example:443",
            ),
            (
                "http://10.0.0.1:9006",
                "http://10.0.0.1:9006",
                "10.0.0.1:9006",
                "10.0.0.1:9006",
            ),
            (
                "HTTPS://h:8443/a/b/",
                "https://h:8443/a/b",
                "h:8443",
                "h:8443",
            ),
            ("http://:9006/", "http://:9006", ":9006", ":9006"),
            ("http://[::1]:80", "http://[::1]:80", "[::1]:80", "[::1]:80"),
            (
                "http://[fe80::1]",
                "http://[fe80::1]",
                "[fe80::1]",
                "[fe80::1]:80",
            ),
            (
                "wss://ws.example",
                "https://ws.example",
                "ws.example",
                "ws.example:443",
            ),
            ("https://h:", "https://h", "h", "h:443"),
        ];
        for (text, url, host_port, socket) in rows {
            let address = Address::parse(text).unwrap();
            assert_eq!(
                (address.to_string().as_str(), address.host_port().as_str()),
                (url, host_port),
                "{text}"
            );
            assert_eq!(address.socket(), socket, "{text}");
        }
    }

    #[test]
    fn what_is_not_an_address_is_refused() {
        let rows = [
            ("", AddressError::Scheme),
            ("arvados.example", AddressError::Scheme),
            ("ftp://h", AddressError::Scheme),
            ("https://joe:pw@h", AddressError::UserInfo),
            ("https://h h", AddressError::Host),
            ("https://::1", AddressError::Port),
            ("https://[::1", AddressError::Host),
            ("https://[x]", AddressError::Host),
            ("https://[::1]x", AddressError::Port),
            ("https://h:0", AddressError::Port),
            ("https://h:65536", AddressError::Port),
            ("https://h:+80", AddressError::Port),
            ("https://h/?x", AddressError::Tail),
            ("https://h#x", AddressError::Tail),
        ];
        for (text, error) in rows {
            assert_eq!(Address::parse(text), Err(error), "{text}");
        }
    }
}
