//! What the Azure API is like, and what goes wrong.

use std::collections::{BTreeMap, BTreeSet};

/// What goes wrong with one request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AzureBad {
    /// It is refused: HTTP status, code and message.
    Refused(u16, String, String),
    /// It is throttled, with this `Retry-After`.
    Throttled(Option<String>),
    /// It is carried out; the connection ends without an answer.
    Lost,
    /// The connection ends without an answer; it is carried out so many ms later.
    Late(u64),
    /// It is carried out; the answer never comes.
    Silent,
    /// It is carried out; the answer ends in the middle.
    CutOff,
    /// It is carried out and answered as it should be: for whoever waits for the next of its kind.
    Fine,
    /// It is not carried out, and the answer never comes.
    Unheard,
    /// It is not carried out; something on the way answers 502 in HTML.
    BadGateway,
    /// It is carried out; the answer says that it failed: HTTP status, code and message.
    Mistaken(u16, String, String),
    /// It is not carried out; something on the way answers with this status, in HTML.
    Stranger(u16),
}

/// The next requests of one kind that go wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AzureInjection {
    /// GET, PUT, PATCH, DELETE, POST.
    pub method: String,
    /// What the path contains, in any case.
    pub path: String,
    /// How many requests.
    pub times: usize,
    /// How.
    pub bad: AzureBad,
}

impl AzureInjection {
    /// The next request with this method whose path contains this.
    pub fn next(method: &str, path: &str, bad: AzureBad) -> AzureInjection {
        AzureInjection {
            method: method.into(),
            path: path.into(),
            times: 1,
            bad,
        }
    }

    /// As many as this.
    #[must_use]
    pub fn times(mut self, times: usize) -> AzureInjection {
        self.times = times;
        self
    }
}

/// Everything that can be set; it may change while the API is served.
#[derive(Clone, PartialEq, Debug)]
pub struct AzureSettings {
    /// The subscription.
    pub subscription: String,
    /// The tenant, and the application that may call.
    pub tenant: String,
    /// Its id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// Client ids of user-assigned identities of the host that asks the metadata service.
    pub identities: BTreeSet<String>,
    /// How long tokens last, seconds.
    pub token_secs: u64,
    /// The region.
    pub location: String,
    /// Resource groups that there are.
    pub resource_groups: BTreeSet<String>,
    /// Names of managed images and of gallery images.
    pub images: BTreeSet<String>,
    /// Names of virtual networks.
    pub networks: BTreeSet<String>,
    /// Names of subnets, of any network.
    pub subnets: BTreeSet<String>,
    /// The largest page of a list.
    pub page: usize,
    /// Whether the last page names itself as the next.
    pub repeats_page: bool,
    /// Whether lists write the names of resource groups in capitals, as Azure does at times.
    pub capitals: bool,
    /// Whether lists hold odd rows: a VM without network interface, null tags, interfaces without anything, nulls.
    pub odd_rows: bool,
    /// Keys of tags that lists show as null.
    pub null_tags: BTreeSet<String>,
    /// Keys of tags that lists do not show at all.
    pub lost_tags: BTreeSet<String>,
    /// How long making a VM takes, ms.
    pub create_ms: u64,
    /// How long deleting one takes, ms.
    pub delete_ms: u64,
    /// How long making a network interface takes, ms.
    pub nic_ms: u64,
    /// How long deleting one takes, ms; it fails if a VM has taken the interface by then.
    pub nic_delete_ms: u64,
    /// `Retry-After` of operations, seconds.
    pub retry_after: Option<u64>,
    /// For how long after its PUT a VM is not found by GET, ms.
    pub unknown_ms: u64,
    /// Names of VMs that lists omit, though they are there.
    pub omits: BTreeSet<String>,
    /// Share of VMs that a list omits though an earlier one has shown them, and until which age, ms.
    pub flickers: Option<(f64, u64)>,
    /// For how long a create that failed keeps its network interface, ms.
    pub reserved_ms: u64,
    /// Whether the documented buckets limit calls, and how much faster than in life they fill.
    pub bucket_speed: Option<f64>,
    /// What throttled calls carry as `Retry-After`; `None`: the seconds until there is a token again.
    pub throttle_header: Option<Option<String>>,
    /// How many cores of a family may run.
    pub family_cores: BTreeMap<String, u32>,
    /// How many cores may run in the region.
    pub cores: Option<u32>,
    /// How many cores of spot VMs may run in the region.
    pub spot_cores: Option<u32>,
    /// Whether quota refusals do not say which quota is full.
    pub silent_quota: bool,
    /// Sizes that are refused with SkuNotAvailable.
    pub sold_out: BTreeSet<String>,
    /// Creates of these sizes are accepted and fail: code and message.
    pub failing: BTreeMap<String, (String, String)>,
    /// So many of the next creates are accepted and fail for want of capacity.
    pub fail_next: u32,
    /// Share of creates that are accepted and fail for want of capacity.
    pub fail_rate: f64,
    /// Share of all requests that are throttled, with five seconds to wait.
    pub throttle_rate: f64,
    /// Whether first pages of lists name themselves as the next, so that the others are never shown.
    pub first_page_repeats: bool,
    /// Whether deleted VMs leave their network interfaces and disks behind in spite of `deleteOption`.
    pub leaves_leftovers: bool,
    /// Share of writes whose answer is lost, and of those that are carried out late, their answer lost as well.
    pub lost_rate: f64,
    /// See `lost_rate`.
    pub late_rate: f64,
    /// Share of writes that are carried out and answered with 500 InternalServerError.
    pub mistaken_rate: f64,
    /// Creates of these sizes are accepted and fail, and the VM runs all the same: code and message.
    pub failing_but_running: BTreeMap<String, (String, String)>,
    /// The power state that instance views give of every VM, instead of its own; `Some(None)`: none, as Azure does at times
    /// (learn.microsoft.com/azure/virtual-machines/states-billing).
    pub power_state: Option<Option<String>>,
    /// Whether answers name no operation, so that the resource itself must be asked.
    pub no_operations: bool,
    /// Whether operations and instance views give no reason for a failure.
    pub no_reasons: bool,
    /// Deletes of VMs are accepted and fail: code and message. The VM stays.
    pub delete_fails: Option<(String, String)>,
    /// The host that next pages and operations are named at, instead of ours: behind a private link Azure names its own.
    pub named_host: Option<String>,
    /// Actions that nobody here has the permission for.
    pub forbidden: BTreeSet<String>,
    /// What goes wrong next.
    pub injections: Vec<AzureInjection>,
}

impl Default for AzureSettings {
    fn default() -> AzureSettings {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        AzureSettings {
            subscription: "00000000-0000-4000-8000-00000000000a".into(),
            tenant: "lab-tenant".into(),
            client_id: "lab-client".into(),
            client_secret: "lab-client-secret".into(),
            identities: names(&["lab-identity"]),
            token_secs: 3600,
            location: "centralus".into(),
            resource_groups: names(&["vms", "net", "images"]),
            images: names(&["lab-image"]),
            networks: names(&["vnet"]),
            subnets: names(&["subnet"]),
            page: 50,
            repeats_page: false,
            capitals: false,
            odd_rows: false,
            null_tags: BTreeSet::new(),
            lost_tags: BTreeSet::new(),
            create_ms: 20,
            delete_ms: 10,
            nic_ms: 0,
            nic_delete_ms: 0,
            retry_after: Some(1),
            unknown_ms: 0,
            omits: BTreeSet::new(),
            flickers: None,
            reserved_ms: 180_000,
            bucket_speed: None,
            throttle_header: None,
            family_cores: BTreeMap::new(),
            cores: None,
            spot_cores: None,
            silent_quota: false,
            sold_out: BTreeSet::new(),
            failing: BTreeMap::new(),
            fail_next: 0,
            fail_rate: 0.0,
            throttle_rate: 0.0,
            first_page_repeats: false,
            leaves_leftovers: false,
            lost_rate: 0.0,
            late_rate: 0.0,
            mistaken_rate: 0.0,
            failing_but_running: BTreeMap::new(),
            power_state: None,
            no_operations: false,
            no_reasons: false,
            delete_fails: None,
            named_host: None,
            forbidden: BTreeSet::new(),
            injections: Vec::new(),
        }
    }
}
