//! The table on the terminal.

use std::{
    collections::BTreeMap,
    io::{Write, stdout},
};

use crate::{figures::Figures, rows::Row};

/// One line of the table.
pub(crate) struct Line {
    pub(crate) what: &'static str,
    pub(crate) name: &'static str,
    pub(crate) go: &'static str,
    pub(crate) target: String,
    pub(crate) ours: String,
    pub(crate) ratio: String,
    pub(crate) verdict: &'static str,
}

/// A line on standard output. An output that is closed is nobody's problem here.
pub(crate) fn say(line: &str) {
    let mut out = stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

pub(crate) fn lines(rows: &[&'static Row], best: &BTreeMap<&'static str, Figures>) -> Vec<Line> {
    rows.iter()
        .map(|row| {
            let figures = best.get(row.name);
            let met = figures.is_some_and(|figures| row.is_met(figures, 1.0));
            let ratio = figures
                .zip(row.go_value)
                .map(|(figures, go)| go / row.judged(figures).max(0.001));
            Line {
                what: row.what,
                name: row.name,
                go: row.go,
                target: row.target_in_words(),
                ours: figures.map_or_else(|| "no figure".into(), |all| all.in_words(row.unit)),
                ratio: ratio.map_or_else(|| "–".into(), |ratio| format!("{ratio:.1}×")),
                verdict: if met { "met" } else { "missed" },
            }
        })
        .collect()
}

pub(crate) fn print(lines: &[Line]) {
    let head = ["row", "Go", "target", "ours", "Go/ours", ""];
    let cells: Vec<[&str; 6]> = std::iter::once(head)
        .chain(lines.iter().map(|line| {
            [
                line.name,
                line.go,
                &line.target,
                &line.ours,
                &line.ratio,
                line.verdict,
            ]
        }))
        .collect();
    let width = |column: usize| {
        let lengths = cells.iter().map(|row| row[column].chars().count());
        lengths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    for row in &cells {
        let padded: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        say(padded.join("  ").trim_end());
    }
}
