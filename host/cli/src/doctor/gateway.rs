//! The gateway that commands of this user go to.

use std::time::Instant;

use super::finding::Part;
use crate::environment::Environment;
use crate::locate::{Place, locate};
use crate::wire::{Engines, Regions};

pub(super) async fn look(host: Option<&str>, environment: &Environment) -> Part {
    let mut part = Part::new("gateway");
    let gateway = match locate(host, environment) {
        Ok(Place::Gateway(gateway)) => *gateway,
        Ok(Place::Here) => {
            part.note(
                "none runs: commands start everything in their own process",
                "start 'blitz up' here, or name one with --host or BLITZ_HOST",
            );
            return part;
        }
        Err(error) => {
            part.bad(&error.to_string(), "");
            return part;
        }
    };
    part.set_about(&format!("gateway {}", gateway.url()));
    let asked = Instant::now();
    match gateway.list::<Regions>("/v1/regions").await {
        Ok(found) => {
            let ms = asked.elapsed().as_secs_f64() * 1e3;
            part.ok(&format!("answers in {ms:.1} ms, and knows {} regions", found.regions.len()));
            for region in found.regions.iter().filter(|region| region.engines == 0) {
                part.warning(
                    &format!("region {} has no living engine: its jobs wait", region.name),
                    &format!("start one: blitz engine --region {}", region.name),
                );
            }
        }
        Err(error) => return refused(part, &error.to_string()),
    }
    match gateway.list::<Engines>("/v1/engines").await {
        Ok(found) => {
            let other = |build: &str| build != env!("CARGO_PKG_VERSION");
            let others = found.engines.iter().filter(|engine| other(&engine.build));
            let others: Vec<String> =
                others.map(|engine| format!("{} ({})", engine.id, engine.build)).collect();
            if !others.is_empty() {
                part.note(
                    &format!(
                        "engines of another version than this program's {}: {}",
                        env!("CARGO_PKG_VERSION"),
                        others.join(", ")
                    ),
                    "two versions work side by side; finish the upgrade when it is one",
                );
            }
        }
        Err(error) => return refused(part, &error.to_string()),
    }
    part
}

fn refused(mut part: Part, error: &str) -> Part {
    part.bad(error, "start it, or name another with --host; its token stands in BLITZ_TOKEN");
    part
}
