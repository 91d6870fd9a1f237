//! Tokens of both kinds.

use dispatch_model::CloudErrorClass;

use super::stage::{Look, SMALL, Setup};

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
    let stage = Setup::default()
        .azure(|settings| settings.token_secs = 1)
        .start()
        .await;
    // No list fails meanwhile.
    let mut look = Look::begin("it was renewed twice");
    while stage.calls("token of the application") < 3 {
        stage.list().await.expect("a list");
        look.again().await.expect("renewed");
    }
    assert!(stage.calls("GET vms") > 4, "one serves many calls");
}

pub(super) async fn wrong_credentials_are_refused_with_the_remedy_and_not_hammered() {
    for (key, value, remedy) in [
        ("ClientSecret", "wrong", "ClientSecret"),
        ("ClientID", "wrong", "ClientID"),
        ("TenantID", "wrong", "TenantID"),
    ] {
        let stage = Setup::default().parameter(key, value.into()).start().await;
        let error = stage.create(SMALL, "secret").await.expect_err("a refusal");
        assert_eq!(error.class, CloudErrorClass::Refused, "{error}");
        assert!(error.message.contains(remedy), "{error}");
        assert!(!error.message.contains("lab-client-secret"), "{error}");
        // Every call of the next moments hears the same without asking.
        assert!(stage.list().await.is_err());
        assert_eq!(stage.calls("token of the application"), 1);
    }
    let stage = managed("unknown").start().await;
    let error = stage.create(SMALL, "secret").await.expect_err("a refusal");
    assert_eq!(error.class, CloudErrorClass::Refused, "{error}");
    assert!(error.message.contains("managed identity"), "{error}");
}
