//! What people see: lines on standard output, a picture that is drawn over on a terminal.

use std::io::{IsTerminal, Write, stderr, stdout};

/// A line on standard output. An output that is closed is nobody's problem here.
pub(crate) fn say(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}

/// A line on standard error.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}

/// Shows how things go: on a terminal a few lines that are drawn over, otherwise one line whenever something changed.
pub(crate) struct Progress {
    terminal: bool,
    drawn: usize,
    last: String,
}

impl Progress {
    /// On standard error, so that standard output holds the results alone.
    pub(crate) fn new() -> Progress {
        Progress {
            terminal: stderr().is_terminal(),
            drawn: 0,
            last: String::new(),
        }
    }

    /// Whether it draws over.
    pub(crate) fn is_live(&self) -> bool {
        self.terminal
    }

    /// Draws the picture; elsewhere, writes `line`.
    pub(crate) fn show(&mut self, picture: &[String], line: &str) {
        if !self.terminal {
            if self.last != line {
                complain(line);
                self.last = line.to_owned();
            }
            return;
        }
        let mut out = stderr().lock();
        if self.drawn > 0 {
            let _ = write!(out, "\x1b[{}A", self.drawn);
        }
        for line in picture {
            let _ = writeln!(out, "\r\x1b[2K{line}");
        }
        self.drawn = picture.len();
        let _ = out.flush();
    }

    /// A line that stays, above the picture.
    pub(crate) fn remark(&mut self, line: &str) {
        if self.terminal && self.drawn > 0 {
            let _ = write!(stderr(), "\x1b[{}A\x1b[J", self.drawn);
            self.drawn = 0;
        }
        complain(line);
    }
}

/// A bar of `width` characters, of which the share `part`/`whole` is full.
pub(crate) fn bar(part: usize, whole: usize, width: usize) -> String {
    let full = (part * width).checked_div(whole).unwrap_or(0).min(width);
    format!("{}{}", "█".repeat(full), "░".repeat(width - full))
}
