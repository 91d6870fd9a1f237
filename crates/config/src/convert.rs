//! One value of the file into the form that Arvados itself writes.

use serde_json::{Map, Value};

use crate::{
    document::{Content, Node},
    duration::{self, DurationError},
    keys::Kind,
    size,
};

/// Why a value does not do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Wrong {
    pub(crate) message: String,
    pub(crate) remedy: String,
}

fn wrong(message: impl Into<String>, remedy: impl Into<String>) -> Wrong {
    Wrong {
        message: message.into(),
        remedy: remedy.into(),
    }
}

/// The value as this kind. `node` is not null.
pub(crate) fn convert(kind: Kind, node: &Node) -> Result<Value, Wrong> {
    match kind {
        Kind::Bool => match node.content {
            Content::Bool(value, _) => Ok(value.into()),
            _ => Err(mismatch(kind, node, "write true or false, without quotes")),
        },
        Kind::Int => match &node.content {
            Content::Number(number, _) if !number.is_f64() => Ok(Value::Number(number.clone())),
            _ => Err(mismatch(kind, node, "write a whole number, without quotes")),
        },
        Kind::Count => match &node.content {
            Content::Number(number, _) if !number.is_f64() => count(number),
            _ => Err(mismatch(kind, node, "write a whole number, without quotes")),
        },
        Kind::Number => match &node.content {
            Content::Number(number, _) => Ok(Value::Number(number.clone())),
            _ => Err(mismatch(kind, node, "write a number, without quotes")),
        },
        Kind::Size => as_size(node),
        Kind::Duration => as_duration(node),
        Kind::Text => as_text(node).map(Value::String),
        Kind::List => match &node.content {
            Content::List(items) => items
                .iter()
                .map(|item| as_text(item).map(Value::String))
                .collect::<Result<_, _>>()
                .map(Value::Array),
            _ => Err(mismatch(
                kind,
                node,
                "write a list, as in [\"one\", \"two\"]",
            )),
        },
        Kind::Texts | Kind::Map | Kind::Verbatim => Ok(verbatim(node)),
    }
}

fn mismatch(kind: Kind, node: &Node, remedy: &str) -> Wrong {
    let needed = match kind {
        Kind::Bool => "true or false".to_owned(),
        kind => format!("a {}", kind.name()),
    };
    wrong(
        format!("is {} where {needed} is needed", node.kind()),
        remedy,
    )
}

fn count(number: &serde_json::Number) -> Result<Value, Wrong> {
    match number.as_u64() {
        Some(count) if u32::try_from(count).is_ok() => Ok(count.into()),
        Some(_) => Err(wrong("is too large", format!("write at most {}", u32::MAX))),
        None => Err(wrong("is negative", "write 0 or a positive number")),
    }
}

fn as_size(node: &Node) -> Result<Value, Wrong> {
    const REMEDY: &str = "write a number of bytes, or a number with one of the units KB, KiB, MB, MiB, GB, GiB, …, as in 1.5GiB";
    match &node.content {
        Content::Number(number, _) if number.is_f64() => Err(wrong(
            "is not a whole number of bytes and has no unit",
            REMEDY,
        )),
        Content::Number(number, _) => match number
            .as_u64()
            .filter(|bytes| i64::try_from(*bytes).is_ok())
        {
            Some(bytes) => Ok(bytes.into()),
            None if number.is_i64() => Err(wrong("is a negative size", "write 0 or more")),
            None => Err(wrong("is too large for a size", "write less than 8EiB")),
        },
        Content::Text(text) => size::parse(text)
            .map(Value::from)
            .map_err(|error| wrong(error.to_string(), REMEDY)),
        _ => Err(mismatch(Kind::Size, node, REMEDY)),
    }
}

fn as_duration(node: &Node) -> Result<Value, Wrong> {
    const REMEDY: &str = "write numbers with the units h, m, s or ms, as in 1h30m or 10s";
    let text = match &node.content {
        Content::Text(text) => text,
        Content::Number(_, written) => written,
        _ => return Err(mismatch(Kind::Duration, node, REMEDY)),
    };
    let nanos = duration::parse(text.trim()).map_err(|error| {
        let remedy = match &error {
            DurationError::MissingUnit if text.bytes().all(|b| b.is_ascii_digit()) => {
                format!("write {text}s if seconds are meant")
            }
            _ => REMEDY.to_owned(),
        };
        wrong(error.to_string(), remedy)
    })?;
    Ok(duration::canonical(nanos).into())
}

fn as_text(node: &Node) -> Result<String, Wrong> {
    match &node.content {
        Content::Text(text) => Ok(text.clone()),
        Content::Number(_, written) | Content::Bool(_, written) => Ok(written.clone()),
        _ => Err(mismatch(Kind::Text, node, "write a text in quotes")),
    }
}

/// The value as it stands, without examples and nulls.
pub(crate) fn verbatim(node: &Node) -> Value {
    match &node.content {
        Content::Null => Value::Null,
        Content::Bool(value, _) => (*value).into(),
        Content::Number(number, _) => Value::Number(number.clone()),
        Content::Text(text) => text.as_str().into(),
        Content::List(items) => items
            .iter()
            .filter(|item| item.content != Content::Null)
            .map(verbatim)
            .collect(),
        Content::Map(entries) => {
            let mut map = Map::new();
            for entry in entries
                .iter()
                .filter(|entry| entry.key != "SAMPLE" && entry.value.content != Content::Null)
            {
                map.entry(entry.key.clone())
                    .or_insert_with(|| verbatim(&entry.value));
            }
            Value::Object(map)
        }
    }
}
