//! Collecting what was left behind, over the wire.

use std::{collections::BTreeMap, time::Duration};

use dispatch_lab_net::AzureBad;

use super::stage::{Look, Outcome, SCALE, SMALL, Setup, Stage, ensure, refused};
use crate::{account::wall, garbage::Ages};

const PREFIX: &str = "compute-conformance-";

fn ago(age: Duration) -> jiff::Timestamp {
    wall() - jiff::SignedDuration::try_from(age).expect("short")
}

fn tags(created: jiff::Timestamp) -> BTreeMap<String, String> {
    [
        ("ArvadosInstanceSetID".to_owned(), "conformance".to_owned()),
        ("created-at".to_owned(), created.to_string()),
    ]
    .into()
}

/// Old enough for the scaled rule; HTTP dates have no fractions of seconds.
fn old() -> jiff::Timestamp {
    ago(Ages::IN_LIFE.create_deadline / SCALE + Duration::from_secs(3))
}

async fn until_left_is(stage: &Stage, wanted: &[&str]) -> Outcome {
    let mut look = Look::begin("what is garbage is gone");
    loop {
        let round = stage.account.collect().await;
        round.map_err(|failure| format!("{failure:?}"))?;
        let mut left = stage.left();
        left.sort();
        if left == wanted {
            return Ok(());
        }
        look.again().await?;
    }
}

pub(super) async fn a4_k27_what_dead_daemons_left_is_collected_in_the_right_group_and_nothing_else()
{
    let stage = Setup::default().start().await;
    let azure = &stage.azure;
    azure.leave_nic(&format!("{PREFIX}a-nic"), tags(old()));
    azure.leave_disk(&format!("{PREFIX}a-os"), old());
    azure.leave_nic(&format!("{PREFIX}undated-nic"), BTreeMap::new());
    azure.leave_nic("gateway-nic", tags(old()));
    azure.leave_disk("data-os", old());
    azure.leave_disk("compute-another-x-os", old());
    let left = [
        "compute-another-x-os",
        "compute-conformance-undated-nic",
        "data-os",
        "gateway-nic",
    ];
    assert_eq!(until_left_is(&stage, &left).await, Ok(()));
    // Disks are looked for where VMs are, not where images are.
    let paths: Vec<String> = azure.requests().into_iter().map(|r| r.path).collect();
    assert!(
        paths
            .iter()
            .any(|path| path.ends_with("/resourceGroups/vms/providers/Microsoft.Compute/disks"))
    );
}

pub(super) async fn what_is_younger_than_a_create_may_take_stays() {
    assert_eq!(fresh_things_stay().await, Ok(()));
}

/// The 20 s of `DeleteDanglingResourcesAfter`, or less, would take the network interface from a create in flight.
async fn fresh_things_stay() -> Outcome {
    let setup = Setup {
        // As in life: no machine is so slow that these grow old.
        create_deadline: Some(Ages::IN_LIFE.create_deadline),
        ..Setup::default()
    };
    let stage = setup.start().await;
    stage
        .azure
        .leave_nic(&format!("{PREFIX}a-nic"), tags(wall()));
    stage.azure.leave_disk(&format!("{PREFIX}a-os"), wall());
    stage
        .account
        .collect()
        .await
        .map_err(|failure| format!("{failure:?}"))?;
    let left = stage.left();
    ensure(left.len() == 2, || {
        format!("what is fresh was collected; left: {left:?}")
    })
}

pub(super) async fn a_vm_keeps_its_own_and_a_vm_that_leaves_it_behind_is_cleaned_up_after() {
    let setup = Setup {
        // Whatever there is, is old enough.
        create_deadline: Some(Duration::ZERO),
        ..Setup::default()
    };
    let setup = setup.azure(|settings| settings.leaves_leftovers = true);
    let stage = setup.start().await;
    stage.create(SMALL, "secret").await.expect("a VM");
    stage.account.collect().await.expect("a round");
    assert_eq!(stage.left().len(), 3, "{:?}", stage.left());
    stage.clean_up().await.expect("the end");
    assert_eq!(until_left_is(&stage, &[]).await, Ok(()));
}

pub(super) async fn a_reserved_network_interface_goes_after_its_time() {
    // The VM is refused, and so is the deletion of the network interface, for 180 s (scaled).
    let setup = Setup::default().azure(|settings| {
        settings.sold_out.insert(SMALL.to_owned());
        settings.reserved_ms = 180_000 / u64::from(SCALE);
    });
    let stage = setup.start().await;
    stage.create(SMALL, "secret").await.expect_err("a refusal");
    assert_eq!(stage.azure.nics().len(), 1, "it is reserved");
    // While it is, it is not even asked for again.
    let asked = stage.calls("DELETE nic");
    stage.account.collect().await.expect("a round");
    assert_eq!(stage.calls("DELETE nic"), asked);
    assert_eq!(until_left_is(&stage, &[]).await, Ok(()));
}

/// For cloudtest, which must leave nothing and has no background.
pub(super) async fn what_a_create_left_behind_is_deleted_on_demand_or_named() {
    let setup = Setup::default().azure(|settings| {
        settings.sold_out.insert(SMALL.to_owned());
        settings.reserved_ms = 600_000;
    });
    let stage = setup.start().await;
    assert_eq!(
        stage.account.leftovers().await.expect("none"),
        [] as [&str; 0]
    );
    stage.create(SMALL, "secret").await.expect_err("a refusal");
    let nic = stage.azure.nics().remove(0);
    let named = stage.account.leftovers().await.expect("one");
    assert_eq!(named.len(), 1, "{named:?}");
    for words in [nic.as_str(), "NicReservedForAnotherVm"] {
        assert!(named[0].contains(words), "{words} in {named:?}");
    }
    // What others left is not ours to end.
    stage
        .azure
        .leave_nic("compute-conformance-x-nic", tags(wall()));
    stage.azure.end_reservations();
    assert_eq!(
        stage.account.leftovers().await.expect("none"),
        [] as [&str; 0]
    );
    assert_eq!(stage.left(), ["compute-conformance-x-nic"]);
}

/// What belongs to a VM that is not shown would look like garbage.
pub(super) async fn a_list_of_vms_with_a_page_missing_makes_nothing_garbage() {
    let setup = Setup::default().azure(|settings| settings.repeats_page = true);
    let stage = setup.start().await;
    stage
        .azure
        .leave_nic(&format!("{PREFIX}a-nic"), tags(old()));
    let round = stage.account.collect().await;
    assert!(round.is_err(), "{round:?}");
    assert_eq!(stage.calls("DELETE nic"), 0);
    stage.azure.set(|settings| settings.repeats_page = false);
    assert_eq!(until_left_is(&stage, &[]).await, Ok(()));
}

pub(super) async fn k27_garbage_is_not_collected_inside_a_list() {
    let stage = Setup::default().start().await;
    stage
        .azure
        .leave_nic(&format!("{PREFIX}a-nic"), tags(old()));
    for _ in 0..3 {
        stage.list().await.expect("a list");
    }
    assert_eq!(stage.calls("DELETE nic"), 0);
}

pub(super) async fn in_the_background_it_is_collected_without_being_asked() {
    use dispatch_cloud::Driver as _;
    let stage = Setup::default().start().await;
    stage
        .azure
        .leave_nic(&format!("{PREFIX}a-nic"), tags(old()));
    let driver = crate::AzureDriver::at(stage.azure.url(), 1000);
    let set = driver
        .open(&Setup::default().parameters, stage.account.context.clone())
        .await
        .expect("an account");
    let mut look = Look::begin("it is gone");
    while !stage.azure.nics().is_empty() {
        look.again().await.expect("collected");
    }
    drop(set);
}

pub(super) async fn one_that_cannot_be_deleted_does_not_keep_the_others() {
    let setup = Setup::default()
        .bad(
            "DELETE",
            "a-nic",
            1,
            refused(409, "AnotherOperationInProgress", ""),
        )
        .bad("DELETE", "b-nic", 1, AzureBad::Lost);
    let stage = setup.start().await;
    for name in ["a", "b", "c"] {
        stage
            .azure
            .leave_nic(&format!("{PREFIX}{name}-nic"), tags(old()));
    }
    let round = stage.account.collect().await.expect("a round");
    assert_eq!((round.deleted, round.failed), (1, 2));
    assert_eq!(until_left_is(&stage, &[]).await, Ok(()));
}
