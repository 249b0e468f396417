//! Answers in the words of AWS, of the [proxy](crate::faults) before the server.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};

/// An answer, whole.
pub(crate) type Answer = Response<Bytes>;

/// An error as the service of this action writes it.
pub(crate) fn error(action: &str, status: u16, code: &str, message: &str) -> Answer {
    let error = format!("<Code>{code}</Code><Message>{message}</Message>");
    let body = if action.ends_with("Object") {
        format!("<Error>{error}<RequestId>0</RequestId></Error>")
    } else {
        format!(
            "<Response><Errors><Error>{error}</Error></Errors><RequestID>0</RequestID></Response>"
        )
    };
    answer_of(status, "text/xml", &body)
}

/// The instances of a list, each as it stands there.
pub(crate) fn instances_of(xml: &str) -> Vec<&str> {
    const OPEN: &str = "<item>";
    const CLOSE: &str = "</item>";
    let mut instances = Vec::new();
    for set in xml.split("<instancesSet>").skip(1) {
        // Items within an instance are its tags, volumes and so on.
        let (mut depth, mut begin, mut at) = (0_u32, 0, 0);
        while let Some(found) = set[at..].find('<').map(|found| at + found) {
            let rest = &set[found..];
            at = found + 1;
            if rest.starts_with(OPEN) {
                if depth == 0 {
                    begin = found;
                }
                depth += 1;
            } else if rest.starts_with(CLOSE) {
                depth -= 1;
                if depth == 0 {
                    instances.push(&set[begin..found + CLOSE.len()]);
                }
            } else if depth == 0 {
                // The end of the set.
                break;
            }
        }
    }
    instances
}

/// A page of a list; each instance is a launch of its own.
pub(crate) fn page_of(instances: &[String], next: Option<&str>) -> Answer {
    let next = next.map(|token| format!("<nextToken>{token}</nextToken>")).unwrap_or_default();
    let launches: String = instances
        .iter()
        .map(|instance| format!("<item><instancesSet>{instance}</instancesSet></item>"))
        .collect();
    let namespace = "http://ec2.amazonaws.com/doc/2016-11-15/";
    answer_of(
        200,
        "text/xml",
        &format!(
            "<DescribeInstancesResponse xmlns=\"{namespace}\"><requestId>0</requestId>\
             <reservationSet>{launches}</reservationSet>{next}</DescribeInstancesResponse>"
        ),
    )
}

pub(crate) fn answer_of(status: u16, kind: &str, body: &str) -> Answer {
    let mut answer = Response::new(Bytes::from(body.to_owned()));
    *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
    answer.headers_mut().insert(CONTENT_TYPE, kind.parse().expect("a type"));
    answer
}
