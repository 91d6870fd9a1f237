//! Where the output of a command goes.

use std::{collections::VecDeque, mem};

use bytes::Bytes;
use tokio::sync::mpsc;

/// A line of output longer than this is cut; the rest up to its end is dropped.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Takes the output of one stream.
pub(crate) enum Sink {
    /// Keeps so much of it.
    Capture {
        /// What was kept.
        kept: Vec<u8>,
        /// At most so many bytes.
        bytes_max: usize,
        /// Whether some was dropped.
        truncated: bool,
    },
    /// Passes it on line by line.
    Lines(Splitter),
    /// Drops it.
    Discard,
}

impl Sink {
    /// Keeps at most so many bytes.
    pub(crate) fn capture(bytes_max: usize) -> Self {
        Sink::Capture {
            kept: Vec::new(),
            bytes_max,
            truncated: false,
        }
    }

    /// Whether more may be read: a reader of lines who lags behind must catch up first.
    pub(crate) fn has_room(&mut self) -> bool {
        match self {
            Sink::Capture { .. } | Sink::Discard => true,
            Sink::Lines(splitter) => splitter.has_room(),
        }
    }

    /// Takes what was read.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        match self {
            Sink::Capture {
                kept,
                bytes_max,
                truncated,
            } => {
                let room = bytes.len().min(*bytes_max - kept.len());
                kept.extend_from_slice(&bytes[..room]);
                *truncated |= room < bytes.len();
            }
            Sink::Lines(splitter) => splitter.take(bytes),
            Sink::Discard => {}
        }
    }

    /// There will be no more. Says whether everything was passed on.
    pub(crate) fn finish(&mut self) -> bool {
        match self {
            Sink::Capture { .. } | Sink::Discard => true,
            Sink::Lines(splitter) => splitter.finish(),
        }
    }

    /// What was kept, and whether some was dropped.
    pub(crate) fn into_kept(self) -> (Bytes, bool) {
        match self {
            Sink::Capture {
                kept, truncated, ..
            } => (kept.into(), truncated),
            Sink::Lines(_) | Sink::Discard => (Bytes::new(), false),
        }
    }
}

/// Cuts a stream into lines.
pub(crate) struct Splitter {
    reader: mpsc::Sender<String>,
    partial: Vec<u8>,
    ready: VecDeque<String>,
}

impl Splitter {
    /// Passes lines to this reader, as fast as it takes them.
    pub(crate) fn new(reader: mpsc::Sender<String>) -> Self {
        Self {
            reader,
            partial: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    fn has_room(&mut self) -> bool {
        while let Some(line) = self.ready.pop_front() {
            if let Err(mpsc::error::TrySendError::Full(line)) = self.reader.try_send(line) {
                self.ready.push_front(line);
                return false;
            }
        }
        true
    }

    fn take(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            let room = text.len().min(LINE_BYTES_MAX - self.partial.len());
            self.partial.extend_from_slice(&text[..room]);
            if ended {
                self.end_line();
            }
        }
        self.has_room();
    }

    fn end_line(&mut self) {
        let line = mem::take(&mut self.partial);
        self.ready
            .push_back(String::from_utf8_lossy(&line).into_owned());
    }

    fn finish(&mut self) -> bool {
        if !self.partial.is_empty() {
            self.end_line();
        }
        self.has_room()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_beyond_the_limit_is_dropped_and_marked() {
        let mut sink = Sink::capture(5);
        sink.take(b"abc");
        sink.take(b"de");
        sink.take(b"");
        assert!(sink.has_room());
        let mut cut = Sink::capture(5);
        cut.take(b"abc");
        cut.take(b"def");
        cut.take(b"g");
        assert_eq!(sink.into_kept(), (Bytes::from("abcde"), false));
        assert_eq!(cut.into_kept(), (Bytes::from("abcde"), true));
    }

    #[test]
    fn lines_are_put_together_and_the_last_one_needs_no_end() {
        let (sender, mut reader) = mpsc::channel(8);
        let mut sink = Sink::Lines(Splitter::new(sender));
        for bytes in [&b"on"[..], b"e\n\ntw", b"o\nbad \xff\nlast"] {
            sink.take(bytes);
        }
        assert!(sink.finish());
        drop(sink);
        let lines: Vec<String> = std::iter::from_fn(|| reader.try_recv().ok()).collect();
        assert_eq!(lines, ["one", "", "two", "bad \u{fffd}", "last"]);
    }

    #[test]
    fn a_reader_who_lags_stops_the_reading() {
        let (sender, mut reader) = mpsc::channel(1);
        let mut sink = Sink::Lines(Splitter::new(sender));
        sink.take(b"1\n2\n3\n");
        assert!(!sink.has_room());
        assert_eq!(reader.try_recv().expect("a line"), "1");
        assert!(!sink.has_room());
        assert_eq!(reader.try_recv().expect("a line"), "2");
        assert!(sink.has_room());
        assert_eq!(reader.try_recv().expect("a line"), "3");
    }

    #[test]
    fn an_endless_line_is_cut() {
        let (sender, mut reader) = mpsc::channel(8);
        let mut sink = Sink::Lines(Splitter::new(sender));
        for _ in 0..3 {
            sink.take(&[b'x'; 50_000]);
        }
        sink.take(b"\nnext\n");
        assert_eq!(reader.try_recv().expect("a line").len(), LINE_BYTES_MAX);
        assert_eq!(reader.try_recv().expect("a line"), "next");
    }
}
