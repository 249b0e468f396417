//! One run from its first line to its statistics: echoes leave at their times, and what comes meanwhile is told.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use blitz_plugin::probes::{Answer, Outcome, Session};
use blitz_plugin::{Failure, Host, HostError};

use crate::record;
use crate::settings::{EXIT_ERROR, Settings};
use crate::tally::Tally;
use crate::words;

/// As in ping.
const EXIT_NO_ANSWER: u8 = 1;
/// Of the job's time, for the statistics.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// All waiting for names together.
const NAMES_WAIT_MAX: Duration = Duration::from_millis(500);

/// Pings, and prints.
pub(crate) fn run(settings: &Settings, region: &str, host: &mut dyn Host) -> Result<u8, Failure> {
    let opened = host.probes(&settings.target);
    let mut session = opened.map_err(|error| Failure::of_host(error, EXIT_ERROR, region))?;
    let size_bytes = settings.size_bytes(session.address())?;
    writeln!(host.stdout(), "{}", words::head(settings, session.address(), size_bytes))?;
    host.stdout().flush()?;
    let mut run = Run {
        settings,
        size_bytes,
        tally: Tally::default(),
        names: BTreeMap::new(),
        names_wait: NAMES_WAIT_MAX,
        next: Duration::ZERO,
    };
    let went = run.go(session.as_mut(), region, host);
    let tally = run.tally;
    host.stdout().write_all(words::statistics(settings, &tally).as_bytes())?;
    record::summary(settings, session.address(), &tally).emit(host, "summary")?;
    host.count("sent_count", tally.sent.into())?;
    host.count("received_count", tally.received.into())?;
    went?;
    let wanted = settings.deadline.and(settings.count).unwrap_or(1);
    Ok(if tally.received < wanted { EXIT_NO_ANSWER } else { 0 })
}

struct Run<'a> {
    settings: &'a Settings,
    size_bytes: u16,
    tally: Tally,
    names: BTreeMap<IpAddr, String>,
    names_wait: Duration,
    /// When the next echo leaves.
    next: Duration,
}

impl Run<'_> {
    fn go(
        &mut self,
        session: &mut dyn Session,
        region: &str,
        host: &mut dyn Host,
    ) -> Result<(), Failure> {
        loop {
            let now = session.elapsed();
            let left = host.time_left().saturating_sub(LAST_WORDS);
            let Some(due) = self.due().filter(|_| !host.is_cancelled()) else {
                return Ok(());
            };
            if left.is_zero() {
                let text = "ping: the job's time is over; --timeout gives it more";
                return Ok(writeln!(host.stderr(), "{text}")?);
            }
            if self.settings.deadline.is_some_and(|deadline| now >= deadline && self.tally.sent > 0)
            {
                return Ok(());
            }
            if due <= now && self.sends() {
                let went = self.send(session, host)?;
                if !host.is_cancelled() {
                    went.map_err(|error| Failure::of_host(error, EXIT_ERROR, region))?;
                }
                continue;
            }
            if due <= now {
                return Ok(());
            }
            let deadline = self.settings.deadline.unwrap_or(Duration::MAX);
            let until_due = (due - now).min(deadline.saturating_sub(now));
            let answers = session.next(until_due.min(left));
            for answer in answers.map_err(|error| Failure::of_host(error, EXIT_ERROR, region))? {
                self.hear(&answer, session, host)?;
            }
        }
    }

    /// Whether there is another one to send. With a deadline, `-c` counts answers.
    fn sends(&self) -> bool {
        let Settings { count, deadline, .. } = self.settings;
        deadline.is_some() || count.is_none_or(|count| self.tally.sent < count)
    }

    /// When the next one leaves, or when waiting is over; `None` when all is said.
    fn due(&self) -> Option<Duration> {
        let Settings { count, deadline, interval, linger, .. } = self.settings;
        let Tally { sent, received, errors, .. } = self.tally;
        let answers = if deadline.is_some() { received } else { received + errors };
        let is_enough = count.is_some_and(|count| answers >= count);
        if is_enough || (deadline.is_some() && errors > 0) || sent == u32::MAX {
            return None;
        }
        if self.sends() {
            return Some(self.next);
        }
        let slowest = self.tally.rtt().map(|rtt| Duration::from_micros(rtt.max_us));
        let linger = slowest.map_or(*linger, |slowest| (slowest * 2).max(*interval));
        Some(self.tally.last_sent + linger)
    }

    /// The inner result is that of the network.
    fn send(
        &mut self,
        session: &mut dyn Session,
        host: &mut dyn Host,
    ) -> Result<Result<(), HostError>, Failure> {
        let last = self.tally.sent;
        if self.settings.tells_outstanding && last > 0 && !self.tally.is_answered(last) {
            let text = format!("no answer yet for {}", words::sequence(self.settings, last));
            self.say(&text, host)?;
        }
        let now = session.elapsed();
        let sequence = self.tally.send(now);
        // Not before its time, and no rush where one was late.
        self.next = (self.next + self.settings.interval).max(now);
        let probe = self.settings.probe(sequence, self.size_bytes);
        Ok(session.send(&[probe]))
    }

    fn hear(
        &mut self,
        answer: &Answer,
        session: &mut dyn Session,
        host: &mut dyn Host,
    ) -> Result<(), Failure> {
        if answer.id == 0 || answer.id > self.tally.sent {
            return Ok(());
        }
        let is_new = match answer.outcome {
            Outcome::Reached => self.tally.receive(answer.id, answer.rtt_ns / 1000),
            _ => self.tally.fail(answer.id),
        };
        let name = answer.from.and_then(|from| self.name(from, session));
        let who = answer.from.map(|from| words::who(self.settings, from, name.as_deref()));
        let who = who.unwrap_or_default();
        match answer.outcome {
            Outcome::Reached => {
                host.observe("rtt_us", &[answer.rtt_ns / 1000])?;
                self.say(&words::echo(self.settings, &who, answer, is_new), host)?;
            }
            Outcome::Unsent => writeln!(host.stderr(), "ping: {}", words::unsent(answer))?,
            Outcome::TimeExceeded | Outcome::Unreachable => {
                let sequence = words::sequence(self.settings, answer.id);
                self.say(&format!("From {who} {sequence} {}", words::error(answer)), host)?;
            }
        }
        record::echo(answer, name.as_deref(), is_new).emit(host, "echo")?;
        Ok(())
    }

    /// Waits for a name while nothing else is due, and altogether not long.
    fn name(&mut self, address: IpAddr, session: &mut dyn Session) -> Option<String> {
        if !self.settings.target.names {
            return None;
        }
        if let Some(name) = self.names.get(&address) {
            return Some(name.clone());
        }
        let begun = session.elapsed();
        let wait = self.names_wait.min(self.next.saturating_sub(begun));
        let name = session.names(&[address], wait).into_iter().flatten().next();
        self.names_wait = self.names_wait.saturating_sub(session.elapsed().saturating_sub(begun));
        // A name is whatever its owner wrote.
        let name = name.filter(|name| name.bytes().all(|b| b.is_ascii_graphic()))?;
        self.names.insert(address, name.clone());
        Some(name)
    }

    fn say(&self, line: &str, host: &mut dyn Host) -> Result<(), Failure> {
        if !self.settings.is_quiet {
            let stamp = if self.settings.shows_time { words::stamp() } else { String::new() };
            writeln!(host.stdout(), "{stamp}{line}")?;
            host.stdout().flush()?;
        }
        Ok(())
    }
}
