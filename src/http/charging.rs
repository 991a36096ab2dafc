//! The records of charging over HTTP, for trusted peers: `/charging/report`, `/charging/quarantine`, `/charging/unpaid`,
//! `/charging/trace`, `/charging/tail`; POST `/charging/release`, `/charging/forget` and `/charging/resend`, which leave a line of the
//! target `audit`; questions to an OCS.

use super::{Answer, Service, plain, xcap};
use crate::charging::cdr::Cdr;
use crate::charging::desk::{Desk, Resent, Wanted};
use crate::charging::online::enquiry::{Enquirer, Enquiry, Kind};
use crate::store::StoreError;
use crate::telemetry::log::AUDIT_TARGET;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Request, StatusCode};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use tracing::{info, warn};

/// Where everything of charging stands.
pub(crate) const PATH: &str = "/charging";

/// Body of a release, or of what is to be forgotten.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    /// Numbers of records; none: all are released, and none is forgotten.
    pub numbers: Vec<String>,
    pub by: String,
    pub why: String,
}

/// What a release has done.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Released {
    pub released: u64,
}

/// What was taken off the list of what is unpaid.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Forgotten {
    pub forgotten: u64,
}

/// What came of asking again.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub asked: Vec<Resent>,
}

/// Charges that are asked for again with one request: each may take as long as an OCS may take to answer.
const RESENT_MAX: usize = 16;

/// What is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Release,
    Forget,
    Resend,
}

/// Records that came to their end, and where to go on.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Tail {
    /// To be given as `after` the next time.
    pub last: u64,
    pub records: Vec<Cdr>,
}

/// Body of a refusal.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub error: String,
}

/// What an OCS is asked through, and passes back: `/charging/price` and `/charging/balance`. `None`: something else.
async fn enquire(
    enquirer: Option<&Enquirer>,
    below: &str,
    request: &Request<Incoming>,
) -> Option<Answer> {
    let kind = match below {
        "/price" => Kind::Price,
        "/balance" => Kind::Balance,
        _ => return None,
    };
    if !matches!(request.method().as_str(), "GET" | "HEAD") {
        return Some(not_allowed("GET, HEAD"));
    }
    let Some(enquirer) = enquirer else {
        return Some(unavailable("online charging is off"));
    };
    let query = request.uri().query().unwrap_or_default();
    let of = |name| parameter(query, name);
    let user = of("user").unwrap_or_default();
    let (method, units, ecf) = (of("method"), of("units"), of("ecf"));
    let more = (units.as_deref(), ecf.as_deref());
    let enquiry = Enquiry::read(kind, method.as_deref(), &user, more);
    Some(match enquiry {
        Err(bad) => refused(&bad.to_string()),
        Ok(enquiry) => match enquirer.ask(enquiry).await {
            // also a refusal of the OCS is its answer
            Ok(said) => json(StatusCode::OK, &said),
            Err(busy) => unavailable(&busy.to_string()),
        },
    })
}

pub(super) async fn answer(
    service: &Service,
    peer: IpAddr,
    below: &str,
    request: Request<Incoming>,
) -> Answer {
    let enquirer = service.enquirer.as_ref();
    if let Some(answer) = enquire(enquirer, below, &request).await {
        return answer;
    }
    let Some(desk) = &service.charging else {
        return plain(StatusCode::NOT_FOUND);
    };
    let method = request.method().clone();
    let query = request.uri().query().unwrap_or_default().to_owned();
    match (method.as_str(), below) {
        ("GET" | "HEAD", "/report") => {
            let desk = desk.clone();
            read(move || desk.report()).await
        }
        ("GET" | "HEAD", "/tail") => match parameter(&query, "after").unwrap_or_default().parse() {
            Ok(after) => {
                let (last, records) = desk.tail(after);
                json(StatusCode::OK, &Tail { last, records })
            }
            Err(_) => refused("after is a number"),
        },
        ("GET" | "HEAD", "/quarantine" | "/trace" | "/unpaid") => {
            let Ok(wanted) = wanted(&query) else {
                return refused("number and after are numbers");
            };
            if below == "/trace" && wanted.is_any() {
                return refused("say which: icid, call_id or number");
            }
            let (desk, below) = (desk.clone(), below.to_owned());
            read(move || match below.as_str() {
                "/trace" => desk.trace(&wanted),
                "/unpaid" => desk.unpaid(&wanted),
                _ => desk.quarantine(&wanted),
            })
            .await
        }
        ("POST", "/release" | "/forget" | "/resend") => {
            let deed = match below {
                "/forget" => Deed::Forget,
                "/resend" => Deed::Resend,
                _ => Deed::Release,
            };
            // trusted peers alone get here
            match xcap::read(service, true, request.into_body()).await {
                Ok(body) => carry_out(desk, peer, &body, deed).await,
                Err(refusal) => refusal,
            }
        }
        (_, "/report" | "/tail" | "/quarantine" | "/trace" | "/unpaid") => not_allowed("GET, HEAD"),
        (_, "/release" | "/forget" | "/resend") => not_allowed("POST"),
        _ => plain(StatusCode::NOT_FOUND),
    }
}

/// Releases records, or forgets what is unpaid or has an OCS asked again for it.
async fn carry_out(desk: &Desk, peer: IpAddr, body: &[u8], deed: Deed) -> Answer {
    let order: Order = match serde_json::from_slice(body) {
        Ok(order) => order,
        Err(error) => return refused(&error.to_string()),
    };
    let numbers: Result<Vec<u64>, _> = order.numbers.iter().map(|n| n.parse()).collect();
    let Ok(numbers) = numbers else {
        return refused("numbers are numbers");
    };
    if order.by.trim().is_empty() || order.why.trim().is_empty() {
        return refused("say who orders it (by) and why");
    }
    let Order { by, why, .. } = order;
    if deed != Deed::Release && numbers.is_empty() {
        return refused("say which, by their numbers");
    }
    let done = match deed {
        Deed::Forget => desk.forget(&numbers).await.map(|forgotten| {
            info!(target: AUDIT_TARGET, %peer, by, why, forgotten, ?numbers, "unpaid charges settled by hand");
            json(StatusCode::OK, &Forgotten { forgotten })
        }),
        Deed::Release => desk.release(&numbers).await.map(|released| {
            info!(target: AUDIT_TARGET, %peer, by, why, released, "charging records released");
            json(StatusCode::OK, &Released { released })
        }),
        Deed::Resend if numbers.len() > RESENT_MAX => {
            return refused(&format!("not more than {RESENT_MAX} at once"));
        }
        Deed::Resend => resend(desk, &numbers).await.map(|asked| {
            let paid = asked.iter().filter(|asked| asked.paid).count();
            info!(target: AUDIT_TARGET, %peer, by, why, paid, ?numbers, "unpaid charges asked for again");
            json(StatusCode::OK, &Asked { asked })
        }),
    };
    done.unwrap_or_else(|error| failed(&error))
}

async fn resend(desk: &Desk, numbers: &[u64]) -> Result<Vec<Resent>, StoreError> {
    let mut all = Vec::new();
    for number in numbers {
        all.extend(desk.resend(*number).await?);
    }
    Ok(all)
}

/// Reads the store on a thread that may wait for it.
async fn read<T: Serialize + Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Answer {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(value)) => json(StatusCode::OK, &value),
        Ok(Err(error)) => failed(&error),
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR), // its panic is in the log
    }
}

fn failed(error: &StoreError) -> Answer {
    warn!(%error, "the store could not answer a question about charging");
    unavailable("the store cannot be used; see the log")
}

fn wanted(query: &str) -> Result<Wanted, std::num::ParseIntError> {
    let number = |name| parameter(query, name).map(|text| text.parse()).transpose();
    Ok(Wanted {
        icid: parameter(query, "icid"),
        call_id: parameter(query, "call_id"),
        number: number("number")?,
        after: number("after")?,
    })
}

/// A parameter of a query, decoded; empty counts as absent.
fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    super::overrides::decoded(value).filter(|value| !value.is_empty())
}

fn refused(error: &str) -> Answer {
    let error = error.to_owned();
    json(StatusCode::BAD_REQUEST, &Refused { error })
}

fn unavailable(error: &str) -> Answer {
    let error = error.to_owned();
    json(StatusCode::SERVICE_UNAVAILABLE, &Refused { error })
}

fn not_allowed(methods: &'static str) -> Answer {
    let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED);
    let allow = HeaderValue::from_static(methods);
    answer.headers_mut().insert(header::ALLOW, allow);
    answer
}

fn json<T: Serialize>(status: StatusCode, value: &T) -> Answer {
    let mut answer = plain(status);
    let kind = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    // plain structs of text and numbers always serialise
    let text = serde_json::to_vec(value).unwrap_or_default();
    *answer.body_mut() = Full::new(Bytes::from(text));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_empty_ones_do_not_count() {
        for (query, icid) in [
            ("icid=a%40b", Some("a@b")),
            ("x=1&icid=7", Some("7")),
            ("icid=", None),
            ("icid=%zz", None),
            ("", None),
        ] {
            assert_eq!(parameter(query, "icid").as_deref(), icid, "{query}");
        }
        assert!(wanted("number=x").is_err() && wanted("after=x").is_err());
        assert_eq!(wanted("number=7").unwrap().number, Some(7));
    }
}
