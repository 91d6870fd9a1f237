//! YAML into nodes.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{
    Spanned,
    options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy},
};

use super::{Content, Entry, Node};
use crate::Problem;

/// Anchors, aliases and merge keys work; their expansion is bounded by the parser's budget.
pub(super) fn parse(text: &str, file: &str) -> Result<Node, Box<Problem>> {
    let options = serde_saphyr::options! {
        // Both are handed on, so that one run names every key that is there twice.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Merge,
        // Whether `0755` or `1_000` is a number depends on the YAML version: whoever needs a number is asked to be clear.
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        // A snippet of the file could show a secret.
        with_snippet: false,
        emit_comments: false,
    };
    let read: Result<Spanned<Raw>, _> = serde_saphyr::from_str_with_options(text, options);
    match read {
        Ok(spanned) => Ok(node(spanned, text)),
        Err(error) => {
            let mut problem =
                Problem::of_file(file, message(&error), "correct the YAML syntax there");
            problem.line = error
                .location()
                .and_then(|l| u32::try_from(l.line()).ok())
                .filter(|line| *line > 0);
            Err(Box::new(problem))
        }
    }
}

/// The parser's words on one line.
fn message(error: &serde_saphyr::Error) -> String {
    let words = error.without_snippet().render();
    if words.contains("multiple YAML documents") {
        return "holds several YAML documents where one is expected".to_owned();
    }
    format!(
        "is not valid YAML: {}",
        words.split_whitespace().collect::<Vec<_>>().join(" ")
    )
}

enum Raw {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn node(spanned: Spanned<Raw>, text: &str) -> Node {
    let span = spanned.defined.span();
    // As it was written, without quotes and tags, which a plain scalar does not have.
    let written = || {
        let start = usize::try_from(span.byte_offset()?).ok()?;
        let end = start.checked_add(usize::try_from(span.byte_len()?).ok()?)?;
        Some(text.get(start..end)?.trim().to_owned())
    };
    let content = match spanned.value {
        Raw::Null => Content::Null,
        // The single letters are truth values in YAML 1.1 only, and rarely meant as such.
        Raw::Bool(value) => match written().filter(|w| !w.is_empty()) {
            Some(letter) if letter.len() == 1 => Content::Text(letter),
            written => Content::Bool(value, written.unwrap_or_else(|| value.to_string())),
        },
        Raw::Number(number) => {
            let written = written()
                .filter(|w| !w.is_empty())
                .unwrap_or_else(|| number.to_string());
            Content::Number(number, written)
        }
        Raw::Text(text) => Content::Text(text),
        Raw::List(items) => Content::List(items.into_iter().map(|item| node(item, text)).collect()),
        Raw::Map(entries) => Content::Map(
            entries
                .into_iter()
                .map(|(key, value)| Entry {
                    key_line: line(&key.referenced),
                    key: key.value,
                    value: node(value, text),
                })
                .collect(),
        ),
    };
    Node {
        line: line(&spanned.referenced),
        content,
    }
}

fn line(location: &serde_saphyr::Location) -> u32 {
    u32::try_from(location.line()).unwrap_or(0)
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_i128<E: serde::de::Error>(self, value: i128) -> Result<Raw, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u128<E: serde::de::Error>(self, value: u128) -> Result<Raw, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Raw, E> {
        serde_json::Number::from_f64(value)
            .map(Raw::Number)
            .ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key()? {
            map.push((key, entries.next_value()?));
        }
        Ok(Raw::Map(map))
    }

    fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Raw, E> {
        Err(E::custom("binary values have no meaning here"))
    }
}
