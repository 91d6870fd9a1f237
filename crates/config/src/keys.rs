//! The keys that the dispatcher reads: what kind of value each takes, and what it means (facts §3.2–3.4).

use serde_json::{Map, Value, json};

use crate::defaults;

/// What kind of value a key takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// true or false.
    Bool,
    /// A whole number, not negative.
    Count,
    /// Any whole number.
    Int,
    /// A number.
    Number,
    /// Bytes, as facts §3.6 writes them.
    Size,
    /// Time, as facts §3.7 writes it.
    Duration,
    /// A text; a number or a truth value is taken as it was written.
    Text,
    /// A list of texts.
    List,
    /// A section with keys of the operator's own, whose values are texts.
    Texts,
    /// A section with keys of the operator's own.
    Map,
    /// Whatever it is, somebody else reads it.
    Verbatim,
}

impl Kind {
    /// Its name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Bool => "true or false",
            Kind::Count | Kind::Int => "whole number",
            Kind::Number => "number",
            Kind::Size => "size",
            Kind::Duration => "duration",
            Kind::Text => "text",
            Kind::List => "list of texts",
            Kind::Texts | Kind::Map => "section",
            Kind::Verbatim => "any",
        }
    }
}

/// A key that the dispatcher reads.
pub(crate) struct Key {
    /// Below `Clusters.<id>`; `*` stands for any name.
    pub(crate) path: &'static str,
    pub(crate) kind: Kind,
    /// For people, in one line.
    pub(crate) meaning: &'static str,
}

const fn key(path: &'static str, kind: Kind, meaning: &'static str) -> Key {
    Key {
        path,
        kind,
        meaning,
    }
}

/// Keys of our own: Arvados knows nothing of them, the Go dispatcher warns of them, runners never see them.
pub(crate) const OWN: [(Key, &str); 10] = [
    (
        key(
            "Containers.CloudVMs.TimeoutKILL",
            Kind::Duration,
            "0: SIGKILL is never sent. Otherwise, when SIGTERM was repeated for TimeoutTERM in vain, SIGKILL is sent \
             once, and the container is given up after this long",
        ),
        "\"0s\"",
    ),
    (
        key(
            "Containers.CloudVMs.TimeoutAPI",
            Kind::Duration,
            "how long a call to the API may take, a list with all its pages counting as one",
        ),
        "\"1m\"",
    ),
    (
        key(
            "Containers.CloudVMs.MaxCommandOutput",
            Kind::Size,
            "how much output of one command on an instance is kept; what exceeds it is dropped and marked",
        ),
        "16777216",
    ),
    (
        key(
            "Containers.CloudVMs.SpotFallbackPriceFactor",
            Kind::Number,
            "0: containers that ask for spot instances get nothing else. Otherwise, on-demand instances of the same \
             ProviderType take their place, if their Price is at most this many times the spot type's, while the \
             cloud has none or takes back too many",
        ),
        "0",
    ),
    (
        key(
            "Containers.CloudVMs.SpotFallbackInterruptions",
            Kind::Count,
            "so many instances of a spot type taken back within SpotFallbackWindow are too many; at least 1",
        ),
        "3",
    ),
    (
        key(
            "Containers.CloudVMs.SpotFallbackWindow",
            Kind::Duration,
            "the time in which interruptions count, and for which a spot type is then left alone",
        ),
        "\"1h\"",
    ),
    (
        key(
            "Containers.CloudVMs.MaxPricePerHour",
            Kind::Number,
            "0: no limit. Otherwise, what all instances together may cost by their types' Price, in dollars an hour, \
             creations and shutdowns under way included",
        ),
        "0",
    ),
    (
        key(
            "Containers.CloudVMs.FormerInstanceSetIDs",
            Kind::List,
            "values of the tag InstanceSetID whose instances are this cluster's as well: after SystemRootToken was \
             changed, the MD5 of the former one (or its UUID, if it has one)",
        ),
        "[]",
    ),
    (
        key(
            "Containers.CloudVMs.RunnerUser",
            Kind::Text,
            "whom crunch-run runs as on new instances, checked when they boot; empty: root. Instances that are there \
             keep the user that they were made for",
        ),
        "\"\"",
    ),
    (
        key(
            "Containers.CloudVMs.AllowedImages",
            Kind::Texts,
            "images that containers may ask for with the runtime constraint `vm_image`: names of your own, and what \
             the driver calls each. All other containers get ImageID",
        ),
        "{}",
    ),
];

/// Every key that the dispatcher reads, our own among them.
pub(crate) fn all() -> impl Iterator<Item = &'static Key> {
    READ.iter().chain(OWN.iter().map(|(key, _)| key))
}

/// Our own keys with their defaults, as one object.
pub(crate) fn own_defaults() -> Map<String, Value> {
    defaults::tree(OWN.iter().map(|(key, json)| {
        (
            key.path,
            serde_json::from_str(json).expect("a value in JSON"),
        )
    }))
}

/// Keys of Arvados that the dispatcher reads, in the order of the documentation.
#[rustfmt::skip]
pub(crate) const READ: &[Key] = &[
    key("SystemRootToken", Kind::Text, "token for the API; marks our instances and signs gateway secrets. Letters and digits only"),
    key("ManagementToken", Kind::Text, "token for the management API, metrics and health; without it they are closed. Letters and digits only"),
    key("Services.Controller.ExternalURL", Kind::Text, "where the API is"),
    key("Services.DispatchCloud.InternalURLs", Kind::Map, "where to listen, and where the controller and the command line find us: a section with URLs as keys"),
    key("Services.DispatchCloud.InternalURLs.*.ListenURL", Kind::Text, "listen there instead of at the key's address"),
    key("API.MaxConcurrentRequests", Kind::Count, "requests that the management API serves at a time, 0: no limit; a quarter of it is the most calls that we make to the API at a time"),
    key("API.MaxQueuedRequests", Kind::Count, "requests that may wait for that; more get status 503"),
    key("API.RequestTimeout", Kind::Duration, "how long a request to the management API may take"),
    key("TLS.Certificate", Kind::Text, "file with the server's certificate, needed for https addresses"),
    key("TLS.Key", Kind::Text, "file with its private key"),
    key("TLS.Insecure", Kind::Bool, "do not verify the API's certificate, here and in runners"),
    key("TLS.ACME.Server", Kind::Text, "not honoured: we fetch no certificates and do not read the cache of other services; an https address needs TLS.Certificate and TLS.Key all the same"),
    key("SystemLogs.LogLevel", Kind::Text, "panic, fatal, error, warn, info, debug or trace"),
    key("SystemLogs.Format", Kind::Text, "json or text"),
    key("SystemLogs.RequestQueueDumpDirectory", Kind::Text, "not honoured: requests that pile up are written to no file; `/_inspect/requests` of the management API shows them"),
    key("PostgreSQL.Connection", Kind::Texts, "the database that holds the lock which keeps a second dispatcher waiting: libpq's keywords; empty: no lock is taken"),
    key("PostgreSQL.ConnectionPool", Kind::Count, "most connections to it; we use one"),
    key("InstanceTypes", Kind::Map, "the kinds of instances that may be created: a section with names of your own as keys"),
    key("InstanceTypes.*.ProviderType", Kind::Text, "what the cloud calls it; the entry's name if left out"),
    key("InstanceTypes.*.VCPUs", Kind::Count, "processors; must be given"),
    key("InstanceTypes.*.RAM", Kind::Size, "memory; must be given"),
    key("InstanceTypes.*.IncludedScratch", Kind::Size, "disk that comes with the type"),
    key("InstanceTypes.*.AddedScratch", Kind::Size, "disk that is added at creation"),
    key("InstanceTypes.*.Price", Kind::Number, "dollars an hour; on EC2 also the most to pay for a spot instance"),
    key("InstanceTypes.*.Preemptible", Kind::Bool, "a spot instance, which the cloud may take back"),
    key("InstanceTypes.*.GPU.Stack", Kind::Text, "cuda or rocm"),
    key("InstanceTypes.*.GPU.DriverVersion", Kind::Text, "version of the driver, X.Y"),
    key("InstanceTypes.*.GPU.HardwareTarget", Kind::Text, "cuda: the capability X.Y; rocm: gfxNNNN"),
    key("InstanceTypes.*.GPU.DeviceCount", Kind::Count, "how many devices"),
    key("InstanceTypes.*.GPU.VRAM", Kind::Size, "memory of each device"),
    key("Containers.DispatchPrivateKey", Kind::Text, "the SSH key: PEM text or file:///path"),
    key("Containers.StaleLockTimeout", Kind::Duration, "after a start, how long instances found may take to tell which containers they run"),
    key("Containers.CrunchRunCommand", Kind::Text, "the runner on the instances, where none is deployed"),
    key("Containers.CrunchRunArgumentsList", Kind::List, "further arguments for the runner"),
    key("Containers.RuntimeEngine", Kind::Text, "docker or singularity"),
    key("Containers.ReserveExtraRAM", Kind::Size, "added to each container's need of memory"),
    key("Containers.LocalKeepBlobBuffersPerVCPU", Kind::Count, "buffers of the keepstore that runs beside a container, for each of its processors; 0: none runs, and the configuration is not sent to runners"),
    key("Containers.LocalKeepLogsToContainerLog", Kind::Text, "none, all or errors; passed to runners"),
    key("Containers.MaximumPriceFactor", Kind::Number, "how much dearer than the cheapest fitting type an instance may be; less than 1 counts as 1"),
    key("Containers.PreemptiblePriceFactor", Kind::Number, "above 0: each type gets a spot variant `<name>.preemptible` at this share of its price"),
    key("Containers.MaxDispatchAttempts", Kind::Count, "how often the API lets a container be locked"),
    key("Containers.CloudVMs.Enable", Kind::Bool, "with driver loopback and no InstanceTypes: offer this host as type `localhost`"),
    key("Containers.CloudVMs.SSHPort", Kind::Text, "port of SSH on instances whose address has none: a number, `ssh`, or a TCP service of /etc/services"),
    key("Containers.CloudVMs.PollInterval", Kind::Duration, "how often the queue is fetched"),
    key("Containers.CloudVMs.BootProbeCommand", Kind::Text, "succeeds on an instance that is ready; empty: `true`"),
    key("Containers.CloudVMs.ProbeInterval", Kind::Duration, "how often each instance is asked what it runs"),
    key("Containers.CloudVMs.MaxProbesPerSecond", Kind::Count, "most such questions a second, over all instances; 0: the default"),
    key("Containers.CloudVMs.TimeoutSignal", Kind::Duration, "how often SIGTERM is repeated"),
    key("Containers.CloudVMs.TimeoutStaleRunLock", Kind::Duration, "how long a runner's lock may outlive it before its instance counts as broken"),
    key("Containers.CloudVMs.TimeoutTERM", Kind::Duration, "how long SIGTERM is repeated before the container is given up"),
    key("Containers.CloudVMs.MaxCloudOpsPerSecond", Kind::Count, "most calls to the cloud a second; 0: no limit"),
    key("Containers.CloudVMs.MaxConcurrentInstanceCreateOps", Kind::Count, "most creations under way at a time; 0: no limit"),
    key("Containers.CloudVMs.MaxInstances", Kind::Count, "most instances, creations and shutdowns under way included; 0: no limit"),
    key("Containers.CloudVMs.MaxRunningContainersPerInstance", Kind::Count, "most containers at a time on one instance; 0: as many as fit"),
    key("Containers.CloudVMs.InitialQuotaEstimate", Kind::Count, "how many containers SupervisorFraction is taken of while fewer run; limits nothing else; 0: MaxInstances"),
    key("Containers.CloudVMs.SupervisorFraction", Kind::Number, "largest share of instances for containers that only supervise others; 0: no limit"),
    key("Containers.CloudVMs.SyncInterval", Kind::Duration, "how often the cloud's list of instances is fetched"),
    key("Containers.CloudVMs.TimeoutIdle", Kind::Duration, "how long an instance may be idle before it is destroyed"),
    key("Containers.CloudVMs.TimeoutBooting", Kind::Duration, "how long an instance may take to come up"),
    key("Containers.CloudVMs.TimeoutProbe", Kind::Duration, "how long an instance may be silent before it is destroyed"),
    key("Containers.CloudVMs.TimeoutShutdown", Kind::Duration, "how soon a destruction that has not shown effect is asked for again"),
    key("Containers.CloudVMs.ImageID", Kind::Text, "the image of the instances, as the driver calls it"),
    key("Containers.CloudVMs.InstanceInitCommand", Kind::Text, "shell commands that each instance runs when it first boots"),
    key("Containers.CloudVMs.DeployRunnerBinary", Kind::Text, "the runner's program to copy onto instances; empty: none is copied; /proc/self/exe: the installed crunch-run or arvados-server"),
    key("Containers.CloudVMs.DeployRunnerDirectory", Kind::Text, "where to on the instance"),
    key("Containers.CloudVMs.DeployPublicKey", Kind::Bool, "let the cloud put our public key onto instances"),
    key("Containers.CloudVMs.ResourceTags", Kind::Texts, "further tags for what is created"),
    key("Containers.CloudVMs.TagKeyPrefix", Kind::Text, "prefix of our own tags"),
    key("Containers.CloudVMs.Driver", Kind::Text, "which cloud: ec2, azure or loopback"),
    key("Containers.CloudVMs.DriverParameters", Kind::Verbatim, "see the driver's own page"),
];

/// What a key of the operator's own choosing may have below it.
pub(crate) fn template(pattern: &str) -> Map<String, Value> {
    let row = |name: &str, value: Value| (name.to_owned(), value);
    match pattern {
        "InstanceTypes" => Map::from_iter([
            row("ProviderType", json!("")),
            row("VCPUs", json!(0)),
            row("RAM", json!(0)),
            row("IncludedScratch", json!(0)),
            row("AddedScratch", json!(0)),
            row("Price", json!(0.0)),
            row("Preemptible", json!(false)),
            row(
                "GPU",
                json!({"Stack": "", "DriverVersion": "", "HardwareTarget": "", "DeviceCount": 0, "VRAM": 0}),
            ),
        ]),
        "InternalURLs" => {
            Map::from_iter([row("ListenURL", json!("")), row("Rendezvous", json!(""))])
        }
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_key_that_is_read_has_a_default_or_a_template() {
        let known: BTreeSet<&str> = defaults::rows().map(|(key, _)| key).collect();
        for key in READ {
            let in_section = known.iter().any(|row| {
                row.strip_prefix(key.path)
                    .is_some_and(|r| r.starts_with('.'))
            });
            assert!(
                known.contains(key.path) || in_section || key.path.contains('*'),
                "{}",
                key.path
            );
        }
    }

    #[test]
    fn our_own_keys_are_not_those_of_arvados() {
        let known: BTreeSet<String> = defaults::rows()
            .map(|(key, _)| key.to_lowercase())
            .collect();
        for (key, _) in &OWN {
            assert!(!known.contains(&key.path.to_lowercase()), "{}", key.path);
        }
    }
}
