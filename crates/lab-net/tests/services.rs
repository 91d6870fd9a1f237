//! The lab as a client meets it: HTTPS, the cloud's HTTP, SSH.

use std::{sync::Arc, time::Duration};

use dispatch_lab_net::{
    Lab, LabHandle,
    world::{Settings, Span},
};
use russh::{
    ChannelMsg,
    client::{self, Handle},
    keys::{PrivateKey, PrivateKeyWithHashAlg},
};
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(20);

async fn lab() -> LabHandle {
    let mut settings = Settings::default();
    settings.vm.port = 0;
    settings.vm.boot_ms = Span::exactly(50);
    settings.vm.boot_probe_fails_ms = Span::exactly(0);
    settings.cloud.address_ms = Span::exactly(10);
    Lab::new(1, settings).start().await.unwrap()
}

fn http() -> reqwest::Client {
    reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .timeout(DEADLINE)
        .build()
        .unwrap()
}

async fn call(method: &str, url: String, body: Value) -> (u16, Value) {
    let request = http().request(method.parse().unwrap(), url);
    let request = if body.is_null() {
        request
    } else {
        request.json(&body)
    };
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

struct AnyHost;

impl client::Handler for AnyHost {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        _: &russh::keys::PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

async fn log_in(address: &str, key: &str) -> Option<Handle<AnyHost>> {
    let config = Arc::new(client::Config::default());
    let key = Arc::new(PrivateKey::from_openssh(key).unwrap());
    let mut session = client::connect(config, address, AnyHost).await.ok()?;
    let authenticated = session
        .authenticate_publickey("crunch", PrivateKeyWithHashAlg::new(key, None))
        .await
        .ok()?;
    authenticated.success().then_some(session)
}

/// Until it lets us in.
async fn reach(address: &str, key: &str) -> Handle<AnyHost> {
    let until = tokio::time::Instant::now() + DEADLINE;
    loop {
        if let Some(session) = log_in(address, key).await {
            return session;
        }
        assert!(
            tokio::time::Instant::now() < until,
            "{address} does not let us in"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn run(session: &Handle<AnyHost>, command: &str, stdin: &[u8]) -> (u32, String) {
    let mut channel = session.channel_open_session().await.unwrap();
    channel.exec(true, command).await.unwrap();
    channel.data(stdin).await.unwrap();
    channel.eof().await.unwrap();
    let (mut status, mut stdout) = (999, Vec::new());
    while let Some(message) = tokio::time::timeout(DEADLINE, channel.wait())
        .await
        .expect("it ends")
    {
        match message {
            ChannelMsg::Data { data } => stdout.extend_from_slice(&data),
            ChannelMsg::ExitStatus { exit_status } => status = exit_status,
            _ => {}
        }
    }
    (status, String::from_utf8(stdout).unwrap())
}

fn order(lab: &LabHandle) -> Value {
    json!({
        "provider_type": "lab.8",
        "tags": {"T": "1"},
        "init_script": "#!/bin/sh\n(umask 0177; echo -n 's3cret' > /var/run/arvados-instance-secret)\n",
        "public_key": lab.public_key(),
    })
}

async fn machine(lab: &LabHandle) -> (String, String) {
    let (status, made) = call("POST", format!("{}/instances", lab.cloud_url()), order(lab)).await;
    assert_eq!(status, 200, "{made}");
    (
        made["id"].as_str().unwrap().to_owned(),
        made["address"].as_str().unwrap().to_owned(),
    )
}

#[tokio::test]
async fn a_machine_is_ordered_reached_by_ssh_and_destroyed() {
    let lab = lab().await;
    let (id, address) = machine(&lab).await;
    let session = reach(&address, lab.private_key()).await;
    assert_eq!(
        run(&session, "sudo cat /var/run/arvados-instance-secret", b"").await,
        (0, "s3cret".into())
    );
    assert_eq!(
        run(&session, "systemctl is-system-running", b"").await,
        (0, "running\n".into())
    );
    assert_eq!(
        run(&session, "sudo sh -c 'cat > /tmp/x'; md5sum /tmp/x", b"abc").await,
        (0, "900150983cd24fb0d6963f7d28e17f72  /tmp/x\n".into())
    );
    assert_eq!(run(&session, "nonsense", b"").await.0, 127);

    let (_, listed) = call(
        "GET",
        format!("{}/instances?tag.T=1", lab.cloud_url()),
        Value::Null,
    )
    .await;
    assert_eq!(listed["instances"][0]["id"], id);
    let (_, none) = call(
        "GET",
        format!("{}/instances?tag.T=2", lab.cloud_url()),
        Value::Null,
    )
    .await;
    assert_eq!(none, json!({"instances": []}));
    assert_eq!(
        call(
            "POST",
            format!("{}/instances/{id}/tags", lab.cloud_url()),
            json!({"tags": {"U": "2"}})
        )
        .await
        .0,
        200
    );
    assert_eq!(
        call(
            "DELETE",
            format!("{}/instances/{id}", lab.cloud_url()),
            Value::Null
        )
        .await
        .0,
        200
    );
    assert!(
        tokio::time::timeout(DEADLINE, session)
            .await
            .expect("the connection breaks")
            .is_err()
    );
    let (status, gone) = call(
        "DELETE",
        format!("{}/instances/{id}", lab.cloud_url()),
        Value::Null,
    )
    .await;
    assert_eq!(
        (status, gone["error"]["class"].as_str()),
        (404, Some("not_found"))
    );
}

#[tokio::test]
async fn another_key_is_not_let_in() {
    let lab = lab().await;
    let (_, address) = machine(&lab).await;
    reach(&address, lab.private_key()).await;
    let other = PrivateKey::from(russh::keys::ssh_key::private::Ed25519Keypair::from_seed(
        &[7; 32],
    ));
    let other = other
        .to_openssh(russh::keys::ssh_key::LineEnding::LF)
        .unwrap();
    assert!(log_in(&address, &other).await.is_none());
}

#[tokio::test]
async fn a_silent_machine_answers_again_when_it_is_heard_again() {
    let lab = lab().await;
    let (id, address) = machine(&lab).await;
    let session = reach(&address, lab.private_key()).await;
    lab.world(|world, now| world.silence(&id, Some(600), now));
    let hears_nothing =
        tokio::time::timeout(Duration::from_millis(200), run(&session, "true", b"")).await;
    assert!(hears_nothing.is_err());
    assert_eq!(run(&session, "true", b"").await.0, 0);
}

#[tokio::test]
async fn the_eleventh_channel_is_refused() {
    let lab = lab().await;
    let (_, address) = machine(&lab).await;
    let session = reach(&address, lab.private_key()).await;
    let mut open = Vec::new();
    for _ in 0..10 {
        open.push(session.channel_open_session().await.unwrap());
    }
    assert!(session.channel_open_session().await.is_err());
}

#[tokio::test]
async fn commands_that_have_ended_leave_their_channels_to_others() {
    let lab = lab().await;
    let (_, address) = machine(&lab).await;
    let session = reach(&address, lab.private_key()).await;
    for _ in 0..25 {
        assert_eq!(run(&session, "true", b"").await.0, 0);
    }
}

#[tokio::test]
async fn an_exit_watch_answers_line_by_line() {
    let lab = lab().await;
    let (_, address) = machine(&lab).await;
    let session = reach(&address, lab.private_key()).await;
    let mut channel = session.channel_open_session().await.unwrap();
    channel
        .exec(
            true,
            "sudo sh -c ': arvados-dispatch watch v1\nx' arvados-dispatch-watch /var/lock",
        )
        .await
        .unwrap();
    channel.data(&b"zzzzz-dz642-0000000"[..]).await.unwrap();
    channel.data(&b"00000001\n"[..]).await.unwrap();
    let printed = async {
        loop {
            if let Some(ChannelMsg::Data { data }) = channel.wait().await {
                return String::from_utf8(data.to_vec()).unwrap();
            }
        }
    };
    let printed = tokio::time::timeout(DEADLINE, printed)
        .await
        .expect("a line comes");
    assert_eq!(printed, "zzzzz-dz642-000000000000001\n");
    channel.eof().await.unwrap();
    let ended = async {
        loop {
            match channel.wait().await {
                Some(ChannelMsg::ExitStatus { exit_status }) => return exit_status,
                Some(_) => {}
                None => return 999,
            }
        }
    };
    assert_eq!(
        tokio::time::timeout(DEADLINE, ended)
            .await
            .expect("it ends"),
        0
    );
}

#[tokio::test]
async fn the_arvados_api_speaks_tls_and_the_control_api_submits() {
    let lab = lab().await;
    let (_, submitted) = call(
        "POST",
        format!("{}/containers", lab.control_url()),
        json!({"mixed": 3}),
    )
    .await;
    assert_eq!(submitted["uuids"].as_array().unwrap().len(), 3);
    let token = lab.world(|world, _| world.settings().system_root_token.clone());
    let url = format!("{}/arvados/v1/containers?count=none&limit=2", lab.api_url());
    let page: Value = http()
        .get(url)
        .bearer_auth(token)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    let (_, status) = call("GET", format!("{}/status", lab.control_url()), Value::Null).await;
    assert_eq!(status["containers"]["Queued"], 3);
    let (status, error) = call(
        "PATCH",
        format!("{}/settings", lab.control_url()),
        json!({"vm": {"no_such": 1}}),
    )
    .await;
    assert_eq!(status, 422, "{error}");
}

#[tokio::test]
async fn a_lost_answer_breaks_the_connection_and_a_hang_lasts() {
    let lab = lab().await;
    let url = format!("{}/instances", lab.cloud_url());
    call(
        "PATCH",
        format!("{}/settings", lab.control_url()),
        json!({"cloud": {"lost_create_rate": 1.0}}),
    )
    .await;
    assert!(http().post(&url).json(&order(&lab)).send().await.is_err());
    assert_eq!(lab.world(|world, _| world.instances().count()), 1);
    call(
        "PATCH",
        format!("{}/settings", lab.control_url()),
        json!({"cloud": {"next_hangs": 1}}),
    )
    .await;
    let hangs = tokio::time::timeout(Duration::from_millis(200), http().get(&url).send()).await;
    assert!(hangs.is_err());
    assert_eq!(call("GET", url, Value::Null).await.0, 200);
}
