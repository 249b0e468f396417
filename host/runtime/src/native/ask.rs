//! The imports that a native plugin asks by name, with JSON for question and answer: those that came after version 1.0
//! of its table. The functions behind them are those of a component.

use blitz_contract::native::wire::ask as words;
use blitz_contract::native::{FAILED, OK};
use blitz_contract::probes::{Answer, Probe, Target};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasmtime::component::Resource;

use super::serve::{Answered, Imports};
use crate::bindings::blitz::plugin::load::HostTest;
use crate::bindings::blitz::plugin::probes::HostSession;
use crate::bindings::blitz::plugin::types::Error;
use crate::bindings::blitz::plugin::{dns, networks};
use crate::load::Test;
use crate::probes::Session;

impl Imports {
    /// Does what was asked by name.
    ///
    /// # Errors
    ///
    /// Where the run has to end, as for a component that traps.
    pub(super) async fn ask(
        &mut self,
        import: &str,
        question: &[u8],
    ) -> wasmtime::Result<Answered> {
        match import {
            words::DNS_EXCHANGE => {
                let message: blitz_contract::dns::Message = match read(import, question) {
                    Ok(message) => message,
                    Err(refused) => return Ok(refused),
                };
                let reply = dns::Host::exchange(&mut self.job, message.into()).await?;
                told(reply.map(blitz_contract::dns::Reply::from))
            }
            words::NETWORKS_WHOSE => {
                let addresses: Vec<String> = match read(import, question) {
                    Ok(addresses) => addresses,
                    Err(refused) => return Ok(refused),
                };
                let found = networks::Host::whose(&mut self.job, addresses).await?;
                told(found.map(|found| {
                    let network = |known: networks::Network| known.into();
                    let found = found.into_iter().map(|known| known.map(network));
                    found.collect::<Vec<Option<blitz_contract::probes::Network>>>()
                }))
            }
            words::PROBES_OPEN => self.open(question).await,
            words::PROBES_SEND
            | words::PROBES_NEXT
            | words::PROBES_NAMES
            | words::PROBES_ELAPSED
            | words::PROBES_CLOSE => self.of_session(import, question).await,
            words::LOAD_START => self.start_test(question).await,
            words::LOAD_OPENING | words::LOAD_NEXT | words::LOAD_STOP | words::LOAD_CLOSE => {
                self.of_test(import, question).await
            }
            other => {
                let known = words::IMPORTS.join(", ");
                let text = format!("this engine has no import {other:?}; it has {known}");
                Ok(Answered::new(FAILED, text.into_bytes()))
            }
        }
    }

    async fn open(&mut self, question: &[u8]) -> wasmtime::Result<Answered> {
        let target: Target = match read(words::PROBES_OPEN, question) {
            Ok(target) => target,
            Err(refused) => return Ok(refused),
        };
        let job = &mut self.job;
        let session = match HostSession::open(job, target.into()).await? {
            Ok(session) => session,
            Err(error) => return told(Err::<(), _>(error)),
        };
        let number = session.rep();
        self.sessions.insert(number);
        let lent = || Resource::<Session>::new_borrow(number);
        told(Ok(words::Opened {
            session: number.into(),
            address: HostSession::address(job, lent()).await?.parse()?,
            source: HostSession::source(job, lent()).await?.parse()?,
            mtu: HostSession::mtu(job, lent()).await?,
        }))
    }

    async fn of_session(&mut self, import: &str, question: &[u8]) -> wasmtime::Result<Answered> {
        let words::Of { session } = match read(import, question) {
            Ok(of) => of,
            Err(refused) => return Ok(refused),
        };
        // A handle that this plugin was given, and did not give back.
        let number = u32::try_from(session).ok().filter(|number| self.sessions.contains(number));
        let Some(number) = number else { wasmtime::bail!("it has no session of probes {session}") };
        let lent = Resource::<Session>::new_borrow(number);
        let job = &mut self.job;
        match import {
            words::PROBES_SEND => {
                let words::Send { probes, .. } = match read(import, question) {
                    Ok(send) => send,
                    Err(refused) => return Ok(refused),
                };
                let probes = probes.into_iter().map(Probe::into).collect();
                told(HostSession::send(job, lent, probes).await?)
            }
            words::PROBES_NEXT => {
                let words::Next { wait_us, .. } = match read(import, question) {
                    Ok(next) => next,
                    Err(refused) => return Ok(refused),
                };
                let answers = HostSession::next(job, lent, wait_us).await?;
                told(
                    answers.map(|found| found.into_iter().map(Into::into).collect::<Vec<Answer>>()),
                )
            }
            words::PROBES_NAMES => {
                let words::Names { addresses, wait_ms, .. } = match read(import, question) {
                    Ok(names) => names,
                    Err(refused) => return Ok(refused),
                };
                told(Ok(HostSession::names(job, lent, addresses, wait_ms).await?))
            }
            words::PROBES_ELAPSED => told(Ok(HostSession::elapsed_us(job, lent).await?)),
            _ => {
                self.sessions.remove(&number);
                told(Ok(HostSession::drop(job, Resource::new_own(number)).await?))
            }
        }
    }
}

impl Imports {
    async fn start_test(&mut self, question: &[u8]) -> wasmtime::Result<Answered> {
        let plan = match std::str::from_utf8(question) {
            Ok(plan) => plan.to_owned(),
            Err(error) => return Ok(Answered::new(FAILED, error.to_string().into_bytes())),
        };
        match HostTest::start(&mut self.job, plan).await? {
            Ok(test) => {
                let number = test.rep();
                self.tests.insert(number);
                told(Ok(words::Started { test: number.into() }))
            }
            Err(error) => told(Err::<(), _>(error)),
        }
    }

    async fn of_test(&mut self, import: &str, question: &[u8]) -> wasmtime::Result<Answered> {
        let words::OfTest { test } = match read(import, question) {
            Ok(of) => of,
            Err(refused) => return Ok(refused),
        };
        // A handle that this plugin was given, and did not give back.
        let number = u32::try_from(test).ok().filter(|number| self.tests.contains(number));
        let Some(number) = number else { wasmtime::bail!("it has no load test {test}") };
        let lent = Resource::<Test>::new_borrow(number);
        let job = &mut self.job;
        match import {
            // What the host tells is JSON already.
            words::LOAD_OPENING => {
                Ok(Answered::new(OK, HostTest::opening(job, lent).await?.into_bytes()))
            }
            words::LOAD_NEXT => {
                let words::NextTicks { wait_ms, .. } = match read(import, question) {
                    Ok(next) => next,
                    Err(refused) => return Ok(refused),
                };
                match HostTest::next(job, lent, wait_ms).await? {
                    Ok(ticks) => {
                        Ok(Answered::new(OK, format!("[{}]", ticks.join(",")).into_bytes()))
                    }
                    Err(error) => told(Err::<(), _>(error)),
                }
            }
            words::LOAD_STOP => told(Ok(HostTest::stop(job, lent).await?)),
            _ => {
                self.tests.remove(&number);
                told(Ok(HostTest::drop(job, Resource::new_own(number)).await?))
            }
        }
    }
}

/// The question, or the refusal of what is none.
fn read<T: DeserializeOwned>(import: &str, question: &[u8]) -> Result<T, Answered> {
    serde_json::from_slice(question).map_err(|error| {
        let text = format!("the question to {import} is not one: {error}");
        Answered::new(FAILED, text.into_bytes())
    })
}

fn told<T: Serialize>(answer: Result<T, Error>) -> wasmtime::Result<Answered> {
    match answer {
        Ok(answer) => Answered::json(OK, &answer),
        Err(error) => Ok(Err::<(), _>(error).into()),
    }
}
