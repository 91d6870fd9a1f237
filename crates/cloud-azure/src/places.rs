//! Where things are: Azure's clouds, and the ids of our resources (facts §2.9, A10).

use std::fmt::Display;

/// One of Azure's separate clouds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Environment {
    Public,
    UsGovernment,
    China,
}

impl Environment {
    /// By the name that configurations use.
    pub(crate) fn parse(name: &str) -> Option<Environment> {
        match name.to_ascii_lowercase().as_str() {
            "azurepubliccloud" | "azurecloud" => Some(Environment::Public),
            "azureusgovernmentcloud" | "azureusgovernment" => Some(Environment::UsGovernment),
            "azurechinacloud" => Some(Environment::China),
            _ => None,
        }
    }

    /// Where tokens come from.
    pub(crate) const fn authority(self) -> &'static str {
        match self {
            Environment::Public => "https://login.microsoftonline.com",
            Environment::UsGovernment => "https://login.microsoftonline.us",
            Environment::China => "https://login.chinacloudapi.cn",
        }
    }

    /// Where the resource manager is, which is also what tokens are for.
    pub(crate) const fn arm(self) -> &'static str {
        match self {
            Environment::Public => "https://management.azure.com",
            Environment::UsGovernment => "https://management.usgovcloudapi.net",
            Environment::China => "https://management.chinacloudapi.cn",
        }
    }
}

/// The places of one subscription that we use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Places {
    pub(crate) subscription_id: String,
    /// Of VMs, network interfaces and disks.
    pub(crate) resource_group: String,
    pub(crate) network_resource_group: String,
    pub(crate) image_resource_group: String,
    pub(crate) network: String,
    pub(crate) subnet: String,
    /// Name and version of images, where they come from a gallery.
    pub(crate) gallery: Option<(String, String)>,
}

impl Places {
    /// All VMs of our resource group.
    fn vms(&self) -> String {
        self.own("Microsoft.Compute/virtualMachines")
    }

    /// One VM. This is also what instances are called: it is put together here and never taken from an answer, since
    /// Azure changes the case of some parts.
    pub(crate) fn vm(&self, name: &str) -> String {
        format!("{}/{name}", self.vms())
    }

    pub(crate) fn nics(&self) -> String {
        self.own("Microsoft.Network/networkInterfaces")
    }

    pub(crate) fn nic(&self, name: &str) -> String {
        format!("{}/{name}", self.nics())
    }

    /// The subnet that our network interfaces are in.
    pub(crate) fn subnet_id(&self) -> String {
        let group = self.group(&self.network_resource_group);
        let (network, subnet) = (&self.network, &self.subnet);
        format!("{group}/providers/Microsoft.Network/virtualNetworks/{network}/subnets/{subnet}")
    }

    /// An image: of a gallery if there is one, else a managed one, unless it is a whole id already.
    pub(crate) fn image_id(&self, image: &str) -> String {
        if image
            .get(..15)
            .is_some_and(|start| start.eq_ignore_ascii_case("/subscriptions/"))
        {
            return image.to_owned();
        }
        let group = self.group(&self.image_resource_group);
        match &self.gallery {
            Some((gallery, version)) => format!(
                "{group}/providers/Microsoft.Compute/galleries/{gallery}/images/{image}/versions/{version}"
            ),
            None => format!("{group}/providers/Microsoft.Compute/images/{image}"),
        }
    }

    fn own(&self, kind: &str) -> String {
        format!("{}/providers/{kind}", self.group(&self.resource_group))
    }

    fn group(&self, name: impl Display) -> String {
        let subscription = &self.subscription_id;
        format!("/subscriptions/{subscription}/resourceGroups/{name}")
    }
}

/// The last part of an id.
pub(crate) fn name_in(id: &str) -> &str {
    let id = id.trim_end_matches('/');
    id.rsplit('/').next().unwrap_or(id)
}

#[cfg(test)]
pub(crate) fn for_tests() -> Places {
    Places {
        subscription_id: "sub".into(),
        resource_group: "vms".into(),
        network_resource_group: "net".into(),
        image_resource_group: "images".into(),
        network: "vnet".into(),
        subnet: "subnet".into(),
        gallery: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a10_network_and_images_may_be_in_resource_groups_of_their_own() {
        let mut places = for_tests();
        assert_eq!(
            places.subnet_id(),
            "/subscriptions/sub/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/vnet/subnets/subnet"
        );
        assert_eq!(
            places.image_id("i"),
            "/subscriptions/sub/resourceGroups/images/providers/Microsoft.Compute/images/i"
        );
        places.gallery = Some(("g".into(), "1.2.3".into()));
        assert_eq!(
            places.image_id("i"),
            "/subscriptions/sub/resourceGroups/images/providers/Microsoft.Compute/galleries/g/images/i/versions/1.2.3"
        );
        let whole = "/subscriptions/other/resourceGroups/x/providers/Microsoft.Compute/images/i";
        assert_eq!(places.image_id(whole), whole);
        for id in [places.vm("a"), places.nic("a")] {
            assert!(
                id.starts_with("/subscriptions/sub/resourceGroups/vms/"),
                "{id}"
            );
            assert_eq!(name_in(&id), "a");
        }
        assert_eq!(name_in("a/"), "a");
    }
}
