//! Hosts, addresses and ports, each a list.

use std::{collections::BTreeMap, net::Ipv6Addr};

use super::{Place, SettingsError, error};

/// More hosts than this would not be got round in time.
const PLACES_MAX: usize = 8;

pub(super) fn places(keys: &BTreeMap<String, String>) -> Result<Vec<Place>, SettingsError> {
    let list = |key: &str| -> Vec<String> {
        let text = keys.get(key).map(String::as_str).unwrap_or_default();
        let parts = text.split(',').map(|part| part.trim().to_owned());
        if text.is_empty() {
            vec![]
        } else {
            parts.collect()
        }
    };
    let (hosts, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    let n = hosts.len().max(addresses.len()).max(1);
    if n > PLACES_MAX {
        return Err(error(
            "host",
            format!("has {n} hosts"),
            &format!("write {PLACES_MAX} at most"),
        ));
    }
    for (key, found) in [("host", &hosts), ("hostaddr", &addresses)] {
        if found.len() > 1 && found.len() != n {
            return Err(error(
                key,
                format!("has {} entries, and there are {n} hosts", found.len()),
                "write as many entries in host as in hostaddr",
            ));
        }
    }
    if ports.len() > 1 && ports.len() != n {
        return Err(error(
            "port",
            format!("has {} entries, and there are {n} hosts", ports.len()),
            "write one port, or one for each host",
        ));
    }
    for host in &hosts {
        check_host(host)?;
    }
    (0..n)
        .map(|i| {
            let address = addresses.get(i).filter(|text| !text.is_empty());
            let address = address.map(|text| {
                text.parse().map_err(|_| {
                    error(
                        "hostaddr",
                        format!("{text:?} is no IP address"),
                        "write one as in 10.0.0.7, or use host",
                    )
                })
            });
            let address: Option<std::net::IpAddr> = address.transpose()?;
            let host = match hosts.get(i).filter(|host| !host.is_empty()) {
                Some(host) => host.clone(),
                None => address.map_or("localhost".to_owned(), |address| address.to_string()),
            };
            let port = ports.get(i).or(ports.first()).map(String::as_str);
            let port = match port.unwrap_or_default() {
                "" => 5432,
                text => text.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
                    error(
                        "port",
                        format!("{text:?} is no port"),
                        "write a number from 1 to 65535, usually 5432",
                    )
                })?,
            };
            Ok(Place {
                host,
                address,
                port,
            })
        })
        .collect()
}

/// What can be no name, no address and no directory, and would be looked up as a name for ever. The value is not shown: it
/// may be a URL with a password in it.
fn check_host(host: &str) -> Result<(), SettingsError> {
    if host.starts_with('/') || host.parse::<Ipv6Addr>().is_ok() {
        return Ok(());
    }
    let remedy = "write a host's name or address alone";
    if host.contains(['/', '@']) {
        let problem = "looks like a URL or a path".to_owned();
        let remedy = "write a host's name or address alone, and user, password, port and dbname under their own keys; \
                      a directory begins with /";
        return Err(error("host", problem, remedy));
    }
    if host.contains(['[', ']']) {
        let problem = "has brackets".to_owned();
        return Err(error(
            "host",
            problem,
            &format!("{remedy}, without brackets"),
        ));
    }
    if host.contains(':') {
        let problem = "has a port, or is no IPv6 address".to_owned();
        return Err(error(
            "host",
            problem,
            &format!("{remedy}, and the port under port"),
        ));
    }
    if host.contains(char::is_whitespace) {
        let problem = "has a space in it".to_owned();
        return Err(error(
            "host",
            problem,
            &format!("{remedy}; several with commas between"),
        ));
    }
    Ok(())
}
