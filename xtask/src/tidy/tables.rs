//! Every row of a table has as many cells as its head: what is over, readers are not shown.

use super::Problem;
use crate::tree::SourceFile;

pub(super) fn check(files: &[SourceFile]) -> Vec<Problem> {
    let pages = files.iter().filter(|file| file.path.ends_with(".md"));
    pages
        .flat_map(|page| uneven(&page.path, &page.text))
        .collect()
}

fn uneven(path: &str, text: &str) -> Vec<Problem> {
    let mut problems = vec![];
    let mut head = None;
    let mut is_code = false;
    for (index, line) in text.lines().enumerate() {
        is_code ^= line.trim_start().starts_with("```");
        if is_code || !line.starts_with('|') {
            head = None;
            continue;
        }
        let cells = cells(line);
        let wanted = *head.get_or_insert(cells);
        if cells != wanted {
            problems.push(Problem::at(
                path,
                index + 1,
                format!("this row has {cells} cells, and the table's head {wanted}"),
            ));
        }
    }
    problems
}

/// A bar divides cells unless a backslash is before it, in code as well.
fn cells(row: &str) -> usize {
    let row = row.trim().trim_start_matches('|');
    let row = row.strip_suffix('|').unwrap_or(row);
    row.replace("\\|", "").matches('|').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_with_more_or_fewer_cells_than_its_head_is_found() {
        let page = "| a | b |\n|---|---|\n| `x \\| y` | z |\n| 1 | 2 | 3 |\n| 1 |\n\n| a |\n|---|\n| 1 |\n```\n| 1 | 2 |\n| 1 |\n```\n";
        let found: Vec<String> = uneven("a.md", page).into_iter().map(|p| p.place).collect();
        assert_eq!(found, ["a.md:4", "a.md:5"]);
    }
}
