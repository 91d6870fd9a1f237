//! Which of the known names somebody may have meant.

/// The candidate that differs least from `name`, if it differs little: at most one letter in three, case aside.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let name: Vec<char> = name.to_lowercase().chars().take(100).collect();
    candidates
        .into_iter()
        .map(|candidate| {
            (
                distance(&name, &candidate.to_lowercase().chars().collect::<Vec<_>>()),
                candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= (candidate.len().min(name.len()) / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters must be put in, taken out, replaced or swapped with their neighbour.
fn distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut rows = vec![0; (a.len() + 1) * width];
    for i in 0..=a.len() {
        for j in 0..width {
            rows[i * width + j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[(i - 1) * width + j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let changed = rows[(i - 1) * width + j].min(rows[i * width + j - 1]) + 1;
                let swapped = if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    rows[(i - 2) * width + j - 2] + 1
                } else {
                    usize::MAX
                };
                replaced.min(changed).min(swapped)
            };
        }
    }
    rows[a.len() * width + b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let known = [
            "MaxInstances",
            "PollInterval",
            "ProbeInterval",
            "SyncInterval",
            "URL",
        ];
        let rows = [
            ("MaxInstance", Some("MaxInstances")),
            ("maxinstances", Some("MaxInstances")),
            ("PolInterval", Some("PollInterval")),
            ("PorbeInterval", Some("ProbeInterval")),
            ("ULR", Some("URL")),
            ("Bananas", None),
            ("", None),
        ];
        for (name, expected) in rows {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
    }
}
