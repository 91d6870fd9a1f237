//! Lists: filters, order, selection and pages (facts §5.7, §2.1.2a).

use std::{cmp::Ordering, collections::BTreeMap};

use serde_json::Value;

use super::{
    Refusal,
    params::Call,
    record::{Container, is_attribute},
    refuse,
};
use crate::settings::ApiKnobs;

/// Rows that a list has without `limit`.
const DEFAULT_LIMIT: usize = 100;

/// One page, as JSON text: lists are what the API is asked for most.
pub(crate) fn list(
    containers: &BTreeMap<String, Container>,
    call: &Call,
    knobs: &ApiKnobs,
) -> Result<String, Refusal> {
    let select = selection(call)?;
    let filters = filters(call)?;
    let order = order(call, select.as_deref())?;
    let asked = number(call, "limit")?.unwrap_or(DEFAULT_LIMIT);
    let limit = asked.min(knobs.max_items_per_response);
    let offset = number(call, "offset")?.unwrap_or(0);

    let mut rows: Vec<(Vec<Value>, &Container)> = Vec::new();
    for container in containers.values() {
        if matches_all(container, &filters)? {
            let key = order.iter().map(|(name, _)| container.truth(name));
            rows.push((key.collect(), container));
        }
    }
    let available = rows.len();
    rows.sort_by(|(a, _), (b, _)| {
        order
            .iter()
            .zip(a.iter().zip(b))
            .map(|((_, descending), (a, b))| {
                let ordering = compare(a, b);
                if *descending {
                    ordering.reverse()
                } else {
                    ordering
                }
            })
            .find(|ordering| ordering.is_ne())
            .unwrap_or(Ordering::Equal)
    });

    let mut items = String::new();
    for (_, row) in rows.into_iter().skip(offset).take(limit) {
        let item = row.text(select.as_deref());
        if items.len() + item.len() > knobs.max_page_bytes && !items.is_empty() {
            break;
        }
        if !items.is_empty() {
            items.push(',');
        }
        items.push_str(&item);
    }
    let count = match call.text("count").as_deref() {
        Some("none") => String::new(),
        _ => format!(r#","items_available":{available}"#),
    };
    Ok(format!(
        r#"{{"kind":"arvados#containerList","etag":"","self_link":"","offset":{offset},"limit":{limit},"items":[{items}]{count}}}"#
    ))
}

/// The attributes to show, or `None` for all.
pub(crate) fn selection(call: &Call) -> Result<Option<Vec<String>>, Refusal> {
    let Some(select) = call.json("select")? else {
        return Ok(None);
    };
    let Some(names) = select.as_array() else {
        return refuse(422, "Invalid 'select': must be an array");
    };
    let mut selected = Vec::new();
    for name in names {
        match name.as_str() {
            Some(name) if is_attribute(name) => selected.push(name.to_owned()),
            _ => return refuse(422, format!("Invalid attribute {name} in select")),
        }
    }
    Ok(Some(selected))
}

/// The controller splits a list by clusters when it asks for UUIDs of several, and then allows no order and no limit
/// (facts §2.1.2a). It does not see the override header.
pub(crate) fn check_federation(call: &Call) -> Result<(), Refusal> {
    if call.overridden {
        return Ok(());
    }
    let mut clusters = std::collections::BTreeSet::new();
    for filter in filters(call)? {
        match (filter.attribute.as_str(), filter.operator.as_str()) {
            ("uuid", "=" | "in") => {}
            _ => return Ok(()),
        }
        let operands = match filter.operand {
            Value::Array(all) => all,
            one => vec![one],
        };
        clusters.extend(
            operands
                .iter()
                .filter_map(|uuid| uuid.as_str()?.get(..5).map(str::to_owned)),
        );
    }
    let counts = call.text("count").as_deref() != Some("none");
    if clusters.len() > 1
        && (counts
            || ["order", "limit", "offset"]
                .iter()
                .any(|name| call.text(name).is_some()))
    {
        return refuse(
            400,
            "cannot execute federated list query: order, limit, offset and count are not supported",
        );
    }
    Ok(())
}

struct Filter {
    attribute: String,
    operator: String,
    operand: Value,
}

fn filters(call: &Call) -> Result<Vec<Filter>, Refusal> {
    let Some(filters) = call.json("filters")? else {
        return Ok(Vec::new());
    };
    let Some(filters) = filters.as_array() else {
        return refuse(422, "Invalid 'filters': must be an array");
    };
    let mut read = Vec::new();
    for filter in filters {
        let parts = filter.as_array().map(Vec::as_slice).unwrap_or_default();
        let [Value::String(attribute), Value::String(operator), operand] = parts else {
            return refuse(422, format!("Invalid element in filters array: {filter}"));
        };
        if !is_attribute(attribute) {
            return refuse(422, format!("Invalid attribute '{attribute}' in filter"));
        }
        read.push(Filter {
            attribute: attribute.clone(),
            operator: operator.to_lowercase(),
            operand: operand.clone(),
        });
    }
    Ok(read)
}

fn matches_all(container: &Container, filters: &[Filter]) -> Result<bool, Refusal> {
    for filter in filters {
        if !matches(container, filter)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn matches(container: &Container, filter: &Filter) -> Result<bool, Refusal> {
    // Filters see the truth: a malformed row is malformed on the way out.
    let value = container.truth(&filter.attribute);
    let compared = |wanted: fn(Ordering) -> bool| {
        !value.is_null() && !filter.operand.is_null() && wanted(compare(&value, &filter.operand))
    };
    Ok(match (filter.operator.as_str(), &filter.operand) {
        ("=", operand) => value.is_null() && operand.is_null() || compared(Ordering::is_eq),
        ("!=", operand) if operand.is_null() => !value.is_null(),
        ("!=", _) => value.is_null() || compared(Ordering::is_ne),
        ("<", _) => compared(Ordering::is_lt),
        ("<=", _) => compared(Ordering::is_le),
        (">", _) => compared(Ordering::is_gt),
        (">=", _) => compared(Ordering::is_ge),
        ("in", Value::Array(all)) => all.iter().any(|one| compare(&value, one).is_eq()),
        ("not in", Value::Array(all)) => !all.iter().any(|one| compare(&value, one).is_eq()),
        ("like", Value::String(pattern)) => value.as_str().is_some_and(|text| like(text, pattern)),
        ("ilike", Value::String(pattern)) => value
            .as_str()
            .is_some_and(|text| like(&text.to_lowercase(), &pattern.to_lowercase())),
        (operator, operand) => {
            return refuse(
                422,
                format!("Invalid operand {operand} for '{operator}' operator in filters"),
            );
        }
    })
}

/// Order as the database has it: numbers as numbers even where one is written as text (facts §2.1.1, call 3).
fn compare(a: &Value, b: &Value) -> Ordering {
    let integer = |value: &Value| {
        value
            .as_i64()
            .or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()))
    };
    match (a, b) {
        (Value::Number(_), _) | (_, Value::Number(_)) => match (integer(a), integer(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a
                .as_f64()
                .partial_cmp(&b.as_f64())
                .unwrap_or(Ordering::Equal),
        },
        (Value::String(a), Value::String(b)) => a.cmp(b),
        // NULLs come last in ascending order, as in PostgreSQL.
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Greater,
        (_, Value::Null) => Ordering::Less,
        (a, b) => a.to_string().cmp(&b.to_string()),
    }
}

fn like(text: &str, pattern: &str) -> bool {
    match pattern.split_once('%') {
        None => text == pattern,
        Some((head, rest)) => {
            text.starts_with(head)
                && (rest.is_empty()
                    || (head.len()..=text.len())
                        .any(|at| text.is_char_boundary(at) && like(&text[at..], rest)))
        }
    }
}

fn order(call: &Call, select: Option<&[String]>) -> Result<Vec<(String, bool)>, Refusal> {
    let text = call.text("order").unwrap_or_default();
    let clauses: Vec<String> = match call.json("order") {
        Ok(Some(Value::Array(clauses))) => clauses
            .iter()
            .filter_map(|clause| clause.as_str().map(str::to_owned))
            .collect(),
        _ => text.split(',').map(str::to_owned).collect(),
    };
    let mut order = Vec::new();
    for clause in clauses
        .iter()
        .map(|clause| clause.trim())
        .filter(|clause| !clause.is_empty())
    {
        let (name, direction) = clause
            .split_once(char::is_whitespace)
            .unwrap_or((clause, "asc"));
        let name = name.strip_prefix("containers.").unwrap_or(name);
        let descending = match direction.trim().to_lowercase().as_str() {
            "asc" => false,
            "desc" => true,
            _ => return refuse(422, format!("Invalid order: {clause}")),
        };
        if is_attribute(name) {
            order.push((name.to_owned(), descending));
        }
    }
    order.push(("modified_at".into(), true));
    order.push(("uuid".into(), true));
    order.retain(|(name, _)| select.is_none_or(|select| select.contains(name)));
    Ok(order)
}

fn number(call: &Call, name: &str) -> Result<Option<usize>, Refusal> {
    match call.text(name) {
        None => Ok(None),
        Some(text) => match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => refuse(422, format!("Invalid value for {name} parameter")),
        },
    }
}
