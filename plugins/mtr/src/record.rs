//! The records: `path` while it goes on, `report` at the end.

use std::time::Duration;

use blitz_plugin::probes::Label;
use blitz_plugin::{Host, HostError, Record};

use crate::names::Names;
use crate::path::{Address, Hop};
use crate::rounds::Rounds;
use crate::stats::microseconds;

/// What is known so far.
pub(crate) fn emit_path(rounds: &mut Rounds<'_>, host: &mut dyn Host) -> Result<(), HostError> {
    let Rounds { settings, session, path, .. } = rounds;
    let names = Names::of(path, settings, session.as_mut(), Duration::ZERO);
    let hops: Vec<Record> = path.rows().iter().map(|hop| figures(hop, &names)).collect();
    Record::new()
        .field("target", &settings.target.host)
        .field("address", session.address().to_string())
        .field("round", path.round)
        .field("rounds_count", settings.rounds)
        .field("hops", hops)
        .emit(host, "path")
}

/// All of it; on top the figures of the target, for a table of regions. They are null for one that never answered.
pub(crate) fn emit_report(
    rounds: &Rounds<'_>,
    names: &Names,
    host: &mut dyn Host,
) -> Result<(), HostError> {
    let rows = rounds.path.rows();
    let target = rows.last().filter(|hop| hop.is_target);
    let of = |figure: fn(&Hop) -> f64| target.map(|hop| microseconds(figure(hop)));
    let report = Record::new()
        .field("target", &rounds.settings.target.host)
        .field("address", rounds.session.address().to_string())
        .field("source", rounds.session.source().to_string())
        .field("is_reached", target.is_some())
        .field("hops_count", rows.len())
        .field("loss_percent", target.map_or(100.0, |hop| one_decimal(hop.loss_percent())))
        .field("sent", target.map(|hop| hop.sent))
        .field("avg_us", of(|hop| hop.stats.mean))
        .field("best_us", of(|hop| hop.stats.best))
        .field("worst_us", of(|hop| hop.stats.worst))
        .field("stdev_us", of(|hop| hop.stats.deviation()))
        .field("jitter_mean_us", of(|hop| hop.stats.jitter_mean));
    let hop = |hop: &Hop| {
        let addresses: Vec<_> = hop.answerers().map(|known| address(hop, known, names)).collect();
        figures(hop, names).field("addresses", addresses)
    };
    let full = report.clone().field("hops", rows.iter().map(hop).collect::<Vec<_>>());
    match full.emit(host, "report") {
        // Many ways at many hops: who answered is left out before the figures are.
        Err(HostError::Limit(_)) => {
            let hops = rows.iter().map(|hop| figures(hop, names)).collect::<Vec<_>>();
            report.field("hops", hops).emit(host, "report")
        }
        other => other,
    }
}

fn figures(hop: &Hop, names: &Names) -> Record {
    let stats = &hop.stats;
    let heard = |figure: f64| (stats.received > 0).then(|| microseconds(figure));
    Record::new()
        .field("ttl", hop.ttl)
        .field("host", names.hop(hop))
        .field("loss_percent", one_decimal(hop.loss_percent()))
        .field("sent", hop.sent)
        .field("received", stats.received)
        .field("last_us", heard(stats.last))
        .field("avg_us", heard(stats.mean))
        .field("best_us", heard(stats.best))
        .field("worst_us", heard(stats.worst))
        .field("stdev_us", heard(stats.deviation()))
        .field("jitter_us", heard(stats.jitter))
        .field("jitter_mean_us", heard(stats.jitter_mean))
        .field("jitter_worst_us", heard(stats.jitter_worst))
}

fn address(hop: &Hop, known: &Address, names: &Names) -> Record {
    let label = |label: &Label| {
        Record::new()
            .field("label", label.label)
            .field("traffic_class", label.traffic_class)
            .field("is_bottom", label.is_bottom)
            .field("ttl", label.ttl)
    };
    Record::new()
        .field("address", known.address.to_string())
        .field("name", names.name(known.address))
        .field("asn", names.asn(known.address))
        .field("share_percent", one_decimal(hop.share_percent(known)))
        .field("flows", known.flows.iter().map(|flow| flow + 1).collect::<Vec<_>>())
        .field("labels", known.labels.iter().map(label).collect::<Vec<_>>())
}

fn one_decimal(figure: f64) -> f64 {
    (figure * 10.0).round() / 10.0
}
