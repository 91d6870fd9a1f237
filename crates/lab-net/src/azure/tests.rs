//! The strictness that drivers are judged by; Microsoft's own clients judge the JSON (crates/cloud-azure).

use serde_json::json;

use super::{
    buckets::Buckets,
    path::{ArmPath, Target},
    schema,
    vms::family,
};

#[test]
fn paths_are_read_in_any_case() {
    let read = |path: &str| ArmPath::read(path).map(|path| path.target);
    let group = "/subscriptions/s/resourcegroups/VMS/providers";
    assert_eq!(
        read(&format!("{group}/microsoft.compute/VirtualMachines/Name")),
        Some(Target::Vm("Name".into()))
    );
    assert_eq!(
        read(&format!(
            "{group}/Microsoft.Compute/virtualMachines/n/providers/Microsoft.Resources/tags/default"
        )),
        Some(Target::Tags(Box::new(Target::Vm("n".into()))))
    );
    assert_eq!(
        read("/subscriptions/s/providers/Microsoft.Network/locations/l/operations/o"),
        Some(Target::Operation("o".into()))
    );
    for wrong in [
        "/subscriptions/s/providers/Microsoft.Compute/virtualMachines/n".to_owned(),
        format!("{group}/Microsoft.Compute/skus"),
        format!("{group}/Microsoft.Compute/unknown"),
        "/".to_owned(),
    ] {
        assert_eq!(read(&wrong), None, "{wrong}");
    }
}

#[test]
fn delete_option_is_not_known_before_its_version_and_nothing_unknown_ever_is() {
    let vm = json!({"location": "l", "tags": {"any": "thing"}, "properties": {
        "networkProfile": {"networkInterfaces": [{"id": "n", "properties": {"primary": true, "deleteOption": "Delete"}}]},
        "storageProfile": {"osDisk": {"deleteOption": "Delete"}},
    }});
    assert_eq!(schema::unknown_in_vm(&vm, "2021-03-01"), None);
    assert_eq!(schema::unknown_in_vm(&vm, "2024-07-01"), None);
    assert_eq!(
        schema::unknown_in_vm(&vm, "2020-12-01").as_deref(),
        Some("properties.networkProfile.networkInterfaces.properties.deleteOption")
    );
    let odd = json!({"properties": {"osProfile": {"computerNmae": "x"}}});
    assert_eq!(
        schema::unknown_in_vm(&odd, "2024-07-01").as_deref(),
        Some("properties.osProfile.computerNmae")
    );
    let nic = json!({"properties": {"ipConfigurations": [{"name": "ip1", "properties": {"subnet": {"id": "x"}}}]}});
    assert_eq!(schema::unknown_in_nic(&nic), None);
    assert!(schema::unknown_in_nic(&json!({"propertys": {}})).is_some());
}

#[test]
fn buckets_let_what_they_hold_pass_and_then_the_rate() {
    let mut buckets = Buckets::default();
    let mut passed = |method: &str, count: usize, at: u64| {
        (0..count)
            .filter(|n| {
                let vm = format!("{method}{at}{n}");
                buckets.lets(method, Some(&vm), 1.0, at).is_ok()
            })
            .count()
    };
    assert_eq!(passed("PUT", 300, 0), 200);
    assert_eq!(passed("PUT", 300, 2000), 20);
    assert_eq!(passed("DELETE", 300, 2000), 200);
    assert_eq!(passed("GET", 300, 2000), 250);
    // One VM takes twelve updates.
    let mut buckets = Buckets::default();
    let same = (0..20)
        .filter(|_| buckets.lets("PUT", Some("vm"), 1.0, 0).is_ok())
        .count();
    assert_eq!(same, 12);
}

#[test]
fn families_are_named_as_quotas_name_them() {
    for (size, expected) in [
        ("Standard_D4s_v3", "standardDSv3Family"),
        ("Standard_F16s_v2", "standardFSv2Family"),
        ("Standard_D64as_v5", "standardDASv5Family"),
        ("m5.small", "standardMFamily"),
    ] {
        assert_eq!(family(size), expected);
    }
}

/// Each rule of the fake names its page of the public documentation.
#[test]
fn every_refusal_has_its_page_of_the_documentation() {
    let sources = [
        include_str!("account.rs"),
        include_str!("others.rs"),
        include_str!("refusal.rs"),
        include_str!("tokens.rs"),
        include_str!("vms.rs"),
    ];
    let mut n_refusals = 0;
    for refusal in sources
        .iter()
        .flat_map(|text| text.split("Refusal::new(").skip(1))
    {
        // The status, and the code if it is written there.
        let code = refusal.split(',').nth(1).unwrap_or_default().trim();
        let Some(code) = code
            .strip_prefix('"')
            .and_then(|code| code.strip_suffix('"'))
        else {
            continue;
        };
        n_refusals += 1;
        let page = super::refusal::PAGES
            .iter()
            .find(|(known, _)| *known == code);
        assert!(page.is_some(), "no page for {code}");
    }
    assert!(n_refusals > 30, "{n_refusals}");
}

/// What is no refusal names its page where it is: what answers a request, and what goes along with a VM.
#[test]
fn every_request_has_its_page_of_the_documentation() {
    let sources = [include_str!("others.rs"), include_str!("vms.rs")];
    for name in [
        "put_vm",
        "get_vm",
        "instance_view",
        "patch_vm",
        "delete_vm",
        "list_vms",
        "remove",
        "patch_tags",
        "put_nic",
        "get_nic",
        "delete_nic",
        "end_nics",
        "list_nics",
        "list_disks",
        "delete_disk",
        "usages",
        "skus",
        "operation",
    ] {
        let head = format!("fn {name}(");
        let before = sources.iter().find_map(|text| text.split_once(&head));
        let (before, _) = before.unwrap_or_else(|| panic!("no {head}"));
        // The line of the function itself has no comment.
        let lines = before.lines().rev().skip(1);
        let comment: Vec<&str> = lines
            .take_while(|line| line.trim_start().starts_with("///"))
            .collect();
        let has_page = comment
            .iter()
            .any(|line| line.contains("learn.microsoft.com/"));
        assert!(has_page, "no page for {name}");
    }
    // Tokens of both kinds have theirs at the head of their file.
    let tokens = include_str!("tokens.rs");
    let head = tokens.lines().take_while(|line| line.starts_with("//!"));
    assert_eq!(
        head.filter(|line| line.contains("learn.microsoft.com/"))
            .count(),
        2
    );
}
