//! A proxy before the server that answers as AWS, for what that does not do: the rules of EC2 for client tokens and for
//! partial launches, the checks of S3 for owners and hashes, and faults that a story asks for.
//!
//! It changes requests, so it stands before the server that believes everybody.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::answers::{Answer, answer_of, error, instances_of, page_of};
use crate::moto::{ACCOUNT, Moto, text_in};

/// What happens to a request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// An error of AWS: status, code, message.
    Error(u16, &'static str, &'static str),
    /// A status without a body.
    Status(u16),
    /// It is done, and the connection is cut before the answer.
    LostAnswer,
    /// The connection is cut before it is done.
    Cut,
    /// No answer, ever.
    Silence,
    /// The answer of before: a reader that has not heard of the last writes.
    Stale,
    /// A page without instances, which names a next one.
    EmptyPage,
    /// A page that names itself as the next one.
    SamePage,
    /// All instances, whatever was filtered by.
    Unfiltered,
    /// One bit of the body is another.
    Damaged,
}

/// A request as it was on the wire.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// `RunInstances`, `PutObject`, ...
    pub(crate) action: String,
    /// The fields of the form.
    pub(crate) form: BTreeMap<String, String>,
    pub(crate) headers: HeaderMap,
}

/// The proxy; its connections end with it.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    world: Arc<World>,
    _serving: JoinSet<()>,
}

#[derive(Debug)]
struct World {
    moto: SocketAddr,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    faults: Vec<(&'static str, Option<&'static str>, Fault)>,
    seen: Vec<Seen>,
    /// Machines that there is room for.
    room: Option<u32>,
    /// Each list has so many instances, all alike: more than moto lists within a minute.
    crowd: Option<usize>,
    /// The launches by their tokens: what was asked for, and what was answered.
    launches: HashMap<String, (BTreeMap<String, String>, Answer)>,
    /// The hashes of objects, which S3 gives with them.
    sums: HashMap<String, HeaderValue>,
    /// The last answers by what was asked for.
    answers: HashMap<BTreeMap<String, String>, Answer>,
}

impl Proxy {
    pub(crate) async fn start(moto: &Moto) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let world = Arc::new(World { moto: moto.address, state: Mutex::default() });
        let served = Arc::clone(&world);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let world = Arc::clone(&served);
                connections.spawn(async move {
                    let answer = service_fn(|request| world.answer(request));
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answer);
                    // Errors are the faults themselves, and clients that went.
                    drop(connection.await);
                });
            }
        });
        Self { address, world, _serving: serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next requests of this action have these faults, one each.
    pub(crate) async fn inject(
        &self,
        action: &'static str,
        faults: impl IntoIterator<Item = Fault>,
    ) {
        let mut state = self.world.state.lock().await;
        state.faults.extend(faults.into_iter().map(|fault| (action, None, fault)));
    }

    /// The same, of requests to one place only.
    pub(crate) async fn inject_at(
        &self,
        place: &'static str,
        action: &'static str,
        faults: impl IntoIterator<Item = Fault>,
    ) {
        let mut state = self.world.state.lock().await;
        state.faults.extend(faults.into_iter().map(|fault| (action, Some(place), fault)));
    }

    /// From now on there is room for so many machines.
    pub(crate) async fn room(&self, machines: u32) {
        self.world.state.lock().await.room = Some(machines);
    }

    /// From now on each list has so many instances.
    pub(crate) async fn crowd(&self, instances: usize) {
        self.world.state.lock().await.crowd = Some(instances);
    }

    /// The requests of an action until now.
    pub(crate) async fn seen(&self, action: &str) -> Vec<Seen> {
        let state = self.world.state.lock().await;
        state.seen.iter().filter(|seen| seen.action == action).cloned().collect()
    }

    /// Faults that nothing met: a story that has some did not tell what it says.
    pub(crate) async fn all_met(&self) {
        let state = self.world.state.lock().await;
        assert!(state.faults.is_empty(), "faults that were not met: {:?}", state.faults);
    }
}

const SHA256: &str = "x-amz-checksum-sha256";

/// Ends a connection without an answer.
fn cut() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionReset)
}

impl World {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, io::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let mut request = Request::from_parts(head, body);
        let form = form_of(&request);
        let action = match form.get("Action") {
            Some(action) => action.clone(),
            None if request.method() == Method::PUT => "PutObject".to_owned(),
            None => "GetObject".to_owned(),
        };
        let fault = {
            let headers = request.headers().clone();
            let place = headers.get("authorization").map(|a| format!("{a:?}")).unwrap_or_default();
            let mut state = self.state.lock().await;
            state.seen.push(Seen { action: action.clone(), form: form.clone(), headers });
            let met = state.faults.iter().position(|(of, at, _)| {
                *of == action && at.is_none_or(|at| place.contains(&format!("/{at}/")))
            });
            met.map(|index| state.faults.remove(index).2)
        };
        let answer = match fault {
            None => self.obey(&action, form, request).await?,
            Some(Fault::Error(status, code, message)) => error(&action, status, code, message),
            Some(Fault::Status(status)) => answer_of(status, "text/plain", ""),
            Some(Fault::Cut) => return Err(cut()),
            Some(Fault::LostAnswer) => {
                self.obey(&action, form, request).await?;
                return Err(cut());
            }
            Some(Fault::Silence) => std::future::pending::<Answer>().await,
            Some(Fault::Stale) => {
                let known = self.state.lock().await.answers.get(&form).cloned();
                known.unwrap_or_else(|| page_of(&[], None))
            }
            Some(Fault::EmptyPage) => {
                // Each has a token that no other has.
                let next = form.get("NextToken").map_or(String::new(), Clone::clone) + "0";
                page_of(&[], Some(&next))
            }
            Some(Fault::SamePage) => {
                page_of(&[], Some(form.get("NextToken").map_or("again", String::as_str)))
            }
            Some(Fault::Unfiltered) => {
                let all = form.into_iter().filter(|(name, _)| !name.starts_with("Filter"));
                self.obey(&action, set_form(&mut request, all.collect()), request).await?
            }
            Some(Fault::Damaged) => {
                let (head, body) = self.obey(&action, form, request).await?.into_parts();
                let mut body = body.to_vec();
                if let Some(byte) = body.last_mut() {
                    *byte ^= 1;
                }
                Response::from_parts(head, Bytes::from(body))
            }
        };
        Ok(answer.map(Full::new))
    }

    /// Does what was asked, as EC2 and S3 do it.
    async fn obey(
        &self,
        action: &str,
        form: BTreeMap<String, String>,
        request: Request<Bytes>,
    ) -> Result<Answer, io::Error> {
        match action {
            "RunInstances" => self.launch(form, request).await,
            "PutObject" | "GetObject" => match refused_by_s3(&request) {
                Some(refused) => Ok(refused),
                None => self.object(request).await,
            },
            "DescribeInstances" => {
                let answer = self.page(&form, request).await?;
                self.state.lock().await.answers.insert(form, answer.clone());
                Ok(answer)
            }
            _ => self.forward(request).await,
        }
    }

    /// EC2 launches what it has room for between the fewest and the most, where moto launches the fewest; and a token once.
    async fn launch(
        &self,
        form: BTreeMap<String, String>,
        mut request: Request<Bytes>,
    ) -> Result<Answer, io::Error> {
        let number = |name: &str| form.get(name).and_then(|n| n.parse::<u32>().ok()).unwrap_or(1);
        // Held over the launch: of two with the same token at once, the second has the first one's answer.
        let mut state = self.state.lock().await;
        let token = form.get("ClientToken").cloned();
        if let Some((asked, answer)) = token.as_ref().and_then(|token| state.launches.get(token)) {
            let (code, message) =
                ("IdempotentParameterMismatch", "The same token with other parameters.");
            return Ok(match *asked == form {
                true => answer.clone(),
                false => error("RunInstances", 400, code, message),
            });
        }
        let launched = number("MaxCount").min(state.room.unwrap_or(u32::MAX));
        if launched < number("MinCount") {
            let message = "We currently do not have sufficient t3.micro capacity.";
            return Ok(error("RunInstances", 500, "InsufficientInstanceCapacity", message));
        }
        let mut of_moto = form.clone();
        of_moto.insert("MinCount".to_owned(), launched.to_string());
        set_form(&mut request, of_moto);
        let answer = self.forward(request).await?;
        if answer.status().is_success() {
            state.room = state.room.map(|room| room - launched);
            if let Some(token) = token {
                state.launches.insert(token, (form, answer.clone()));
            }
        }
        Ok(answer)
    }

    /// A page of EC2 has as many instances as were asked for, where one of moto has as many launches.
    async fn page(
        &self,
        form: &BTreeMap<String, String>,
        mut request: Request<Bytes>,
    ) -> Result<Answer, io::Error> {
        let number = |text: &String| text.parse::<usize>().expect("a number");
        let first = form.get("NextToken").map_or(0, number);
        let most = form.get("MaxResults").map_or(usize::MAX, number);
        let all =
            form.iter().filter(|(name, _)| !["NextToken", "MaxResults"].contains(&name.as_str()));
        set_form(&mut request, all.map(|(name, value)| (name.clone(), value.clone())).collect());
        let answer = self.forward(request).await?;
        if !answer.status().is_success() {
            return Ok(answer);
        }
        let xml = String::from_utf8_lossy(answer.body());
        let listed = instances_of(&xml);
        let crowd = self.state.lock().await.crowd;
        let count = crowd.unwrap_or(listed.len());
        let next = first.saturating_add(most);
        let of_page = (first.min(count)..next.min(count)).map(|n| match crowd {
            None => listed[n].to_owned(),
            Some(_) => listed[0].replace(text_in(listed[0], "instanceId"), &format!("i-{n:017x}")),
        });
        let next = (next < count).then(|| next.to_string());
        Ok(page_of(&of_page.collect::<Vec<_>>(), next.as_deref()))
    }

    /// S3 keeps the hash of an object, and gives it to who asks for it.
    async fn object(&self, request: Request<Bytes>) -> Result<Answer, io::Error> {
        let path = request.uri().path().to_owned();
        let said = request.headers().get(SHA256).cloned();
        let is_put = request.method() == Method::PUT;
        let wants_sum = request.headers().contains_key("x-amz-checksum-mode");
        let mut answer = self.forward(request).await?;
        let mut state = self.state.lock().await;
        if is_put && answer.status().is_success() {
            state.sums.remove(&path);
            state.sums.extend(said.map(|sum| (path, sum)));
        } else if wants_sum && let Some(sum) = state.sums.get(&path) {
            answer.headers_mut().insert(SHA256, sum.clone());
        }
        Ok(answer)
    }

    async fn forward(&self, request: Request<Bytes>) -> Result<Answer, io::Error> {
        let stream = TcpStream::connect(self.moto).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let mut driven = JoinSet::new();
        driven.spawn(async move { drop(connection.await) });
        let (mut head, body) = request.into_parts();
        head.headers.insert(CONTENT_LENGTH, body.len().into());
        let request = Request::from_parts(head, Full::new(body));
        let (mut head, body) =
            sender.send_request(request).await.map_err(io::Error::other)?.into_parts();
        head.headers.remove(CONNECTION);
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        Ok(Response::from_parts(head, body))
    }
}

/// What S3 checks before it writes or reads, and moto does not.
fn refused_by_s3(request: &Request<Bytes>) -> Option<Answer> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    if header("x-amz-expected-bucket-owner").is_some_and(|owner| owner != ACCOUNT) {
        return Some(error("PutObject", 403, "AccessDenied", "Access Denied"));
    }
    let sum = BASE64_STANDARD.encode(Sha256::digest(request.body()));
    if header(SHA256).is_some_and(|said| said != sum) {
        let message = "The SHA256 you specified did not match the calculated checksum.";
        return Some(error("PutObject", 400, "BadDigest", message));
    }
    None
}

fn form_of(request: &Request<Bytes>) -> BTreeMap<String, String> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !kind.is_some_and(|kind| kind.contains("x-www-form-urlencoded")) {
        return BTreeMap::new();
    }
    let decoded =
        |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let body = std::str::from_utf8(request.body()).expect("a form is text");
    let fields = body.split('&').filter_map(|field| field.split_once('='));
    fields.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

fn set_form(
    request: &mut Request<Bytes>,
    form: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let fields: Vec<_> =
        form.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    *request.body_mut() = Bytes::from(fields.join("&"));
    form
}
