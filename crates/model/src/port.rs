//! A TCP port by number or by name.

/// A port from text: a number from 1 to 65535, `ssh`, or the name or an alias of a TCP service in `services`, which is
/// asked for only if need be and has the form of /etc/services.
pub fn tcp_port(text: &str, services: impl FnOnce() -> String) -> Option<u16> {
    let text = text.trim();
    match text.parse() {
        Ok(number) => Some(number).filter(|number| *number > 0),
        Err(_) if text == "ssh" => Some(22),
        Err(_) => of_service(&services(), text),
    }
}

fn of_service(services: &str, name: &str) -> Option<u16> {
    services.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let first = words.next()?;
        let port = words.next()?.strip_suffix("/tcp")?.parse().ok()?;
        (first == name || words.any(|alias| alias == name)).then_some(port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICES: &str =
        "# list\ndomain 53/udp\nssh\t2222/tcp # login\nsubmission 587/tcp mail smtps\n\nodd\n";

    #[test]
    fn a_port_is_a_number_or_a_name() {
        for (text, port) in [
            ("22", Some(22)),
            (" 2222 ", Some(2222)),
            ("65535", Some(65535)),
            ("ssh", Some(22)),
            ("submission", Some(587)),
            ("smtps", Some(587)),
            ("", None),
            ("0", None),
            ("65536", None),
            ("-1", None),
            ("22x", None),
            ("domain", None),
            ("login", None),
            ("odd", None),
        ] {
            assert_eq!(tcp_port(text, || SERVICES.to_owned()), port, "{text:?}");
        }
    }

    #[test]
    fn nobody_is_asked_for_services_where_a_number_says_it() {
        assert_eq!(tcp_port("22", || panic!("asked")), Some(22));
    }
}
