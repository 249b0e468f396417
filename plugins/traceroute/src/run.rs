//! One trace from its header to its exit status: what the strategy wants is sent, what comes is told to it, and each
//! hop is printed as soon as it and all before it are final.

use std::time::Duration;

use blitz_plugin::probes::{PROBES_MAX, Probe, Session};
use blitz_plugin::{Failure, Host};

use crate::known::Known;
use crate::line;
use crate::record::{self, Trace};
use crate::settings::{EXIT_USAGE, Settings};
use crate::strategy::{Hop, Strategy};

const EXIT_NOT_REACHED: u8 = 1;
/// Of the job's time, for the last words.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Where nothing is due, which is not so while a hop is open.
const IDLE: Duration = Duration::from_millis(100);

/// Traces, and prints.
pub(crate) fn run(settings: &Settings, region: &str, host: &mut dyn Host) -> Result<u8, Failure> {
    let opened = host.probes(&settings.target);
    let mut session = opened.map_err(|error| Failure::of_host(error, EXIT_USAGE, region))?;
    let (address, name) = (session.address(), &settings.target.host);
    let size_bytes = settings.size_bytes(address);
    let hops_max = settings.plan.last;
    let head = format!("{name} ({address}), {hops_max} hops max, {size_bytes} byte packets");
    writeln!(host.stdout(), "traceroute to {head}")?;
    host.stdout().flush()?;
    let mut strategy = Strategy::new(settings.plan.clone(), size_bytes);
    if settings.finds_mtu {
        strategy = strategy.finding_mtu(u16::try_from(session.mtu()).unwrap_or(u16::MAX));
    }
    let mut tracer = Tracer {
        settings,
        strategy,
        known: Known::new(!settings.is_numeric, settings.shows_networks),
        trace: Trace::new(name, address),
    };
    let went = tracer.go(session.as_mut(), region, host);
    tracer.print_unfinished(session.as_mut(), host)?;
    let probes_count = tracer.strategy.probes_count();
    let trace = tracer.trace;
    trace.emit(probes_count, session.elapsed(), host)?;
    host.count("probes_count", u64::try_from(probes_count).unwrap_or(u64::MAX))?;
    went?;
    if let Some(text) = &trace.unsent {
        return Err(Failure::new(EXIT_NOT_REACHED, text.clone()));
    }
    Ok(if trace.is_reached { 0 } else { EXIT_NOT_REACHED })
}

struct Tracer<'a> {
    settings: &'a Settings,
    strategy: Strategy,
    known: Known,
    trace: Trace,
}

impl Tracer<'_> {
    /// Until all hops are printed, or the job is to end.
    fn go(
        &mut self,
        session: &mut dyn Session,
        region: &str,
        host: &mut dyn Host,
    ) -> Result<(), Failure> {
        loop {
            // What came while a name was waited for is no hole.
            self.hear(session, Duration::ZERO, region)?;
            let queries = self.strategy.ready(session.elapsed());
            let probes: Vec<Probe> =
                queries.iter().map(|query| self.settings.probe(query)).collect();
            for (queries, probes) in queries.chunks(PROBES_MAX).zip(probes.chunks(PROBES_MAX)) {
                let went = session.send(probes);
                if host.is_cancelled() {
                    return Ok(());
                }
                went.map_err(|error| Failure::of_host(error, EXIT_NOT_REACHED, region))?;
                // Sending waits for the engine's rates: what counts is when it was over.
                self.strategy.sent(queries, session.elapsed());
            }
            let now = session.elapsed();
            let wait = self.strategy.due(now).map_or(IDLE, |due| due - now);
            let left = host.time_left().saturating_sub(LAST_WORDS);
            if host.is_cancelled() {
                return Ok(());
            }
            if left.is_zero() {
                let text = "traceroute: the job's time is over; --timeout gives it more";
                return Ok(writeln!(host.stderr(), "{text}")?);
            }
            self.hear(session, wait.min(left), region)?;
            self.print_final(session, host)?;
            if self.strategy.is_done() {
                return Ok(());
            }
        }
    }

    fn hear(
        &mut self,
        session: &mut dyn Session,
        wait: Duration,
        region: &str,
    ) -> Result<(), Failure> {
        let answers = session.next(wait);
        for answer in answers.map_err(|error| Failure::of_host(error, EXIT_NOT_REACHED, region))? {
            self.strategy.hear(answer);
        }
        Ok(())
    }

    /// Prints what is final, once the names are there; while other things are due, those come first.
    fn print_final(
        &mut self,
        session: &mut dyn Session,
        host: &mut dyn Host,
    ) -> Result<(), Failure> {
        let now = session.elapsed();
        let left = host.time_left().saturating_sub(LAST_WORDS);
        let idle = self.strategy.due(now).map_or(left, |due| (due - now).min(left));
        while let Some(hop) = self.strategy.final_hop(session.elapsed()) {
            if !self.known.has_names(&hop.addresses(), idle, session) {
                return Ok(());
            }
            print(hop, self.settings, &mut self.known, &mut self.trace, host)?;
            self.strategy.take();
        }
        Ok(())
    }

    /// What there is when the job ends early.
    fn print_unfinished(
        &mut self,
        session: &mut dyn Session,
        host: &mut dyn Host,
    ) -> Result<(), Failure> {
        self.known.hurry();
        while let Some(hop) = self.strategy.unfinished_hop() {
            self.known.has_names(&hop.addresses(), Duration::ZERO, session);
            print(hop, self.settings, &mut self.known, &mut self.trace, host)?;
            self.strategy.take();
        }
        Ok(())
    }
}

fn print(
    hop: &Hop,
    settings: &Settings,
    known: &mut Known,
    trace: &mut Trace,
    host: &mut dyn Host,
) -> Result<(), Failure> {
    known.look_up_networks(&hop.addresses(), host)?;
    writeln!(host.stdout(), "{}", line::line(hop, settings, known))?;
    host.stdout().flush()?;
    let record = record::hop(hop, known);
    record.emit(host, "hop")?;
    trace.add(hop, known);
    let rtts: Vec<u64> = hop.rtts_us().into_iter().flatten().collect();
    host.count("answers_count", u64::try_from(rtts.len()).unwrap_or(u64::MAX))?;
    host.observe("rtt_us", &rtts)?;
    Ok(())
}
