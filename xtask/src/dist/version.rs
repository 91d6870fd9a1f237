//! Which version and build this is, from the workspace's version and the last commit.

use anyhow::{Context, Result};

use crate::{
    command::{command, output},
    tree::packages_version,
};

/// A version and build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// The workspace's: `0.1.0`.
    pub(crate) number: String,
    /// The commit, with a mark if files differ from it; "unknown" outside of a clone.
    pub(crate) commit: String,
    /// When the commit was made: `20261123031049` (UTC).
    pub(crate) moment: String,
    /// The same in seconds since 1970: packages of the same files are the same bytes.
    pub(crate) epoch_secs: u64,
}

impl Version {
    /// Of the tree that we are in.
    pub(crate) fn of_tree() -> Result<Version> {
        let git = |args: &[&str]| output(command("git").env("TZ", "UTC").args(args));
        let number = packages_version()?;
        let Ok(commit) = git(&["rev-parse", "--short=10", "HEAD"]) else {
            return Ok(Version {
                number,
                commit: "unknown".into(),
                moment: "19700101000000".into(),
                epoch_secs: 0,
            });
        };
        let changed = !git(&["status", "--porcelain"])?.trim().is_empty();
        let moment = git(&[
            "log",
            "-1",
            "--format=%cd",
            "--date=format-local:%Y%m%d%H%M%S",
        ])?;
        let epoch = git(&["log", "-1", "--format=%ct"])?;
        Ok(Version {
            number,
            commit: format!("{}{}", commit.trim(), if changed { ".changed" } else { "" }),
            moment: moment.trim().into(),
            epoch_secs: epoch.trim().parse().context("read a commit's date")?,
        })
    }

    /// What programs print: `0.1.0 (f3873f3, 2026-11-23)`.
    pub(crate) fn text(&self) -> String {
        let day = self.moment.get(..8).unwrap_or("19700101");
        let (year, rest) = day.split_at(4);
        let (month, day) = rest.split_at(2);
        format!("{} ({}, {year}-{month}-{day})", self.number, self.commit)
    }

    /// What Debian's tools compare: a later commit is a later version.
    pub(crate) fn debian(&self) -> String {
        format!("{}+{}.{}", self.number, self.moment, self.commit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_the_day_and_debian_compares_the_moment() {
        let version = Version {
            number: "0.1.0".into(),
            commit: "f3873f3".into(),
            moment: "20261123031049".into(),
            epoch_secs: 1_795_403_449,
        };
        assert_eq!(version.text(), "0.1.0 (f3873f3, 2026-11-23)");
        assert_eq!(version.debian(), "0.1.0+20261123031049.f3873f3");
    }
}
