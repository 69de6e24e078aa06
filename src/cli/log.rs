//! Logs, to stderr.
//!
//! If the plan hides keys, every line goes through [`Hiding`], which shows only the parts that hold no key: the
//! fixed text, numbers, and keys and errors in their hidden form. It leaves out a value of any other type, so a
//! careless line shows too little, never too much. Lines of other crates are off: their texts are unknown.

use std::{error::Error, fmt, io};

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

use super::{args::LogFormat, display::Palette, term};
use migrate_core::{model::Key, report::Redactor};
use migrate_engine::EngineError;
use migrate_store::StoreError;

/// Shown in place of a value that may name a key.
const LEFT_OUT: &str = "(hidden)";

/// The fields whose texts hold no key: names of the plan, and words of this program.
const PLAIN: [&str; 9] = ["dataset", "event", "operation", "outcome", "phase", "place", "plan", "state", "step"];

/// Starts to log. Libraries are heard only where this program tells what it does itself, and never below `warn`: their
/// lines there may hold signed requests.
pub(super) fn start(format: LogFormat, hides_keys: bool) {
    let filter = EnvFilter::new(directives(format, hides_keys));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Told);
    let colour = Palette::of_stderr().is_on;
    // A second start, as in tests, keeps the first.
    let _started = match (hides_keys, format.json) {
        (true, json) => builder.event_format(Hiding { json }).try_init(),
        (false, true) => builder.json().try_init(),
        (false, false) => builder.with_ansi(colour).try_init(),
    };
}

/// Writes each line above the live block, if one is shown.
struct Told;

impl io::Write for Told {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        term::tell(String::from_utf8_lossy(line).trim_end_matches('\n'));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn directives(format: LogFormat, hides_keys: bool) -> String {
    if hides_keys {
        return format!("off,migrate={}", format.level).to_lowercase();
    }
    // What matters of a library's failure is an error of ours, in our own words.
    let others = if format.level < tracing::Level::DEBUG { "off" } else { "warn" };
    format!("{others},migrate={}", format.level).to_lowercase()
}

/// Writes lines without the keys that they name.
#[derive(Debug, Clone, Copy)]
struct Hiding {
    json: bool,
}

impl<S, N> FormatEvent<S, N> for Hiding
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut shown = Shown::default();
        event.record(&mut shown);
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let (level, target) = (event.metadata().level(), event.metadata().target());
        if self.json {
            let level = level.as_str();
            let line = serde_json::json!({ "timestamp": time, "level": level, "fields": shown.0, "target": target });
            return writeln!(writer, "{line}");
        }
        let mut fields = shown.0;
        let message = fields.remove("message").and_then(|message| message.as_str().map(str::to_owned));
        write!(writer, "{time} {level:>5} {target}: {}", message.unwrap_or_default())?;
        for (name, value) in fields {
            match value.as_str() {
                Some(text) => write!(writer, " {name}={text}")?,
                None => write!(writer, " {name}={value}")?,
            }
        }
        writer.write_char('\n')
    }
}

/// The fields of a line, as they may be shown.
#[derive(Debug, Default)]
struct Shown(Map<String, Value>);

impl Shown {
    fn show(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Shown {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.show(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.show(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.show(field, value);
    }

    /// A text is a key, a name that holds none, or unknown.
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "key" => self.show(field, Redactor::new(true).key(&Key::from(value)).as_str()),
            name if PLAIN.contains(&name) => self.show(field, value),
            _ => self.show(field, LEFT_OUT),
        }
    }

    /// Errors of our own know which key they name.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let redactor = Redactor::new(true);
        let text = if let Some(error) = value.downcast_ref::<StoreError>() {
            let text = error.to_string();
            error.key().map_or(text.clone(), |key| redactor.text(&text, key))
        } else if let Some(error) = value.downcast_ref::<EngineError>() {
            error.shown(redactor)
        } else {
            LEFT_OUT.to_owned()
        };
        self.show(field, text);
    }

    /// The fixed text of a line, which names no key: `tests/it/tidy.rs` enforces that.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = if field.name() == "message" { format!("{value:?}") } else { LEFT_OUT.to_owned() };
        self.show(field, text);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use migrate_store::ErrorKind;

    #[test]
    fn libraries_stay_quiet_and_silent_where_keys_are_hidden() {
        let debug = LogFormat { level: tracing::Level::DEBUG, json: false };
        assert_eq!(directives(debug, false), "warn,migrate=debug");
        assert_eq!(directives(debug, true), "off,migrate=debug");
        let error = LogFormat { level: tracing::Level::ERROR, json: false };
        assert_eq!(directives(error, false), "off,migrate=error");
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_shown_without_its_keys_however_they_got_there() {
        let (key, hidden) = (Key::from("people/ann.json"), Redactor::new(true).key(&"people/ann.json".into()));
        let error = StoreError::new(ErrorKind::Throttled, "read", "s3://a/b", "asked for less").on(&key);
        for json in [false, true] {
            let written = Written::default();
            let to = written.clone();
            let builder = tracing_subscriber::fmt().event_format(Hiding { json }).with_writer(move || to.clone());
            tracing::subscriber::with_default(builder.finish(), || {
                let cause: &(dyn Error + 'static) = &error;
                tracing::warn!(error = cause, attempt = 3, "trying again");
                tracing::warn!(key = key.as_str(), dataset = "people", "left");
                tracing::warn!(%key, ?error, note = "ann", "not thought of");
            });
            let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
            assert!(!text.contains("ann"), "{text}");
            assert!(text.contains("trying again") && text.contains("asked for less") && text.contains('3'), "{text}");
            assert_eq!(text.matches(hidden.as_str()).count(), 2, "{text}");
            assert_eq!(text.matches(LEFT_OUT).count(), 3, "{text}");
            assert!(text.contains("people"), "the name of a dataset is no key: {text}");
            if json {
                let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
                assert_eq!((&line["level"], &line["fields"]["attempt"]), (&"WARN".into(), &3.into()));
            }
        }
    }
}
