//! The error atlas: what each of Azure's error codes means for the one who creates instances, how far it reaches, and
//! what an operator can do about it (facts A5, A6, K27). One verdict for refused calls, for operations that fail later
//! and for VMs in state Failed.

mod fault;
mod table;

use dispatch_model::{CapacityScope, CloudErrorClass, RefusalScope, Time};

pub(crate) use fault::Fault;

/// What kind of refusal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    /// Calls come too fast.
    Rate,
    /// The subscription may have no more.
    Quota,
    /// There is none to be had at present.
    Capacity,
    /// It will not be done however often it is asked.
    Permanent,
    /// It may be asked again.
    Transient,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Rate => "too many calls",
            Kind::Quota => "subscription limit",
            Kind::Capacity => "no capacity",
            Kind::Permanent => "refused",
            Kind::Transient => "passing fault",
        }
    }
}

/// How far a refusal reaches.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Reach {
    /// Every instance.
    Everything,
    /// All sizes of this family, as quotas name it; `None` where the message does not say which.
    Family(Option<String>),
    /// All spot instances.
    Market,
    /// The size asked for.
    Size,
}

impl Reach {
    fn words(&self) -> String {
        match self {
            Reach::Everything => "all instances".to_owned(),
            Reach::Family(None) => "all sizes of its family".to_owned(),
            Reach::Family(Some(family)) => format!("all sizes of {family}"),
            Reach::Market => "all spot instances".to_owned(),
            Reach::Size => "this size".to_owned(),
        }
    }
}

/// What a refusal means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Verdict {
    pub(crate) kind: Kind,
    pub(crate) reach: Reach,
    /// What an operator can do; "" if nothing but wait.
    pub(crate) remedy: &'static str,
    /// A quota is full and nobody said which: the usages tell.
    pub(crate) quota_is_silent: bool,
}

/// Judges a refusal. `status`: of HTTP, 0 for what failed later.
pub(crate) fn judge(fault: &Fault, status: u16) -> Verdict {
    // Whatever it says: the one thing to do is to wait (facts A5).
    if status == 429 {
        return verdict(Kind::Rate, Reach::Everything, table::SLOWER);
    }
    let known = fault
        .codes()
        .find_map(|code| table::look_up(code, fault.message()));
    let mut verdict = known.unwrap_or_else(|| unknown(fault, status));
    if verdict.kind == Kind::Quota && verdict.reach == Reach::Family(None) {
        match quota_named(fault.message()) {
            Some(reach) => verdict.reach = reach,
            None => verdict.quota_is_silent = true,
        }
    }
    // Facts A5: a fault that says when to come back is a limit of calls.
    if verdict.kind == Kind::Transient && fault.retry_after.is_some() {
        verdict.kind = Kind::Rate;
    }
    verdict
}

/// A refusal of an image that not everybody asks for reaches no further than those who do.
pub(crate) fn of_special_image(verdict: &mut Verdict) {
    if verdict.remedy == table::IMAGE {
        verdict.reach = Reach::Size;
    }
}

/// The class for the pool. `until`: what a rate limit waits for.
pub(crate) fn class(verdict: &Verdict, until: Time) -> CloudErrorClass {
    match (verdict.kind, &verdict.reach) {
        (Kind::Rate, _) => CloudErrorClass::RateLimited(until),
        (Kind::Transient, _) => CloudErrorClass::Transient,
        // Whoever asks for another size will meet it too.
        (Kind::Permanent, Reach::Everything) => {
            CloudErrorClass::RefusedWidely(RefusalScope::Everything)
        }
        (Kind::Permanent, Reach::Market) => CloudErrorClass::RefusedWidely(RefusalScope::Market),
        (Kind::Permanent, Reach::Family(_) | Reach::Size) => CloudErrorClass::Refused,
        (Kind::Quota | Kind::Capacity, Reach::Everything) => CloudErrorClass::Quota,
        (Kind::Quota | Kind::Capacity, Reach::Family(Some(family))) => {
            CloudErrorClass::Capacity(CapacityScope::QuotaGroup(family.clone()))
        }
        (Kind::Quota | Kind::Capacity, Reach::Market) => {
            CloudErrorClass::Capacity(CapacityScope::Market)
        }
        // Without the name of the family, the size is held instead.
        (Kind::Quota | Kind::Capacity, Reach::Family(None) | Reach::Size) => {
            CloudErrorClass::Capacity(CapacityScope::Type)
        }
    }
}

/// For people: the code, how far it reaches, Azure's words, the remedy.
pub(crate) fn words(operation: &str, fault: &Fault, status: u16, verdict: &Verdict) -> String {
    let code = match fault.code() {
        "" => format!("HTTP status {status}"),
        code => code.to_owned(),
    };
    let (kind, reach) = (verdict.kind.word(), verdict.reach.words());
    let message = shortened(fault.message());
    let mut words = format!("{operation}: {code} ({kind}, {reach})");
    if !message.is_empty() {
        words.push_str(": ");
        words.push_str(&message);
    }
    if !verdict.remedy.is_empty() {
        if !words.ends_with(['.', '…']) {
            words.push('.');
        }
        words.push_str(" Remedy: ");
        words.push_str(verdict.remedy);
    }
    words
}

/// Which quota a message speaks of: "… results in exceeding approved standardDSv3Family Cores quota. …".
fn quota_named(message: &str) -> Option<Reach> {
    let lower = message.to_ascii_lowercase();
    let is_spot = ["low priority", "low-priority", "lowpriority", "spot"]
        .iter()
        .any(|word| lower.contains(word));
    if is_spot {
        return Some(Reach::Market);
    }
    if lower.contains("total regional") || lower.contains("limits of core.") {
        return Some(Reach::Everything);
    }
    let start = lower.find("approved ")? + "approved ".len();
    let length = lower.get(start..)?.find(" cores quota")?;
    let family = message.get(start..start + length)?.trim();
    (!family.is_empty()).then(|| Reach::Family(Some(family.to_owned())))
}

/// A code that is not in the table (facts A6: quotas are known by their words).
fn unknown(fault: &Fault, status: u16) -> Verdict {
    let code = fault.code().to_ascii_lowercase();
    let message = fault.message().to_ascii_lowercase();
    let by_code = ["quota", "limit", "exceed"]
        .iter()
        .any(|word| code.contains(word));
    // "Exceeds" and "limit" alone are said of values that are too long, too.
    let by_message =
        message.contains("quota") || (message.contains("exceed") && message.contains("limit"));
    if by_code || by_message {
        return verdict(Kind::Quota, Reach::Family(None), table::INCREASE);
    }
    match status {
        400..=499 => verdict(Kind::Permanent, Reach::Size, table::UNKNOWN),
        _ => verdict(Kind::Transient, Reach::Everything, ""),
    }
}

fn verdict(kind: Kind, reach: Reach, remedy: &'static str) -> Verdict {
    Verdict {
        kind,
        reach,
        remedy,
        quota_is_silent: false,
    }
}

/// Azure's messages can be pages of encoded links.
fn shortened(message: &str) -> String {
    const CHARS_MAX: usize = 400;
    let message = message.trim();
    let mut short: String = message.chars().take(CHARS_MAX).collect();
    if short.len() < message.len() {
        short.push('…');
    }
    short
}

/// Every row of the table, in its order, for the documentation's test: code, words that the message must contain, what it
/// means and reaches, remedy.
#[cfg(all(test, feature = "cloud-tests"))]
pub(crate) fn rows()
-> impl Iterator<Item = (&'static str, Option<&'static str>, String, &'static str)> {
    table::ENTRIES.iter().map(|entry| {
        let verdict = entry.verdict();
        let meaning = format!("{}, {}", verdict.kind.word(), verdict.reach.words());
        let (code, says) = entry.key();
        (code, says, meaning, verdict.remedy)
    })
}

#[cfg(test)]
mod tests;
