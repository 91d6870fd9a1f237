//! Where the tool looks for the dispatchers and the token, and what it says when it finds none.

use std::{fs, path::Path};

use dispatch_config::Secret;
use tokio::net::TcpListener;

use super::{
    Call, Environment, Exit, call, call_in,
    stand_in::{Script, StandIn, TOKEN},
};

const EMPTY: &str = r#"{"items":[]}"#;

async fn stand_in() -> StandIn {
    StandIn::new(Script::from([(
        "GET instances".into(),
        (200, EMPTY.into()),
    )]))
    .await
}

/// A configuration file with these URLs and this token, in a folder that goes with the value.
fn configuration(urls: &[&str], token: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let urls: String = urls
        .iter()
        .map(|url| format!("          {url}: {{}}\n"))
        .collect();
    let text = format!(
        "Clusters:\n  zzzzz:\n    ManagementToken: \"{token}\"\n    Services:\n      DispatchCloud:\n        \
         InternalURLs:\n{urls}    Containers:\n      CloudVMs:\n        PollInterval: nonsense\n"
    );
    fs::write(folder.path().join("config.yml"), text).unwrap();
    folder
}

fn environment(config: &Path) -> Environment {
    Environment {
        config: Some(config.join("config.yml").into()),
        cert_file: true,
        ..Environment::default()
    }
}

fn fine(done: &Call) {
    assert_eq!((done.exit, done.stderr.as_str()), (Exit::Done, ""));
}

#[tokio::test]
async fn the_configuration_names_url_and_token_whatever_else_is_wrong_in_it() {
    let stand_in = stand_in().await;
    let folder = configuration(&[&stand_in.url()], TOKEN);
    fine(&call_in(&environment(folder.path()), &["list"]).await);
    let file = folder.path().join("config.yml");
    let words = ["list", "--config", file.to_str().unwrap()];
    let environment = Environment {
        url: Some("http://127.0.0.1:1".into()),
        token: Some(Secret::new("aWrongTokenFromTheEnvironment".into())),
        ..Environment::default()
    };
    fine(&call_in(&environment, &words).await);
}

#[tokio::test]
async fn flags_go_before_environment_and_environment_before_configuration() {
    let stand_in = stand_in().await;
    let folder = configuration(&["http://127.0.0.1:1"], "aWrongTokenFromTheFile");
    let mut environment = environment(folder.path());
    environment.url = Some("http://127.0.0.1:2".into());
    environment.token = Some(Secret::new("aWrongTokenFromTheEnvironment".into()));
    let token_file = folder.path().join("token");
    fs::write(&token_file, format!("{TOKEN}\n")).unwrap();
    let (url, token_file) = (stand_in.url(), token_file.to_str().unwrap());
    fine(
        &call_in(
            &environment,
            &["list", "--url", &url, "--token-file", token_file],
        )
        .await,
    );
    environment.url = Some(stand_in.url().into());
    environment.token = Some(Secret::new(TOKEN.into()));
    fine(&call_in(&environment, &["list"]).await);
    // One from the environment, the other from the configuration.
    let folder = configuration(&["http://127.0.0.1:1"], TOKEN);
    environment.config = Some(folder.path().join("config.yml").into());
    environment.token = None;
    fine(&call_in(&environment, &["list"]).await);
}

#[tokio::test]
async fn what_is_missing_is_said_with_the_remedy() {
    let nowhere = Environment {
        config: Some("/nonexistent/config.yml".into()),
        ..Environment::default()
    };
    let done = call_in(&nowhere, &["list"]).await;
    assert_eq!(done.exit, Exit::Failed);
    assert!(
        done.stderr.contains("/nonexistent/config.yml"),
        "{}",
        done.stderr
    );

    for (urls, token, remedy) in [
        (&["http://127.0.0.1:1"][..], "", "--token-file"),
        (&[], TOKEN, "--url"),
    ] {
        let folder = configuration(urls, token);
        let done = call_in(&environment(folder.path()), &["list"]).await;
        assert_eq!(done.exit, Exit::Failed);
        assert!(done.stderr.contains(remedy), "{}", done.stderr);
    }
}

#[tokio::test]
async fn a_wrong_token_is_explained_and_never_shown() {
    let stand_in = stand_in().await;
    let url = stand_in.url();
    let words = ["list", "--url", &url, "--token", "aWrongTokenIndeed"];
    let done = call_in(&Environment::default(), &words).await;
    assert_eq!(done.exit, Exit::Failed);
    assert!(
        done.stderr.contains("403 Forbidden (the token is not"),
        "{}",
        done.stderr
    );
    assert!(
        !done.stderr.contains("aWrongTokenIndeed"),
        "{}",
        done.stderr
    );

    let words = ["list", "--url", &url, "--token", "a\ttoken\nwith breaks"];
    let done = call_in(&Environment::default(), &words).await;
    assert_eq!(done.exit, Exit::Failed);
    assert!(!done.stderr.contains("breaks"), "{}", done.stderr);
}

#[tokio::test]
async fn an_order_goes_to_every_dispatcher_and_one_that_obeys_is_enough() {
    let order = "POST instances/hold instance_id=i-1";
    let active = StandIn::new(Script::from([(order.into(), (200, String::new()))])).await;
    let standby = StandIn::new(Script::new()).await;
    let folder = configuration(&[&standby.url(), &active.url()], TOKEN);
    let done = call_in(&environment(folder.path()), &["hold", "i-1"]).await;
    assert_eq!(done.exit, Exit::Done);
    assert_eq!(
        (standby.asked().await, active.asked().await),
        // Who does not know it is asked why.
        (
            vec![order.into(), "GET /_health/ping".into()],
            vec![order.into()]
        )
    );
    assert!(
        done.stderr
            .contains(&format!("i-1: 404 Not Found ({})\n", standby.host()))
    );
    assert!(
        done.stderr
            .contains(&format!("i-1: 200 OK ({})\n", active.host()))
    );
}

#[tokio::test]
async fn a_dispatcher_that_cannot_be_reached_is_named_and_the_others_are_listed() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let stand_in = stand_in().await;
    let environment = Environment {
        url: Some(format!("http://{closed},{}", stand_in.url()).into()),
        token: Some(Secret::new(TOKEN.into())),
        ..Environment::default()
    };
    let done = call_in(&environment, &["list"]).await;
    assert_eq!(
        (done.exit, done.stdout.as_str()),
        (
            Exit::Failed,
            "no instances on the dispatchers that answered\n"
        )
    );
    assert!(
        done.stderr.starts_with(&format!("{closed}: ")),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains("refused"), "{}", done.stderr);
    let last = "the list is incomplete: 1 of 2 dispatchers did not answer\n";
    assert!(done.stderr.ends_with(last), "{}", done.stderr);
}

#[tokio::test]
async fn nothing_is_listed_when_nobody_answered() {
    let request = |name| format!("GET {name}");
    let answering = async |status, body: &str| {
        let script = ["instances", "containers"].map(|it| (request(it), (status, body.into())));
        StandIn::new(Script::from(script)).await
    };
    for (stand_in, token, said) in [
        (answering(200, EMPTY).await, "aWrongToken", "403 Forbidden"),
        (answering(500, "oh no").await, TOKEN, "500 Internal"),
        (answering(200, "<html>").await, TOKEN, "not what a disp"),
        (answering(200, "{}").await, TOKEN, "not what a disp"),
        (
            StandIn::new(Script::new()).await,
            TOKEN,
            "no management API",
        ),
    ] {
        let url = stand_in.url();
        for words in [
            "list",
            "list --json",
            "list --tsv --header",
            "containers list --json",
        ] {
            let mut words: Vec<_> = words.split(' ').collect();
            words.extend(["--url", &url, "--token", token]);
            let done = call_in(&Environment::default(), &words).await;
            assert_eq!(
                (done.exit, done.stdout.as_str()),
                (Exit::Failed, ""),
                "{words:?}"
            );
            assert!(done.stderr.contains(said), "{words:?}: {}", done.stderr);
            assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
        }
    }
}

#[tokio::test]
async fn a_url_with_a_path_that_leads_nowhere_is_explained() {
    let stand_in = StandIn::new(Script::new()).await;
    let url = format!("{}/foo/", stand_in.url());
    let words = ["list", "--tsv", "--url", &url, "--token", TOKEN];
    let done = call_in(&Environment::default(), &words).await;
    assert_eq!(done.exit, Exit::Failed);
    let hint = "below /foo/: leave that path out of the URL";
    assert!(done.stderr.contains(hint), "{}", done.stderr);
}

#[tokio::test]
async fn a_silent_dispatcher_is_given_up_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let words = [
        "--timeout",
        "0.05",
        "--url",
        &url,
        "--token",
        TOKEN,
        "kill",
        "i-1",
    ];
    let done = call_in(&Environment::default(), &words).await;
    assert_eq!(done.exit, Exit::Failed);
    assert!(
        done.stderr.starts_with("i-1: no answer in time"),
        "{}",
        done.stderr
    );
}

#[tokio::test]
async fn mistakes_on_the_command_line_end_with_2_and_help_with_0() {
    let stand_in = stand_in().await;
    for words in [
        "",
        "frobnicate",
        "list --header",
        "list --json --tsv",
        "hold",
        "containers show",
        "list --timeout never",
        "list --insecure --ca /x",
        "list --url localhost:9006",
    ] {
        let done = call(&stand_in, words).await;
        assert_eq!(done.exit, Exit::Usage, "{words}");
        assert!(done.stdout.is_empty() && !done.stderr.is_empty(), "{words}");
    }
    assert!(stand_in.asked().await.is_empty());

    let help = call(&stand_in, "--help").await;
    assert_eq!((help.exit, help.stderr.as_str()), (Exit::Done, ""));
    for taught in [
        "Examples:",
        "Exit codes:",
        "$ARVADOS_DISPATCH_URL",
        "ManagementToken",
        "drain",
    ] {
        assert!(help.stdout.contains(taught), "{taught}\n{}", help.stdout);
    }
}
