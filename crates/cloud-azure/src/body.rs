//! What is put: the bodies of a network interface and of a VM (facts §2.9, A7).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dispatch_cloud::{CreateOrder, DriverContext, Tags};
use serde_json::{Value, json};

use crate::{garbage::CREATED_AT, names::Names, parameters::Parameters};

/// Azure keeps names that begin so for itself (learn.microsoft.com/rest/api/resources/tags).
const RESERVED: [&str; 3] = ["microsoft", "azure", "windows"];

/// The tags that may be set.
pub(crate) fn settable(tags: &Tags) -> Tags {
    let mut tags = tags.clone();
    tags.retain(|name, _| {
        let lower = name.to_ascii_lowercase();
        !RESERVED.iter().any(|start| lower.starts_with(start))
    });
    tags
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

/// A VM with this network interface. Interface and OS disk go with it (`deleteOption`).
pub(crate) fn vm(
    order: &CreateOrder,
    names: &Names,
    parameters: &Parameters,
    context: &DriverContext,
    created_at: jiff::Timestamp,
) -> Value {
    let mut tags = settable(&order.tags);
    tags.insert(CREATED_AT.to_owned(), created_at.to_string());
    let user = &parameters.admin_username;
    let mut linux = json!({"disablePasswordAuthentication": true});
    if let Some(key) = &context.public_key {
        linux["ssh"] = json!({"publicKeys": [{
            "path": format!("/home/{user}/.ssh/authorized_keys"),
            "keyData": key,
        }]});
    }
    let mut properties = json!({
        "hardwareProfile": {"vmSize": order.instance_type.provider_type},
        "storageProfile": {
            "imageReference": {"id": parameters.places.image_id(&order.image_id)},
            "osDisk": {
                "name": names.disk(),
                "osType": "Linux",
                "createOption": "FromImage",
                "deleteOption": "Delete",
            },
        },
        "osProfile": {
            "computerName": names.vm,
            "adminUsername": user,
            "customData": STANDARD.encode(&order.init_script),
            "linuxConfiguration": linux,
        },
        "networkProfile": {"networkInterfaces": [{
            "id": parameters.places.nic(&names.nic()),
            "properties": {"primary": true, "deleteOption": "Delete"},
        }]},
    });
    // Facts A7: Azure refuses these for other VMs.
    if order.instance_type.preemptible {
        properties["priority"] = json!("Spot");
        properties["evictionPolicy"] = json!("Delete");
        properties["billingProfile"] = json!({"maxPrice": -1});
    }
    json!({"location": parameters.location, "tags": tags, "properties": properties})
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

    fn order(spot: bool) -> CreateOrder {
        CreateOrder {
            instance_type: InstanceType {
                name: "small".into(),
                provider_type: "Standard_D2s_v3".to_owned(),
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
        let body = vm(&order(false), &names, &parameters, &context, at());
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
                    "name": "compute-set-x-os",
                    "osType": "Linux",
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
        let plain = vm(&order(false), &names, &parameters, &context, at());
        for member in ["priority", "evictionPolicy", "billingProfile"] {
            assert!(plain["properties"][member].is_null(), "{member}");
        }
        let spot = vm(&order(true), &names, &parameters, &context, at());
        assert_eq!(spot["properties"]["priority"], "Spot");
        assert_eq!(spot["properties"]["evictionPolicy"], "Delete");
        assert_eq!(spot["properties"]["billingProfile"]["maxPrice"], -1);
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
