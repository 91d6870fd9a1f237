//! Where results and remarks go: the process's own streams, or memory in tests.

use std::io::{self, Write};

/// Standard output for results, standard error for everything about them.
pub(crate) struct Out {
    results: Box<dyn Write>,
    remarks: Box<dyn Write>,
}

impl Out {
    /// The streams of this process.
    pub(crate) fn process() -> Self {
        Out::new(Box::new(io::stdout()), Box::new(io::stderr()))
    }

    /// These streams.
    pub(crate) fn new(results: Box<dyn Write>, remarks: Box<dyn Write>) -> Self {
        Out { results, remarks }
    }

    /// Writes a result. Whoever stopped reading (`| head`) does not want the rest.
    pub(crate) fn result(&mut self, text: &str) {
        let _ = self.results.write_all(text.as_bytes());
        let _ = self.results.flush();
    }

    /// Writes one remark, as a line.
    pub(crate) fn err(&mut self, line: &str) {
        let _ = writeln!(self.remarks, "{line}");
    }
}
