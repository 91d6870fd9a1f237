//! Sizes in words: constants for code and tests, and a form for people.

/// 2^10 bytes.
pub const KIB: u64 = 1 << 10;
/// 2^20 bytes.
pub const MIB: u64 = 1 << 20;
/// 2^30 bytes.
pub const GIB: u64 = 1 << 30;

/// A size as people write it: the largest binary unit that leaves at least one, with at most one decimal.
pub fn bytes_for_people(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut unit = 0;
    let mut scaled = bytes as f64;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    if scaled.fract() < 0.05 || unit == 0 {
        format!("{scaled:.0} {}", UNITS[unit])
    } else {
        format!("{scaled:.1} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_in_the_largest_unit_that_fits() {
        let sizes = [
            0,
            1023,
            1024,
            1536,
            550 * MIB,
            3 * GIB + 700 * MIB,
            u64::MAX,
        ];
        assert_eq!(
            sizes.map(bytes_for_people),
            [
                "0 B", "1023 B", "1 KiB", "1.5 KiB", "550 MiB", "3.7 GiB", "16 EiB"
            ]
        );
    }
}
