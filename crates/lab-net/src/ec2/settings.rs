//! What the EC2 API is like, and what goes wrong.

use std::collections::{BTreeMap, BTreeSet};

/// A subnet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subnet {
    /// Its id.
    pub id: String,
    /// Its zone.
    pub zone: String,
    /// How many more instances it has addresses for.
    pub free: usize,
}

impl Subnet {
    /// A subnet with plenty of addresses.
    pub fn new(id: &str, zone: &str) -> Subnet {
        Subnet {
            id: id.into(),
            zone: zone.into(),
            free: 10_000,
        }
    }
}

/// What goes wrong with one call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Bad {
    /// It is refused: HTTP status, code and message.
    Refused(u16, String, String),
    /// It is carried out; the connection ends without an answer.
    Lost,
    /// The connection ends without an answer; it is carried out so many ms later.
    Late(u64),
    /// It is carried out; the answer ends in the middle.
    CutOff,
    /// It is carried out; the answer has no instance in it.
    NoInstance,
    /// Something on the way answers 502 in HTML.
    BadGateway,
    /// It is carried out, and answered as if it had failed: HTTP status and code.
    CarriedOutBut(u16, String),
    /// It is carried out; something on the way gives up waiting and answers with this status, in HTML.
    GaveUp(u16),
    /// Something on the way answers 200 in HTML, as a proxy that wants a password does; nothing is carried out.
    NotEc2,
    /// It is carried out; the answer comes so many ms later.
    Slow(u64),
    /// It is carried out; no answer comes, and the connection stays open.
    Silent,
}

impl Bad {
    /// Its kind.
    pub fn name(&self) -> &'static str {
        match self {
            Bad::Refused(..) => "refused",
            Bad::Lost => "lost",
            Bad::Late(_) => "late",
            Bad::CutOff => "cut off",
            Bad::NoInstance => "no instance",
            Bad::BadGateway => "bad gateway",
            Bad::CarriedOutBut(..) => "carried out but",
            Bad::GaveUp(_) => "gave up",
            Bad::NotEc2 => "not EC2",
            Bad::Slow(_) => "slow",
            Bad::Silent => "silent",
        }
    }
}

/// The next calls of an action that go wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Injection {
    /// The action; `None` for any.
    pub action: Option<String>,
    /// Only in this subnet.
    pub subnet: Option<String>,
    /// How many calls go well before.
    pub after: usize,
    /// How many calls.
    pub times: usize,
    /// How.
    pub bad: Bad,
}

impl Injection {
    /// The next call of this action.
    pub fn next(action: &str, bad: Bad) -> Injection {
        Injection {
            action: Some(action.into()),
            subnet: None,
            after: 0,
            times: 1,
            bad,
        }
    }

    /// Not before so many have gone well.
    #[must_use]
    pub fn after(mut self, after: usize) -> Injection {
        self.after = after;
        self
    }

    /// As many as this.
    #[must_use]
    pub fn times(mut self, times: usize) -> Injection {
        self.times = times;
        self
    }

    /// In this subnet only.
    #[must_use]
    pub fn within(mut self, subnet: &str) -> Injection {
        self.subnet = Some(subnet.into());
        self
    }
}

/// Everything that can be set; it may change while the API is served.
#[derive(Clone, PartialEq, Debug)]
pub struct Ec2Settings {
    /// The account's subnets; the first is the default.
    pub subnets: Vec<Subnet>,
    /// Provider types of which a zone has none.
    pub sold_out: BTreeSet<(String, String)>,
    /// Instances that lists omit; they are shown to those who ask for them by id.
    pub omitted: BTreeSet<String>,
    /// Share of lists that omit one instance, whichever, in the same way.
    pub omitted_rate: f64,
    /// Whether what has ended loses its tags at once, so that lists by tag omit it; EC2 takes its time.
    pub ended_lose_tags: bool,
    /// Whether the image has a second volume that is not deleted with its instance.
    pub image_leaves_volume: bool,
    /// How many cores of a quota group may run.
    pub vcpu_limits: BTreeMap<String, u32>,
    /// The largest page of a list.
    pub page: usize,
    /// Whether the last page has an empty token rather than none (facts E14).
    pub empty_tokens: bool,
    /// For how long after its creation an instance is not known to CreateTags and TerminateInstances, ms.
    pub unknown_ms: u64,
    /// Instances of these provider types die at once, for this reason: code and message.
    pub dying: BTreeMap<String, (String, String)>,
    /// Share of creates whose answer is lost, and of those that are carried out late, their answer lost as well.
    pub lost_rate: f64,
    /// See `lost_rate`.
    pub late_rate: f64,
    /// How much later, ms.
    pub late_ms: u64,
    /// Share of creates that meet a limit for a moment, after their token was looked for and not found.
    pub limited_rate: f64,
    /// Share of creates that are carried out and answered with status 500 and `InternalError`.
    pub failed_rate: f64,
    /// Share of creates that are refused for want of a permission before anything is looked at.
    pub denied_rate: f64,
    /// Whether the documented buckets limit calls, and how much faster than in life they fill.
    pub bucket_speed: Option<f64>,
    /// The share of each bucket, and of its rate, that another client of the account takes, unannounced.
    pub taken_by_others: f64,
    /// Whether every instance also carries a tag that only AWS may set.
    pub reserved_tags: bool,
    /// The actions that there is a permission for, as [`actions_of_policy`](super::actions_of_policy) reads them; `None`:
    /// all.
    pub granted: Option<BTreeSet<String>>,
    /// Actions that nobody here has the permission for.
    pub forbidden: BTreeSet<String>,
    /// What goes wrong next.
    pub injections: Vec<Injection>,
}

impl Default for Ec2Settings {
    fn default() -> Ec2Settings {
        Ec2Settings {
            subnets: vec![Subnet::new("subnet-a1", "lab-1a")],
            sold_out: BTreeSet::new(),
            omitted: BTreeSet::new(),
            omitted_rate: 0.0,
            ended_lose_tags: false,
            image_leaves_volume: false,
            vcpu_limits: BTreeMap::new(),
            page: 1000,
            empty_tokens: false,
            unknown_ms: 0,
            dying: BTreeMap::new(),
            lost_rate: 0.0,
            late_rate: 0.0,
            late_ms: 50,
            limited_rate: 0.0,
            failed_rate: 0.0,
            denied_rate: 0.0,
            bucket_speed: None,
            taken_by_others: 0.0,
            reserved_tags: false,
            granted: None,
            forbidden: BTreeSet::new(),
            injections: Vec::new(),
        }
    }
}
