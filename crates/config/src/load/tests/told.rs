//! Tests of what is told of files with mistakes.

use super::*;

#[test]
fn every_mistake_is_told_in_one_run_with_its_place_and_remedy() {
    check_told(
        "Clusters:\n  zzzzz:\n    ManagementToken: \"bad token\"\n    Containers:\n      DispatchPrivateKey: file:///nonexistent/key\n      \
         ReserveExtraRAM: 550MIB\n      MaximumPriceFactor: -1\n      RuntimeEngine: podman\n      CloudVMs:\n        \
         PollInterval: 10\n        TimeoutIdle: 1d\n        MaxInstances: -3\n        MaxInstances: 4\n        SSHPort: sssh\n        \
         Driver: ec3\n        DeployPublicKey: \"true\"\n        ResourceTags: [a]\n    InstanceTypes:\n      a: {RAM: 1GiB, Price: 1}\n      \
         b: {VCPUs: 1, RAM: 0, Price: 1}\n      B: {VCPUs: x, RAM: 4 gigs, Price: 1}\n    SystemLogs: {LogLevel: inof, Format: xml}\n    \
         Services: {Controller: {ExternalURL: \"https:///x\"}, DispatchCloud: {InternalURLs: {\"127.0.0.1:9006\": {}}}}\n",
        expect![[r#"
            config.yml:3: error: Clusters.zzzzz.ManagementToken = (secret): has characters other than letters and digits; write one of 32 or more letters and digits, as `tr -dc A-Za-z0-9 </dev/urandom | head -c 48` makes
            config.yml:5: error: Clusters.zzzzz.Containers.DispatchPrivateKey = "file:///nonexistent/key": cannot be read: No such file or directory (os error 2); name a file that the dispatcher's user may read
            config.yml:6: error: Clusters.zzzzz.Containers.ReserveExtraRAM = "550MIB": has the unknown unit "MIB"; write a number of bytes, or a number with one of the units KB, KiB, MB, MiB, GB, GiB, …, as in 1.5GiB
            config.yml:7: error: Clusters.zzzzz.Containers.MaximumPriceFactor = -1: is negative; write 0 or a positive number
            config.yml:8: warning: Clusters.zzzzz.Containers.RuntimeEngine = "podman": is not a runtime that Arvados documents; write docker or singularity
            config.yml:10: error: Clusters.zzzzz.Containers.CloudVMs.PollInterval = 10: lacks the unit of a duration; write 10s if seconds are meant
            config.yml:11: error: Clusters.zzzzz.Containers.CloudVMs.TimeoutIdle = "1d": has the unknown unit "d"; write numbers with the units h, m, s or ms, as in 1h30m or 10s
            config.yml:12: error: Clusters.zzzzz.Containers.CloudVMs.MaxInstances: is there twice, in line 12 and in line 13; keep one of the two
            config.yml:12: error: Clusters.zzzzz.Containers.CloudVMs.MaxInstances = -3: is negative; write 0 or a positive number
            config.yml:14: error: Clusters.zzzzz.Containers.CloudVMs.SSHPort = "sssh": is not a port; write a number from 1 to 65535, "ssh", or a TCP service of /etc/services
            config.yml:15: error: Clusters.zzzzz.Containers.CloudVMs.Driver = "ec3": has no meaning here; did you mean ec2? write one of ec2, azure, loopback
            config.yml:16: error: Clusters.zzzzz.Containers.CloudVMs.DeployPublicKey = "true": is a text where true or false is needed; write true or false, without quotes
            config.yml:17: error: Clusters.zzzzz.Containers.CloudVMs.ResourceTags = [a list of 1]: is a list where a section is needed; write the keys below it, indented
            config.yml:19: error: Clusters.zzzzz.InstanceTypes.a.VCPUs: is missing; write how much the type has, as in VCPUs: 4
            config.yml:20: error: Clusters.zzzzz.InstanceTypes.b.RAM = 0: must not be zero; write how much the type has, as in RAM: 8GiB
            config.yml:21: error: Clusters.zzzzz.InstanceTypes.B: collides with "b" in line 20: they differ only by case; rename or remove one of the two
            config.yml:21: error: Clusters.zzzzz.InstanceTypes.B.VCPUs = "x": is a text where a whole number is needed; write a whole number, without quotes
            config.yml:21: error: Clusters.zzzzz.InstanceTypes.B.RAM = "4 gigs": has the unknown unit "gigs"; write a number of bytes, or a number with one of the units KB, KiB, MB, MiB, GB, GiB, …, as in 1.5GiB
            config.yml:22: error: Clusters.zzzzz.SystemLogs.LogLevel = "inof": has no meaning here; did you mean info? write one of panic, fatal, error, warn, info, debug, trace
            config.yml:22: error: Clusters.zzzzz.SystemLogs.Format = "xml": has no meaning here; write one of json, text
            config.yml:23: error: Clusters.zzzzz.Services.DispatchCloud.InternalURLs."127.0.0.1:9006": does not begin with http:// or https://; write an address as in http://10.0.0.5:9006
            config.yml:23: error: Clusters.zzzzz.Services.Controller.ExternalURL = "https:///x": has no host; write where the API is, as in https://arvados.example.com
            config.yml: error: Clusters.zzzzz.SystemRootToken: is missing, and nothing works without it; copy it from the configuration of the cluster
        "#]],
    );
}

#[test]
fn keys_that_nobody_knows_are_warned_of_with_the_nearest_right_name() {
    check_told(
        &(with_cloud_vms(
            "MaxInstance: 3\npollinterval: 3s\nBananas: 1\nTimeoutKill: 3s\nDriverParameters: {region: x, SubnetIDs: y, Endpoint: z}\n",
        ) + "    MaxRunningContainersPerInstance: 3\n    systemRootToken: hunter2hunter2\n    Services2: {a: 1, a: 2}\n    \
             API: {MaxRequestSiez: 3, MaxRequestSize: many}\n"),
        expect![[r#"
            config.yml:11: warning: Clusters.zzzzz.Containers.CloudVMs.MaxInstance: is not a key of Arvados and has no effect on the dispatcher; did you mean MaxInstances?
            config.yml:12: warning: Clusters.zzzzz.Containers.CloudVMs.pollinterval: is ignored: its upper and lower case is wrong; write PollInterval
            config.yml:13: warning: Clusters.zzzzz.Containers.CloudVMs.Bananas: is not a key of Arvados and has no effect on the dispatcher; remove it, unless a newer Arvados knows it
            config.yml:14: warning: Clusters.zzzzz.Containers.CloudVMs.TimeoutKill: is ignored: its upper and lower case is wrong; write TimeoutKILL
            config.yml:15: warning: Clusters.zzzzz.Containers.CloudVMs.DriverParameters.region: is ignored: its upper and lower case is wrong; write Region
            config.yml:15: warning: Clusters.zzzzz.Containers.CloudVMs.DriverParameters.SubnetIDs: is not a key of Arvados; did you mean SubnetID?
            config.yml:17: warning: Clusters.zzzzz.MaxRunningContainersPerInstance: is not a key of Arvados and has no effect on the dispatcher; did you mean Containers.CloudVMs.MaxRunningContainersPerInstance?
            config.yml:18: warning: Clusters.zzzzz.systemRootToken: is ignored: its upper and lower case is wrong; write SystemRootToken
            config.yml:19: warning: Clusters.zzzzz.Services2: is not a key of Arvados and has no effect on the dispatcher; did you mean Services?
            config.yml:19: error: Clusters.zzzzz.Services2.a: is there twice, in line 19 and in line 19; keep one of the two
            config.yml:20: warning: Clusters.zzzzz.API.MaxRequestSiez: is not a key of Arvados and has no effect on the dispatcher; did you mean MaxRequestSize?
            config.yml:20: warning: Clusters.zzzzz.API.MaxRequestSize = "many": is a text where a whole number is needed; write a whole number, without quotes
        "#]],
    );
}

#[test]
fn the_file_must_have_exactly_one_cluster_with_a_proper_id() {
    let rows = [
        (
            "",
            expect![[r#"
            config.yml: error: holds no configuration; begin with `Clusters:` and below it the cluster's five-character id
        "#]],
        ),
        (
            "- a\n",
            expect![[r#"
            config.yml: error: holds no configuration; begin with `Clusters:` and below it the cluster's five-character id
        "#]],
        ),
        (
            "clusters: {}\n",
            expect![[r#"
            config.yml:1: warning: clusters: is ignored: its upper and lower case is wrong; write Clusters
            config.yml: error: has no section Clusters; begin with `Clusters:` and below it the cluster's five-character id
        "#]],
        ),
        (
            "Clusters: {}\nBananas: 1\n",
            expect![[r#"
            config.yml:2: warning: Bananas: is not a key of Arvados; remove it, or move it below the cluster's id
            config.yml:1: error: Clusters: has no cluster in it; begin with `Clusters:` and below it the cluster's five-character id
        "#]],
        ),
        (
            "Clusters: {aaaaa: {}, bbbbb: {}}\n",
            expect![[r#"
            config.yml:1: error: Clusters: has 2 clusters (aaaaa, bbbbb), and a dispatcher serves one; keep the one that is to be served, each other one in a file of its own
        "#]],
        ),
        (
            "Clusters: {SAMPLE: {}}\n",
            expect![[r#"
            config.yml:1: error: Clusters: has no cluster in it; begin with `Clusters:` and below it the cluster's five-character id
        "#]],
        ),
        (
            "Clusters:\n",
            expect![[r#"
            config.yml:1: error: Clusters: has no cluster in it; begin with `Clusters:` and below it the cluster's five-character id
        "#]],
        ),
    ];
    for (text, expected) in rows {
        check_told(text, expected);
    }
    let told = told(&file("").replace("zzzzz", "Cluster1"));
    assert!(
        told.starts_with("config.yml:2: error: Clusters.Cluster1: is not a cluster id; write"),
        "{told}"
    );
}

#[test]
fn a_driver_that_was_left_out_of_the_build_is_told_apart_from_one_that_is_none() {
    check_told(
        &with_cloud_vms("Driver: lab\n"),
        expect![[r#"
            config.yml:11: error: Clusters.zzzzz.Containers.CloudVMs.Driver = "lab": is a driver that this program was built without; install a program that was built with the cargo feature `lab`, or write one of ec2, azure, loopback
        "#]],
    );
}

#[test]
fn names_that_collide_are_errors() {
    check_told(
        &(with_cloud_vms("ResourceTags: {ArvadosInstanceType: x}\n")
            + "    PostgreSQL: {Connection: {sslmode: a, SSLMode: b, Host: c}}\n"),
        expect![[r#"
            config.yml:11: warning: Clusters.zzzzz.Containers.CloudVMs.ResourceTags.ArvadosInstanceType: collides with a tag of ours, which goes first; rename it, or change TagKeyPrefix
            config.yml:13: error: Clusters.zzzzz.PostgreSQL.Connection.SSLMode: collides with "sslmode" in line 13: they differ only by case; rename or remove one of the two
            config.yml:13: warning: Clusters.zzzzz.PostgreSQL.Connection.SSLMode: is ignored: its upper and lower case is wrong; write sslmode
            config.yml:13: warning: Clusters.zzzzz.PostgreSQL.Connection.Host: is ignored: its upper and lower case is wrong; write host
        "#]],
    );
}

#[test]
fn a_missing_token_is_an_error_and_a_missing_management_token_is_not() {
    let text = file("").replace(&format!("    SystemRootToken: {TOKEN}\n"), "");
    check_told(
        &text,
        expect![[r#"
        config.yml: error: Clusters.zzzzz.SystemRootToken: is missing, and nothing works without it; copy it from the configuration of the cluster
    "#]],
    );
    let text = file("").replace(
        &format!("    ManagementToken: m{TOKEN}\n"),
        "    ManagementToken: \"\"\n",
    );
    check_told(
        &text,
        expect![[r#"
        config.yml:4: warning: Clusters.zzzzz.ManagementToken: is missing, so the management API, metrics and health are closed; write one of 32 or more letters and digits, as `tr -dc A-Za-z0-9 </dev/urandom | head -c 48` makes
        loaded
    "#]],
    );
    assert!(read(&text).unwrap().config.management_token.is_none());
    let one = told(&file("").replace(&format!("m{TOKEN}"), "m"));
    assert!(one.contains("has 1 character, which is few"), "{one}");
    let text = file("").replace(TOKEN, "short1");
    check_told(
        &text,
        expect![[r#"
        config.yml:3: warning: Clusters.zzzzz.SystemRootToken = (secret): has 6 characters, which is few for a secret; write one of 32 or more letters and digits, as `tr -dc A-Za-z0-9 </dev/urandom | head -c 48` makes
        config.yml:4: warning: Clusters.zzzzz.ManagementToken = (secret): has 7 characters, which is few for a secret; write one of 32 or more letters and digits, as `tr -dc A-Za-z0-9 </dev/urandom | head -c 48` makes
        loaded
    "#]],
    );
}

#[test]
fn values_that_are_allowed_and_hardly_meant_are_warned_of() {
    check_told(
        &(with_cloud_vms("TagKeyPrefix: \"\"\nSupervisorFraction: 3\n")
            + "    SystemLogs: {RequestQueueDumpDirectory: /var/tmp}\n"),
        expect![[r#"
            config.yml:11: warning: Clusters.zzzzz.Containers.CloudVMs.TagKeyPrefix: is empty, so our tags have names such as InstanceType that others may use too; write a prefix, or remove the key for Arvados
            config.yml:12: warning: Clusters.zzzzz.Containers.CloudVMs.SupervisorFraction = 3: is more than all instances, so it limits nothing; write a share such as 0.5, or 0 if no limit is meant
            config.yml:14: warning: Clusters.zzzzz.SystemLogs.RequestQueueDumpDirectory = "/var/tmp": has no effect on the dispatcher; look at /_inspect/requests of the management API instead; other services may still use it
            loaded
        "#]],
    );
    let fine = with_cloud_vms("TagKeyPrefix: x\nSupervisorFraction: 1\n");
    assert_eq!(told(&fine), "loaded\n");
}

#[test]
fn toml_with_a_key_twice_is_told_with_its_path_and_with_everything_else() {
    let text = "[Clusters.zzzzz]\nSystemRootToken = \"short1\"\nSystemRootToken = \"short2\"\n\
                [Clusters.zzzzz.InstanceTypes.\"m5.large\"]\nVCPUs = 1\nVCPUs = 2\n";
    let source = Source::from_text(text, Format::Toml, "dup.toml", Timestamp::UNIX_EPOCH);
    let context = Context {
        known_drivers: &[],
        host: HOST,
    };
    let problems = load(&source, &context).expect_err("errors");
    let told: String = problems.iter().map(|p| format!("{p}\n")).collect();
    expect![[r#"
        dup.toml:2: error: Clusters.zzzzz.SystemRootToken: is there twice, in line 2 and in line 3; keep one of the two
        dup.toml:2: warning: Clusters.zzzzz.SystemRootToken = (secret): has 6 characters, which is few for a secret; write one of 32 or more letters and digits, as `tr -dc A-Za-z0-9 </dev/urandom | head -c 48` makes
        dup.toml:4: error: Clusters.zzzzz.InstanceTypes."m5.large".RAM: is missing; write how much the type has, as in RAM: 8GiB
        dup.toml:4: warning: Clusters.zzzzz.InstanceTypes."m5.large".Price: is zero, so every dearer type counts as infinitely dear beside this one; write dollars an hour
        dup.toml:5: error: Clusters.zzzzz.InstanceTypes."m5.large".VCPUs: is there twice, in line 5 and in line 6; keep one of the two
        dup.toml: warning: Clusters.zzzzz.ManagementToken: is missing, so the management API, metrics and health are closed; write one of 32 or more letters and digits, as `tr -dc A-Za-z0-9 </dev/urandom | head -c 48` makes
        dup.toml: warning: Clusters.zzzzz.Services.DispatchCloud.InternalURLs: is empty, so there is nowhere to listen: no management API, no metrics; add this host, as in `"http://10.0.0.5:9006": {}`
        dup.toml: error: Clusters.zzzzz.Services.Controller.ExternalURL: is missing; write where the API is, as in https://arvados.example.com
        dup.toml: error: Clusters.zzzzz.Containers.DispatchPrivateKey: is missing, and no instance can be reached without it; write a PEM text or file:///absolute/path of one, as `ssh-keygen -t ed25519 -N '' -f FILE` makes
    "#]].assert_eq(&told);
}

#[test]
fn a_cluster_that_is_there_twice_is_not_taken_for_two() {
    let told = told("Clusters:\n  zzzzz: {}\n  zzzzz: {}\n");
    assert!(
        told.starts_with(
            "config.yml:2: error: Clusters.zzzzz: is there twice, in line 2 and in line 3; put both into one"
        ),
        "{told}"
    );
}

#[test]
fn images_and_runner_users_that_cannot_be_meant_are_told() {
    check_told(
        &with_cloud_vms(
            "RunnerUser: \"a; reboot\"\nAllowedImages: {rocky: ami-9, \"no blanks\": ami-8, empty: \"\"}\n",
        )
        .replace("small: {", "\"small@rocky\": {VCPUs: 1, RAM: 1GiB, Price: 1}, small: {"),
        expect![[r#"
            config.yml:11: error: Clusters.zzzzz.Containers.CloudVMs.RunnerUser = "a; reboot": is not a user's name; write the name of a user of the image, as in crunch, or leave it out for root
            config.yml:12: error: Clusters.zzzzz.Containers.CloudVMs.AllowedImages."no blanks": is not a name for an image; use letters, digits, `_`, `-` and `.`, at most 64
            config.yml:12: error: Clusters.zzzzz.Containers.CloudVMs.AllowedImages.empty: is empty; write what the driver calls the image, as in ImageID
            config.yml:13: error: Clusters.zzzzz.InstanceTypes."small@rocky": is what the type small with the allowed image rocky is called; rename the type or the image
        "#]],
    );
    check_told(
        &with_cloud_vms("Driver: loopback\nRunnerUser: crunch\n"),
        expect![[r#"
            config.yml:12: error: Clusters.zzzzz.Containers.CloudVMs.RunnerUser = "crunch": has no meaning for the driver loopback, whose containers run as the user whom this program runs as, or as root; leave it out
        "#]],
    );
    let loaded = read(&with_cloud_vms(
        "RunnerUser: crunch\nAllowedImages: {rocky: ami-9, old: 8}\n",
    ))
    .expect("loaded");
    let vms = &loaded.config.cloud_vms;
    assert_eq!(
        vms.runner_user.as_ref().map(|user| user.as_str()),
        Some("crunch")
    );
    let images = [("old", "8"), ("rocky", "ami-9")];
    let images = images.map(|(name, id)| (name.to_owned(), id.to_owned()));
    assert_eq!(vms.allowed_images, images.into());
    let for_runners = loaded.cluster_json.to_string();
    assert!(!for_runners.contains("AllowedImages") && !for_runners.contains("RunnerUser"));
    let as_root = read(&with_cloud_vms("RunnerUser: root\n")).expect("loaded");
    assert_eq!(as_root.config.cloud_vms.runner_user, None);
}
