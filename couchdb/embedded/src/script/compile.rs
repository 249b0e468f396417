//! From the text of a function to the function, in an environment like that of CouchDB's query server.

use super::{
    ScriptError,
    limits::{LOG_LINES_MAX, OUT_OF_MEMORY, OUT_OF_TIME},
};
use rquickjs::{
    Ctx, Error, Function, Object, Persistent, Value, context::EvalOptions, function::Func,
};
use std::{cell::Cell, rc::Rc};

/// Prepares the environment.
pub(super) fn drive<'js>(
    ctx: &Ctx<'js>,
    library: Option<&str>,
    log_lines: &Rc<Cell<u32>>,
) -> rquickjs::Result<Object<'js>> {
    let library = match library {
        Some(text) => ctx.json_parse(text)?,
        None => Value::new_undefined(ctx.clone()),
    };
    let lines = Rc::clone(log_lines);
    let write = move |line: String| {
        lines.set(lines.get().saturating_add(1));
        if lines.get() <= LOG_LINES_MAX {
            tracing::debug!(line, "a function of a design document says");
        }
    };
    let driver: Function<'js> = ctx.eval(include_str!("driver.js"))?;
    driver.call((library, Func::from(write)))
}

/// Makes a function of its text.
pub(super) fn compile<'js>(
    ctx: &Ctx<'js>,
    driver: &Object<'js>,
    text: &str,
    is_late: impl Fn() -> bool,
) -> Result<Persistent<Function<'static>>, ScriptError> {
    let wrong = |said: &str| ScriptError::Compilation { reason: format!("{said} ({text})") };
    let evaluate = |source: String| -> Result<Value<'js>, (String, String)> {
        let mut options = EvalOptions::default();
        options.strict = false;
        options.backtrace_barrier = true;
        match ctx.eval_with_options::<Value<'js>, _>(source, options) {
            Ok(value) => Ok(value),
            Err(Error::Exception) => {
                let caught = ctx.catch();
                let told = driver.get::<_, Function<'js>>("thrown");
                let told = told.and_then(|told| told.call::<_, Vec<String>>((caught,)));
                let mut told = told.unwrap_or_default().into_iter();
                Err((told.next().unwrap_or_default(), told.next().unwrap_or_default()))
            }
            Err(error) => Err((String::from("SyntaxError"), error.to_string())),
        }
    };
    let limited = |name: &str| {
        if is_late() {
            return Some(ScriptError::Limit(OUT_OF_TIME));
        }
        (name == "InternalError").then_some(ScriptError::Limit(OUT_OF_MEMORY))
    };
    let expression = text.trim_end().trim_end_matches(';');
    let made = evaluate(format!("({expression}\n)")).or_else(|(name, said)| {
        if let Some(limit) = limited(&name) {
            return Err(limit);
        }
        if name != "SyntaxError" {
            return Err(wrong(&format!("{name}: {said}")));
        }
        // Statements before the function: the value of a program is that of its last one.
        evaluate(text.to_owned()).map_err(|(name, said)| {
            if let Some(limit) = limited(&name) {
                return limit;
            }
            // The function alone says what is wrong in it; nothing runs, as the bracket stays open.
            match evaluate(format!("({expression}")) {
                Err((inner, open)) if inner == "SyntaxError" && !open.contains("')'") => {
                    wrong(&format!("{inner}: {open}"))
                }
                _ => wrong(&format!("{name}: {said}")),
            }
        })
    })?;
    match made.into_function() {
        Some(function) => Ok(Persistent::save(ctx, function)),
        None => Err(wrong("Expression does not eval to a function.")),
    }
}
