//! Tokens of both kinds.

use std::time::Duration;

use dispatch_lab_net::AzureBad;
use dispatch_model::{CloudErrorClass, RefusalScope};

use super::stage::{SMALL, Setup};

const WIDELY: CloudErrorClass = CloudErrorClass::RefusedWidely(RefusalScope::Everything);

fn managed(client_id: &str) -> Setup {
    Setup::default()
        .parameter("ClientSecret", "".into())
        .parameter("ClientID", client_id.into())
        .parameter("TenantID", "".into())
}

pub(super) async fn one_token_serves_many_calls() {
    let stage = Setup::default().start().await;
    for n in 0..3 {
        stage.create(SMALL, &format!("s{n}")).await.expect("a VM");
    }
    assert_eq!(stage.calls("token of the application"), 1);
    assert_eq!(stage.calls("token of the host"), 0);
}

pub(super) async fn without_a_secret_the_host_is_asked_and_with_a_client_id_for_that_identity() {
    for client_id in ["", "lab-identity"] {
        let stage = managed(client_id).start().await;
        stage.create(SMALL, "secret").await.expect("a VM");
        assert_eq!(stage.calls("token of the host"), 1);
        assert_eq!(stage.calls("token of the application"), 0);
        let request = stage.azure.requests().remove(0);
        let asked = request.query.get("client_id").map(String::as_str);
        assert_eq!(asked.unwrap_or_default(), client_id);
        assert_eq!(request.query["resource"], "https://management.azure.com/");
    }
}

pub(super) async fn a_token_that_azure_refuses_is_replaced_within_the_call() {
    let stage = Setup::default().start().await;
    stage.list().await.expect("a list");
    stage.azure.revoke_tokens();
    stage.create(SMALL, "secret").await.expect("a VM");
    assert_eq!(stage.calls("token of the application"), 2);
    assert_eq!(stage.azure.vms().len(), 1);
}

pub(super) async fn a_short_token_is_renewed_before_it_ends() {
    // Of an hour, and of a minute: five minutes before its end, or at half of its time.
    for (secs, good) in [(3600, 3300), (60, 30)] {
        let setup = Setup {
            scale: 1,
            time_stands: true,
            ..Setup::default()
        };
        let stage = setup
            .azure(|settings| settings.token_secs = secs)
            .start()
            .await;
        let tokens = || stage.calls("token of the application");
        stage.list().await.expect("a list");
        stage.later(Duration::from_secs(good) - Duration::from_millis(1));
        stage.list().await.expect("a list");
        assert_eq!(tokens(), 1, "one serves many calls");
        stage.later(Duration::from_millis(1));
        stage.list().await.expect("a list");
        assert_eq!(tokens(), 2, "of {secs} s");
    }
}

/// 404 and 410 of the metadata service say that it is being updated, and nothing about VMs.
pub(super) async fn a_metadata_service_that_is_being_updated_is_waited_for() {
    for status in [404, 410] {
        let setup = Setup {
            time_stands: true,
            ..managed("")
        };
        let updating = super::stage::refused(status, "", "");
        let stage = setup.bad("GET", "metadata", 1, updating).start().await;
        let id = stage.account.id("compute-conformance-none");
        let end = stage.account.destroy(&id).await;
        let error = end.expect_err("whether it is there is not known");
        assert_eq!(error.class, CloudErrorClass::Transient, "{error}");
        // The next moments hear the same without asking; then it is asked again.
        stage.list().await.expect_err("no token");
        assert_eq!(stage.calls("token of the host"), 0);
        stage.later(Duration::from_secs(5));
        stage.list().await.expect("a list");
        assert_eq!(stage.calls("token of the host"), 1);
    }
}

/// The token was given, and the answer with it did not come, or only half of it.
pub(super) async fn an_answer_with_a_token_that_is_lost_is_a_passing_fault() {
    for bad in [AzureBad::Lost, AzureBad::Late(10), AzureBad::CutOff] {
        let name = format!("{bad:?}");
        let setup = Setup {
            time_stands: true,
            ..Setup::default()
        };
        let stage = setup.bad("POST", "oauth2", 1, bad).start().await;
        let error = stage.create(SMALL, "secret").await;
        let error = error.expect_err("an answer that was lost gives a token");
        assert_eq!(error.class, CloudErrorClass::Transient, "{name}: {error}");
        assert_eq!(stage.requests(), Vec::<String>::new(), "{name}");
        stage.later(Duration::from_secs(5));
        stage.create(SMALL, "secret").await.expect(&name);
        assert_eq!(stage.calls("token of the application"), 2, "{name}");
    }
}

pub(super) async fn wrong_credentials_are_refused_with_the_remedy_and_not_hammered() {
    for (key, value, remedy) in [
        ("ClientSecret", "wrong", "ClientSecret"),
        ("ClientID", "wrong", "ClientID"),
        ("TenantID", "wrong", "TenantID"),
    ] {
        // However long the machine takes.
        let setup = Setup {
            time_stands: true,
            ..Setup::default()
        };
        let stage = setup.parameter(key, value.into()).start().await;
        let error = stage.create(SMALL, "secret").await.expect_err("a refusal");
        assert_eq!(error.class, WIDELY, "{error}");
        assert!(error.message.contains(remedy), "{error}");
        assert!(!error.message.contains("lab-client-secret"), "{error}");
        // Every call of the next moments hears the same without asking.
        assert!(stage.list().await.is_err());
        assert_eq!(stage.calls("token of the application"), 1);
    }
    let stage = managed("unknown").start().await;
    let error = stage.create(SMALL, "secret").await.expect_err("a refusal");
    assert_eq!(error.class, WIDELY, "{error}");
    assert!(error.message.contains("managed identity"), "{error}");
}
