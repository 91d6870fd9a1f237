//! Ports for servers that are told theirs, such as a daemon's management API.

use std::{
    io,
    net::TcpListener,
    sync::atomic::{AtomicU32, Ordering},
};

const FIRST: u32 = 12_000;
const PORTS: u32 = 20_000;

/// A port that is free at this moment on all addresses, each time another one; an error if none is.
///
/// It lies below those that the kernel gives to connections and to servers that do not choose (32768 and up): nobody
/// takes it before the server that it is for.
pub fn free_port() -> io::Result<u16> {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Programs that run side by side begin in different places.
    let begin = std::process::id().wrapping_mul(101);
    for _ in 0..PORTS {
        let place = begin.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % PORTS;
        let port = u16::try_from(FIRST + place).map_err(io::Error::other)?;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return Ok(port);
        }
    }
    let message = format!("no port from {FIRST} to {} is free", FIRST + PORTS - 1);
    Err(io::Error::new(io::ErrorKind::AddrInUse, message))
}

/// 127.0.0.1 with such a port.
pub fn free_address() -> io::Result<String> {
    Ok(format!("127.0.0.1:{}", free_port()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once_and_never_one_that_the_kernel_gives_to_connections() {
        let given: Vec<u16> = (0..50).map(|_| free_port().expect("a port")).collect();
        let mut once = given.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), given.len());
        let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("read");
        let first: u16 = text.split_whitespace().next().unwrap().parse().unwrap();
        assert!(given.iter().all(|port| *port < first), "{given:?} {first}");
    }

    #[test]
    fn a_port_in_use_is_not_given() {
        let held = free_port().expect("a port");
        let _held = TcpListener::bind(("127.0.0.1", held)).expect("it is free");
        assert!((0..200).all(|_| free_port().expect("a port") != held));
    }
}
