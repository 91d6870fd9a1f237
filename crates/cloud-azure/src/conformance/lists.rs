//! Lists: pages, odd rows, addresses, other people's VMs.

use dispatch_cloud::Tags;
use dispatch_lab_net::{AzureBad, world::Span};

use super::stage::{SMALL, Setup, refused};

pub(super) async fn a1_k27_odd_rows_affect_themselves_alone() {
    let stage = Setup::default()
        .azure(|settings| settings.odd_rows = true)
        .start()
        .await;
    stage.create(SMALL, "secret").await.expect("a VM");
    stage
        .until("it is listed with its address", |rows| {
            rows.len() == 1 && !rows[0].address.is_empty()
        })
        .await
        .expect("a list");
    let all = stage.account.list(&Tags::new()).await.expect("a list");
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(stage.account.collect().await.is_ok());
}

pub(super) async fn a_list_of_many_pages_is_read_to_its_end() {
    let stage = Setup::default()
        .azure(|settings| settings.page = 2)
        .start()
        .await;
    for n in 0..5 {
        stage.create(SMALL, &format!("s{n}")).await.expect("a VM");
    }
    stage
        .until("all are listed with addresses", |rows| {
            rows.len() == 5 && rows.iter().all(|row| !row.address.is_empty())
        })
        .await
        .expect("a list");
}

pub(super) async fn k27_a_page_that_names_itself_ends_the_list() {
    let stage = Setup::default()
        .azure(|settings| {
            settings.page = 2;
            settings.repeats_page = true;
        })
        .start()
        .await;
    for n in 0..3 {
        stage.create(SMALL, &format!("s{n}")).await.expect("a VM");
    }
    stage
        .until("all are listed once", |rows| rows.len() == 3)
        .await
        .expect("a list");
}

pub(super) async fn a11_other_peoples_vms_are_neither_listed_nor_missed() {
    let setup = Setup {
        world: |settings| settings.cloud.bystanders = 3,
        ..Setup::default()
    };
    let stage = setup.start().await;
    stage.create(SMALL, "secret").await.expect("a VM");
    stage
        .until("ours alone", |rows| rows.len() == 1)
        .await
        .expect("a list");
    assert_eq!(
        stage
            .account
            .list(&Tags::new())
            .await
            .expect("a list")
            .len(),
        1
    );
    assert_eq!(stage.account.memory().take_ended(), []);
}

pub(super) async fn a_list_that_fails_is_no_empty_list() {
    for bad in [
        refused(500, "InternalServerError", ""),
        AzureBad::CutOff,
        AzureBad::BadGateway,
        AzureBad::Lost,
    ] {
        let name = format!("{bad:?}");
        let stage = Setup::default()
            .azure(|settings| settings.page = 1)
            .start()
            .await;
        for n in 0..2 {
            stage.create(SMALL, &format!("s{n}")).await.expect("a VM");
        }
        stage
            .until("both", |rows| rows.len() == 2)
            .await
            .expect("a list");
        // The second page fails.
        stage.azure.set(|settings| {
            let injection = dispatch_lab_net::AzureInjection::next("GET", "virtualMachines", bad);
            settings.injections = vec![injection];
        });
        assert!(stage.list().await.is_err(), "{name}");
        assert_eq!(stage.account.memory().take_ended(), [], "{name}");
        assert_eq!(stage.list().await.expect("a list").len(), 2, "{name}");
    }
}

pub(super) async fn addresses_are_asked_for_while_one_is_missing_and_then_no_more() {
    let setup = Setup {
        world: |settings| settings.cloud.address_ms = Span::between(1500, 1500),
        ..Setup::default()
    };
    let stage = setup.start().await;
    stage.create(SMALL, "secret").await.expect("a VM");
    stage
        .until("it is listed without an address", |rows| {
            rows.len() == 1 && rows[0].address.is_empty()
        })
        .await
        .expect("a list");
    stage
        .until("it has an address", |rows| {
            rows.len() == 1 && !rows[0].address.is_empty()
        })
        .await
        .expect("a list");
    let asked = stage.calls("GET nics");
    for _ in 0..5 {
        stage.list().await.expect("a list");
    }
    assert_eq!(stage.calls("GET nics"), asked);
}

pub(super) async fn without_network_interfaces_the_list_is_right_but_for_addresses() {
    let stage = Setup::default()
        .bad(
            "GET",
            "networkInterfaces",
            1000,
            refused(403, "AuthorizationFailed", ""),
        )
        .start()
        .await;
    stage.create(SMALL, "secret").await.expect("a VM");
    stage
        .until("it is listed", |rows| rows.len() == 1)
        .await
        .expect("a list");
}

pub(super) async fn ids_are_the_same_whatever_case_azure_writes() {
    let stage = Setup::default()
        .azure(|settings| settings.capitals = true)
        .start()
        .await;
    let made = stage.create(SMALL, "secret").await.expect("a VM");
    stage
        .until("the same id", |rows| {
            rows.len() == 1 && rows[0].id == made.id
        })
        .await
        .expect("a list");
}

pub(super) async fn a_vm_that_is_being_deleted_is_as_good_as_gone() {
    let stage = Setup::default()
        .azure(|settings| settings.delete_ms = 600_000)
        .start()
        .await;
    let made = stage.create(SMALL, "secret").await.expect("a VM");
    stage
        .until("it is listed", |rows| rows.len() == 1)
        .await
        .expect("a list");
    stage.account.destroy(&made.id).await.expect("an end");
    assert_eq!(stage.list().await, Ok(Vec::new()));
    assert_eq!(stage.account.memory().take_ended(), []);
}
