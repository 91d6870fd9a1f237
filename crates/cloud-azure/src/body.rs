//! What is put: the bodies of a network interface and of a VM (facts §2.9, A7).

use azure_mgmt_compute::package_2024_07_01::models::{
    self, BillingProfile, CreateOption, EvictionPolicy, HardwareProfile, ImageReference,
    LinuxConfiguration, NetworkInterfaceReference, NetworkInterfaceReferenceProperties,
    NetworkProfile, OsDisk, OsProfile, Priority, Resource, SshConfiguration, SshPublicKey,
    StorageProfile, SubResource, VirtualMachine, VirtualMachineProperties,
    hardware_profile::VmSize, network_interface_reference_properties, os_disk::OsType,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use dispatch_cloud::{CreateOrder, DriverContext, Tags};
use serde_json::{Value, json};

use crate::{garbage::CREATED_AT, names::Names, parameters::Parameters};

/// Azure keeps names that begin so for itself (learn.microsoft.com/rest/api/resources/tags).
pub(crate) const RESERVED: [&str; 3] = ["microsoft", "azure", "windows"];

/// Whether Azure keeps this name of a tag for itself.
pub(crate) fn is_reserved(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    RESERVED.iter().any(|start| lower.starts_with(start))
}

/// The tags that may be set.
pub(crate) fn settable(tags: &Tags) -> Tags {
    let mut tags = tags.clone();
    tags.retain(|name, _| !is_reserved(name));
    tags
}

/// The names of the others.
pub(crate) fn reserved(tags: &Tags) -> impl Iterator<Item = &str> {
    tags.keys()
        .map(String::as_str)
        .filter(|name| is_reserved(name))
}

/// A network interface in our subnet. It carries what says whose it is and how old, and not the secret.
pub(crate) fn nic(
    order: &CreateOrder,
    parameters: &Parameters,
    context: &DriverContext,
    created_at: jiff::Timestamp,
) -> Value {
    let mut tags = settable(&order.tags);
    tags.remove(&format!("{}InstanceSecret", context.tag_key_prefix));
    tags.insert(CREATED_AT.to_owned(), created_at.to_string());
    json!({
        "location": parameters.location,
        "tags": tags,
        "properties": {
            "ipConfigurations": [{
                "name": "ip1",
                "properties": {
                    "subnet": {"id": parameters.places.subnet_id()},
                    "privateIPAllocationMethod": "Dynamic",
                },
            }],
        },
    })
}

/// The start script as it goes over the wire; it contains the secret.
pub(crate) fn custom_data(order: &CreateOrder) -> String {
    STANDARD.encode(&order.init_script)
}

/// A VM with this network interface. Interface and OS disk go with it (`deleteOption`).
pub(crate) fn vm(
    order: &CreateOrder,
    names: &Names,
    parameters: &Parameters,
    context: &DriverContext,
    created_at: jiff::Timestamp,
) -> VirtualMachine {
    let mut tags = settable(&order.tags);
    tags.insert(CREATED_AT.to_owned(), created_at.to_string());
    let properties = VirtualMachineProperties {
        hardware_profile: Some(HardwareProfile {
            vm_size: Some(VmSize::UnknownValue(
                order.instance_type.provider_type.clone(),
            )),
            ..HardwareProfile::default()
        }),
        storage_profile: Some(StorageProfile {
            image_reference: Some(ImageReference {
                sub_resource: SubResource {
                    id: Some(parameters.places.image_id(&order.image_id)),
                },
                ..ImageReference::default()
            }),
            os_disk: Some(OsDisk {
                name: Some(names.disk()),
                os_type: Some(OsType::Linux),
                delete_option: Some(models::DeleteOption::Delete),
                ..OsDisk::new(CreateOption::FromImage)
            }),
            ..StorageProfile::default()
        }),
        os_profile: Some(OsProfile {
            computer_name: Some(names.vm.clone()),
            admin_username: Some(parameters.admin_username.clone()),
            custom_data: Some(custom_data(order)),
            linux_configuration: Some(linux(parameters, context)),
            ..OsProfile::default()
        }),
        network_profile: Some(NetworkProfile {
            network_interfaces: vec![NetworkInterfaceReference {
                sub_resource: SubResource {
                    id: Some(parameters.places.nic(&names.nic())),
                },
                properties: Some(NetworkInterfaceReferenceProperties {
                    primary: Some(true),
                    delete_option: Some(
                        network_interface_reference_properties::DeleteOption::Delete,
                    ),
                }),
            }],
            ..NetworkProfile::default()
        }),
        ..VirtualMachineProperties::default()
    };
    // Facts A7: Azure refuses these for other VMs.
    let properties = if order.instance_type.preemptible {
        VirtualMachineProperties {
            priority: Some(Priority::Spot),
            eviction_policy: Some(EvictionPolicy::Delete),
            billing_profile: Some(BillingProfile {
                max_price: Some(-1.0),
            }),
            ..properties
        }
    } else {
        properties
    };
    VirtualMachine {
        properties: Some(properties),
        ..VirtualMachine::new(Resource {
            tags: Some(json!(tags)),
            ..Resource::new(parameters.location.clone())
        })
    }
}

fn linux(parameters: &Parameters, context: &DriverContext) -> LinuxConfiguration {
    let user = &parameters.admin_username;
    let keys = context.public_key.iter().map(|key| SshPublicKey {
        path: Some(format!("/home/{user}/.ssh/authorized_keys")),
        key_data: Some(key.clone()),
    });
    let public_keys: Vec<SshPublicKey> = keys.collect();
    LinuxConfiguration {
        disable_password_authentication: Some(true),
        // Without a key there is no block for it.
        ssh: (!public_keys.is_empty()).then_some(SshConfiguration { public_keys }),
        ..LinuxConfiguration::default()
    }
}

/// A change of tags that leaves all others alone (learn.microsoft.com/rest/api/resources/tags/update-at-scope).
pub(crate) fn merge(tags: &Tags) -> Value {
    json!({"operation": "Merge", "properties": {"tags": tags}})
}

#[cfg(test)]
mod tests {
    use dispatch_cloud::Clock;
    use dispatch_model::{Gpu, InstanceSecret, InstanceType};
    use expect_test::expect;

    use super::*;
    use crate::compute::wire;

    fn order(spot: bool) -> CreateOrder {
        CreateOrder {
            instance_type: InstanceType {
                name: "small".into(),
                provider_type: "Standard_D2s_v3".to_owned(),
                image: None,
                vcpus: 2,
                ram_bytes: 1 << 33,
                included_scratch_bytes: 0,
                added_scratch_bytes: 0,
                price: 0.1,
                preemptible: spot,
                gpu: Gpu::default(),
            },
            image_id: "image".to_owned(),
            tags: [
                ("ArvadosInstanceSecret", "hush"),
                ("ArvadosInstanceSetID", "set"),
                ("AzureThing", "reserved"),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
            init_script: "#!/bin/sh\n".to_owned(),
            secret: InstanceSecret::new("hush"),
        }
    }

    fn stage(key: Option<&str>) -> (Parameters, DriverContext) {
        let parameters = json!({"SubscriptionID": "sub", "ResourceGroup": "vms", "NetworkResourceGroup": "net",
            "Network": "vnet", "Subnet": "subnet"});
        let context = DriverContext {
            instance_set_id: "set".to_owned(),
            tag_key_prefix: "Arvados".to_owned(),
            image_id: "image".to_owned(),
            public_key: key.map(str::to_owned),
            clock: Clock::start(),
            gate: dispatch_cloud::Gate::open(),
        };
        (Parameters::read(&parameters).expect("fine"), context)
    }

    fn at() -> jiff::Timestamp {
        "2026-11-22T12:00:00Z".parse().expect("a time")
    }

    #[tokio::test]
    async fn a_vm_is_put_as_go_puts_it_and_takes_its_parts_along() {
        let (parameters, context) = stage(Some("ssh-ed25519 AAAA"));
        let names = Names::of_vm("compute-set-x");
        let body = wire(&vm(&order(false), &names, &parameters, &context, at()));
        expect![[r#"
            {
              "location": "centralus",
              "tags": {
                "ArvadosInstanceSecret": "hush",
                "ArvadosInstanceSetID": "set",
                "created-at": "2026-11-22T12:00:00Z"
              },
              "properties": {
                "hardwareProfile": {
                  "vmSize": "Standard_D2s_v3"
                },
                "storageProfile": {
                  "imageReference": {
                    "id": "/subscriptions/sub/resourceGroups/vms/providers/Microsoft.Compute/images/image"
                  },
                  "osDisk": {
                    "osType": "Linux",
                    "name": "compute-set-x-os",
                    "createOption": "FromImage",
                    "deleteOption": "Delete"
                  }
                },
                "osProfile": {
                  "computerName": "compute-set-x",
                  "adminUsername": "crunch",
                  "customData": "IyEvYmluL3NoCg==",
                  "linuxConfiguration": {
                    "disablePasswordAuthentication": true,
                    "ssh": {
                      "publicKeys": [
                        {
                          "path": "/home/crunch/.ssh/authorized_keys",
                          "keyData": "ssh-ed25519 AAAA"
                        }
                      ]
                    }
                  }
                },
                "networkProfile": {
                  "networkInterfaces": [
                    {
                      "id": "/subscriptions/sub/resourceGroups/vms/providers/Microsoft.Network/networkInterfaces/compute-set-x-nic",
                      "properties": {
                        "primary": true,
                        "deleteOption": "Delete"
                      }
                    }
                  ]
                }
              }
            }"#]]
        .assert_eq(&serde_json::to_string_pretty(&body).expect("JSON"));
    }

    #[tokio::test]
    async fn a7_only_spot_vms_say_anything_about_priority_and_price() {
        let (parameters, context) = stage(None);
        let names = Names::of_vm("compute-set-x");
        let plain = wire(&vm(&order(false), &names, &parameters, &context, at()));
        for member in ["priority", "evictionPolicy", "billingProfile"] {
            assert!(plain["properties"][member].is_null(), "{member}");
        }
        let spot = wire(&vm(&order(true), &names, &parameters, &context, at()));
        assert_eq!(spot["properties"]["priority"], "Spot");
        assert_eq!(spot["properties"]["evictionPolicy"], "Delete");
        assert_eq!(spot["properties"]["billingProfile"]["maxPrice"], -1.0);
        // Without a key to deploy there is no block for it.
        let linux = &spot["properties"]["osProfile"]["linuxConfiguration"];
        assert_eq!(*linux, json!({"disablePasswordAuthentication": true}));
    }

    #[tokio::test]
    async fn a9_the_secret_is_on_the_vm_alone() {
        let (parameters, context) = stage(None);
        let body = nic(&order(false), &parameters, &context, at());
        assert!(!body.to_string().contains("hush"));
        assert_eq!(body["tags"]["created-at"], "2026-11-22T12:00:00Z");
        assert_eq!(body["tags"]["ArvadosInstanceSetID"], "set");
        let subnet = &body["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"];
        assert_eq!(
            *subnet,
            "/subscriptions/sub/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/vnet/subnets/subnet"
        );
    }
}
