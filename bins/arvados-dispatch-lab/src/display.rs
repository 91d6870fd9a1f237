//! What people see: lines on standard output, a picture that is drawn over on a terminal.

use std::{
    env,
    io::{IsTerminal, Write, stderr, stdout},
};

/// How wide a terminal is that does not say.
const USUAL_WIDTH: usize = 80;

/// A line on standard output. An output that is closed is nobody's problem here.
pub(crate) fn say(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}

/// A line on standard error.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}

/// Shows how things go: on a terminal a few lines that are drawn over, otherwise (and where TERM is `dumb`) one line
/// whenever something changed.
pub(crate) struct Progress {
    terminal: bool,
    drawn: usize,
    last: String,
}

impl Progress {
    /// On standard error, so that standard output holds the results alone.
    pub(crate) fn new() -> Progress {
        Progress {
            terminal: stderr().is_terminal() && can_move(env::var("TERM").ok().as_deref()),
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
        let width = width();
        let mut out = stderr().lock();
        if self.drawn > 0 {
            let _ = write!(out, "\x1b[{}A", self.drawn);
        }
        for line in picture {
            // A line that wrapped would take two rows, and the next picture would begin too low.
            let _ = writeln!(out, "\r\x1b[2K{}", cut(line, width));
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

/// Whether a terminal of this kind can go back to what has been written.
fn can_move(kind: Option<&str>) -> bool {
    kind.is_some_and(|kind| !kind.is_empty() && kind != "dumb")
}

/// As much of the line as one row of so many columns shows; the last column stays free, since some terminals wrap there.
fn cut(line: &str, width: usize) -> &str {
    let columns = width.saturating_sub(1);
    match line.char_indices().nth(columns) {
        Some((end, _)) => &line[..end],
        None => line,
    }
}

/// The columns of the terminal that standard error is.
#[expect(
    unsafe_code,
    reason = "the standard library does not tell the size of a terminal"
)]
fn width() -> usize {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: this request writes one `winsize` to where the pointer points, and that lives longer than the call.
    let answer = unsafe { libc::ioctl(libc::STDERR_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    match (answer, size.ws_col) {
        (0, 1..) => usize::from(size.ws_col),
        _ => USUAL_WIDTH,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_to_what_one_row_shows() {
        assert_eq!(cut("containers █░", 80), "containers █░");
        assert_eq!(cut("containers █░", 13), "containers █");
        assert_eq!(cut("containers", 11), "containers");
        assert_eq!(cut("containers", 1), "");
        assert_eq!(cut("containers", 0), "");
    }

    #[test]
    fn a_dumb_or_nameless_terminal_is_not_drawn_over() {
        assert!(can_move(Some("xterm-256color")));
        for kind in [None, Some(""), Some("dumb")] {
            assert!(!can_move(kind), "{kind:?}");
        }
    }
}
