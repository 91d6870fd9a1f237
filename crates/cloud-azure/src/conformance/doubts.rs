//! Unknown outcomes: what was carried out, what is there, what is gone.

use dispatch_cloud::InstanceSet as _;
use dispatch_lab_net::AzureBad;
use dispatch_model::CloudErrorClass;

use super::{
    creates::until_nothing_is_left,
    stage::{Look, SMALL, SPOT, Setup, order, refused},
};

/// A look finds the VM, and nothing is put again.
pub(super) async fn a_lost_answer_is_looked_up() {
    let setup = Setup::default().bad("PUT", "virtualMachines", 1, AzureBad::Lost);
    let stage = setup.start().await;
    stage.create(SMALL, "secret").await.expect("a VM");
    let requests = stage.requests();
    assert_eq!(
        requests.get(..3).unwrap_or(&requests),
        ["PUT nic", "PUT vm", "GET vm"],
        "it looks before it puts again"
    );
    assert_eq!(stage.calls("PUT vm"), 1);
    assert_eq!(stage.azure.vms().len(), 1);
}

pub(super) async fn a_vm_that_azure_does_not_show_yet_is_not_put_twice() {
    // The answer is lost, and then Azure does not know the VM for a while: the condition saves us.
    let setup = Setup::default()
        .azure(|settings| settings.unknown_ms = 60_000)
        .bad("PUT", "virtualMachines", 1, AzureBad::Lost);
    let stage = setup.start().await;
    let made = stage.create(SMALL, "secret").await;
    for request in stage.azure.requests() {
        if request.method == "PUT" && request.path.contains("virtualMachines") {
            let condition = request.headers.get("if-none-match").map(String::as_str);
            assert_eq!(condition, Some("*"), "a PUT without a condition");
        }
    }
    made.expect("a VM");
    // The network interface is there, and is not put again.
    assert_eq!(
        stage.requests(),
        ["PUT nic", "PUT vm", "GET vm", "GET nic", "PUT vm"]
    );
    assert_eq!(stage.azure.vms().len(), 1);
}

pub(super) async fn a_fresh_vm_that_azure_does_not_know_is_not_taken_for_gone() {
    let setup = Setup::default().bad(
        "DELETE",
        "virtualMachines",
        4,
        refused(404, "ResourceNotFound", ""),
    );
    let stage = setup.start().await;
    let made = stage.create(SMALL, "secret").await.expect("a VM");
    let error = stage.account.destroy(&made.id).await;
    let error = error.expect_err("a fresh VM that Azure does not know is not gone");
    assert_eq!(error.class, CloudErrorClass::Transient);
    stage.account.destroy(&made.id).await.expect("gone");
    stage.account.destroy(&made.id).await.expect("gone already");
}

pub(super) async fn a_lost_answer_of_any_write_makes_nothing_twice() {
    for (method, path) in [
        ("PUT", "networkInterfaces"),
        ("PUT", "virtualMachines"),
        ("GET", "virtualMachines/"),
    ] {
        for bad in [
            AzureBad::Lost,
            AzureBad::CutOff,
            AzureBad::BadGateway,
            AzureBad::Late(20),
        ] {
            let name = format!("{method} {path} {bad:?}");
            let stage = Setup::default().bad(method, path, 1, bad).start().await;
            stage.create(SMALL, "secret").await.expect(&name);
            stage.until_nothing_is_late().await.expect(&name);
            assert_eq!(stage.azure.vms().len(), 1, "{name}");
            assert_eq!(stage.azure.nics().len(), 1, "{name}");
        }
    }
}

pub(super) async fn nothing_is_put_after_the_end_of_a_vm_was_asked_for() {
    // The PUT is on its way and lost; meanwhile somebody ends the VM by its name.
    let setup = Setup::default().bad("PUT", "virtualMachines", 1, AzureBad::BadGateway);
    let stage = setup.start().await;
    let name = crate::names::Names::of("conformance", &order(SMALL, "secret").secret).vm;
    let id = stage.account.id(&name);
    stage.account.destroy(&id).await.expect("there is none");
    let error = stage.create(SMALL, "secret").await.expect_err("given up");
    assert_eq!(error.class, CloudErrorClass::Transient);
    assert_eq!(stage.calls("PUT vm") + stage.calls("PUT nic"), 0);
}

/// Its end is asked for while its PUT is under way, and Azure takes the end first.
pub(super) async fn an_end_that_comes_before_the_put_ends_the_vm_all_the_same() {
    let setup = Setup::default().bad("PUT", "virtualMachines", 1, AzureBad::Late(100));
    let stage = setup.start().await;
    let name = crate::names::Names::of("conformance", &order(SMALL, "secret").secret).vm;
    let create = {
        let account = stage.account.clone();
        tokio::spawn(async move { account.create(&order(SMALL, "secret")).await })
    };
    let mut look = Look::begin("the VM is put");
    while stage.calls("PUT vm") == 0 {
        look.again().await.expect("put");
    }
    let end = stage.account.destroy(&stage.account.id(&name)).await;
    end.expect("there is none yet");
    create.await.expect("no panic").expect_err("given up");
    assert_eq!(stage.calls("PUT vm"), 1, "it is not put again");
    stage.until_nothing_is_late().await.expect("all arrived");
    // Whatever came late is listed, and ended like everything that nobody wants.
    stage.clean_up().await.expect("an end");
    assert_eq!(until_nothing_is_left(&stage).await, Ok(()));
    assert_eq!(stage.nothing_was_made_twice(), Ok(()));
}

/// A page of a proxy, a subscription or a resource group that is not there: the VM may be.
pub(super) async fn only_azures_own_word_counts_as_gone() {
    for bad in [
        refused(404, "SubscriptionNotFound", ""),
        refused(404, "ResourceGroupNotFound", ""),
        AzureBad::Stranger(404),
    ] {
        let name = format!("{bad:?}");
        let stage = Setup::default().start().await;
        let made = stage.create(SPOT, "secret").await.expect("a VM");
        let listed = stage.until("it is listed", |rows| rows.len() == 1).await;
        listed.expect("a list");
        stage.account.memory().is_old(&made.id);
        let injection = |method: &str| {
            dispatch_lab_net::AzureInjection::next(method, "virtualMachines/", bad.clone())
        };
        (stage.azure)
            .set(|settings| settings.injections = vec![injection("DELETE"), injection("GET")]);
        let end = stage.account.destroy(&made.id).await;
        assert!(end.is_err(), "{name}: a VM that is there counts as gone");
        // The same for one that has stopped answering.
        let vm = crate::places::name_in(made.id.as_str());
        stage.until_left_alone(vm).await.expect(&name);
        stage.account.doubt(&made.id);
        stage.until_left_alone(vm).await.expect(&name);
        assert_eq!(stage.calls("GET instanceView"), 1, "{name}");
        assert_eq!(stage.account.memory().take_ended(), [], "{name}");
        stage.clean_up().await.expect(&name);
    }
}

/// Carried out, and then answered with 500.
pub(super) async fn a_server_that_breaks_down_after_its_work_makes_no_second_vm() {
    let mistaken = || {
        let words = "An internal error occurred.".to_owned();
        AzureBad::Mistaken(500, "InternalServerError".to_owned(), words)
    };
    let stage = Setup::default()
        .bad("PUT", "virtualMachines", 1, mistaken())
        .start()
        .await;
    let answer = stage.create(SMALL, "secret").await;
    answer.expect("a VM that is there is not taken for refused");
    assert_eq!(stage.requests(), ["PUT nic", "PUT vm", "GET vm"]);
    // While Azure does not show it, it holds its network interface: nobody knows.
    let stage = Setup::default()
        .azure(|settings| settings.unknown_ms = 600_000)
        .bad("PUT", "virtualMachines", 1, mistaken())
        .start()
        .await;
    let error = stage.create(SMALL, "secret").await.expect_err("in doubt");
    assert_eq!(error.class, CloudErrorClass::OutcomeUnknown, "{error}");
    assert_eq!(stage.left().len(), 3, "{:?}", stage.left());
    assert_eq!(stage.calls("PUT vm"), 1);
    // If it did nothing, that is a passing fault, and nothing stays.
    let stage = Setup::default()
        .bad(
            "PUT",
            "virtualMachines",
            1,
            refused(500, "InternalServerError", ""),
        )
        .start()
        .await;
    let error = stage.create(SMALL, "secret").await.expect_err("a fault");
    assert_eq!(error.class, CloudErrorClass::Transient, "{error}");
    assert_eq!(stage.left(), Vec::<String>::new());
}

/// The first PUT made the VM, a look did not show it, and the second PUT is refused.
pub(super) async fn a_refusal_after_a_lost_put_is_settled_by_a_look() {
    for refusal in [
        refused(409, "SkuNotAvailable", ""),
        refused(403, "AuthorizationFailed", ""),
        AzureBad::Throttled(Some("1".to_owned())),
        AzureBad::Stranger(407),
    ] {
        let name = format!("{refusal:?}");
        let stage = Setup::default()
            .bad("PUT", "virtualMachines/", 1, AzureBad::Lost)
            .bad(
                "GET",
                "virtualMachines/",
                1,
                refused(404, "ResourceNotFound", ""),
            )
            .bad("PUT", "virtualMachines/", 1, refusal)
            .start()
            .await;
        stage.create(SMALL, "secret").await.expect(&name);
        assert_eq!(stage.azure.vms().len(), 1, "{name}");
        assert_eq!(stage.azure.nics().len(), 1, "{name}");
        assert_eq!(
            stage.requests(),
            ["PUT nic", "PUT vm", "GET vm", "GET nic", "PUT vm", "GET vm"],
            "{name}"
        );
    }
}

/// The first PUT is on its way, the second is refused, and Azure takes its time for the interface.
fn late_then_refused(late_ms: u64) -> Setup {
    Setup::default()
        .bad("PUT", "virtualMachines/", 1, AzureBad::Late(late_ms))
        .bad(
            "PUT",
            "virtualMachines/",
            1,
            refused(409, "SkuNotAvailable", ""),
        )
}

/// The late PUT takes the interface before it goes, and its deletion fails.
pub(super) async fn an_interface_whose_deletion_was_accepted_and_failed_leaves_the_outcome_unknown()
{
    // Whatever the machine does: the PUT comes after the deletion was asked for, and before it is carried out.
    let setup = late_then_refused(u64::MAX / 2);
    let setup = setup.azure(|settings| settings.nic_delete_ms = 600_000);
    let stage = setup.start().await;
    let create = {
        let account = stage.account.clone();
        tokio::spawn(async move { account.create(&order(SMALL, "secret")).await })
    };
    let mut look = Look::begin("the interface is deleted");
    while stage.calls("DELETE nic") == 0 {
        look.again().await.expect("deleted");
    }
    stage.azure.hurry_what_is_late();
    let error = create
        .await
        .expect("no panic")
        .expect_err("no VM that is known");
    stage.until_nothing_is_late().await.expect("all arrived");
    assert_eq!(stage.azure.vms().len(), 1, "it came late");
    assert_eq!(
        error.class,
        CloudErrorClass::OutcomeUnknown,
        "a VM that came late beside a refusal: {error}"
    );
    stage.azure.set(|settings| settings.nic_delete_ms = 0);
    stage.clean_up().await.expect("an end");
    assert_eq!(until_nothing_is_left(&stage).await, Ok(()));
}

pub(super) async fn an_interface_that_goes_later_settles_a_refusal() {
    // This PUT is never carried out.
    let setup = Setup::default()
        .bad("PUT", "virtualMachines/", 1, AzureBad::BadGateway)
        .bad(
            "PUT",
            "virtualMachines/",
            1,
            refused(409, "SkuNotAvailable", ""),
        );
    let setup = setup.azure(|settings| settings.nic_delete_ms = 50);
    let stage = setup.start().await;
    let error = stage.create(SMALL, "secret").await.expect_err("refused");
    let class = CloudErrorClass::Capacity(dispatch_model::CapacityScope::Type);
    assert_eq!(error.class, class, "{error}");
    assert_eq!(stage.left(), Vec::<String>::new(), "it has gone by then");
    let requests = stage.requests();
    assert_eq!(
        requests[..7],
        [
            "PUT nic",
            "PUT vm",
            "GET vm",
            "GET nic",
            "PUT vm",
            "GET vm",
            "DELETE nic"
        ],
    );
    assert!(requests[7..].iter().all(|request| request == "GET nic"));
    assert!(requests.len() > 7, "nobody looks whether it is gone");
}
