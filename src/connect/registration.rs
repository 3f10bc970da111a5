//! How Proctor becomes the client of an authorization server that nobody registered it at: by a
//! document about itself, or by registering itself.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use proctor_domain::Name;
use proctor_domain::oauth2::{ClientAuth, Oauth2, Registration};
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::discovery::{DiscoveryError, ServerMetadata, shown};
use super::{documents, redirect_uri};
use crate::proctor::Proctor;
use crate::upstream::{Fetch, Reach};

const SECRET_BYTES_MAX: usize = 4_096;

/// Proctor, as an authorization server knows it.
pub(super) struct Client {
    pub registration: Registration,
    pub id: String,
    pub auth: ClientAuth,
    pub secret: Option<Zeroizing<String>>,
}

/// The answer of a registration (RFC 7591, section 3.2.1).
#[derive(Deserialize)]
struct Registered {
    client_id: String,
    client_secret: Option<Zeroizing<String>>,
    token_endpoint_auth_method: Option<String>,
}

impl Client {
    pub fn pre_registered(id: String, secret: Option<Zeroizing<String>>, metadata: &ServerMetadata) -> Self {
        let auth = if secret.is_some() { secret_auth(metadata) } else { ClientAuth::None };
        Self { registration: Registration::PreRegistered, id, auth, secret }
    }
}

/// How a secret is sent: in the header, which every server must support (RFC 6749, section 2.3.1),
/// unless this one says that it takes it in the body alone.
fn secret_auth(metadata: &ServerMetadata) -> ClientAuth {
    let says = |method: ClientAuth| {
        let methods = metadata.token_endpoint_auth_methods_supported.iter().flatten();
        methods.into_iter().any(|supported| supported == method.code())
    };
    if says(ClientAuth::Post) && !says(ClientAuth::Basic) { ClientAuth::Post } else { ClientAuth::Basic }
}

/// A client that needs nobody's hand.
///
/// # Errors
/// When the server takes none.
pub(super) async fn client(
    proctor: &Proctor,
    name: &Name,
    reach: Reach,
    metadata: &ServerMetadata,
    oauth2: &Oauth2,
    before: Option<(&Oauth2, Option<&Zeroizing<String>>)>,
) -> Result<Client, DiscoveryError> {
    let document = documents::client_url(proctor, name);
    if metadata.client_id_metadata_document_supported && document.starts_with("https:") {
        return Ok(Client {
            registration: Registration::MetadataDocument,
            id: document,
            auth: ClientAuth::None,
            secret: None,
        });
    }
    // One registration serves as long as the server is the same: others would be left behind there.
    if let Some((known, secret)) = before
        && known.registration == Registration::Dynamic
        && known.issuer == oauth2.issuer
        && known.redirect_uri.as_ref() == Some(&redirect_uri(proctor, name))
    {
        return Ok(Client {
            registration: Registration::Dynamic,
            id: known.client_id.clone(),
            auth: known.client_auth,
            secret: secret.cloned(),
        });
    }
    let Some(endpoint) = &metadata.registration_endpoint else {
        return Err(DiscoveryError::Failed(
            "the authorization server takes no client that nobody registered: register Proctor there and give \
             its client_id (and client_secret)"
                .to_owned(),
        ));
    };
    register(proctor, name, reach, endpoint, metadata, oauth2).await
}

async fn register(
    proctor: &Proctor,
    name: &Name,
    reach: Reach,
    endpoint: &str,
    metadata: &ServerMetadata,
    oauth2: &Oauth2,
) -> Result<Client, DiscoveryError> {
    let failed = |why: String| {
        DiscoveryError::Failed(format!(
            "the authorization server did not register Proctor ({why}): register it by hand and give its client_id"
        ))
    };
    let methods = metadata.token_endpoint_auth_methods_supported.as_ref();
    let takes = |method: ClientAuth| methods.is_some_and(|m| m.iter().any(|m| m == method.code()));
    let method = [ClientAuth::None, ClientAuth::Basic, ClientAuth::Post].into_iter().find(|m| takes(*m));
    let mut wish = json!({
        "client_name": proctor.config.app_name,
        "redirect_uris": [redirect_uri(proctor, name)],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": method.unwrap_or(ClientAuth::Basic).code(),
    });
    if !oauth2.scopes.is_empty() {
        wish["scope"] = json!(oauth2.scopes.join(" "));
    }
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = Bytes::from(wish.to_string());
    let request = Fetch { method: Method::POST, url: endpoint, reach, headers, body };
    let answer = proctor.upstreams.fetch(request).await;
    let answer = answer.map_err(|error| failed(format!("{:?} {error}", shown(endpoint))))?;
    if !answer.status.is_success() {
        return Err(failed(format!("it answered {}", answer.status.as_u16())));
    }
    let registered: Registered =
        serde_json::from_slice(&answer.body).map_err(|_| failed("its answer cannot be read".to_owned()))?;
    let auth = match (registered.token_endpoint_auth_method.as_deref(), &registered.client_secret) {
        (_, None) => ClientAuth::None,
        (Some("none"), Some(_)) => ClientAuth::None,
        (Some("client_secret_post"), Some(_)) => ClientAuth::Post,
        (Some("client_secret_basic") | None, Some(_)) => ClientAuth::Basic,
        (Some(_), Some(_)) => return Err(failed("it wants another authentication than a secret".to_owned())),
    };
    let fits = |text: &str| (1..=SECRET_BYTES_MAX).contains(&text.len());
    if !fits(&registered.client_id) || !registered.client_secret.iter().all(|secret| fits(secret)) {
        return Err(failed("it gave a client_id or client_secret of no usable length".to_owned()));
    }
    Ok(Client {
        registration: Registration::Dynamic,
        id: registered.client_id,
        auth,
        secret: registered.client_secret,
    })
}
