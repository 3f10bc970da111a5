//! A browser as far as these tests need one: it keeps cookies, follows redirects, and fills in forms.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use url::Url;

use crate::http::{Request, Response, Sent};
use crate::world::{PUBLIC_URL, PUBLIC_URL_OF_HTTPS, Server};

/// More redirects in a row than any flow has.
const REDIRECTS_MAX: usize = 12;

#[derive(Clone, Debug)]
struct Cookie {
    value: String,
    secure: bool,
    strict: bool,
    /// As the server wrote it.
    line: String,
}

/// One person's browser.
#[derive(Clone, Debug)]
pub struct Browser {
    /// Where the host of [`PUBLIC_URL`] is.
    proctor: SocketAddr,
    /// By host, path and name.
    cookies: BTreeMap<(String, String, String), Cookie>,
}

/// Where the browser has arrived.
#[derive(Clone, Debug)]
pub struct Page {
    pub url: Url,
    /// None outside the world of the tests, such as at the product's return URL.
    pub answer: Option<Response>,
}

/// A form of a page, filled in as it came.
#[derive(Clone, Debug)]
pub struct Form {
    pub method: String,
    pub action: Url,
    pub fields: Vec<(String, String)>,
}

impl Browser {
    pub fn new(server: &Server) -> Self {
        Self { proctor: server.address, cookies: BTreeMap::new() }
    }

    /// Proctor is somewhere else now; the browser does not notice.
    pub fn moved_to(&mut self, server: &Server) {
        self.proctor = server.address;
    }

    fn address(&self, url: &Url) -> Option<SocketAddr> {
        // Where it is https, a proxy in front speaks TLS.
        if [PUBLIC_URL, PUBLIC_URL_OF_HTTPS].iter().any(|ours| url.as_str().starts_with(&format!("{ours}/")))
        {
            return Some(self.proctor);
        }
        let loopback = url.scheme() == "http" && url.host_str() == Some("127.0.0.1");
        loopback.then(|| SocketAddr::from(([127, 0, 0, 1], url.port().unwrap_or(80))))
    }

    /// Opens a URL and follows redirects.
    #[track_caller]
    pub fn open(&mut self, url: &str) -> Page {
        self.follow(Url::parse(url).unwrap(), None, None, REDIRECTS_MAX)
    }

    /// Opens a URL and stays there, whatever it answers.
    #[track_caller]
    pub fn visit(&mut self, url: &str) -> Response {
        self.follow(Url::parse(url).unwrap(), None, None, 0).answer.unwrap()
    }

    /// Sends the only form of a page, with these fields in the place of those that it came with.
    #[track_caller]
    pub fn submit(&mut self, page: &Page, fields: &[(&str, &str)]) -> Page {
        self.send(page, fields, REDIRECTS_MAX)
    }

    /// As [`Self::submit`], but stays at the first answer.
    #[track_caller]
    pub fn submit_once(&mut self, page: &Page, fields: &[(&str, &str)]) -> Response {
        self.send(page, fields, 0).answer.unwrap()
    }

    #[track_caller]
    fn send(&mut self, page: &Page, fields: &[(&str, &str)], redirects: usize) -> Page {
        let mut form = page.form();
        assert_eq!(form.method, "post", "{form:?}");
        for (name, value) in fields {
            form.fields.retain(|(field, _)| field != name);
            form.fields.push(((*name).to_owned(), (*value).to_owned()));
        }
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form.fields).finish();
        self.follow(form.action, Some(body), Some(page.url.clone()), redirects)
    }

    /// Sends the only form of a page with these headers in the place of those that say where it was.
    #[track_caller]
    pub fn submit_from(
        &mut self,
        page: &Page,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Response {
        let form = page.form();
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = self.request(&form.action, false);
        request.method = "POST".into();
        let mut request = request.header("Content-Type", "application/x-www-form-urlencoded").body(body);
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        request.headers.extend(headers);
        let answer = request.send(self.address(&form.action).unwrap());
        self.keep_cookies(&form.action, &answer);
        answer
    }

    /// Opens a URL and does not wait for the answer.
    #[track_caller]
    pub fn start(&self, url: &str) -> Sent {
        let url = Url::parse(url).unwrap();
        self.request(&url, true).start(self.address(&url).unwrap())
    }

    fn request(&self, url: &Url, foreign: bool) -> Request {
        let request = Request::new("GET", &url[url::Position::BeforePath..url::Position::AfterQuery])
            .header("Host", &url[url::Position::BeforeHost..url::Position::AfterPort])
            .header("Accept", "text/html,application/xhtml+xml");
        let cookies = self.cookies_for(url, foreign);
        if cookies.is_empty() { request } else { request.header("Cookie", cookies) }
    }

    #[track_caller]
    fn follow(
        &mut self,
        mut url: Url,
        mut body: Option<String>,
        mut from: Option<Url>,
        redirects: usize,
    ) -> Page {
        for left in (0..=redirects).rev() {
            let Some(address) = self.address(&url) else { return Page { url, answer: None } };
            // A strict cookie does not come along when another site has led here.
            let foreign = from.as_ref().is_some_and(|from| from.host_str() != url.host_str());
            let mut request = self.request(&url, foreign);
            if let Some(body) = body.take() {
                request.method = "POST".into();
                let origin = from.as_ref().unwrap_or(&url).origin().ascii_serialization();
                request = request
                    .header("Origin", origin)
                    .header("Content-Type", "application/x-www-form-urlencoded")
                    .body(body);
            }
            let answer = request.send(address);
            self.keep_cookies(&url, &answer);
            let next = answer.header("location").filter(|_| (300..400).contains(&answer.status) && left > 0);
            match next.map(|next| url.join(next).unwrap()) {
                Some(next) => from = Some(std::mem::replace(&mut url, next)),
                None => return Page { url, answer: Some(answer) },
            }
        }
        panic!("redirected too often, last to {url}");
    }

    fn cookies_for(&self, url: &Url, foreign: bool) -> String {
        let fits = |((host, path, _), cookie): &(&(String, String, String), &Cookie)| {
            Some(host.as_str()) == url.host_str()
                && (url.path() == path || url.path().starts_with(&format!("{}/", path.trim_end_matches('/'))))
                && !(cookie.secure && url.scheme() == "http")
                && !(cookie.strict && foreign)
        };
        let sent = self.cookies.iter().filter(fits);
        let sent: Vec<_> = sent.map(|((_, _, name), cookie)| format!("{name}={}", cookie.value)).collect();
        sent.join("; ")
    }

    fn keep_cookies(&mut self, url: &Url, answer: &Response) {
        for (_, line) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let mut parts = line.split(';').map(str::trim);
            let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).unwrap();
            let attributes: Vec<_> = parts.map(str::to_ascii_lowercase).collect();
            let has = |attribute: &str| attributes.iter().any(|known| known == attribute);
            let path = attributes.iter().find_map(|attribute| attribute.strip_prefix("path="));
            // Paths are case-sensitive, so they are taken from the line itself.
            let path = path.map_or("/", |path| {
                let at = line.to_ascii_lowercase().find("path=").unwrap() + "path=".len();
                &line[at..at + path.len()]
            });
            let key = (url.host_str().unwrap().to_owned(), path.to_owned(), name.to_owned());
            if has("max-age=0")
                || attributes.iter().any(|known| known.starts_with("expires=thu, 01 jan 1970"))
            {
                self.cookies.remove(&key);
                continue;
            }
            let (secure, strict) = (has("secure"), has("samesite=strict"));
            self.cookies.insert(key, Cookie { value: value.to_owned(), secure, strict, line: line.clone() });
        }
    }

    /// A cookie as Proctor set it, with its attributes.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let mut cookies = self.cookies.iter();
        cookies.find(|((_, _, known), _)| known == name).map(|(_, cookie)| cookie.line.as_str())
    }

    pub fn forget_cookies(&mut self) {
        self.cookies.clear();
    }

    /// Goes from a hosted link to the end of the flow, as whoever logs in at the provider as `account`
    /// and says `answer` (`yes` or `no`).
    #[track_caller]
    pub fn authorize_with(&mut self, link: &str, account: &str, answer: &str) -> Page {
        let consent = self.go_to_consent(link, account);
        self.submit(&consent, &[("answer", answer)])
    }

    /// Goes from a hosted link to the product's return URL.
    #[track_caller]
    pub fn authorize(&mut self, link: &str, account: &str) -> Url {
        let page = self.authorize_with(link, account, "yes");
        assert!(page.answer.is_none(), "stuck at {}: {}", page.url, page.text());
        page.url
    }

    /// Goes from a hosted link to the page on which the provider asks for consent.
    #[track_caller]
    pub fn go_to_consent(&mut self, link: &str, account: &str) -> Page {
        let page = self.open(link);
        assert_eq!(page.status(), 200, "{}", page.text());
        let mut page = self.submit(&page, &[]);
        if page.text().contains("Sign in") {
            page = self.submit(&page, &[("user", account)]);
        }
        assert!(page.text().contains("Allow access?"), "{}: {}", page.url, page.text());
        page
    }

    /// Does everything but the last step: the URL of the callback that the provider sends back to.
    #[track_caller]
    pub fn callback(&mut self, link: &str, account: &str) -> Url {
        let consent = self.go_to_consent(link, account);
        let answer = self.submit_once(&consent, &[("answer", "yes")]);
        let answer = self.visit(answer.header("location").unwrap());
        Url::parse(answer.header("location").unwrap_or_else(|| panic!("{}", answer.text()))).unwrap()
    }
}

impl Page {
    pub fn status(&self) -> u16 {
        self.answer.as_ref().map_or(0, |answer| answer.status)
    }

    pub fn text(&self) -> String {
        self.answer.as_ref().map(Response::text).unwrap_or_default()
    }

    /// The only form of the page.
    #[track_caller]
    pub fn form(&self) -> Form {
        let html = self.text();
        let forms: Vec<_> = html.match_indices("<form").collect();
        assert_eq!(forms.len(), 1, "{}: {html}", self.url);
        let form = &html[forms[0].0..html.find("</form>").unwrap()];
        let tag = |text: &str| text[..text.find('>').unwrap()].to_owned();
        let head = tag(form);
        let inputs = form.match_indices("<input").map(|(at, _)| tag(&form[at..]));
        let fields = inputs.filter_map(|input| {
            Some((attribute(&input, "name")?, attribute(&input, "value").unwrap_or_default()))
        });
        Form {
            method: attribute(&head, "method").unwrap_or_default().to_ascii_lowercase(),
            action: self.url.join(&attribute(&head, "action").unwrap_or_default()).unwrap(),
            fields: fields.collect(),
        }
    }
}

/// The value of an attribute that is written in quotes.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let rest = tag.split_once(&format!(" {name}=\""))?.1;
    let value = rest.split_once('"')?.0;
    let named =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&#x27;", "'"), ("&amp;", "&")];
    Some(named.iter().fold(value.to_owned(), |text, (entity, char)| text.replace(entity, char)))
}

/// A parameter of a URL's query.
pub fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

/// The URL with this parameter changed, or taken out.
pub fn with_parameter(url: &Url, name: &str, value: Option<&str>) -> String {
    let kept: Vec<_> = url.query_pairs().into_owned().filter(|(known, _)| known != name).collect();
    let mut url = url.clone();
    url.query_pairs_mut().clear().extend_pairs(kept).extend_pairs(value.map(|value| (name, value)));
    url.into()
}
