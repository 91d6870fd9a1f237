//! Parameters as they stand in configurations, and everything that can be wrong with them.

use dispatch_model::Gpu;
use expect_test::{Expect, expect};
use serde_json::json;

use super::*;

fn whole() -> Value {
    json!({
        "SubscriptionID": "sub", "ClientID": "client", "ClientSecret": "hush", "TenantID": "tenant",
        "CloudEnvironment": "AzurePublicCloud", "Location": "centralus", "ResourceGroup": "vms",
        "NetworkResourceGroup": "net", "Network": "vnet", "Subnet": "subnet", "ImageResourceGroup": "images",
        "SharedImageGalleryName": "", "SharedImageGalleryImageVersion": "", "StorageAccount": "",
        "BlobContainer": "", "DeleteDanglingResourcesAfter": "20s", "AdminUsername": "arvados",
        // Defaults of all drivers are merged together (facts §3.3).
        "Region": "us-east-1", "SecurityGroupIDs": {}, "EBSPrice": 0.1,
    })
}

#[track_caller]
fn check(changes: Value, expected: Expect) {
    let mut parameters = whole();
    for (key, value) in changes.as_object().expect("changes") {
        parameters[key] = value.clone();
    }
    let text = match Parameters::read(&parameters) {
        Ok(read) => format!("{read:#?}\n"),
        Err(problems) => problems.iter().map(|line| format!("{line}\n")).collect(),
    };
    assert!(!text.contains("hush"), "{text}");
    expected.assert_eq(&text);
}

#[test]
fn every_parameter_is_read_and_those_of_other_drivers_are_passed_over() {
    check(
        json!({}),
        expect![[r#"
            Parameters {
                identity: Application {
                    tenant_id: "tenant",
                    client_id: "client",
                    client_secret: (secret),
                },
                environment: Public,
                location: "centralus",
                places: Places {
                    subscription_id: "sub",
                    resource_group: "vms",
                    network_resource_group: "net",
                    image_resource_group: "images",
                    network: "vnet",
                    subnet: "subnet",
                    gallery: None,
                },
                dangling_after: 20s,
                admin_username: "arvados",
            }
        "#]],
    );
}

#[test]
fn without_a_secret_the_hosts_identity_counts_and_the_defaults_are_those_of_arvados() {
    let read = |parameters: Value| Parameters::read(&parameters).expect("fine");
    let little =
        json!({"SubscriptionID": "s", "ResourceGroup": "g", "Network": "n", "Subnet": "u"});
    let little_read = read(little.clone());
    assert_eq!(little_read.identity, Identity::Managed { client_id: None });
    assert_eq!(little_read.location, "centralus");
    assert_eq!(little_read.admin_username, "crunch");
    assert_eq!(little_read.dangling_after, Duration::from_secs(20));
    // Facts A10.
    assert_eq!(little_read.places.network_resource_group, "g");
    assert_eq!(little_read.places.image_resource_group, "g");
    let mut user_assigned = little;
    user_assigned["ClientID"] = json!("mine");
    assert_eq!(
        read(user_assigned).identity,
        Identity::Managed {
            client_id: Some("mine".to_owned())
        }
    );
}

#[test]
fn what_must_be_there_is_asked_for() {
    check(
        json!({"SubscriptionID": "", "ResourceGroup": null, "Network": " ", "Subnet": "a/b", "TenantID": "", "ClientID": ""}),
        expect![[r#"
            DriverParameters.ResourceGroup is empty: it must be the resource group of the VMs
            DriverParameters.SubscriptionID is empty: it must be the id of the subscription
            DriverParameters.Network is empty: it must be the name of the virtual network
            DriverParameters.Subnet is "a/b", which is not a name: write the name alone, not a path or an id
            DriverParameters.TenantID is empty: it must be the id of the tenant that the application belongs to
            DriverParameters.ClientID is empty although ClientSecret is not: set both, or leave ClientSecret empty to use the host's managed identity
        "#]],
    );
}

#[test]
fn wrong_kinds_are_named_with_their_values() {
    check(
        json!({"Location": 7, "ClientSecret": ["hush"], "DeleteDanglingResourcesAfter": "soon", "AdminUsername": "root", "CloudEnvironment": "Mars"}),
        expect![[r#"
            DriverParameters.ClientSecret is not a string: put it in quotes, or leave it out to use the host's managed identity
            DriverParameters.CloudEnvironment is "Mars", which is not a cloud that is known: write AzurePublicCloud, AzureUSGovernmentCloud or AzureChinaCloud
            DriverParameters.Location is 7, which is not a string: put it in quotes, or leave it out
            DriverParameters.DeleteDanglingResourcesAfter is "soon", which is not a duration: write "20s" or "1h30m"
            DriverParameters.AdminUsername is "root", which is not a user that Azure creates: write "crunch"; Azure refuses root, admin, guest, user, test and the like
        "#]],
    );
}

#[test]
fn what_azure_has_closed_is_refused_with_the_remedy() {
    check(
        json!({"CloudEnvironment": "AzureGermanCloud", "StorageAccount": "blobs", "BlobContainer": "vhds"}),
        expect![[r#"
            DriverParameters.StorageAccount is "blobs", which is for unmanaged disks, and Azure has retired those: make a managed image (az image create), name it as ImageID, and leave StorageAccount and BlobContainer empty
            DriverParameters.BlobContainer is "vhds", which is for unmanaged disks, and Azure has retired those: make a managed image (az image create), name it as ImageID, and leave StorageAccount and BlobContainer empty
            DriverParameters.CloudEnvironment is "AzureGermanCloud", which Microsoft closed on 29 October 2021: use AzurePublicCloud with Location germanywestcentral
        "#]],
    );
    assert_eq!(
        problem_of_image("https://blobs.blob.core.windows.net/vhds/a.vhd").as_deref(),
        Some(
            "ImageID is \"https://blobs.blob.core.windows.net/vhds/a.vhd\", the URL of an unmanaged disk, and Azure has retired those: make a managed image or a gallery image of it (az image create --source URL --os-type Linux) and name that"
        )
    );
    assert!(problem_of_image(" ").is_some());
    assert_eq!(problem_of_image("compute-image"), None);
}

#[test]
fn a10_a_gallery_needs_name_and_version() {
    check(
        json!({"SharedImageGalleryName": "gallery"}),
        expect![[r#"
            DriverParameters.SharedImageGalleryImageVersion is empty although SharedImageGalleryName is not: set both to use an image of a gallery, or leave both empty to use a managed image
        "#]],
    );
    check(
        json!({"SharedImageGalleryImageVersion": "1.0.0"}),
        expect![[r#"
            DriverParameters.SharedImageGalleryName is empty although SharedImageGalleryImageVersion is not: set both to use an image of a gallery, or leave both empty to use a managed image
        "#]],
    );
    let mut both = whole();
    both["SharedImageGalleryName"] = json!("gallery");
    both["SharedImageGalleryImageVersion"] = json!("1.0.0");
    let read = Parameters::read(&both).expect("fine");
    assert_eq!(
        read.places.gallery,
        Some(("gallery".to_owned(), "1.0.0".to_owned()))
    );
}

#[test]
fn a8_added_scratch_is_refused_when_the_configuration_is_read() {
    let mut instance_type = InstanceType {
        name: "big".into(),
        provider_type: "Standard_D4s_v3".to_owned(),
        image: None,
        vcpus: 4,
        ram_bytes: 1 << 34,
        included_scratch_bytes: 0,
        added_scratch_bytes: 0,
        price: 0.1,
        preemptible: false,
        gpu: Gpu::default(),
    };
    assert_eq!(problem_of_type(&instance_type), None);
    instance_type.added_scratch_bytes = 50_000_000_000;
    assert_eq!(
        problem_of_type(&instance_type).as_deref(),
        Some(
            "InstanceTypes.big.AddedScratch is 50000000000, and the Azure driver adds no disks: set it to 0 and IncludedScratch to the size of the VM's temporary disk, or choose a ProviderType with a larger one"
        )
    );
}

#[test]
fn the_clouds_are_known_by_the_names_that_configurations_use() {
    for (name, arm) in [
        ("AzurePublicCloud", "https://management.azure.com"),
        ("AZUREPUBLICCLOUD", "https://management.azure.com"),
        (
            "AzureUSGovernmentCloud",
            "https://management.usgovcloudapi.net",
        ),
        ("AzureChinaCloud", "https://management.chinacloudapi.cn"),
    ] {
        let environment = Environment::parse(name).expect(name);
        assert_eq!(environment.arm(), arm);
    }
}
