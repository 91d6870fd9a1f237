//! The TCP connection below a session, as the actor needs it.

use std::{io, net::Shutdown, os::fd::AsRawFd, sync::Arc, time::Duration};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;
use tokio::{io::Interest, net::TcpStream};

const BOTH_WAYS: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// For so long the kernel tries to bring what was sent across a line that does not answer, or to a server that does not
/// read. A command of a dispatcher that has lost its lock shall not arrive when the line is mended.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(10);

/// Our handle of the socket; libssh2 has a second one of the same socket and does all reading and writing.
pub(crate) struct Socket(Arc<TcpStream>);

impl Socket {
    /// Takes over a connected socket; the second value is libssh2's handle.
    pub(crate) fn new(stream: TcpStream) -> io::Result<(Self, Arc<TcpStream>)> {
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
        let stream = Arc::new(stream);
        Ok((Self(Arc::clone(&stream)), stream))
    }

    /// Waits until something has changed, in either direction: libssh2's own word on what it waits for cannot be
    /// trusted. Says whether the server has closed its side. The caller then tries everything, so that whatever came
    /// before this returned is seen. Cancel-safe.
    pub(crate) async fn changed(&self) -> io::Result<bool> {
        let closed = self.0.ready(BOTH_WAYS).await?.is_read_closed();
        // "Would block" makes tokio forget what was ready, and wait for the next change; one direction a call.
        for direction in [Interest::READABLE, Interest::WRITABLE] {
            let _ = self
                .0
                .try_io::<()>(direction, || Err(io::ErrorKind::WouldBlock.into()));
        }
        Ok(closed)
    }

    /// Whether a small packet can be sent whole. libssh2 keeps some packets on its stack; when one of these is sent
    /// in part, nobody can ever send the rest, and the connection is stuck for good.
    pub(crate) fn takes_a_packet(&self) -> bool {
        let mut polled = [PollFd::new(&*self.0, PollFlags::OUT)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut polled, Some(&now)).is_ok_and(|n| n == 1)
            && polled[0].revents().contains(PollFlags::OUT)
    }

    /// How long ago the last data came from the server.
    pub(crate) fn silence(&self) -> io::Result<Duration> {
        let info = tcp_info(&self.0)?;
        Ok(Duration::from_millis(info.last_data_recv.into()))
    }

    /// How many bytes have come from the server so far.
    pub(crate) fn received(&self) -> io::Result<u64> {
        Ok(tcp_info(&self.0)?.bytes_received)
    }

    /// Ends the connection for both handles. libssh2 frees everything only when its sends fail outright.
    pub(crate) fn shut(&self) {
        // It may be gone already.
        let _ = SockRef::from(&*self.0).shutdown(Shutdown::Both);
    }
}

/// What we want to know of the kernel's `struct tcp_info`; that of libc ends before the count of bytes.
struct TcpInfo {
    /// Milliseconds.
    last_data_recv: u32,
    bytes_received: u64,
}

/// A part of `struct tcp_info` (linux/tcp.h), by place: the layout is part of the kernel's interface.
const LAST_DATA_RECV_AT: usize = 52;
const BYTES_RECEIVED_AT: usize = 128;
const TCP_INFO_BYTES: usize = BYTES_RECEIVED_AT + 8;

#[expect(
    unsafe_code,
    reason = "neither std nor socket2 nor rustix asks for TCP_INFO"
)]
fn tcp_info(stream: &TcpStream) -> io::Result<TcpInfo> {
    let mut info = [0_u8; TCP_INFO_BYTES];
    let mut length = info.len() as libc::socklen_t;
    // SAFETY: the descriptor is open as long as `stream` lives, and the kernel writes at most `length` bytes to `info`.
    let answer = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    let number = |at: usize| info[at..at + 4].try_into().map(u32::from_ne_bytes);
    let long_number = |at: usize| info[at..at + 8].try_into().map(u64::from_ne_bytes);
    Ok(TcpInfo {
        last_data_recv: number(LAST_DATA_RECV_AT).expect("four bytes"),
        bytes_received: long_number(BYTES_RECEIVED_AT).expect("eight bytes"),
    })
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.shut();
    }
}
