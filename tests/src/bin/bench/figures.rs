//! Samples and what is made of them.

/// What the samples of a row are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    /// Milliseconds.
    Millis,
    /// Percent of one core.
    Percent,
    /// Mebibytes.
    MebiBytes,
}

impl Unit {
    /// As people read it.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Unit::Millis if value >= 9_950.0 => format!("{:.1} s", value / 1000.0),
            Unit::Millis if value >= 995.0 => format!("{:.2} s", value / 1000.0),
            Unit::Millis if value >= 10.0 => format!("{value:.0} ms"),
            Unit::Millis => format!("{value:.1} ms"),
            Unit::Percent => format!("{value:.2} %"),
            Unit::MebiBytes => format!("{value:.0} MiB"),
        }
    }
}

/// A statistic of some samples.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Statistic {
    /// The median.
    P50,
    /// All but the worst hundredth.
    P99,
    /// The worst.
    Max,
}

/// The samples of one row in one try, sorted; never empty.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    /// `None` without samples.
    pub(crate) fn new(mut samples: Vec<f64>) -> Option<Figures> {
        samples.sort_by(f64::total_cmp);
        (!samples.is_empty()).then_some(Figures(samples))
    }

    /// The smallest sample that at least this share of all does not exceed.
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        let n = self.0.len();
        let rank = (n as f64 * percent / 100.0).ceil() as usize;
        self.0[rank.clamp(1, n) - 1]
    }

    pub(crate) fn value(&self, statistic: Statistic) -> f64 {
        self.percentile(match statistic {
            Statistic::P50 => 50.0,
            Statistic::P99 => 99.0,
            Statistic::Max => 100.0,
        })
    }

    pub(crate) fn n(&self) -> usize {
        self.0.len()
    }

    /// Median, worst tenth, worst; or the one value that there is.
    pub(crate) fn in_words(&self, unit: Unit) -> String {
        if self.n() == 1 {
            return unit.show(self.0[0]);
        }
        let at = |percent| unit.show(self.percentile(percent));
        let p99 = if self.n() >= 50 {
            format!("p99 {}, ", at(99.0))
        } else {
            String::new()
        };
        format!("p50 {}, p90 {}, {p99}max {}", at(50.0), at(90.0), at(100.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_by_rank() {
        let figures = Figures::new((1..=100).rev().map(f64::from).collect()).expect("samples");
        assert_eq!(figures.value(Statistic::P50), 50.0);
        assert_eq!(figures.value(Statistic::P99), 99.0);
        assert_eq!(figures.value(Statistic::Max), 100.0);
        let one = Figures::new(vec![7.0]).expect("a sample");
        assert_eq!(one.value(Statistic::P50), 7.0);
        assert_eq!(Figures::new(Vec::new()), None);
    }

    #[test]
    fn values_are_shown_as_people_read_them() {
        let shown = [0.5, 412.3, 995.0, 9_950.0].map(|value| Unit::Millis.show(value));
        assert_eq!(shown, ["0.5 ms", "412 ms", "0.99 s", "9.9 s"]);
        assert_eq!(Unit::Percent.show(0.456), "0.46 %");
    }
}
