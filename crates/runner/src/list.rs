//! What `crunch-run --list` answers (facts §2.2.1).

use std::collections::BTreeSet;

use dispatch_model::{ContainerId, RunnerReport};

/// No instance has this many runners: more lines than that are no answer.
const LINES_MAX: usize = 20_000;

/// An answer, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunnerList {
    /// What it says. Containers are sorted and without duplicates, and may be of any cluster (facts W14).
    pub report: RunnerReport,
    /// How many lines were no items; they are passed over (invariant 12).
    pub n_ignored: usize,
    /// The first of those, shortened, for the log.
    pub first_ignored: Option<String>,
}

/// The answer cannot be used: containers that it does not name must not be taken for ended.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ListError {
    /// The end of the output is missing.
    #[error("the list of runners was cut off")]
    Truncated,
    /// There are too many lines.
    #[error("the list of runners has more than {LINES_MAX} lines")]
    TooLong,
}

/// Reads the standard output of `--list`. `truncated`: whether the executor dropped some of it.
pub fn parse_list(stdout: &[u8], truncated: bool) -> Result<RunnerList, ListError> {
    if truncated {
        return Err(ListError::Truncated);
    }
    let mut broken = false;
    let mut alive = BTreeSet::new();
    let mut stale = BTreeSet::new();
    let mut n_ignored = 0;
    let mut first_ignored = None;
    for (n, line) in stdout.split(|&byte| byte == b'\n').enumerate() {
        if n > LINES_MAX {
            return Err(ListError::TooLong);
        }
        match item(line) {
            Item::Nothing => {}
            Item::Broken => broken = true,
            Item::Alive(id) => _ = alive.insert(id),
            Item::Stale(id) => _ = stale.insert(id),
            Item::Unknown => {
                n_ignored += 1;
                first_ignored.get_or_insert_with(|| for_people(line));
            }
        }
    }
    stale.retain(|id| !alive.contains(id));
    Ok(RunnerList {
        report: RunnerReport {
            broken,
            alive: alive.into_iter().collect(),
            stale: stale.into_iter().collect(),
        },
        n_ignored,
        first_ignored,
    })
}

enum Item {
    Nothing,
    Broken,
    Alive(ContainerId),
    Stale(ContainerId),
    Unknown,
}

/// A second word that nobody knows does not make a runner dead (facts W13).
fn item(line: &[u8]) -> Item {
    let Ok(line) = str::from_utf8(line) else {
        return Item::Unknown;
    };
    let mut words = line.split_ascii_whitespace();
    match (words.next(), words.next()) {
        (None, _) => Item::Nothing,
        (Some("broken"), None) => Item::Broken,
        (Some(id), Some("stale")) if is_uuid(id) => Item::Stale(id.into()),
        (Some(id), _) if is_uuid(id) => Item::Alive(id.into()),
        (Some(_), _) => Item::Unknown,
    }
}

/// Five, five and fifteen lowercase letters or digits.
fn is_uuid(word: &str) -> bool {
    let mut lengths = [5, 5, 15].into_iter();
    word.split('-').all(|part| {
        lengths.next() == Some(part.len())
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    }) && lengths.next().is_none()
}

fn for_people(line: &[u8]) -> String {
    String::from_utf8_lossy(&line[..line.len().min(80)])
        .escape_debug()
        .to_string()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    const A: &str = "zzzzz-dz642-00000000000000a";
    const B: &str = "xxxxx-dz642-00000000000000b";

    #[track_caller]
    fn check(stdout: &str, expected: Expect) {
        let stdout = stdout.replace('A', A).replace('B', B);
        let list = parse_list(stdout.as_bytes(), false).expect("a usable answer");
        let seen = format!(
            "broken={} alive={:?} stale={:?} ignored={}",
            list.report.broken, list.report.alive, list.report.stale, list.n_ignored
        );
        expected.assert_eq(&seen.replace(A, "A").replace(B, "B"));
    }

    #[test]
    fn an_empty_answer_means_nothing_runs() {
        check("", expect!["broken=false alive=[] stale=[] ignored=0"]);
        check("\n", expect!["broken=false alive=[] stale=[] ignored=0"]);
    }

    #[test]
    fn each_kind_of_line_is_understood() {
        check(
            "A\nbroken\nB stale\n",
            expect!["broken=true alive=[A] stale=[B] ignored=0"],
        );
    }

    #[test]
    fn an_unknown_second_word_leaves_the_runner_alive() {
        check(
            "A sleepy\nB\r\n",
            expect!["broken=false alive=[B, A] stale=[] ignored=0"],
        );
    }

    #[test]
    fn one_bad_line_affects_that_line_only() {
        check(
            "A\nWarning: your password expires\nbroken pipe\nzzzzz-dz642-short\nB stale\n",
            expect!["broken=false alive=[A] stale=[B] ignored=3"],
        );
        let list = parse_list(b"\xff\xfe\nbroken\n", false).expect("a usable answer");
        assert_eq!((list.report.broken, list.n_ignored), (true, 1));
    }

    #[test]
    fn who_is_alive_is_not_stale_as_well() {
        check(
            "A stale\nA\nA\n",
            expect!["broken=false alive=[A] stale=[] ignored=0"],
        );
    }

    #[test]
    fn a_list_without_its_end_is_no_list() {
        assert_eq!(parse_list(b"", true), Err(ListError::Truncated));
        let flood = "x\n".repeat(LINES_MAX + 1);
        assert_eq!(parse_list(flood.as_bytes(), false), Err(ListError::TooLong));
    }
}
