//! The cloud's refusals.

use serde::Serialize;

/// What kind of refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// No more instances in this account.
    Quota,
    /// No more of this kind.
    Capacity,
    /// Too fast.
    RateLimited,
    /// Never.
    Refused,
    /// No such instance.
    NotFound,
    /// A passing fault, without effect.
    Transient,
}

/// A refusal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CloudRefusal {
    /// Its kind.
    pub class: Class,
    /// For capacity: `type` or `group`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<&'static str>,
    /// For capacity of a group: its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// For rate limits: how long to wait, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// For people.
    pub message: String,
}

impl CloudRefusal {
    fn new(class: Class, message: impl Into<String>) -> CloudRefusal {
        CloudRefusal {
            class,
            scope: None,
            group: None,
            retry_after_ms: None,
            message: message.into(),
        }
    }

    pub(crate) fn quota() -> CloudRefusal {
        CloudRefusal::new(
            Class::Quota,
            "you have reached the number of instances that this account may have",
        )
    }

    pub(crate) fn type_capacity(provider_type: &str) -> CloudRefusal {
        let message = format!("there are no more instances of type {provider_type} at present");
        CloudRefusal {
            scope: Some("type"),
            ..CloudRefusal::new(Class::Capacity, message)
        }
    }

    pub(crate) fn group_capacity(group: String) -> CloudRefusal {
        let message = format!(
            "you have reached the number of cores that this account may have in group {group}"
        );
        CloudRefusal {
            scope: Some("group"),
            group: Some(group),
            ..CloudRefusal::new(Class::Capacity, message)
        }
    }

    pub(crate) fn rate_limited(wait_ms: u64) -> CloudRefusal {
        CloudRefusal {
            retry_after_ms: Some(wait_ms),
            ..CloudRefusal::new(Class::RateLimited, "too many requests")
        }
    }

    pub(crate) fn refused(message: impl Into<String>) -> CloudRefusal {
        CloudRefusal::new(Class::Refused, message)
    }

    pub(crate) fn not_found(id: &str) -> CloudRefusal {
        CloudRefusal::new(Class::NotFound, format!("there is no instance {id}"))
    }

    pub(crate) fn transient(what: &str) -> CloudRefusal {
        CloudRefusal::new(
            Class::Transient,
            format!("{what}: an internal error has occurred"),
        )
    }

    pub(crate) fn status(&self) -> u16 {
        match self.class {
            Class::Quota | Class::Capacity => 409,
            Class::RateLimited => 429,
            Class::Refused => 400,
            Class::NotFound => 404,
            Class::Transient => 500,
        }
    }
}

/// The quota group of a type: its leading letters, and the market (as in facts §2.8.4).
pub fn quota_group(provider_type: &str, preemptible: bool) -> String {
    let letters: String = provider_type
        .to_lowercase()
        .chars()
        .take_while(char::is_ascii_alphabetic)
        .collect();
    if preemptible {
        format!("{letters}-spot")
    } else {
        letters
    }
}
