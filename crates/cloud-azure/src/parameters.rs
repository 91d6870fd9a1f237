//! What the driver is told under `Containers.CloudVMs.DriverParameters` (facts §3.3, A8, A10), and what of the rest of
//! the configuration it cannot do.

use std::{fmt, time::Duration};

use dispatch_model::InstanceType;
use serde_json::Value;

use crate::places::{Environment, Places};

/// The parameters, checked.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Parameters {
    pub(crate) identity: Identity,
    pub(crate) environment: Environment,
    pub(crate) location: String,
    pub(crate) places: Places,
    /// Facts A4. Never less than what a create may take (garbage.rs).
    pub(crate) dangling_after: Duration,
    pub(crate) admin_username: String,
}

/// Who we are to Azure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Identity {
    /// A registered application with a secret.
    Application {
        tenant_id: String,
        client_id: String,
        client_secret: Secret,
    },
    /// The identity of the host we run on: its own, or the one with this client id.
    Managed { client_id: Option<String> },
}

/// A text that does not print.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself: for the one request that needs it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Parameters {
    /// Reads them, or says everything that is wrong with them. Keys of other drivers are passed over.
    pub(crate) fn read(parameters: &Value) -> Result<Parameters, Vec<String>> {
        let mut reader = Reader {
            parameters,
            problems: Vec::new(),
        };
        reader.unmanaged_disks();
        let resource_group = reader.needed("ResourceGroup", "the resource group of the VMs");
        let network_resource_group = reader.text("NetworkResourceGroup");
        let image_resource_group = reader.text("ImageResourceGroup");
        let or_own = |group: String| {
            if group.is_empty() {
                resource_group.clone()
            } else {
                group
            }
        };
        let places = Places {
            subscription_id: reader.needed("SubscriptionID", "the id of the subscription"),
            network_resource_group: or_own(network_resource_group),
            image_resource_group: or_own(image_resource_group),
            network: reader.needed("Network", "the name of the virtual network"),
            subnet: reader.needed("Subnet", "the name of a subnet of the virtual network"),
            gallery: reader.gallery(),
            resource_group: resource_group.clone(),
        };
        let read = Parameters {
            identity: reader.identity(),
            environment: reader.environment(),
            location: reader
                .some_text("Location")
                .unwrap_or_else(|| "centralus".to_owned()),
            places,
            dangling_after: reader
                .interval("DeleteDanglingResourcesAfter", Duration::from_secs(20)),
            admin_username: reader.admin_username(),
        };
        if reader.problems.is_empty() {
            Ok(read)
        } else {
            Err(reader.problems)
        }
    }
}

/// What Azure cannot do of an instance type, with the remedy (facts A8).
pub(crate) fn problem_of_type(instance_type: &InstanceType) -> Option<String> {
    (instance_type.added_scratch_bytes > 0).then(|| {
        format!(
            "InstanceTypes.{}.AddedScratch is {}, and the Azure driver adds no disks: set it to 0 and IncludedScratch \
             to the size of the VM's temporary disk, or choose a ProviderType with a larger one",
            instance_type.name, instance_type.added_scratch_bytes
        )
    })
}

/// What Azure cannot do with an image, with the remedy.
pub(crate) fn problem_of_image(image_id: &str) -> Option<String> {
    let lower = image_id.to_ascii_lowercase();
    if lower.starts_with("http://") || lower.starts_with("https://") {
        return Some(format!(
            "ImageID is {image_id:?}, the URL of an unmanaged disk, and Azure has retired those: make a managed image \
             or a gallery image of it (az image create --source URL --os-type Linux) and name that"
        ));
    }
    image_id
        .trim()
        .is_empty()
        .then(|| "ImageID is empty: name a managed image of ImageResourceGroup, or, with SharedImageGalleryName, an image of that gallery".to_owned())
}

/// What Azure cannot do with `TagKeyPrefix`, with the remedy. Without our tags, no VM would be known to be ours.
#[cfg(feature = "sdk")]
pub(crate) fn problem_of_prefix(prefix: &str) -> Option<String> {
    crate::body::is_reserved(&format!("{prefix}InstanceSetID")).then(|| {
        format!(
            "TagKeyPrefix is {prefix:?}, and Azure keeps names of tags that begin with {} for itself: write another \
             prefix, such as Arvados",
            crate::body::RESERVED.join(", ")
        )
    })
}

struct Reader<'a> {
    parameters: &'a Value,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn value(&self, key: &str) -> &Value {
        &self.parameters[key]
    }

    fn problem(&mut self, key: &str, value: &Value, is_not: &str, remedy: &str) {
        self.problems.push(format!(
            "DriverParameters.{key} is {value}, which is not {is_not}: {remedy}"
        ));
    }

    fn text(&mut self, key: &str) -> String {
        match self.value(key).clone() {
            Value::Null => String::new(),
            Value::String(text) => text.trim().to_owned(),
            other => {
                self.problem(key, &other, "a string", "put it in quotes, or leave it out");
                String::new()
            }
        }
    }

    fn some_text(&mut self, key: &str) -> Option<String> {
        Some(self.text(key)).filter(|text| !text.is_empty())
    }

    /// A name that becomes part of a path, and must be there.
    fn needed(&mut self, key: &str, what: &str) -> String {
        let before = self.problems.len();
        let text = self.text(key);
        if text.is_empty() && self.problems.len() == before {
            self.problems.push(format!(
                "DriverParameters.{key} is empty: it must be {what}"
            ));
        }
        self.segment(key, &text);
        text
    }

    fn segment(&mut self, key: &str, text: &str) {
        if text.contains(|c: char| c == '/' || c == '?' || c == '#' || c.is_whitespace()) {
            let value = Value::String(text.to_owned());
            self.problem(
                key,
                &value,
                "a name",
                "write the name alone, not a path or an id",
            );
        }
    }

    fn identity(&mut self) -> Identity {
        let client_id = self.some_text("ClientID");
        // Its value must not be shown.
        let client_secret = match self.value("ClientSecret") {
            Value::Null => String::new(),
            Value::String(text) => text.trim().to_owned(),
            _ => {
                self.problems.push(
                    "DriverParameters.ClientSecret is not a string: put it in quotes, or leave it out to use the \
                     host's managed identity"
                        .to_owned(),
                );
                String::new()
            }
        };
        if client_secret.is_empty() {
            return Identity::Managed { client_id };
        }
        let tenant_id = self.needed(
            "TenantID",
            "the id of the tenant that the application belongs to",
        );
        if client_id.is_none() {
            self.problems.push(
                "DriverParameters.ClientID is empty although ClientSecret is not: set both, or leave ClientSecret \
                 empty to use the host's managed identity"
                    .to_owned(),
            );
        }
        Identity::Application {
            tenant_id,
            client_id: client_id.unwrap_or_default(),
            client_secret: Secret::new(client_secret),
        }
    }

    fn environment(&mut self) -> Environment {
        const KEY: &str = "CloudEnvironment";
        let name = self.text(KEY);
        if name.is_empty() {
            return Environment::Public;
        }
        if name.eq_ignore_ascii_case("AzureGermanCloud") {
            self.problems.push(format!(
                "DriverParameters.{KEY} is {name:?}, which Microsoft closed on 29 October 2021: use AzurePublicCloud \
                 with Location germanywestcentral"
            ));
            return Environment::Public;
        }
        Environment::parse(&name).unwrap_or_else(|| {
            let value = Value::String(name);
            self.problem(
                KEY,
                &value,
                "a cloud that is known",
                "write AzurePublicCloud, AzureUSGovernmentCloud or AzureChinaCloud",
            );
            Environment::Public
        })
    }

    /// Facts A10: the name without the version, or the other way round, is an error.
    fn gallery(&mut self) -> Option<(String, String)> {
        let name = self.some_text("SharedImageGalleryName");
        let version = self.some_text("SharedImageGalleryImageVersion");
        let (missing, given) = match (name, version) {
            (Some(name), Some(version)) => return Some((name, version)),
            (None, None) => return None,
            (None, Some(_)) => ("SharedImageGalleryName", "SharedImageGalleryImageVersion"),
            (Some(_), None) => ("SharedImageGalleryImageVersion", "SharedImageGalleryName"),
        };
        self.problems.push(format!(
            "DriverParameters.{missing} is empty although {given} is not: set both to use an image of a gallery, or \
             leave both empty to use a managed image"
        ));
        None
    }

    fn unmanaged_disks(&mut self) {
        for key in ["StorageAccount", "BlobContainer"] {
            if let Some(value) = self.some_text(key) {
                self.problems.push(format!(
                    "DriverParameters.{key} is {value:?}, which is for unmanaged disks, and Azure has retired those: \
                     make a managed image (az image create), name it as ImageID, and leave StorageAccount and \
                     BlobContainer empty"
                ));
            }
        }
    }

    fn interval(&mut self, key: &str, default: Duration) -> Duration {
        let value = self.value(key).clone();
        let read = match &value {
            Value::Null => Some(default),
            Value::String(text) => duration(text),
            Value::Number(number) if number.as_f64() == Some(0.0) => Some(Duration::ZERO),
            _ => None,
        };
        read.unwrap_or_else(|| {
            self.problem(key, &value, "a duration", "write \"20s\" or \"1h30m\"");
            default
        })
    }

    fn admin_username(&mut self) -> String {
        /// Azure refuses some of these; root would be refused by it as well.
        const RESERVED: &[&str] = &["root", "admin", "administrator", "guest", "user", "test"];
        let name = self
            .some_text("AdminUsername")
            .unwrap_or_else(|| "crunch".to_owned());
        let is_fine = name.len() <= 64
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
            && !RESERVED.contains(&name.to_ascii_lowercase().as_str());
        if !is_fine {
            let value = Value::String(name.clone());
            self.problem(
                "AdminUsername",
                &value,
                "a user that Azure creates",
                "write \"crunch\"; Azure refuses root, admin, guest, user, test and the like",
            );
        }
        name
    }
}

/// A duration as Arvados writes it (facts §3.7): "20s", "1h30m", "0".
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let read: jiff::SignedDuration = text.parse().ok()?;
    Some(Duration::try_from(read).unwrap_or_default())
}

#[cfg(test)]
mod tests;
