//! Where results and remarks go: the process's own streams, or memory in tests.

use std::io::{self, Write};

use crate::exit::Exit;

/// Standard output for results, standard error for everything about them.
pub(crate) struct Out {
    results: Box<dyn Write>,
    remarks: Box<dyn Write>,
    /// Why a result could not be written.
    lost: Option<io::Error>,
}

impl Out {
    /// The streams of this process.
    pub(crate) fn process() -> Self {
        Out::new(Box::new(io::stdout()), Box::new(io::stderr()))
    }

    /// These streams.
    pub(crate) fn new(results: Box<dyn Write>, remarks: Box<dyn Write>) -> Self {
        Out {
            results,
            remarks,
            lost: None,
        }
    }

    /// Writes a result. Whoever stopped reading (`| head`) does not want the rest; any other failure is for `finish`.
    pub(crate) fn result(&mut self, text: &str) {
        let written = self.results.write_all(text.as_bytes());
        match written.and_then(|()| self.results.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                self.lost.get_or_insert(error);
            }
            _ => {}
        }
    }

    /// How it ended, now that all is written: failed if a result was lost, which is said.
    pub(crate) fn finish(&mut self, exit: Exit) -> Exit {
        match self.lost.take() {
            Some(error) => {
                self.err(&format!("error: cannot write the output: {error}"));
                Exit::Failed
            }
            None => exit,
        }
    }

    /// Writes one remark, as a line.
    pub(crate) fn err(&mut self, line: &str) {
        let _ = writeln!(self.remarks, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Refusing(io::ErrorKind);

    impl Write for Refusing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_a_reader_who_has_gone_may_miss_the_output() {
        for (refusal, expected) in [
            (io::ErrorKind::BrokenPipe, Exit::Done),
            (io::ErrorKind::StorageFull, Exit::Failed),
        ] {
            let mut out = Out::new(Box::new(Refusing(refusal)), Box::new(io::sink()));
            out.result("a result");
            assert_eq!(out.finish(Exit::Done), expected, "{refusal:?}");
        }
    }
}
