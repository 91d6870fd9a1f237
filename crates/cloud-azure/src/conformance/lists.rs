//! Lists: pages, odd rows, addresses, other people's VMs.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dispatch_cloud::Tags;
use dispatch_lab_net::{AzureBad, world::Span};
use tracing::instrument::WithSubscriber as _;

use super::stage::{SCALE, SMALL, SPOT, Setup, refused};

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

/// What was read so far is not all there may be.
pub(super) async fn k27_a_page_that_names_itself_ends_the_list_and_nothing_is_taken_for_gone() {
    let stage = Setup::default()
        .azure(|settings| settings.page = 1)
        .start()
        .await;
    let mut made = Vec::new();
    for n in 0..3 {
        made.push(stage.create(SPOT, &format!("s{n}")).await.expect("a VM").id);
    }
    let listed = stage.until("all are listed", |rows| rows.len() == 3).await;
    listed.expect("a list");
    // The first page names itself: two VMs are not shown.
    stage
        .azure
        .set(|settings| settings.first_page_repeats = true);
    assert_eq!(stage.list().await.expect("a list").len(), 3);
    assert_eq!(stage.account.memory().take_ended(), []);
    // What we end meanwhile is gone, and what is new is found all the same.
    stage.account.destroy(&made[2]).await.expect("an end");
    assert_eq!(stage.list().await.expect("a list").len(), 2);
    stage
        .azure
        .set(|settings| settings.first_page_repeats = false);
    let listed = stage.until("two are left", |rows| rows.len() == 2).await;
    listed.expect("a list");
    assert_eq!(stage.account.memory().take_ended(), []);
}

/// Nobody knows what comes after the page, nor what was there before.
pub(super) async fn k27_after_a_restart_a_list_with_a_page_that_names_itself_is_an_error() {
    let mut stage = Setup::default()
        .azure(|settings| settings.page = 1)
        .start()
        .await;
    for n in 0..3 {
        stage.create(SPOT, &format!("s{n}")).await.expect("a VM");
    }
    let listed = stage.until("all are listed", |rows| rows.len() == 3).await;
    listed.expect("a list");
    stage
        .azure
        .set(|settings| settings.first_page_repeats = true);
    stage.restart();
    for _ in 0..2 {
        let error = stage.list().await;
        let error = error.expect_err("a part of the list passes for all of it");
        assert!(error.contains("names itself as the next"), "{error}");
    }
    stage
        .azure
        .set(|settings| settings.first_page_repeats = false);
    assert_eq!(stage.list().await.expect("a list").len(), 3);
    assert_eq!(stage.account.memory().take_ended(), []);
}

pub(super) async fn k27_what_was_made_while_a_page_names_itself_is_listed() {
    let stage = Setup::default()
        .azure(|settings| settings.page = 1)
        .start()
        .await;
    stage.create(SMALL, "first").await.expect("a VM");
    let listed = stage.until("it is listed", |rows| rows.len() == 1).await;
    listed.expect("a list");
    stage
        .azure
        .set(|settings| settings.first_page_repeats = true);
    let mut made = Vec::new();
    for n in 0..3 {
        made.push(stage.create(SPOT, &format!("s{n}")).await.expect("a VM").id);
    }
    let rows = stage.list().await.expect("a list");
    let listed: Vec<_> = rows.iter().map(|row| &row.id).collect();
    for id in &made {
        assert!(listed.contains(&id), "{id} of {listed:?}");
    }
    assert_eq!(rows.len(), 4);
    // Its tags say whose it is, so whoever reads the list keeps it.
    let of_conformance = |row: &&dispatch_cloud::Instance| {
        row.tags.get("ArvadosInstanceSetID").map(String::as_str) == Some("conformance")
    };
    assert_eq!(rows.iter().filter(of_conformance).count(), 4);
    stage.account.destroy(&made[0]).await.expect("an end");
    assert_eq!(stage.list().await.expect("a list").len(), 3);
}

/// Facts A1, K27: a VM without network interface, a null tag, an interface without address, a page that repeats.
pub(super) async fn a1_k27_what_is_odd_is_told_in_one_line_each() {
    let setup = Setup {
        world: |settings| settings.cloud.address_ms = Span::between(600_000, 600_000),
        ..Setup::default()
    };
    let setup = setup.azure(|settings| settings.odd_rows = true);
    let stage = setup.start().await;
    let made = stage.create(SMALL, "secret").await.expect("a VM");
    let vm = crate::places::name_in(made.id.as_str()).to_owned();
    let listed = stage.until("it is listed", |rows| rows.len() == 1).await;
    listed.expect("a list");
    // Now it is made, and still without an address.
    stage.until_left_alone(&vm).await.expect("made");
    stage.azure.set(|settings| settings.repeats_page = true);
    stage.list().await.expect("a list");
    let lines = told_by(async {
        for _ in 0..3 {
            stage.list().await.expect("a list");
        }
    });
    let again = lines.await;
    // The lists before have told already: only what is new is told again.
    assert_eq!(again, Vec::<String>::new());
    let mut fresh = stage;
    fresh.restart();
    let lines = told_by(async {
        // Without a whole list before it, one with a page that names itself is an error.
        fresh.azure.set(|settings| settings.repeats_page = false);
        fresh.list().await.expect("a list");
        fresh.azure.set(|settings| settings.repeats_page = true);
        for _ in 0..3 {
            fresh.list().await.expect("a list");
        }
    });
    let mut lines = lines.await;
    lines.sort();
    let nothing_else = |what: &str| format!("{what}; nothing else is affected");
    let mut expected: Vec<String> = [
        "VM odd-1 has no network interface",
        "VM odd-2 has no network interface",
        "VM odd-3 has no network interface",
        "a page of the list of VMs names itself as the next",
        "a page of the list of network interfaces names itself as the next",
        "a row of the list of VMs has no name",
        r#"tag "a" of VM odd-2 is no text"#,
        r#"tag "b" of VM odd-2 is no text"#,
    ]
    .map(nothing_else)
    .into();
    expected.push(nothing_else(&format!(
        "the network interface of VM {vm} has no address"
    )));
    expected.sort();
    assert_eq!(lines, expected);
}

/// Else nobody would ever end it.
pub(super) async fn a1_k27_a_vm_that_has_lost_the_tag_that_says_whose_it_is_stays_listed() {
    let stage = Setup::default().start().await;
    let made = stage.create(SMALL, "secret").await.expect("a VM");
    let vm = crate::places::name_in(made.id.as_str()).to_owned();
    let listed = stage.until("it is listed", |rows| rows.len() == 1).await;
    listed.expect("a list");
    let key = || "ArvadosInstanceSetID".to_owned();
    for lost in [false, true] {
        stage.azure.set(|settings| {
            settings.null_tags = if lost { [].into() } else { [key()].into() };
            settings.lost_tags = if lost { [key()].into() } else { [].into() };
        });
        let lines = told_by(async {
            let rows = stage.list().await.expect("a list");
            assert_eq!(rows.len(), 1, "a VM of ours is not listed any more");
            assert_eq!(rows[0].id, made.id);
        });
        let lines = lines.await;
        let known = format!(
            "VM {vm} has no tag ArvadosInstanceSetID, and is known to be ours by its name; nothing else is affected"
        );
        assert_eq!(lines.contains(&known), !lost, "told once: {lines:?}");
        assert_eq!(stage.account.memory().take_ended(), []);
    }
    stage.azure.set(|settings| settings.lost_tags.clear());
    let lines = told_by(async {
        assert_eq!(stage.list().await.expect("a list").len(), 1);
    });
    assert_eq!(lines.await, [] as [&str; 0]);
    stage.clean_up().await.expect("an end");
}

/// What the driver writes into the log at level warn.
pub(super) async fn told_by(doing: impl Future<Output = ()>) -> Vec<String> {
    let log = Log::default();
    doing.with_subscriber(log.clone()).await;
    let lines = log.0.lock().unwrap_or_else(PoisonError::into_inner);
    lines.clone()
}

/// Keeps the messages of warnings.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Words(String);

impl tracing::field::Visit for Words {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN && metadata.target().starts_with("dispatch_cloud")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut words = Words(String::new());
        event.record(&mut words);
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(words.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// Behind a private link Azure goes on naming its own host, in pages and in operations.
pub(super) async fn pages_at_azures_own_host_are_read_behind_an_override() {
    let setup = Setup::default().azure(|settings| {
        settings.page = 1;
        settings.named_host = Some("https://management.azure.com".to_owned());
        settings.create_ms = 50;
    });
    let stage = setup.start().await;
    let mut made = Vec::new();
    for n in 0..3 {
        made.push(stage.create(SMALL, &format!("s{n}")).await.expect("a VM"));
    }
    let listed = stage.until("all are listed", |rows| rows.len() == 3).await;
    listed.expect("a list of three pages");
    for made in &made {
        let vm = crate::places::name_in(made.id.as_str());
        stage.until_left_alone(vm).await.expect("followed");
    }
    assert!(stage.calls("GET operation") >= 3);
    // Another host is not asked.
    let foreign = Some("https://management.azure.com.example".to_owned());
    stage.azure.set(|settings| settings.named_host = foreign);
    let error = stage.list().await.expect_err("a foreign host");
    assert!(error.contains("our token is not sent there"), "{error}");
}

/// Azure has accepted its end, and it does not go.
pub(super) async fn a_vm_that_does_not_go_is_listed_again() {
    let setup = Setup::default().azure(|settings| settings.delete_ms = 600_000);
    let stage = setup.start().await;
    let made = stage.create(SMALL, "secret").await.expect("a VM");
    stage.account.destroy(&made.id).await.expect("accepted");
    assert_eq!(stage.list().await, Ok(Vec::new()));
    stage.later(Duration::from_secs(1800) / SCALE);
    assert_eq!(stage.list().await.expect("a list").len(), 1);
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

/// A list has as little as five seconds, and an answer may take more than a minute.
pub(super) async fn a_network_provider_that_hangs_does_not_take_the_list_away() {
    let stage = Setup::default()
        .bad("GET", "networkInterfaces", 1, AzureBad::Silent)
        .start()
        .await;
    stage.create(SMALL, "secret").await.expect("a VM");
    for n in 0..2 {
        let list = stage.list();
        let listed = tokio::time::timeout(Duration::from_secs(5), list).await;
        let rows = listed.expect("a list waits for the network provider");
        assert_eq!(rows.expect("a list").len(), 1, "{n}");
    }
    assert_eq!(stage.azure.settings().injections[0].times, 0, "it hung");
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
    let rows = stage.list().await;
    assert_eq!(rows, Ok(Vec::new()), "what is being deleted is listed");
    assert_eq!(stage.account.memory().take_ended(), []);
}
