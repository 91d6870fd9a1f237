//! The daemon on moto: instances that nobody here made up are listed, created, tagged and terminated.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use dispatch_lab_net::{free_port, world::settings::InstanceType};

use crate::support::{Rig, container, eventually, policy};

const GIB: u64 = 1 << 30;

/// A server that ends with its owner.
struct Moto {
    process: Child,
    address: String,
}

impl Moto {
    async fn start() -> Moto {
        let port = free_port().expect("a port");
        let process = Command::new(python())
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p"])
            .arg(port.to_string())
            .env("MOTO_ENABLE_AMI_VALIDATION", "true")
            .env("MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION", "true")
            .env("MOTO_ENABLE_KEYPAIR_VALIDATION", "true")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto: run cargo xtask setup");
        let moto = Moto {
            process,
            address: format!("127.0.0.1:{port}"),
        };
        eventually("moto answers (if not: cargo xtask setup)", || {
            TcpStream::connect(&moto.address).is_ok()
        })
        .await;
        moto
    }

    /// The texts of all elements of this name in the answer to this call, which is made without the SDK.
    fn texts(&self, form: &str, element: &str) -> Vec<String> {
        let answer = self.call(form);
        let opening = format!("<{element}>");
        let parts = answer.split(&opening).skip(1);
        parts
            .filter_map(|part| Some(part.split_once('<')?.0.to_owned()))
            .collect()
    }

    fn call(&self, form: &str) -> String {
        let body = format!("{form}&Version=2016-11-15");
        let mut stream = TcpStream::connect(&self.address).expect("moto");
        let request = format!(
            "POST / HTTP/1.0\r\nHost: ec2.us-east-1.amazonaws.com\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/ec2/aws4_request, \
             SignedHeaders=host, Signature=0\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The interpreter that has moto: the project's own, else the system's.
fn python() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/moto/bin/python");
    if own.exists() {
        own
    } else {
        PathBuf::from("python3")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_of_moto_are_created_listed_tagged_and_terminated() {
    let moto = Moto::start().await;
    let first = |form, element| {
        let texts = moto.texts(form, element);
        texts
            .first()
            .cloned()
            .unwrap_or_else(|| panic!("{element}"))
    };
    let image = first("Action=DescribeImages", "imageId");
    let subnet = first("Action=DescribeSubnets", "subnetId");
    let group = first("Action=DescribeSecurityGroups", "groupId");
    let mut rig = Rig::start(|order| {
        order.endpoint = Some(format!("http://{}", moto.address));
        order.behind_a_door = true;
        order.parameter("SubnetID", &subnet);
        order.parameter("SecurityGroupIDs", &format!("[{group}]"));
        order.lab.settings.instance_types = vec![InstanceType {
            name: "large".to_owned(),
            provider_type: "m5.large".to_owned(),
            vcpus: 2,
            ram: 8 * GIB,
            scratch: 20 * GIB,
            price: 0.1,
            preemptible: false,
            gpus: 0,
        }];
        order.vms("ResourceTags", "{Project: genomes}");
        // Nobody answers at moto's addresses; nothing may be decided by that here.
        order.vms("TimeoutBooting", "10m");
        order.vms("TimeoutIdle", "10m");
        order.edit = Box::new(move |text| {
            let named = text.replace("lab-image", &image);
            named.replace("IncludedScratch:", "AddedScratch:")
        });
    })
    .await;
    let uuid = rig.submit(&container(2, 100));
    let describe = |filter: &str| format!("Action=DescribeInstances&{filter}");
    let set = "Filter.1.Name=tag-key&Filter.1.Value.1=ArvadosInstanceSetID";
    let running = describe(&format!(
        "{set}&Filter.2.Name=instance-state-name&Filter.2.Value.1=running"
    ));
    eventually("moto has an instance", || {
        moto.texts(&running, "instanceId").len() == 1
    })
    .await;
    let id = moto.texts(&running, "instanceId").remove(0);
    eventually("the daemon lists it", || {
        rig.instances()
            .iter()
            .any(|one| one["instance"] == id.as_str())
    })
    .await;
    for (tag, value) in [("Project", "genomes"), ("ArvadosInstanceType", "large")] {
        let tagged = describe(&format!("Filter.1.Name=tag:{tag}&Filter.1.Value.1={value}"));
        assert_eq!(moto.texts(&tagged, "instanceId"), [id.as_str()], "{tag}");
    }
    assert_eq!(moto.texts(&running, "instanceType"), ["m5.large"]);
    assert_eq!(moto.texts("Action=DescribeKeyPairs", "keyName").len(), 1);

    // So that no other takes its place when it is held.
    rig.lab
        .world(|world, now| world.set_priority(&uuid, 0, now));
    eventually("nobody wants an instance", || rig.state(&uuid) == "Queued").await;
    rig.management(
        "POST",
        &format!("/arvados/v1/dispatch/instances/hold?instance_id={id}"),
    );
    let held = describe("Filter.1.Name=tag:ArvadosIdleBehavior&Filter.1.Value.1=hold");
    eventually("it is tagged", || {
        moto.texts(&held, "instanceId") == [id.as_str()]
    })
    .await;

    rig.kill_and_start_again().await;
    eventually("the next daemon has adopted it, still held", || {
        let instances = rig.instances();
        instances
            .iter()
            .any(|one| one["instance"] == id.as_str() && one["idle_behavior"] == "hold")
    })
    .await;

    rig.management(
        "POST",
        &format!("/arvados/v1/dispatch/instances/kill?instance_id={id}"),
    );
    eventually("it is terminated", || {
        let state = moto.texts(&describe(&format!("InstanceId.1={id}")), "name");
        state.iter().any(|name| name == "terminated")
    })
    .await;
    assert_eq!(
        moto.texts("Action=DescribeVolumes", "volumeId"),
        Vec::<String>::new()
    );
    eventually("and the daemon lists it no more", || {
        !rig.instances()
            .iter()
            .any(|one| one["instance"] == id.as_str())
    })
    .await;
    // moto grants everything: what the daemon has asked it for is what the policy would have granted.
    let mut expected = policy();
    // Nothing here is a spot instance.
    expected.remove("DescribeSpotPriceHistory");
    let called = rig.door.as_ref().expect("it was ordered").called();
    assert_eq!(called, expected);
}
