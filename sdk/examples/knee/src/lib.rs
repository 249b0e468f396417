//! How many users a service takes: twice as many with each step, until it is too slow or fails. The host sends the
//! requests; this makes the plan, judges what comes back, and stops the test when it knows.

mod steps;

use blitz_plugin::load::{LoadTest, Plan, SEGMENTS_MAX, Segment, Shape, Step, Tick, Verdict};
use blitz_plugin::{Call, Failure, Host, Plugin, Record};

use steps::{Measured, Steps};

blitz_plugin::arguments!(pub struct Args);

#[derive(Debug)]
pub struct Knee;

blitz_plugin::export!(Knee);

/// The status when already the first step was too much.
const EXIT_NO_STEP: u8 = 3;
/// The shortest step, in seconds: one that settles, and one that counts.
const HOLD_S_MIN: u64 = 2;

impl Plugin for Knee {
    fn run(call: &Call, host: &mut dyn Host) -> Result<u8, Failure> {
        let args = Args::of(call);
        let hold_s = args.hold.as_secs();
        if hold_s < HOLD_S_MIN || args.hold.subsec_nanos() > 0 {
            let text = format!("--hold is {HOLD_S_MIN}s or more, in whole seconds");
            return Err(Failure::new(2, text));
        }
        let mut users: Vec<i64> =
            std::iter::successors(Some(args.from.max(1)), |users| users.checked_mul(2))
                .take_while(|users| *users <= args.to)
                .take(SEGMENTS_MAX)
                .collect();
        if users.is_empty() {
            return Err(Failure::new(2, "--to is not less than --from"));
        }
        // Whoever runs out of time says nothing more.
        let fit = usize::try_from(host.time_left().as_secs() / hold_s).unwrap_or(usize::MAX);
        if fit < users.len() {
            users.truncate(fit.max(1));
            let text = "knee: there is no time for more than";
            writeln!(
                host.stderr(),
                "{text} {} users; --timeout gives more",
                users[users.len() - 1]
            )?;
        }

        let segments = users.iter().map(|users| Segment::flat(*users as f64, args.hold)).collect();
        let step = Step::new("GET", &args.url, args.wait);
        let plan = Plan::new(vec![step], Shape::Users { segments });
        let mut test = host.load(&plan).map_err(|e| Failure::of_host(e, 1, &call.region))?;
        let mut steps = Steps::new(users, hold_s);
        let end = climb(&args, test.as_mut(), &mut steps, host)?;
        told(&steps, &end, host)
    }
}

/// Why it does not go on.
enum End {
    /// A step was too much.
    TooMuch,
    /// There are no more steps.
    Top,
    /// The host or the user ended it.
    Early(String),
}

/// Judges each step as soon as it is whole.
fn climb(
    args: &Args,
    test: &mut dyn LoadTest,
    steps: &mut Steps,
    host: &mut dyn Host,
) -> Result<End, Failure> {
    loop {
        let ticks = test.next(args.hold)?;
        if ticks.is_empty() && host.is_cancelled() {
            return Ok(End::Early("it was stopped".to_owned()));
        }
        let is_over = has_last(&ticks);
        for tick in &ticks {
            // A second may come in several ticks: what is before this one is whole.
            if !judged(args, steps, tick.second, host)? {
                if !is_over {
                    stop(args, test, host)?;
                }
                return Ok(End::TooMuch);
            }
            steps.add(tick);
            match &tick.closing {
                None => {}
                Some(closing) if closing.verdict == Verdict::Ended => {
                    let is_good = judged(args, steps, u32::MAX, host)?;
                    return Ok(if is_good { End::Top } else { End::TooMuch });
                }
                Some(closing) => return Ok(End::Early(closing.text.clone())),
            }
        }
    }
}

/// Ends the test before its time. What is on its way is waited for, so that the report of the test is whole.
fn stop(args: &Args, test: &mut dyn LoadTest, host: &mut dyn Host) -> Result<(), Failure> {
    test.stop();
    loop {
        let ticks = test.next(args.hold)?;
        if has_last(&ticks) || (ticks.is_empty() && host.is_cancelled()) {
            return Ok(());
        }
    }
}

fn has_last(ticks: &[Tick]) -> bool {
    ticks.iter().any(|tick| tick.closing.is_some())
}

/// Judges the steps that ended before this second; false behind the first one that was too much.
fn judged(
    args: &Args,
    steps: &mut Steps,
    second: u32,
    host: &mut dyn Host,
) -> Result<bool, Failure> {
    while let Some(step) = steps.whole_before(second) {
        if !is_good(args, &step, host)? {
            return Ok(false);
        }
        steps.good.push(step);
    }
    Ok(true)
}

/// Whether a step keeps the limits; prints its line.
fn is_good(args: &Args, step: &Measured, host: &mut dyn Host) -> Result<bool, Failure> {
    let is_quick = step.p99_us().is_some_and(|p99| u128::from(p99) <= args.limit.as_micros());
    let is_good = is_quick && step.failed_percent() <= args.errors;
    let mark = if is_good { "" } else { "  too much" };
    writeln!(host.stdout(), "{step}{mark}")?;
    Ok(is_good)
}

fn told(steps: &Steps, end: &End, host: &mut dyn Host) -> Result<u8, Failure> {
    let Some(last) = steps.good.last() else {
        return match end {
            End::Early(text) => Err(Failure::new(1, text.as_str())),
            _ => Err(Failure::new(EXIT_NO_STEP, "the first step was too much; --from is less")),
        };
    };
    let users = last.users;
    match end {
        End::TooMuch => writeln!(host.stdout(), "the knee is behind {users} users")?,
        End::Top => writeln!(host.stdout(), "no knee up to {users} users; --to goes on")?,
        End::Early(text) => writeln!(host.stdout(), "no knee up to {users} users: {text}")?,
    }
    let record = |step: &Measured| {
        Record::new()
            .field("users", step.users)
            .field("rate_per_s", step.rate_per_s())
            .field("p99_us", step.p99_us())
            .field("failed_count", step.failed)
    };
    record(last)
        .field("is_found", matches!(end, End::TooMuch))
        .field("steps", steps.good.iter().map(record).collect::<Vec<_>>())
        .emit(host, "knee")?;
    Ok(matches!(end, End::Early(_)).into())
}

#[cfg(test)]
mod tests;
