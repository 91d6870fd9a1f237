//! Where tokens, the resource manager and the host's metadata are, and which URLs of answers may be followed.

use url::Url;

use crate::places::Environment;

/// What operators may set to reach Azure by other ways (private links, proxies, tests). The names are those that
/// Microsoft's own tools use, where they have one.
pub(crate) const AUTHORITY: &str = "AZURE_AUTHORITY_HOST";
pub(crate) const ARM: &str = "AZURE_RESOURCE_MANAGER_ENDPOINT";
pub(crate) const METADATA: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";

/// Overrides; `None`: as the cloud has it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) authority: Option<String>,
    pub(crate) arm: Option<String>,
    pub(crate) metadata: Option<String>,
}

/// The three places.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Endpoints {
    pub(crate) authority: Url,
    pub(crate) arm: Url,
    pub(crate) metadata: Url,
    /// What tokens are for: the cloud's own resource manager, whatever way leads there.
    pub(crate) audience: &'static str,
}

impl Endpoints {
    /// Everything that is wrong with the overrides, or the places.
    pub(crate) fn new(
        environment: Environment,
        overrides: &Overrides,
    ) -> Result<Endpoints, Vec<String>> {
        let mut problems = Vec::new();
        let mut place = |name: &str, set: &Option<String>, own: &str| {
            let text = set.as_deref().unwrap_or(own);
            // AZURE_AUTHORITY_HOST is a bare host name at times.
            let whole = if text.contains("://") {
                text.to_owned()
            } else {
                format!("https://{text}")
            };
            match Url::parse(&whole) {
                Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(url),
                _ => {
                    problems.push(format!(
                        "{name} is {text:?}, which is not a URL: write \"https://host\", or unset it"
                    ));
                    None
                }
            }
        };
        let authority = place(AUTHORITY, &overrides.authority, environment.authority());
        let arm = place(ARM, &overrides.arm, environment.arm());
        let metadata = place(METADATA, &overrides.metadata, "http://169.254.169.254");
        match (authority, arm, metadata) {
            (Some(authority), Some(arm), Some(metadata)) => Ok(Endpoints {
                authority,
                arm,
                metadata,
                audience: environment.arm(),
            }),
            _ => Err(problems),
        }
    }

    /// A path of the resource manager.
    pub(crate) fn arm(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.arm.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{path}"));
        url.query_pairs_mut().clear().extend_pairs(query);
        url
    }

    /// Where a request to the public cloud's resource manager goes.
    pub(crate) fn arm_of(&self, public: &Url) -> Url {
        let mut url = self.arm.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{}", public.path()));
        url.set_query(public.query());
        url
    }

    /// Where to ask for a URL that an answer named, if our token may be sent there: the resource manager's own host, or
    /// one below it. Behind an override Azure goes on naming its own host: such a URL is asked for where the override
    /// leads, since the way to the host itself is closed there, or somebody's to watch.
    pub(crate) fn follow(&self, named: &str) -> Option<Url> {
        let url = Url::parse(named).ok()?;
        if is_of(&url, &self.arm) {
            return Some(url);
        }
        let own = Url::parse(self.audience).ok()?;
        is_of(&url, &own).then(|| self.arm_of(&url))
    }
}

/// Whether this is a URL of this host, or of one below it.
fn is_of(url: &Url, host: &Url) -> bool {
    let (Some(ours), Some(theirs)) = (host.host_str(), url.host_str()) else {
        return false;
    };
    let same_host = theirs == ours && url.port_or_known_default() == host.port_or_known_default();
    let below = theirs
        .strip_suffix(ours)
        .is_some_and(|rest| rest.ends_with('.'));
    url.scheme() == host.scheme() && (same_host || below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_an_override_azures_own_urls_are_asked_for_where_it_leads_and_no_others() {
        let place = endpoints(&Overrides {
            arm: Some("http://127.0.0.1:7/arm".into()),
            ..Overrides::default()
        });
        let followed = |named: &str| place.follow(named).map(|url| url.to_string());
        for named in [
            "https://management.azure.com/subscriptions/s?api-version=1&$skiptoken=2",
            "https://centralus.management.azure.com/subscriptions/s?api-version=1&$skiptoken=2",
        ] {
            let expected = "http://127.0.0.1:7/arm/subscriptions/s?api-version=1&$skiptoken=2";
            assert_eq!(followed(named).as_deref(), Some(expected), "{named}");
        }
        let own = "http://127.0.0.1:7/arm/subscriptions/s?x=y";
        assert_eq!(followed(own).as_deref(), Some(own));
        for foreign in [
            "https://evil.example/subscriptions/s",
            "https://management.azure.com.evil.example/subscriptions/s",
            "https://management.usgovcloudapi.net/subscriptions/s",
            "http://management.azure.com/subscriptions/s",
            "http://127.0.0.1:8/arm/subscriptions/s",
        ] {
            assert_eq!(followed(foreign), None, "{foreign}");
        }
    }

    fn endpoints(overrides: &Overrides) -> Endpoints {
        Endpoints::new(Environment::Public, overrides).expect("fine")
    }

    #[test]
    fn each_place_can_be_overridden_and_nonsense_is_named() {
        let own = endpoints(&Overrides::default());
        assert_eq!(own.arm.as_str(), "https://management.azure.com/");
        assert_eq!(own.metadata.as_str(), "http://169.254.169.254/");
        let set = Overrides {
            authority: Some("login.example".into()),
            arm: Some("http://127.0.0.1:7/arm/".into()),
            metadata: Some("ftp://x".into()),
        };
        assert_eq!(
            Endpoints::new(Environment::China, &set),
            Err(vec!["AZURE_POD_IDENTITY_AUTHORITY_HOST is \"ftp://x\", which is not a URL: write \"https://host\", or unset it".to_owned()])
        );
        let set = Overrides {
            metadata: None,
            ..set
        };
        let read = Endpoints::new(Environment::China, &set).expect("fine");
        assert_eq!(read.authority.as_str(), "https://login.example/");
        assert_eq!(read.audience, "https://management.chinacloudapi.cn");
        assert_eq!(
            read.arm(
                "/subscriptions/s",
                &[("api-version", "2024-07-01"), ("$x", "a b")]
            )
            .as_str(),
            "http://127.0.0.1:7/arm/subscriptions/s?api-version=2024-07-01&%24x=a+b"
        );
    }

    #[test]
    fn tokens_go_to_no_other_host() {
        let own = endpoints(&Overrides::default());
        for (url, fine) in [
            ("https://management.azure.com/subscriptions/s?x=y", true),
            ("https://centralus.management.azure.com/x", true),
            ("http://management.azure.com/x", false),
            ("https://management.azure.com:444/x", false),
            ("https://management.azure.com.evil.example/x", false),
            ("https://evilmanagement.azure.com/x", false),
            ("https://user@evil.example/management.azure.com", false),
            ("/subscriptions/s", false),
            ("", false),
        ] {
            assert_eq!(own.follow(url).is_some(), fine, "{url}");
        }
    }
}
