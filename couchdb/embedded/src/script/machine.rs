//! One interpreter with the compiled functions of one design, and the clock that stops it.

use super::{
    Design, Emitted, Mapped, ScriptError,
    compile::{compile, drive},
    limits::{
        BATCH_BYTES_MAX, BATCH_OUT_OF_TIME, BATCH_TOO_LARGE, KEPT_BYTES_MAX, KEPT_LOOK_PERIOD,
        MEMORY_BYTES, OUT_OF_MEMORY, OUT_OF_TIME, ROWS_BYTES_MAX, ROWS_MAX, STACK_BYTES,
        TOO_MANY_ROWS, Times,
    },
};
use rquickjs::{
    Array, Context, Ctx, Error, Function, Object, Persistent, Runtime, Value, context::intrinsic,
};
use std::{cell::Cell, rc::Rc, time::Instant};

/// What CouchDB's query server has, and promises: without them the interpreter leaks what `import()` and
/// async functions make. Nothing runs what they put off.
type Intrinsics = (
    intrinsic::Eval,
    intrinsic::RegExpCompiler,
    intrinsic::RegExp,
    intrinsic::Json,
    intrinsic::MapSet,
    intrinsic::Date,
    intrinsic::Promise,
);

/// Tells the interpreter when to stop, and a watcher when it should have.
#[derive(Debug)]
pub(super) struct Clock {
    times: Times,
    due: Cell<Instant>,
    batch_end: Cell<Instant>,
    rang: Cell<bool>,
}

impl Clock {
    fn new(times: Times) -> Clock {
        let now = Instant::now();
        Clock { times, due: Cell::new(now), batch_end: Cell::new(now), rang: Cell::new(false) }
    }

    fn is_over(&self) -> bool {
        let over = Instant::now() >= self.due.get();
        if over {
            self.rang.set(true);
        }
        over
    }
}

/// What a machine asks of the thread that it runs on.
pub(super) trait Thread {
    /// How long calls may take.
    fn times(&self) -> Times;
    /// Whether everything shall end.
    fn is_closed(&self) -> bool;
    /// A call begins; it shall be over then.
    fn begins(&self, due: Instant);
}

/// A compiled design.
pub(super) struct Machine {
    // In this order: values go before their context, and that before its runtime.
    functions: Vec<Persistent<Function<'static>>>,
    driver: Persistent<Object<'static>>,
    context: Context,
    runtime: Runtime,
    clock: Rc<Clock>,
    thread: Rc<dyn Thread>,
    log_lines: Rc<Cell<u32>>,
    batches: u32,
}

impl Machine {
    pub(super) fn new(design: &Design, thread: Rc<dyn Thread>) -> Result<Machine, ScriptError> {
        let clock = Rc::new(Clock::new(thread.times()));
        let runtime = Runtime::new().map_err(|_| ScriptError::Limit(OUT_OF_MEMORY))?;
        let context = Context::custom::<Intrinsics>(&runtime);
        let context = context.map_err(|_| ScriptError::Limit(OUT_OF_MEMORY))?;
        runtime.set_memory_limit(MEMORY_BYTES);
        runtime.set_max_stack_size(STACK_BYTES);
        let (watched, watcher) = (Rc::clone(&clock), Rc::clone(&thread));
        runtime.set_interrupt_handler(Some(Box::new(move || {
            watched.is_over() || watcher.is_closed()
        })));
        let log_lines = Rc::new(Cell::new(0));
        start(&clock, &*thread);
        begin(&clock, &*thread)?;
        let (driver, functions) = context.with(|ctx| {
            let driver = drive(&ctx, design.library.as_deref(), &log_lines)
                .map_err(|error| failure(&ctx, &clock, &error))?;
            let compile = |text| compile(&ctx, &driver, text, || clock.rang.get());
            let functions = design.functions.iter().map(|text| compile(text));
            let functions = functions.collect::<Result<_, ScriptError>>()?;
            Ok((Persistent::save(&ctx, driver), functions))
        })?;
        let batches = 0;
        Ok(Machine { functions, driver, context, runtime, clock, thread, log_lines, batches })
    }

    /// Whether to keep it for the next batch.
    pub(super) fn is_worth_keeping(&mut self) -> bool {
        self.batches = self.batches.wrapping_add(1);
        let look = self.batches % KEPT_LOOK_PERIOD == 1;
        let used = || u64::try_from(self.runtime.memory_usage().memory_used_size).unwrap_or(0);
        !look || used() <= KEPT_BYTES_MAX
    }

    pub(super) fn map(&mut self, documents: &[Box<str>]) -> Result<Vec<Mapped>, ScriptError> {
        let mut bytes = 0_usize;
        self.batch(documents, |job, document| {
            let document = job.parse(document)?;
            let seal: Function<'_> = job.driver.get("seal")?;
            seal.call::<_, ()>((document.clone(),))?;
            let map: Function<'_> = job.driver.get("map")?;
            let mut mapped = Vec::with_capacity(job.functions.len());
            for function in &job.functions {
                let arguments = (function.clone(), document.clone(), ROWS_MAX, ROWS_BYTES_MAX);
                let rows: Option<Array<'_>> = map.call(arguments)?;
                let Some(rows) = rows else { return Ok(Err(ScriptError::Limit(TOO_MANY_ROWS))) };
                let rows = emitted(&rows)?;
                bytes += rows.iter().map(|row| row.key.len() + row.value.len()).sum::<usize>();
                if bytes > BATCH_BYTES_MAX {
                    return Ok(Err(ScriptError::Limit(BATCH_TOO_LARGE)));
                }
                mapped.push(rows);
            }
            Ok(Ok(mapped))
        })
    }

    pub(super) fn reduce(
        &mut self,
        groups: &[(Box<str>, Box<str>)],
    ) -> Result<Vec<Result<Box<str>, ScriptError>>, ScriptError> {
        let mut bytes = 0_usize;
        self.batch(groups, |job, (keys, values)| {
            let reduce: Function<'_> = job.driver.get("reduce")?;
            let function = job.function()?;
            let made: Vec<String> =
                reduce.call((function, job.parse(keys)?, job.parse(values)?))?;
            bytes += made.iter().map(String::len).sum::<usize>();
            if bytes > BATCH_BYTES_MAX {
                return Ok(Err(ScriptError::Limit(BATCH_TOO_LARGE)));
            }
            let mut made = made.into_iter();
            Ok(Ok(match (made.next(), made.next()) {
                (Some(result), None) => Ok(well_formed(result)),
                (name, reason) => Err(thrown(name, reason)),
            }))
        })
    }

    pub(super) fn validate(&mut self, arguments: &[Box<str>; 4]) -> Result<(), ScriptError> {
        let done =
            self.batch(std::slice::from_ref(arguments), |job, [new, old, user, security]| {
                let validate: Function<'_> = job.driver.get("validate")?;
                let parsed =
                    (job.parse(new)?, job.parse(old)?, job.parse(user)?, job.parse(security)?);
                let (new, old, user, security) = parsed;
                let refused: Option<Vec<String>> =
                    validate.call((job.function()?, new, old, user, security))?;
                let Some(refused) = refused else { return Ok(Ok(())) };
                let mut refused = refused.into_iter();
                Ok(Err(thrown(refused.next(), refused.next())))
            });
        done.map(|_| ())
    }

    pub(super) fn filter(
        &mut self,
        documents: &[Box<str>],
        request: &str,
    ) -> Result<Vec<bool>, ScriptError> {
        let mut parsed = None;
        self.batch(documents, |job, document| {
            let filter: Function<'_> = job.driver.get("filter")?;
            // One request for the whole batch, as CouchDB does.
            let request = match &parsed {
                Some(request) => Persistent::clone(request).restore(&job.ctx)?,
                None => {
                    let request = job.parse(request)?;
                    parsed = Some(Persistent::save(&job.ctx, request.clone()));
                    request
                }
            };
            let passed: Value<'_> =
                filter.call((job.function()?, job.parse(document)?, request))?;
            passes(&passed)
        })
    }

    pub(super) fn filter_view(&mut self, documents: &[Box<str>]) -> Result<Vec<bool>, ScriptError> {
        self.batch(documents, |job, document| {
            let filter: Function<'_> = job.driver.get("filterView")?;
            let passed: Value<'_> = filter.call((job.function()?, job.parse(document)?))?;
            passes(&passed)
        })
    }

    /// Calls `one` for each item, within the time of a call and that of a batch.
    fn batch<I, T>(
        &mut self,
        items: &[I],
        mut one: impl FnMut(&Job<'_>, &I) -> rquickjs::Result<Result<T, ScriptError>>,
    ) -> Result<Vec<T>, ScriptError> {
        self.log_lines.set(0);
        start(&self.clock, &*self.thread);
        let mut made = Vec::with_capacity(items.len());
        self.context.with(|ctx| {
            let failed = |error: &Error| failure(&ctx, &self.clock, error);
            let restore = |function: &Persistent<Function<'static>>| {
                Persistent::clone(function).restore(&ctx)
            };
            let functions = self.functions.iter().map(restore).collect::<rquickjs::Result<_>>();
            let driver = Persistent::clone(&self.driver).restore(&ctx);
            let job = Job {
                functions: functions.map_err(|error| failed(&error))?,
                driver: driver.map_err(|error| failed(&error))?,
                ctx: ctx.clone(),
            };
            for item in items {
                begin(&self.clock, &*self.thread)?;
                made.push(one(&job, item).map_err(|error| failed(&error))??);
            }
            Ok(made)
        })
    }
}

/// What the calls of a batch have in common.
struct Job<'js> {
    functions: Vec<Function<'js>>,
    driver: Object<'js>,
    ctx: Ctx<'js>,
}

impl<'js> Job<'js> {
    fn parse(&self, json: &str) -> rquickjs::Result<Value<'js>> {
        self.ctx.json_parse(json)
    }

    /// The function of a design that has one.
    fn function(&self) -> rquickjs::Result<Function<'js>> {
        self.functions.first().cloned().ok_or(Error::Unknown)
    }
}

/// A batch starts.
fn start(clock: &Clock, thread: &dyn Thread) {
    clock.batch_end.set(Instant::now() + clock.times.batch);
    thread.begins(clock.batch_end.get());
}

/// A call of a batch begins.
fn begin(clock: &Clock, thread: &dyn Thread) -> Result<(), ScriptError> {
    if thread.is_closed() {
        return Err(ScriptError::Closed);
    }
    let now = Instant::now();
    if now >= clock.batch_end.get() {
        return Err(ScriptError::Limit(BATCH_OUT_OF_TIME));
    }
    clock.rang.set(false);
    clock.due.set((now + clock.times.call).min(clock.batch_end.get()));
    thread.begins(clock.due.get());
    Ok(())
}

/// What a failed call means.
fn failure(ctx: &Ctx<'_>, clock: &Clock, error: &Error) -> ScriptError {
    let caught = ctx.catch();
    if clock.rang.get() {
        let whole = clock.due.get() >= clock.batch_end.get();
        return ScriptError::Limit(if whole { BATCH_OUT_OF_TIME } else { OUT_OF_TIME });
    }
    if matches!(error, Error::Allocation) || caught.is_null() {
        return ScriptError::Limit(OUT_OF_MEMORY);
    }
    let Some(exception) = caught.as_object() else {
        let reason = error.to_string();
        return ScriptError::Thrown { name: String::from("unknown_error"), reason };
    };
    let name = exception.get::<_, String>("name").unwrap_or_default();
    if name == "InternalError" {
        return ScriptError::Limit(OUT_OF_MEMORY);
    }
    let reason = exception.get::<_, String>("message").unwrap_or_default();
    ScriptError::Thrown { name, reason }
}

fn thrown(name: Option<String>, reason: Option<String>) -> ScriptError {
    let name = name.unwrap_or_else(|| String::from("unknown_error"));
    ScriptError::Thrown { name, reason: reason.unwrap_or_default() }
}

fn passes(passed: &Value<'_>) -> rquickjs::Result<Result<bool, ScriptError>> {
    if let Some(passed) = passed.as_bool() {
        return Ok(Ok(passed));
    }
    let mut refused = passed.get::<Vec<String>>()?.into_iter();
    Ok(Err(thrown(refused.next(), refused.next())))
}

fn emitted(rows: &Array<'_>) -> rquickjs::Result<Vec<Emitted>> {
    let mut made = Vec::with_capacity(rows.len() / 2);
    let mut place = 0;
    while place + 1 < rows.len() {
        let (key, value) = (rows.get::<String>(place)?, rows.get::<String>(place + 1)?);
        made.push(Emitted { key: well_formed(key), value: well_formed(value) });
        place += 2;
    }
    Ok(made)
}

/// JSON without halves of surrogate pairs, which JavaScript writes as escapes and no other reader of
/// JSON takes.
fn well_formed(json: String) -> Box<str> {
    let is_half = |at: usize| {
        let digits = json.as_bytes().get(at + 2..at + 4);
        digits.is_some_and(|digits| {
            matches!(digits[0], b'd' | b'D')
                && matches!(digits[1], b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F')
        })
    };
    if !json.contains("\\ud") && !json.contains("\\uD") {
        return json.into_boxed_str();
    }
    let mut made = String::with_capacity(json.len());
    let mut rest = 0;
    let mut at = 0;
    while let Some(found) = json[at..].find('\\') {
        at += found;
        if json[at..].starts_with("\\u") && is_half(at) {
            made.push_str(&json[rest..at]);
            made.push_str("\\ufffd");
            at += 6;
            rest = at;
        } else {
            // What is escaped may itself be a backslash.
            at += 2;
        }
    }
    made.push_str(&json[rest..]);
    made.into_boxed_str()
}
