//! What an administrator sends to set a webhook, and what is wrong with it.
//!
//! **Invariants.** What cannot be sent to is refused before it is recorded. No refusal repeats the
//! URL's path or query: keys are sometimes written there.

use std::net::IpAddr;

use proctor_domain::webhook::Settings;
use serde::Deserialize;
use url::{Host, Url};
use utoipa::ToSchema;

use super::super::openapi::words;
use super::super::problem::{Code, Problem};
use crate::upstream::{Endpoint, Reach, may_reach};

/// Longest URL, in bytes.
const URL_BYTES_MAX: usize = 2_048;

/// The body of a creation or a revision.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookSettings)]
pub(in crate::api) struct WebhookBody {
    /// Where messages are posted to.
    #[schema(format = "uri", max_length = 2_048)]
    url: String,
    /// What it is told of.
    #[schema(value_type = Vec<words::Topics>, min_items = 1, max_items = 16)]
    events: Vec<String>,
    #[serde(default)]
    #[schema(max_length = 500)]
    description: Option<String>,
    /// Whether its receiver is in a private network.
    #[serde(default)]
    private_network: bool,
}

impl WebhookBody {
    pub(super) fn settings(self) -> Result<Settings, Problem> {
        let wrong = |detail: String| Problem::new(Code::InvalidWebhook, detail);
        if self.url.len() > URL_BYTES_MAX {
            return Err(wrong(format!("the URL is longer than {URL_BYTES_MAX} bytes: shorten it")));
        }
        Endpoint::parse(&self.url).map_err(|error| wrong(format!("the URL {error}")))?;
        let url = Url::parse(&self.url).map_err(|error| wrong(format!("the URL is no URL ({error})")))?;
        if url.scheme() != "https" && !self.private_network {
            let detail = "the URL is not https: messages name users, so that only a receiver in a network of \
                          your own (private_network) may be sent to over http";
            return Err(wrong(detail.to_owned()));
        }
        let reach = if self.private_network { Reach::Private } else { Reach::Global };
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) | None => None,
        };
        if let Some(address) = address.filter(|address| !may_reach(*address, reach)) {
            let detail = match reach {
                Reach::Global => format!(
                    "the address {address} is not globally routable: set private_network if the receiver stands \
                     in a network of your own"
                ),
                Reach::Private => {
                    format!("the address {address} is link-local or reserved, and is never sent to")
                }
            };
            return Err(wrong(detail));
        }
        Ok(Settings {
            url: self.url,
            events: self.events,
            description: self.description.filter(|text| !text.is_empty()),
            private_network: self.private_network,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str, private_network: bool) -> Result<Settings, Problem> {
        let body = WebhookBody {
            url: url.to_owned(),
            events: vec!["session.*".to_owned()],
            description: None,
            private_network,
        };
        body.settings()
    }

    #[test]
    fn only_https_and_globally_routable_addresses_unless_the_network_is_ones_own() {
        read("https://backend.example/hooks?key=1", false).unwrap();
        read("https://8.8.8.8/hooks", false).unwrap();
        for url in ["http://backend.example/", "https://127.0.0.1/", "https://10.0.0.7/", "https://[::1]/"] {
            assert_eq!(read(url, false).unwrap_err().code, Code::InvalidWebhook, "{url}");
            read(url, true).unwrap();
        }
    }

    #[test]
    fn what_can_never_be_sent_to_is_refused_without_repeating_what_may_be_a_secret() {
        for url in [
            "http://169.254.169.254/s3cret",
            "ftp://backend.example/s3cret",
            "https://user:s3cret@backend.example/",
            "s3cret",
            "unix:/s3cret",
        ] {
            let problem = read(url, true).unwrap_err();
            assert!(!problem.detail.contains("s3cret"), "{problem}");
        }
        assert!(read(&format!("https://backend.example/{}", "x".repeat(URL_BYTES_MAX)), false).is_err());
    }
}
