//! Where an instance listens, as drivers write it.

use std::fmt;

/// A host and a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Endpoint {
    /// A name or an address, without brackets.
    pub(crate) host: String,
    /// The TCP port.
    pub(crate) port: u16,
}

impl Endpoint {
    /// From `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address (facts X1). Says what is wrong.
    pub(crate) fn parse(text: &str, default_port: u16) -> Result<Self, String> {
        let text = text.trim();
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, after) = rest
                .split_once(']')
                .ok_or_else(|| wrong(text, "a bracket is missing"))?;
            match after.strip_prefix(':') {
                Some(port) => (host, port),
                None if after.is_empty() => (host, ""),
                None => return Err(wrong(text, "only a port may follow the bracket")),
            }
        } else {
            match text.matches(':').count() {
                1 => text.split_once(':').expect("there is a colon"),
                _ => (text, ""),
            }
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(wrong(text, "it names no host"));
        }
        let port = match port {
            "" => default_port,
            port => crate::settings::port(port).map_err(|error| wrong(text, &error.to_string()))?,
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn wrong(text: &str, why: &str) -> String {
    format!("the address \"{text}\" is not host, host:port, [IPv6]:port or an IPv6 address: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_in_all_these_forms() {
        for (text, expected) in [
            ("10.1.2.3", "10.1.2.3:22"),
            ("10.1.2.3:2222", "10.1.2.3:2222"),
            (" vm-7.internal ", "vm-7.internal:22"),
            ("vm-7.internal:ssh", "vm-7.internal:22"),
            ("vm-7:", "vm-7:22"),
            ("::1", "[::1]:22"),
            ("fd00::17", "[fd00::17]:22"),
            ("[fd00::17]", "[fd00::17]:22"),
            ("[fd00::17]:2222", "[fd00::17]:2222"),
        ] {
            assert_eq!(
                Endpoint::parse(text, 22).expect(text).to_string(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for (text, why) in [
            (":22", "it names no host"),
            ("[]:22", "it names no host"),
            ("[::1", "a bracket is missing"),
            ("[::1]22", "only a port may follow"),
            ("host:port", "\"port\" is no port"),
            ("a b", "it names no host"),
        ] {
            let error = Endpoint::parse(text, 22).expect_err(text);
            assert!(error.contains(why) && error.contains(text), "{error}");
        }
    }
}
