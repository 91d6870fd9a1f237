//! The name of a user of an instance's system.

use std::{fmt, sync::Arc};

/// A user's name as Linux systems take it, so that it needs no quotes in a shell.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(Arc<str>);

impl UserName {
    /// Longer names are refused by `useradd`.
    const LENGTH_MAX: usize = 32;

    /// The name, if it is one: a letter or `_`, then letters, digits, `_`, `-` and `.`.
    pub fn parse(text: &str) -> Option<UserName> {
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        let rest = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let is_name =
            text.len() <= Self::LENGTH_MAX && text.starts_with(first) && text.chars().all(rest);
        is_name.then(|| UserName(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the user who may do everything.
    pub fn is_root(&self) -> bool {
        &*self.0 == "root"
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_shell_leaves_alone_is_a_users_name() {
        for name in ["crunch", "_x", "a.b-c_9", "root", &"x".repeat(32)] {
            assert_eq!(UserName::parse(name).expect(name).as_str(), name);
        }
        for other in [
            "",
            "9lives",
            "-u",
            "a b",
            "a;b",
            "a$b",
            "é",
            "a\n",
            &"x".repeat(33),
        ] {
            assert_eq!(UserName::parse(other), None, "{other:?}");
        }
        assert!(UserName::parse("root").is_some_and(|root| root.is_root()));
    }
}
