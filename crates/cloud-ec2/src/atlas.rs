//! The error atlas: what each of EC2's error codes means for the one who creates instances, how far it reaches, and
//! what an operator can do about it (facts §2.8.3, §2.8.4, E8–E10, E20, K28).

mod doubt;
mod table;

use dispatch_model::{CapacityScope, CloudErrorClass, RefusalScope, Time};

pub(crate) use doubt::{may_have_made, settles};

/// What kind of refusal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    /// Calls of this operation come too fast.
    Rate,
    /// The account may have no more.
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
            Kind::Quota => "account limit",
            Kind::Capacity => "no capacity",
            Kind::Permanent => "refused",
            Kind::Transient => "passing fault",
        }
    }
}

/// How far a refusal reaches.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Reach {
    /// Every instance.
    Everything,
    /// All types of the same quota group and market.
    QuotaGroup,
    /// All types of the same market; in the table: spot instances.
    Market,
    /// The type asked for, everywhere.
    Type,
    /// The type asked for, in this market and zone.
    TypeInZone,
    /// Everything in this zone.
    Zone,
    /// Everything in this subnet.
    Subnet,
}

impl Reach {
    /// Whether another subnet may do what this one does not (facts E9–E11).
    pub(crate) fn is_local(self) -> bool {
        matches!(self, Reach::TypeInZone | Reach::Zone | Reach::Subnet)
    }

    fn word(self) -> &'static str {
        match self {
            Reach::Everything => "all instances",
            Reach::QuotaGroup => "all types of its quota group",
            Reach::Market => "all spot instances",
            Reach::Type => "this type",
            Reach::TypeInZone => "this type in this zone",
            Reach::Zone => "this zone",
            Reach::Subnet => "this subnet",
        }
    }
}

/// What a refusal means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Verdict {
    pub(crate) kind: Kind,
    pub(crate) reach: Reach,
    /// What an operator can do; "" if nothing but wait.
    pub(crate) remedy: &'static str,
}

/// Judges a refusal by its code (without one: by the HTTP status) and message.
pub(crate) fn judge(code: Option<&str>, status: u16, message: &str) -> Verdict {
    let known = code.and_then(|code| look_up(code, message));
    known.unwrap_or_else(|| by_status(status))
}

/// The class for the pool. `until`: what a rate limit waits for; `group`: the quota group of the type asked for.
pub(crate) fn class(verdict: Verdict, group: &str, until: Time) -> CloudErrorClass {
    match (verdict.kind, verdict.reach) {
        (Kind::Rate, _) => CloudErrorClass::RateLimited(until),
        (Kind::Transient, _) => CloudErrorClass::Transient,
        (Kind::Permanent, Reach::Everything) => {
            CloudErrorClass::RefusedWidely(RefusalScope::Everything)
        }
        (Kind::Permanent, Reach::Market) => CloudErrorClass::RefusedWidely(RefusalScope::Market),
        (Kind::Permanent, _) => CloudErrorClass::Refused,
        (Kind::Quota | Kind::Capacity, Reach::Everything) => CloudErrorClass::Quota,
        (Kind::Quota | Kind::Capacity, Reach::QuotaGroup) => {
            CloudErrorClass::Capacity(CapacityScope::QuotaGroup(group.to_owned()))
        }
        (Kind::Quota | Kind::Capacity, Reach::Market) => {
            CloudErrorClass::Capacity(CapacityScope::Market)
        }
        (Kind::Quota | Kind::Capacity, _) => CloudErrorClass::Capacity(CapacityScope::Type),
    }
}

/// For people: the code, how far it reaches, EC2's words, the remedy.
pub(crate) fn words(operation: &str, code: &str, verdict: Verdict, message: &str) -> String {
    let (kind, reach) = (verdict.kind.word(), verdict.reach.word());
    let message = shortened(message);
    let mut words = format!("{operation}: {code} ({kind}, {reach}): {message}");
    if !verdict.remedy.is_empty() {
        if !words.ends_with(['.', '…']) {
            words.push('.');
        }
        words.push_str(" Remedy: ");
        words.push_str(verdict.remedy);
    }
    words
}

/// EC2's messages can be thousands of characters of encoded authorization details.
pub(crate) fn shortened(message: &str) -> String {
    const CHARS_MAX: usize = 400;
    let message = message.trim();
    let mut short: String = message.chars().take(CHARS_MAX).collect();
    if short.len() < message.len() {
        short.push('…');
    }
    short
}

/// Documents and late failures write `Client.X` and `Server.X` for what calls name `X` (facts E10).
pub(crate) fn bare(code: &str) -> &str {
    code.strip_prefix("Client.")
        .or_else(|| code.strip_prefix("Server."))
        .unwrap_or(code)
}

/// Something is wrong with this subnet, under a general code (facts E10): another may do, and waiting does not help.
const WRONG_SUBNET: Verdict = Verdict {
    kind: Kind::Permanent,
    reach: Reach::Subnet,
    remedy: "check SubnetID and SecurityGroupIDs: they must belong to the same network.",
};

/// Without a code, or with one that we do not know: something between us and EC2 has a limit of its own.
const TOO_FAST: Verdict = Verdict {
    kind: Kind::Rate,
    reach: Reach::Everything,
    remedy: table::SLOWER,
};

fn look_up(code: &str, message: &str) -> Option<Verdict> {
    if code.contains("InvalidParameter") {
        if speaks_of_a_full_subnet(message) {
            return Some(table::FULL_SUBNET);
        }
        if lower(message).contains(" subnet ") {
            return Some(WRONG_SUBNET);
        }
    }
    let entry = table::ENTRIES.iter().find(|entry| {
        // A few codes mean something else with their prefix.
        let fits = entry.code == code || entry.code == bare(code);
        fits && entry.says.is_none_or(|says| lower(message).contains(says))
    });
    if let Some(entry) = entry {
        return Some(entry.verdict);
    }
    code.contains("Subnet").then_some(table::OTHER_SUBNET)
}

fn by_status(status: u16) -> Verdict {
    match status {
        429 => TOO_FAST,
        400..=499 => table::UNKNOWN_REFUSAL,
        _ => table::UNKNOWN_FAULT,
    }
}

/// Full subnets are told under a general code, in words that vary (facts E10, §2.8.4).
fn speaks_of_a_full_subnet(message: &str) -> bool {
    let message = lower(message);
    let addresses = message.contains("address");
    addresses
        && ["free", "sufficient", "enough"]
            .iter()
            .any(|word| message.contains(word))
}

fn lower(text: &str) -> String {
    text.to_ascii_lowercase()
}

/// Every rule, for the documentation's test: what is met, what it means and reaches, remedy.
#[cfg(test)]
pub(crate) fn rows() -> Vec<(String, String, &'static str)> {
    let row = |met: String, verdict: Verdict| {
        let meaning = format!("{}, {}", verdict.kind.word(), verdict.reach.word());
        (met, meaning, verdict.remedy)
    };
    let codes = table::ENTRIES.iter().map(|entry| {
        let says = entry
            .says
            .map_or(String::new(), |says| format!(" with “{says}”"));
        row(format!("`{}`{says}", entry.code), entry.verdict)
    });
    // As `look_up` asks them.
    let first = [
        (
            "`InvalidParameter…` with “address” and “free”, “sufficient” or “enough”",
            table::FULL_SUBNET,
        ),
        ("`InvalidParameter…` with “ subnet ”", WRONG_SUBNET),
    ];
    let last = [
        ("other codes with `Subnet`", table::OTHER_SUBNET),
        ("no or another code, HTTP status 429", TOO_FAST),
        ("other codes, HTTP status 4xx", table::UNKNOWN_REFUSAL),
        ("other codes, other statuses", table::UNKNOWN_FAULT),
    ];
    let rule = |(met, verdict): (&str, Verdict)| row(met.to_owned(), verdict);
    (first.map(rule).into_iter())
        .chain(codes)
        .chain(last.map(rule))
        .collect()
}

#[cfg(test)]
mod tests;
