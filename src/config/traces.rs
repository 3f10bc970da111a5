//! Where traces go: the settings that OpenTelemetry gives names to.
//!
//! **Invariants.** A header may hold a secret, so no value of one is ever shown.

use std::ffi::OsString;
use std::fmt;

use url::Url;

use super::reader::Reader;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const RATIO: &str = "OTEL_TRACES_SAMPLER_ARG";
const SERVICE: &str = "OTEL_SERVICE_NAME";
/// Where a collector takes traces, below its address.
const PATH: &str = "v1/traces";
const SERVICE_DEFAULT: &str = "proctor";
/// To tell of every call costs more than a tenth of what a busy server can do; see `benches/README.md`.
const RATIO_DEFAULT: f64 = 0.1;

/// A collector of traces.
#[derive(Debug, Clone, PartialEq)]
pub struct TracesConfig {
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`, with the path for traces.
    pub endpoint: Url,
    /// `OTEL_EXPORTER_OTLP_HEADERS`.
    pub headers: TracesHeaders,
    /// `OTEL_TRACES_SAMPLER_ARG`: which part of the traces that begin here is told, from 0 to 1. Of a
    /// trace that began elsewhere, whoever began it has said so.
    pub ratio: f64,
    /// `OTEL_SERVICE_NAME`.
    pub service: String,
}

/// Headers for the collector.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TracesHeaders(Vec<(String, String)>);

impl TracesHeaders {
    /// The headers, with their values.
    pub fn expose(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl fmt::Debug for TracesHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// None without an endpoint.
pub(super) fn read<F: Fn(&str) -> Option<OsString>>(reader: &mut Reader<F>) -> Option<TracesConfig> {
    let endpoint = reader.parsed(ENDPOINT, |text| endpoint(&text));
    let mut headers = TracesHeaders::default();
    reader.each(HEADERS, |header| {
        let wrong = || "a header is not written as name=value: write name=value,name=value".to_owned();
        let (name, value) = header.split_once('=').ok_or_else(wrong)?;
        let (name, value) = (name.trim(), value.trim());
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty()
            || !name.bytes().all(is_token)
            || !value.bytes().all(|byte| (32..127).contains(&byte))
        {
            return Err(wrong());
        }
        headers.0.push((name.to_owned(), value.to_owned()));
        Ok(())
    });
    let ratio = reader.parsed(RATIO, |text| match text.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => {
            Err(format!("{text:?} is not a number from 0 to 1: set one, or leave it out for {RATIO_DEFAULT}"))
        }
    });
    let service = reader.text(SERVICE).unwrap_or_else(|| SERVICE_DEFAULT.to_owned());
    Some(TracesConfig { endpoint: endpoint?, headers, ratio: ratio.unwrap_or(RATIO_DEFAULT), service })
}

fn endpoint(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
    let mut url = url.ok_or(
        "it is no http or https URL: set one such as http://127.0.0.1:4318 (OTLP over HTTP)".to_owned(),
    )?;
    let path = format!("{}/{PATH}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}
