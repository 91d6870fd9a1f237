//! Text in columns: aligned for people, tab-separated for scripts.

use std::borrow::Cow;

/// Longer cells are cut in tables for people: nine container UUIDs go in, and a column cannot become endless.
const CELL_CHARS_MAX: usize = 260;

/// Columns aligned under their names, two spaces apart, without trailing blanks. Cells that are too long are cut, and
/// end in "…".
pub(crate) fn aligned(header: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<Cow<'_, str>>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| cut(cell)).collect())
        .collect();
    let mut widths: Vec<usize> = header.iter().map(|name| name.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (cell, width) in cells.zip(&widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    };
    let mut text = line(&mut header.iter().copied());
    for row in &rows {
        text.push_str(&line(&mut row.iter().map(AsRef::as_ref)));
    }
    text
}

fn cut(cell: &str) -> Cow<'_, str> {
    if cell.chars().nth(CELL_CHARS_MAX).is_none() {
        return cell.into();
    }
    let kept: String = cell.chars().take(CELL_CHARS_MAX - 1).collect();
    format!("{kept}…").into()
}

/// One row a line, "-" for what is empty. Nothing in a cell can forge a column or a row.
pub(crate) fn tab_separated(header: Option<&[&str]>, rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    if let Some(header) = header {
        text.push_str(&header.join("\t"));
        text.push('\n');
    }
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| or_dash(&printable(cell))).collect();
        text.push_str(&cells.join("\t"));
        text.push('\n');
    }
    text
}

/// The text, or "-" if there is none.
pub(crate) fn or_dash(text: &str) -> String {
    if text.is_empty() { "-" } else { text }.into()
}

/// The text with every control character, line breaks and terminal escapes among them, as a blank.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter()
            .map(|row| row.iter().map(|cell| (*cell).into()).collect())
            .collect()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let text = aligned(&["ID", "STATE"], &rows(&[&["i-1234", "idle"], &["é", ""]]));
        assert_eq!(text, "ID      STATE\ni-1234  idle\né\n");
    }

    #[test]
    fn a_cell_of_any_length_makes_a_table_and_stays_whole_for_scripts() {
        let long = "é".repeat(70_000);
        let cells = rows(&[&["a", &long, "z"], &["b", &"c".repeat(CELL_CHARS_MAX), "y"]]);
        let text = aligned(&["ID", "STATUS", "END"], &cells);
        let lines: Vec<&str> = text.lines().collect();
        let cut = "é".repeat(CELL_CHARS_MAX - 1);
        assert_eq!(lines[1], format!("a   {cut}…  z"));
        assert_eq!(lines[2], format!("b   {}  y", "c".repeat(CELL_CHARS_MAX)));
        assert!(tab_separated(None, &cells).contains(&long));
    }

    #[test]
    fn a_cell_cannot_forge_columns_or_rows() {
        let text = tab_separated(Some(&["a", "b"]), &rows(&[&["x\ty\nz", ""]]));
        assert_eq!(text, "a\tb\nx y z\t-\n");
    }
}
