//! What the rest of the dispatcher needs to know of a cloud's refusal. Drivers classify; nobody else reads their texts.

use crate::Time;

/// How far a lack of capacity reaches.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CapacityScope {
    /// All types that share a quota group with the one asked for, of the same market. The group's name.
    QuotaGroup(String),
    /// The provider type asked for, of the same market (spot or on-demand; facts S29).
    Type,
    /// All types of the same market as the one asked for (EC2's limit of spot requests, facts §2.8.4).
    Market,
}

/// How far a refusal reaches that asking again does not change, if further than the type asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RefusalScope {
    /// Every instance: credentials, a permission, the image.
    Everything,
    /// All types of the same market as the one asked for: what spot instances alone need is missing.
    Market,
}

/// A refusal, named after what the caller does next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CloudErrorClass {
    /// The account may have no more instances for now: stop creating any.
    Quota,
    /// There is none of this kind for now: others may still be had.
    Capacity(CapacityScope),
    /// Calls of this kind come too fast: none before this time.
    RateLimited(Time),
    /// The cloud will not do it however often it is asked (a type that does not exist, a parameter it does not take);
    /// other types are not concerned.
    Refused,
    /// The same, and other types will meet it too (missing permissions, wrong credentials): none of them is asked for
    /// before this one has been tried again.
    RefusedWidely(RefusalScope),
    /// A passing fault: the call had no effect and may be repeated.
    Transient,
    /// Nobody knows whether the call had an effect (time-out, cut connection): only a list can tell.
    OutcomeUnknown,
}

/// What became of an instance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum EndCause {
    /// The cloud took it back: a spot interruption.
    TakenBack,
    /// It died while it was launched, for lack of something or by a fault.
    NeverBegan,
    /// Somebody else ended it, it shut itself down, or its host failed.
    Other,
}

impl EndCause {
    /// A short name for metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            EndCause::TakenBack => "spot interruption",
            EndCause::NeverBegan => "launch failure",
            EndCause::Other => "other",
        }
    }
}
