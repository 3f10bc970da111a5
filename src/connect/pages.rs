//! The pages that people see: plain HTML that needs no script.
//!
//! **Invariants.** Every text from outside is escaped. No page loads anything from elsewhere, can be
//! framed, is kept by a cache, or tells another site where it was.

use std::fmt::Write as _;
use std::sync::LazyLock;

use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpResponse, HttpResponseBuilder};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proctor_domain::connection::{CredentialKind, Takes};
use sha2::{Digest as _, Sha256};

const STYLE: &str = include_str!("pages.css");

/// A browser says by `Origin` that a form was on our own page only where the page lets it tell ourselves.
/// Other sites are told nothing either way.
const FORM_HEAD: &str = "<meta name=\"referrer\" content=\"same-origin\">";

static POLICY: LazyLock<String> = LazyLock::new(|| {
    let style = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    // No form-action: it would also judge where the authorization server leads on.
    format!("default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; frame-ancestors 'none'")
});

/// What a person is asked.
pub(super) struct Question<'a> {
    /// Which application asks.
    pub app: &'a str,
    /// For an account where.
    pub connection: &'a str,
    /// What is to be brought.
    pub takes: Takes<'a>,
    /// What it will be used for, each with its description if there is one.
    pub scopes: Vec<(&'a str, Option<&'a str>)>,
    /// Where people authorize, by its host.
    pub provider: Option<String>,
    /// What was wrong with what was sent before.
    pub wrong: Option<&'a str>,
}

/// The page that asks. Its form is sent to the page's own address.
pub(super) fn question(status: StatusCode, asked: &Question<'_>) -> HttpResponse {
    let (app, connection) = (escaped(asked.app), escaped(asked.connection));
    let mut main = format!("<h1>Connect {connection}</h1>");
    let _infallible = write!(
        main,
        "<p><strong>{app}</strong> asks to act for you with your <strong>{connection}</strong> account.</p>"
    );
    if !asked.scopes.is_empty() {
        main.push_str("<p>It would be allowed to:</p><ul>");
        for (scope, description) in &asked.scopes {
            let scope = escaped(scope);
            let _infallible = match description {
                Some(description) => {
                    write!(main, "<li>{} <code>{scope}</code></li>", escaped(description))
                }
                None => write!(main, "<li><code>{scope}</code></li>"),
            };
        }
        main.push_str("</ul>");
    }
    if let Some(wrong) = asked.wrong {
        let _infallible = write!(main, "<p class=\"wrong\" role=\"alert\">{}</p>", escaped(wrong));
    }
    main.push_str("<form method=\"post\">");
    match asked.takes.kind {
        CredentialKind::Oauth2 => {
            let provider = asked.provider.as_deref().unwrap_or("the provider");
            let _infallible = write!(
                main,
                "<p>You will sign in at <strong>{}</strong>, which asks you once more. {app} never sees your \
                 password.</p>",
                escaped(provider)
            );
        }
        CredentialKind::ApiKey => main.push_str(&field("key", "API key", "password")),
        CredentialKind::Bearer => main.push_str(&field("token", "Access token", "password")),
        CredentialKind::Basic => {
            main.push_str(&field("username", "User name", "text"));
            main.push_str(&field("password", "Password", "password"));
        }
        CredentialKind::Environment => {
            for variable in asked.takes.variables {
                let name = escaped(&field_of(&variable.name));
                main.push_str(&field(&name, &escaped(variable.shown()), "password"));
            }
        }
    }
    main.push_str("<button type=\"submit\">Continue</button></form>");
    let _infallible = write!(
        main,
        "<p class=\"small\">If you did not start this in {app} yourself, close this page: nothing has happened.</p>"
    );
    page(status, &format!("Connect {connection}"), FORM_HEAD, &main)
}

/// A page that says something and asks nothing.
pub(super) fn message(status: StatusCode, title: &str, text: &str) -> HttpResponse {
    let main = format!("<h1>{}</h1><p>{}</p>", escaped(title), escaped(text));
    page(status, &escaped(title), "", &main)
}

/// All are HTML.
fn field(name: &str, label: &str, kind: &str) -> String {
    format!(
        "<label for=\"{name}\">{label}</label><input id=\"{name}\" name=\"{name}\" type=\"{kind}\" required \
         autocomplete=\"off\" autocapitalize=\"off\" spellcheck=\"false\">"
    )
}

/// The name of the field for a variable of the environment.
pub(super) fn field_of(variable: &str) -> String {
    format!("env-{variable}")
}

/// `title`, `head` and `main` are HTML.
fn page(status: StatusCode, title: &str, head: &str, main: &str) -> HttpResponse {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"robots\" \
         content=\"noindex\">{head}<style>{STYLE}</style></head><body><main>{main}</main></body></html>"
    );
    let mut response = HttpResponseBuilder::new(status);
    guarded(&mut response).insert_header((CONTENT_TYPE, "text/html; charset=utf-8")).body(html)
}

/// The headers of everything at this door.
pub(super) fn guarded(response: &mut HttpResponseBuilder) -> &mut HttpResponseBuilder {
    response
        .insert_header((CONTENT_SECURITY_POLICY, POLICY.as_str()))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((HeaderName::from_static("cross-origin-opener-policy"), "same-origin"))
}

fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            // Characters that change the direction of what follows could make one text look like another.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            char if char.is_control() => html.push(' '),
            char => html.push(char),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use actix_web::body::MessageBody as _;
    use proctor_domain::environment::Variable;

    use super::*;

    fn html(response: HttpResponse) -> String {
        let body = response.into_body().try_into_bytes().unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[test]
    fn a_text_from_outside_is_never_markup() {
        let nasty = "<img src=x onerror=\"a()\">'\u{202e}&";
        let asked = Question {
            app: nasty,
            connection: nasty,
            takes: CredentialKind::Oauth2.into(),
            scopes: vec![(nasty, Some(nasty)), (nasty, None)],
            provider: Some(nasty.to_owned()),
            wrong: Some(nasty),
        };
        let variables = [Variable { name: nasty.to_owned(), label: None }];
        let takes = Takes { kind: CredentialKind::Environment, variables: &variables };
        let said = html(question(StatusCode::OK, &asked)) + &html(message(StatusCode::OK, nasty, nasty));
        let html = said + &html(question(StatusCode::OK, &Question { takes, ..asked }));
        assert!(!html.contains("<img") && !html.contains('\u{202e}'), "{html}");
        assert!(html.contains("&lt;img src=x onerror=&quot;a()&quot;&gt;&#39;&amp;"), "{html}");
    }

    #[test]
    fn a_page_allows_its_own_style_and_nothing_else() {
        let response = message(StatusCode::NOT_FOUND, "a", "b");
        let header = |name| response.headers().get(name).unwrap().to_str().unwrap();
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert_eq!(header("cache-control"), "no-store");
        let html = html(response);
        for loaded in ["<script", "src=", "href=", "@import", "url("] {
            assert!(!html.contains(loaded), "{loaded}");
        }
    }
}
