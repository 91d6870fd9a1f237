//! Shell text into words and operators, by POSIX quoting. Our own reading, on purpose: a mistake in the dispatcher's
//! quoting must not be undone by the same mistake here.

/// A piece of shell text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Token {
    /// A word, without its quotes.
    Word(String),
    /// An operator: one of `OPERATORS`, or a line's end as ";".
    Operator(&'static str),
}

/// Longer ones first.
const OPERATORS: &[&str] = &[
    "&&", "||", ">>", "2>&1", "2>", ">", "<", "(", ")", "|", ";", "&",
];

/// The tokens of a script, or what is wrong with it.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let between = word.is_none();
        if c == '#' && between {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
            continue;
        }
        let operator = OPERATORS.iter().find(|operator| {
            rest.starts_with(**operator) && (between || !operator.starts_with('2'))
        });
        if c.is_whitespace() || operator.is_some() {
            tokens.extend(word.take().map(Token::Word));
        }
        if let Some(operator) = operator {
            tokens.push(Token::Operator(operator));
            rest = &rest[operator.len()..];
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '\n' => tokens.push(Token::Operator(";")),
            c if c.is_whitespace() => {}
            '\'' => {
                let end = rest.find('\'').ok_or("unterminated single quote")?;
                word.get_or_insert_default().push_str(&rest[..end]);
                rest = &rest[end + 1..];
            }
            '"' => rest = double_quoted(rest, word.get_or_insert_default())?,
            '\\' => match rest.chars().next() {
                None => return Err("text ends with a backslash".into()),
                Some('\n') => rest = &rest[1..],
                Some(escaped) => {
                    word.get_or_insert_default().push(escaped);
                    rest = &rest[escaped.len_utf8()..];
                }
            },
            '$' | '`' | '*' | '?' => return Err(format!("this shell knows no `{c}`")),
            c => word.get_or_insert_default().push(c),
        }
    }
    tokens.extend(word.map(Token::Word));
    Ok(tokens)
}

fn double_quoted<'a>(mut rest: &'a str, word: &mut String) -> Result<&'a str, String> {
    loop {
        let c = rest.chars().next().ok_or("unterminated double quote")?;
        rest = &rest[c.len_utf8()..];
        match c {
            '"' => return Ok(rest),
            '$' | '`' => return Err(format!("this shell knows no `{c}`")),
            '\\' if rest.starts_with(['"', '\\', '$', '`']) => {
                word.push_str(&rest[..1]);
                rest = &rest[1..];
            }
            c => word.push(c),
        }
    }
}

/// The words of a command line that is one simple command, without operators.
pub(crate) fn simple(text: &str) -> Option<Vec<String>> {
    tokens(text)
        .ok()?
        .into_iter()
        .map(|token| match token {
            Token::Word(word) => Some(word),
            Token::Operator(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let words = simple(text).unwrap_or_else(|| panic!("not a simple command: {text}"));
        assert_eq!(words, expected, "{text}");
    }

    #[test]
    fn words_lose_their_quotes_and_nothing_else() {
        check("a  b\tc", &["a", "b", "c"]);
        check("'a b' c", &["a b", "c"]);
        check(r"'it'\''s'", &["it's"]);
        check(r#""a\"b" 'c"d'"#, &["a\"b", "c\"d"]);
        check("''", &[""]);
        check(r"a\ b", &["a b"]);
        check("x2 a#b", &["x2", "a#b"]);
        check("--extra='args'", &["--extra=args"]);
    }

    #[test]
    fn operators_end_words() {
        let found = tokens("umask 0177;echo -n x>/f&&true\n# no\nfalse").unwrap();
        let text: Vec<String> = found
            .iter()
            .map(|token| match token {
                Token::Word(word) => word.clone(),
                Token::Operator(operator) => format!("<{operator}>"),
            })
            .collect();
        assert_eq!(
            text.join(" "),
            "umask 0177 <;> echo -n x <>> /f <&&> true <;> <;> false"
        );
    }

    #[test]
    fn what_it_cannot_read_it_refuses() {
        for text in ["'a", "\"a", "a\\", "echo $HOME", "ls *", "`id`"] {
            assert!(tokens(text).is_err(), "{text}");
        }
    }
}
