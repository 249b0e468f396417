//! Lines as JSON: one object an event, for collectors of logs.
//!
//! `tracing-subscriber` has the like behind a feature; it brings two more crates and has everything that logs built again, for
//! what are eighty lines here.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes events as objects: `timestamp`, `level`, `target`, `message`, and the fields of the event and of all spans around
/// it, `request` and `job` among them. Of fields of one name the innermost counts.
pub(super) struct Json;

/// Keeps the fields of spans as objects.
pub(super) struct JsonFields;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut object = Object::default();
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<N>>();
            let fields = fields.map(|fields| fields.fields.as_str()).unwrap_or_default();
            if let Ok(Value::Object(fields)) = serde_json::from_str(fields) {
                object.0.extend(fields);
            }
        }
        event.record(&mut object);
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let metadata = event.metadata();
        for (name, value) in [
            ("timestamp", time.as_str()),
            ("level", metadata.level().as_str()),
            ("target", metadata.target()),
        ] {
            object.0.insert(name.to_owned(), value.into());
        }
        writeln!(writer, "{}", Value::Object(object.0))
    }
}

impl<'writer> FormatFields<'writer> for JsonFields {
    fn format_fields<R: RecordFields>(
        &self,
        mut writer: Writer<'writer>,
        fields: R,
    ) -> fmt::Result {
        let mut object = Object::default();
        fields.record(&mut object);
        write!(writer, "{}", Value::Object(object.0))
    }
}

/// Fields by their names.
#[derive(Default)]
struct Object(Map<String, Value>);

impl Object {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Object {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
}
