//! The way of the log out of the process. Nobody ever waits for whoever reads it: lines that find no room are counted
//! and dropped, and a reader that has gone is no error.

use std::{
    collections::VecDeque,
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// Lines that may wait: some megabytes at most.
const LINES_MAX: usize = 8192;
/// How long the last lines get when the process ends.
const LAST_LINES_WITHIN: Duration = Duration::from_secs(1);

/// Takes lines and returns at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outlet(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// The thread has taken lines and not yet written them all.
    writing: bool,
    /// How many lines found no room.
    lost: u64,
}

/// Lets the last lines out when dropped, if that goes quickly.
#[derive(Debug)]
#[must_use = "the last lines of the log are lost without it"]
pub struct LogGuard(Outlet);

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.0.drain(LAST_LINES_WITHIN);
    }
}

impl Outlet {
    /// Starts the thread that writes to this sink, one line at a time.
    pub(crate) fn start(mut sink: impl Write + Send + 'static) -> io::Result<(Outlet, LogGuard)> {
        let outlet = Outlet::default();
        let writer = outlet.clone();
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer.write_for_ever(&mut sink))?;
        Ok((outlet.clone(), LogGuard(outlet)))
    }

    /// How many lines have been lost since this was asked last.
    pub(crate) fn take_lost(&self) -> u64 {
        mem::take(&mut self.state().lost)
    }

    fn put(&self, line: &[u8]) {
        let mut state = self.state();
        if state.lines.len() < LINES_MAX {
            state.lines.push_back(line.to_vec());
            drop(state);
            self.0.changed.notify_all();
        } else {
            state.lost += 1;
        }
    }

    fn write_for_ever(&self, sink: &mut dyn Write) {
        loop {
            let state = self.state();
            let waited = self
                .0
                .changed
                .wait_while(state, |state| state.lines.is_empty());
            let mut state = waited.unwrap_or_else(PoisonError::into_inner);
            let lines = mem::take(&mut state.lines);
            state.writing = true;
            drop(state);
            for line in lines {
                // The reader has gone, or the disk is full: the daemon has other duties.
                let _ = sink.write_all(&line);
            }
            self.state().writing = false;
            self.0.changed.notify_all();
        }
    }

    fn drain(&self, within: Duration) {
        let unwritten = |state: &mut State| state.writing || !state.lines.is_empty();
        let state = self.state();
        // Whatever is left after that nobody reads.
        let _ = self.0.changed.wait_timeout_while(state, within, unwritten);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For the subscriber, which writes each line with one call.
impl Write for Outlet {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_reader_that_does_not_read_costs_lines_and_no_time() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let (mut outlet, guard) = Outlet::start(writer).expect("a thread");
        let line = [b'x'; 99];
        // Some lines fit into the pipe, and two queues' worth may be on their way there.
        for _ in 0..3 * LINES_MAX {
            outlet.write_all(&line).expect("taken at once");
        }
        assert!(outlet.take_lost() > 0);
        assert_eq!(outlet.take_lost(), 0);

        // Once somebody reads, what waited comes out whole.
        let reading = thread::spawn(move || {
            let mut got = 0;
            let mut piece = [0; 4096];
            while got < LINES_MAX * line.len() {
                got += reader.read(&mut piece).expect("read");
            }
            got
        });
        assert!(reading.join().expect("no panic") >= LINES_MAX * line.len());
        drop(guard);
    }

    #[test]
    fn the_last_lines_come_out_and_a_reader_that_has_gone_is_no_error() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let (mut outlet, guard) = Outlet::start(writer).expect("a thread");
        outlet.write_all(b"first\n").expect("taken");
        outlet.write_all(b"last\n").expect("taken");
        drop(guard);
        let mut got = [0; 11];
        reader.read_exact(&mut got).expect("read");
        assert_eq!(&got, b"first\nlast\n");
        drop(reader);
        outlet.write_all(b"into the void\n").expect("taken");
        outlet.drain(Duration::from_secs(20));
        assert!(!outlet.state().writing && outlet.state().lines.is_empty());
    }
}
