//! The lab's EC2 API, judged by a client that nobody here wrote: boto3 runs, lists, tags and ends instances on it.

use std::process::Command;

use super::{moto::python, stage::Setup};

const SCRIPT: &str = r#"
import sys, boto3
from botocore.config import Config
from botocore.exceptions import ClientError
ec2 = boto3.client("ec2", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="a",
                   aws_secret_access_key="b", config=Config(retries={"total_max_attempts": 1}))

def run(token, kind="m5.small", subnet="subnet-a1", disks=()):
    return ec2.run_instances(
        BlockDeviceMappings=[{"DeviceName": f"/dev/xvd{n}", "Ebs": {"VolumeSize": n + 1, "DeleteOnTermination": goes}}
                             for n, goes in enumerate(disks)],
        ImageId="ami-lab", InstanceType=kind, MinCount=1, MaxCount=1, ClientToken=token,
        NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": subnet, "AssociatePublicIpAddress": False}],
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "a <b> & c"}]}],
    )["Instances"]

def code(call, **args):
    try:
        call(**args)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "none"

made = [run(f"token-{n}")[0]["InstanceId"] for n in range(5)]
assert len(set(made)) == 5, made
assert run("token-0")[0]["InstanceId"] == made[0], "the same token, the same instance"
assert code(run, token="token-0", kind="c5.large") == "IdempotentParameterMismatch"
assert run("token-0", subnet="subnet-b1")[0]["InstanceId"] not in made, "tokens are known by zone"

pages = ec2.get_paginator("describe_instances").paginate(
    Filters=[{"Name": "tag:Name", "Values": ["a <b> & c"]}], PaginationConfig={"PageSize": 5})
shown = [i for page in pages for r in page["Reservations"] for i in r["Instances"]]
assert len(shown) == 6, shown
one = next(i for i in shown if i["InstanceId"] == made[0])
assert one["InstanceType"] == "m5.small" and one["Placement"]["AvailabilityZone"] == "lab-1a", one
assert one["State"]["Name"] in ("pending", "running"), one

ec2.create_tags(Resources=[made[0]], Tags=[{"Key": "more", "Value": "1"}])
[[tagged]] = [r["Instances"] for r in ec2.describe_instances(InstanceIds=[made[0]])["Reservations"]]
assert {"Key": "more", "Value": "1"} in tagged["Tags"], tagged
assert code(ec2.create_tags, Resources=[made[0]], Tags=[{"Key": "aws:x", "Value": "1"}]) == "InvalidParameterValue"
disky = run("token-disks", disks=(True, False))[0]["InstanceId"]
[[one]] = [r["Instances"] for r in ec2.describe_instances(InstanceIds=[disky])["Reservations"]]
assert [m["Ebs"]["DeleteOnTermination"] for m in one["BlockDeviceMappings"]] == [True, True, False], one
def volumes():
    found = ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [disky]}])["Volumes"]
    return [(v["Size"], v["State"]) for v in found]
assert volumes() == [(8, "in-use"), (1, "in-use"), (2, "in-use")], volumes()
ec2.terminate_instances(InstanceIds=[disky])
assert volumes() == [(2, "available")], volumes()
assert len(ec2.describe_volumes()["Volumes"]) == 7, "six instances, and what was not to go"

missing = "i-00000000deadbeef0"
assert code(ec2.terminate_instances, InstanceIds=[missing]) == "InvalidInstanceID.NotFound"

for n in range(2):
    ended = ec2.terminate_instances(InstanceIds=[i["InstanceId"] for i in shown])
    assert ended["TerminatingInstances"][0]["CurrentState"]["Name"] == "shutting-down", ended
left = ec2.describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}])
assert left["Reservations"] == [], left
assert code(run, token="token-0") == "IdempotentInstanceTerminated"

ec2.import_key_pair(KeyName="arvados-dispatch-keypair-SHA256:x", PublicKeyMaterial=b"ssh-ed25519 x")
found = ec2.describe_key_pairs(Filters=[{"Name": "fingerprint", "Values": ["SHA256:x"]}])["KeyPairs"]
assert len(found) == 1, found
assert {s["AvailabilityZone"] for s in ec2.describe_subnets()["Subnets"]} == {"lab-1a", "lab-1b"}
prices = ec2.describe_spot_price_history(InstanceTypes=["m5.spot"], Filters=[
    {"Name": "instance-type", "Values": ["m5.spot"]}, {"Name": "product-description", "Values": ["Linux/UNIX"]}])
assert len(prices["SpotPriceHistory"]) == 4, prices
print("fine")
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boto3_finds_the_labs_api_to_be_ec2() {
    // It looks at more than the driver may.
    let stage = Setup::default().ec2(|s| s.granted = None).start().await;
    let url = stage.ec2.url().to_owned();
    let run = move || Command::new(python()).args(["-c", SCRIPT, &url]).output();
    let output = tokio::task::spawn_blocking(run)
        .await
        .expect("a thread")
        .expect("python3: run cargo xtask setup");
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(said.trim(), "fine", "{complained}");
}
