//! The record of kind `answer`, for programs and for a table of regions.

use blitz_plugin::{Failure, Host, HostError, Record as Json};

use crate::ask::Answered;
use crate::lookup::Lookup;
use crate::wire::{FLAGS, Record};
use crate::{numbers, print, rdata};

/// Records of each section that are told of an answer whose all are more than a record may have.
const RECORDS_CUT: usize = 50;

pub(crate) fn emit(
    answered: &Answered,
    lookup: &Lookup,
    host: &mut dyn Host,
) -> Result<(), Failure> {
    let message = &answered.message;
    let flags = FLAGS.iter().filter(|(flag, _)| message.flags & flag != 0);
    let head = Json::new()
        .field("server", &answered.reply.server)
        .field("transport", print::transport_text(answered.transport).to_lowercase())
        .field("name", &lookup.name)
        .field("type", numbers::kind_text(lookup.kind))
        .field("class", numbers::class_text(lookup.class))
        .field("rcode", numbers::rcode_text(message.rcode()))
        .field("flags", flags.map(|(_, word)| *word).collect::<Vec<_>>())
        .field("records_count", message.sections[0].len())
        .field("query_us", answered.reply.elapsed_us)
        .field("connect_us", answered.reply.connect_us)
        .field("size_bytes", answered.reply.bytes.len());
    let with = |records_max: usize| {
        let records = |section: &[Record]| -> Vec<Json> {
            section.iter().take(records_max).map(|record| json(answered, record)).collect()
        };
        let [answers, authorities, additional] = &message.sections;
        head.clone()
            .field("records", records(answers))
            .field("authority", records(authorities))
            .field("additional", records(additional))
            .field("is_cut", message.sections.iter().any(|section| section.len() > records_max))
    };
    for records_max in [usize::MAX, RECORDS_CUT] {
        match with(records_max).emit(host, "answer") {
            Err(HostError::Limit(_)) => {}
            other => return Ok(other?),
        }
    }
    Ok(with(0).emit(host, "answer")?)
}

fn json(answered: &Answered, record: &Record) -> Json {
    Json::new()
        .field("name", &record.name)
        .field("ttl_s", record.ttl_s)
        .field("class", numbers::class_text(record.class))
        .field("type", numbers::kind_text(record.kind))
        .field("data", rdata::text(&answered.message, record))
}
