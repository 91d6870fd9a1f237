//! The kinds of calls.

use reqwest::Method;

/// The versions of the API of what azure_mgmt_compute has no requests for.
const NETWORK: &str = "2024-03-01";
const RESOURCES: &str = "2021-04-01";

/// What we ask of Azure. It limits the rate of each apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Action {
    PutVm,
    GetVm,
    InstanceView,
    DeleteVm,
    ListVms,
    PutNic,
    GetNic,
    DeleteNic,
    ListNics,
    ListDisks,
    DeleteDisk,
    Usages,
    Sizes,
    MergeTags,
    Operation,
}

impl Action {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Action::PutVm => "create VM",
            Action::GetVm => "look at VM",
            Action::InstanceView => "look into VM",
            Action::DeleteVm => "delete VM",
            Action::ListVms => "list VMs",
            Action::PutNic => "create network interface",
            Action::GetNic => "look at network interface",
            Action::DeleteNic => "delete network interface",
            Action::ListNics => "list network interfaces",
            Action::ListDisks => "list disks",
            Action::DeleteDisk => "delete disk",
            Action::Usages => "read quotas",
            Action::Sizes => "read sizes",
            Action::MergeTags => "set tags",
            Action::Operation => "ask for an operation",
        }
    }

    /// The version of the API, of what azure_mgmt_compute has no requests for.
    pub(crate) const fn api_version(self) -> &'static str {
        match self {
            Action::PutNic | Action::GetNic | Action::DeleteNic | Action::ListNics => NETWORK,
            Action::MergeTags => RESOURCES,
            // Its own requests name theirs; so do the URLs of operations.
            Action::PutVm
            | Action::GetVm
            | Action::InstanceView
            | Action::DeleteVm
            | Action::ListVms
            | Action::ListDisks
            | Action::DeleteDisk
            | Action::Usages
            | Action::Sizes
            | Action::Operation => "",
        }
    }

    pub(crate) const fn method(self) -> Method {
        match self {
            Action::PutVm | Action::PutNic => Method::PUT,
            Action::DeleteVm | Action::DeleteNic | Action::DeleteDisk => Method::DELETE,
            Action::MergeTags => Method::PATCH,
            Action::GetVm
            | Action::InstanceView
            | Action::ListVms
            | Action::GetNic
            | Action::ListNics
            | Action::ListDisks
            | Action::Usages
            | Action::Sizes
            | Action::Operation => Method::GET,
        }
    }
}
