//! Check of each request before anything is done for it: who may ask from where.
//!
//! A browser runs scripts of other sites, which can send requests to this host. A script under a
//! foreign name that leads here (DNS rebinding) is known by its Host, one of another site by its
//! Origin, and a form of another site by the lack of our header. Nothing here allows other sites
//! (CORS).

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use lab_config::Host;

use super::problem::Problem;

/// The header of every request that changes something.
const OWN_HEADER: &str = "x-ferrolab";
/// The header in which browsers say from where a request comes.
const FETCH_SITE: &str = "sec-fetch-site";
/// The beginning of the paths of our API,
const API: &str = "/api/";
/// The beginning of the paths of Pyro5's gateway.
const GATEWAY: &str = "/pyro/";

/// The rules of this server.
pub(super) struct Guard {
    /// Names under which browsers reach it, besides addresses.
    names: Vec<String>,
    /// Whether other hosts reach it.
    is_public: bool,
}

impl Guard {
    pub(super) fn new(host: &Host, names: &[String]) -> Self {
        let own = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
        let first = own.split('.').next().unwrap_or_default().to_owned();
        let local = format!("{first}.local");
        let is_public = !host.is_loopback();
        let mut known = vec!["localhost".to_owned()];
        if is_public {
            known.extend([own, first, local]);
        }
        if let Host::Named(name) = host {
            known.push(name.to_ascii_lowercase());
        }
        known.extend(names.iter().map(|name| name.to_ascii_lowercase()));
        Guard { names: known, is_public }
    }

    /// The reason why nothing can be changed here without a login; `None` where it can.
    pub(super) fn readonly(&self) -> Option<&'static str> {
        self.is_public.then_some(
            "this page is reachable from other hosts, so it only shows until a user has logged in; \
             `web: {host: localhost}` allows changes, from this host",
        )
    }

    /// Refuses a request that no page of this server and no program of a user sends.
    pub(super) fn check(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<(), Problem> {
        let Some(host) = text(headers, header::HOST) else {
            return Err(Problem::bad_request("the request has no Host"));
        };
        if !self.is_own(host) {
            let detail = "this server is not known under that Host; `names` of `web` in the \
                          configuration lists further ones";
            return Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "unknown-host",
                "The request is for another server.",
                detail,
            ));
        }
        // A read of a member asks the driver, so no other site may make a browser do that.
        let site = text(headers, HeaderName::from_static(FETCH_SITE));
        if path.starts_with(API) && site.is_some_and(is_foreign) {
            return Err(Problem::forbidden("foreign-origin", "a page of another site asks"));
        }
        // Clients of Pyro5's gateway send no header of ours; the gateway has its own check.
        if method.is_safe() || path.starts_with(GATEWAY) {
            return Ok(());
        }
        if let Some(origin) = headers.get(header::ORIGIN)
            && !is_origin_of(origin, host)
        {
            return Err(Problem::forbidden("foreign-origin", "a page of another site asks"));
        }
        if !headers.contains_key(OWN_HEADER) {
            let detail = "a request that changes something needs the header `X-Ferrolab: 1`";
            return Err(Problem::forbidden("no-header", detail));
        }
        Ok(())
    }

    /// Whether a Host header names this server: by an address, or by a name of it.
    pub(super) fn is_own(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address,
            None => host.split_once(':').map_or(host, |(name, _)| name),
        };
        match name.parse::<IpAddr>() {
            // A name is needed to rebind.
            Ok(address) => self.is_public || address.to_canonical().is_loopback(),
            Err(_) => {
                let name = name.trim_end_matches('.');
                self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
            }
        }
    }
}

/// Whether a page from `origin` is one of the server that the request is for.
fn is_origin_of(origin: &HeaderValue, host: &str) -> bool {
    let origin = origin.to_str().unwrap_or_default();
    let rest = ["http://", "https://"].iter().find_map(|scheme| origin.strip_prefix(scheme));
    rest.is_some_and(|rest| rest.eq_ignore_ascii_case(host))
}

/// Whether a browser says that a page of another site asks.
fn is_foreign(site: &str) -> bool {
    site != "same-origin" && site != "none"
}

/// Whether a browser says, or may say nothing although it is one, that a page of another site
/// asks: for requests that act although their method is GET.
pub(super) fn is_from_foreign_page(headers: &HeaderMap) -> bool {
    match text(headers, HeaderName::from_static(FETCH_SITE)) {
        Some(site) => is_foreign(site),
        None => {
            let agent = text(headers, header::USER_AGENT).unwrap_or_default();
            headers.contains_key(header::ORIGIN)
                || headers.contains_key(header::REFERER)
                || agent.starts_with("Mozilla/") && !headers.contains_key(OWN_HEADER)
        }
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_host_is_this_server_or_not() {
        let local = Guard::new(&Host::from("localhost".to_owned()), &[]);
        let public = Guard::new(&Host::Public, &["lab.example.edu".to_owned()]);
        for (host, is_local, is_public) in [
            ("localhost:9092", true, true),
            ("LOCALHOST", true, true),
            ("127.0.0.1:9092", true, true),
            ("[::1]:9092", true, true),
            ("10.0.0.3:9092", false, true),
            ("lab.example.edu:443", false, true),
            ("localhost.evil.example", false, false),
            ("evil.example:9092", false, false),
            ("", false, false),
        ] {
            assert_eq!((local.is_own(host), public.is_own(host)), (is_local, is_public), "{host}");
        }
    }

    #[test]
    fn changes_need_the_header_and_the_own_origin() {
        let guard = Guard::new(&Host::from("localhost".to_owned()), &[]);
        let host = ("host", "localhost:9092");
        let own = ("x-ferrolab", "1");
        for (method, pairs, allowed) in [
            (Method::GET, vec![host], true),
            (Method::GET, vec![], false),
            (Method::GET, vec![("host", "evil.example")], false),
            (Method::POST, vec![host, own], true),
            (Method::POST, vec![host], false),
            (Method::PUT, vec![host, own, ("origin", "http://localhost:9092")], true),
            (Method::PUT, vec![host, own, ("origin", "http://localhost:8000")], false),
            (Method::PUT, vec![host, own, ("origin", "null")], false),
            (Method::DELETE, vec![("host", "evil.example"), own], false),
        ] {
            let checked = guard.check(&method, "/api/lab", &headers(&pairs));
            assert_eq!(checked.is_ok(), allowed, "{method} {pairs:?}");
        }
        let public = Guard::new(&Host::Public, &[]);
        assert!(public.readonly().is_some() && guard.readonly().is_none());
    }

    #[test]
    fn a_browser_that_acts_for_another_site_is_known() {
        let browser = ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)");
        for (pairs, foreign) in [
            (vec![], false),
            (vec![("user-agent", "curl/8.5.0")], false),
            (vec![browser], true),
            (vec![browser, ("x-ferrolab", "1")], false),
            (vec![browser, ("sec-fetch-site", "none")], false),
            (vec![browser, ("sec-fetch-site", "same-origin")], false),
            (vec![browser, ("sec-fetch-site", "cross-site")], true),
            (vec![("sec-fetch-site", "same-site")], true),
            (vec![("referer", "http://evil.example/")], true),
        ] {
            assert_eq!(is_from_foreign_page(&headers(&pairs)), foreign, "{pairs:?}");
        }
    }
}
