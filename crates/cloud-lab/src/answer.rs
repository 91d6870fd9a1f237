//! What the lab's cloud answers, in the words of the driver contract.

use std::time::Duration;

use dispatch_cloud::{Clock, CloudError, Instance, Tags};
use dispatch_model::{CapacityScope, CloudErrorClass};
use serde_json::Value;

/// How long to wait if a rate limit does not say.
const RATE_LIMITED_FOR: Duration = Duration::from_secs(1);

/// How much of an answer is shown to people.
const SHOWN_CHARS_MAX: usize = 300;

/// Reads one instance. Only the id is needed: a row with odd fields is still an instance, and must not seem to have
/// vanished.
pub(crate) fn instance(row: &Value) -> Option<Instance> {
    let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let id = row["id"].as_str().filter(|id| !id.is_empty())?;
    let tags: Tags = row["tags"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    Some(Instance {
        id: id.into(),
        address: text("address"),
        provider_type: text("provider_type"),
        tags,
    })
}

/// A refusal, from the status and the body of an answer. `if_unknown`: the class if nobody can tell what happened.
pub(crate) fn refusal(
    status: u16,
    body: &[u8],
    if_unknown: &CloudErrorClass,
    clock: &Clock,
) -> CloudError {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = &answer["error"];
    let class = class_by_word(error, clock).unwrap_or_else(|| match status {
        429 => rate_limited(error, clock),
        400..=499 => CloudErrorClass::Refused,
        _ => if_unknown.clone(),
    });
    let words = match error["message"].as_str() {
        Some(message) => message.to_owned(),
        None => String::from_utf8_lossy(body).into_owned(),
    };
    CloudError::new(class, format!("{status}: {}", shortened(&words)))
}

/// Whether an answer says that there is no such instance.
pub(crate) fn is_not_found(status: u16, body: &[u8]) -> bool {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    match answer["error"]["class"].as_str() {
        Some("not_found") => true,
        Some("quota" | "capacity" | "rate_limited" | "refused" | "transient") => false,
        _ => status == 404,
    }
}

fn class_by_word(error: &Value, clock: &Clock) -> Option<CloudErrorClass> {
    Some(match error["class"].as_str()? {
        "quota" => CloudErrorClass::Quota,
        "capacity" => CloudErrorClass::Capacity(match error["group"].as_str() {
            Some(group) if error["scope"] == "group" => CapacityScope::QuotaGroup(group.to_owned()),
            _ => CapacityScope::Type,
        }),
        "rate_limited" => rate_limited(error, clock),
        "refused" | "not_found" => CloudErrorClass::Refused,
        "transient" => CloudErrorClass::Transient,
        _ => return None,
    })
}

fn rate_limited(error: &Value, clock: &Clock) -> CloudErrorClass {
    let wait = error["retry_after_ms"]
        .as_u64()
        .map_or(RATE_LIMITED_FOR, Duration::from_millis);
    CloudErrorClass::RateLimited(clock.now() + wait)
}

fn shortened(words: &str) -> String {
    let mut short: String = words.trim().chars().take(SHOWN_CHARS_MAX).collect();
    if short.len() < words.trim().len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use dispatch_model::Time;
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(status: u16, body: &str, expected: Expect) {
        let clock = Clock::new(|| Time::from_secs(10));
        let error = refusal(
            status,
            body.as_bytes(),
            &CloudErrorClass::OutcomeUnknown,
            &clock,
        );
        expected.assert_eq(&format!("{:?}: {error}", error.class));
    }

    #[test]
    fn the_class_decides() {
        check(
            409,
            r#"{"error": {"class": "quota", "message": "no more"}}"#,
            expect!["Quota: 409: no more"],
        );
        check(
            409,
            r#"{"error": {"class": "capacity", "scope": "type", "message": "none of these"}}"#,
            expect!["Capacity(Type): 409: none of these"],
        );
        check(
            409,
            r#"{"error": {"class": "capacity", "scope": "group", "group": "lab-spot", "message": "m"}}"#,
            expect![[r#"Capacity(QuotaGroup("lab-spot")): 409: m"#]],
        );
        check(
            429,
            r#"{"error": {"class": "rate_limited", "retry_after_ms": 2500, "message": "slowly"}}"#,
            expect!["RateLimited(12.500s): 429: slowly"],
        );
        check(
            429,
            r#"{"error": {"class": "rate_limited", "message": "slowly"}}"#,
            expect!["RateLimited(11.000s): 429: slowly"],
        );
        check(
            400,
            r#"{"error": {"class": "refused", "message": "wrong image"}}"#,
            expect!["Refused: 400: wrong image"],
        );
        check(
            503,
            r#"{"error": {"class": "transient", "message": "later"}}"#,
            expect!["Transient: 503: later"],
        );
        check(
            404,
            r#"{"error": {"class": "not_found", "message": "who?"}}"#,
            expect!["Refused: 404: who?"],
        );
    }

    #[test]
    fn without_a_known_class_the_status_decides() {
        check(429, "<html>", expect!["RateLimited(11.000s): 429: <html>"]);
        check(403, "", expect!["Refused: 403: "]);
        check(
            500,
            r#"{"error": {"class": "new", "message": "m"}}"#,
            expect!["OutcomeUnknown: 500: m"],
        );
        check(
            502,
            "bad gateway",
            expect!["OutcomeUnknown: 502: bad gateway"],
        );
    }

    #[test]
    fn long_answers_are_shortened() {
        let clock = Clock::new(|| Time::ZERO);
        let error = refusal(
            502,
            "x".repeat(5000).as_bytes(),
            &CloudErrorClass::Transient,
            &clock,
        );
        assert!(error.message.len() < 400, "{error}");
    }

    #[test]
    fn an_instance_needs_only_its_id() {
        let read = |text: &str| instance(&serde_json::from_str(text).expect("JSON"));
        expect![[r#"Some(Instance { id: i-1, address: "127.0.0.2:22", provider_type: "lab.2", tags: {"a": "b"} })"#]]
            .assert_eq(&format!(
                "{:?}",
                read(r#"{"id": "i-1", "address": "127.0.0.2:22", "provider_type": "lab.2", "tags": {"a": "b", "c": 1}, "new": []}"#)
            ));
        assert!(read(r#"{"id": "i-1", "address": null, "tags": 7}"#).is_some());
        assert!(
            read(r#"{"id": ""}"#).is_none()
                && read("[]").is_none()
                && read(r#"{"id": 7}"#).is_none()
        );
    }
}
