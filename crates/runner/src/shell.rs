//! Words of a POSIX shell.

use std::borrow::Cow;

/// The word in single quotes, with an embedded single quote written as `'\''` (facts §2.2, R10).
///
/// The word must not contain a NUL: no command line can.
pub fn quote(word: &str) -> String {
    let mut quoted = String::with_capacity(word.len() + 2);
    quoted.push('\'');
    for (i, part) in word.split('\'').enumerate() {
        if i > 0 {
            quoted.push_str(r"'\''");
        }
        quoted.push_str(part);
    }
    quoted.push('\'');
    quoted
}

/// The word as it is if the shell leaves it alone, otherwise in quotes. Paths stay readable, and the same as Go's.
pub fn quote_if_needed(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,~".contains(c);
    if !word.is_empty() && !word.starts_with('~') && word.chars().all(plain) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(quote(word))
    }
}

/// One of our scripts with its arguments as a command line (docs/reference/scripts.md).
pub(crate) fn script_line(sudo: &str, script: &str, name: &str, arguments: &[&str]) -> String {
    let mut line = format!("{sudo}sh -c {} {name}", quote(script));
    for argument in arguments {
        line.push(' ');
        line.push_str(&quote_if_needed(argument));
    }
    line
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// What `sh` makes of these words.
    fn through_sh(words: &[String], quote: impl Fn(&str) -> String) -> Vec<String> {
        let line: Vec<String> = words.iter().map(|word| quote(word)).collect();
        let output = Command::new("sh")
            .arg("-c")
            .arg(format!(r"printf '%s\0' {}", line.join(" ")))
            .output()
            .expect("sh");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        text.split_terminator('\0').map(str::to_owned).collect()
    }

    #[test]
    fn quotes_are_written_as_in_the_recording() {
        assert_eq!(
            quote("--broken-node-hook=it's"),
            r"'--broken-node-hook=it'\''s'"
        );
        assert_eq!(quote(""), "''");
        assert_eq!(quote("'"), r"''\'''");
    }

    #[test]
    fn only_harmless_words_stay_bare() {
        let bare = ["/tmp/arvados-crunch-run/crunch-run~e344", "a=b", "x@y:1"];
        assert!(
            bare.iter()
                .all(|word| matches!(quote_if_needed(word), Cow::Borrowed(_)))
        );
        let quoted = ["", "~root", "a b", "$x", "a;b", "é", "a\nb", "*", "#x", "!"];
        assert!(
            quoted
                .iter()
                .all(|word| matches!(quote_if_needed(word), Cow::Owned(_)))
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

        #[test]
        fn any_words_come_through_sh_unharmed(
            words in prop::collection::vec("([^\0]|['\"$`\\\\ \n*~#!;&|<>()])*", 1..20)
        ) {
            prop_assert_eq!(through_sh(&words, quote), words.clone());
            prop_assert_eq!(through_sh(&words, |word| quote_if_needed(word).into_owned()), words);
        }
    }
}
