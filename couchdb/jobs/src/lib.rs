//! What blitz keeps in CouchDB: the documents of a job, their states, and who may write which.
//!
//! Read along a job's road: [`id`] names a job and its documents; [`region`] says which databases a region
//! has, [`cluster`] where they are, [`topology`] what of it stands where and is carried whither, [`roles`] who may do
//! what there, [`join`] how an engine comes to its role, and [`accounts`] who the users are and what they may use; [`spec`] is what was asked, and [`sealing`] how its secrets come to engines alone; [`run`] is the one document that engines contend for, a pure state machine;
//! [`feed`] brings what happens to those who contend, and [`recent`] remembers what is over; [`contest`] is one engine's
//! side of it at one home of its region: jobs and claims carry the epoch of that home, and where a region moves each home has
//! a contest of its own; [`herd`] keeps a thousand engines from trying at once; [`writing`] decides what the answer to a write means, and
//! [`start`] whether what must not run twice may begin; [`claim`] performs both; [`output`] turns frames into
//! numbered chunks; [`follow`] puts chunks back in order for a reader; [`watch`] notices who fell silent; [`keeper`]
//! ends what no engine can, one at a time by [`duty`]; [`rotation`] gives a region new databases and ends old ones. Tasks of one run that begin together meet by the documents of [`meeting`], and
//! [`gather`] decides who takes part. [`engine`] and [`plugin`] are the documents of engines and
//! plugins, [`drain`] is the order to an engine to leave, [`setup`] makes what must stand, in one store or in all clusters, [`design`] has their views, [`read`] survives foreign documents, [`timing`] has every duration of
//! the protocol with its reason, [`clock`] the time that drivers pass in, and [`guards`] its safety rules by name.
//!
//! *Invariants:* whatever decides is pure ([`run`], [`contest`], [`herd`], [`writing`], [`start`], [`watch`],
//! [`keeper`], [`gather`], [`duty`], [`rotation`], [`follow`], the batching of [`output`]): events, time and randomness are passed in. I/O goes
//! through `blitz-couchdb` only. The plugin runtime and HTTP are not known here.
//!
//! # Documents that nobody of ours has written so
//!
//! Anybody with the right to write may write anything, and another version may know more. Nothing of it stops a
//! reader; each is logged, and this comes of it:
//!
//! | document | what comes of it |
//! |---|---|
//! | with more fields, or of another version, and readable | it is read; what is not known is passed over |
//! | a spec that cannot be read, or that names another job | passed over: nobody hears of the job |
//! | a run that cannot be read: no object, another `kind`, a state that is not known, an attempt below 1 or above [`run::ATTEMPTS_MAX`], too many silent attempts | engines leave the job alone, and who runs it stops; the keeper gives it all its time, and then writes `expired` over it, with the reason |
//! | a run that cannot be read beside leaves that can | an end among them counts; else as above |
//! | a run of a later home epoch than the region's | engines leave the job alone, and who runs it stops; the keeper gives it all its time, and ends it as `lost`, with the reason |
//! | a spec of a later home epoch than the region's | the job waits, and nobody ends it, until the region has a home of that epoch |
//! | a spec with secrets that are sealed to a key that an engine does not have | that engine does not claim it; where none has the key it expires |
//! | a spec with secrets that were sealed for another place | its engine ends it as unusable, and says which word |
//! | a spec or a run of an earlier one | what may run twice is run, after a while; else nobody begins it, and it is `lost` when its time is over and no end has come |
//! | a region's document with conflicts | [`region::Region::merged`] is what it says, whoever reads it |
//! | a run with the claim of another job | a claim like any other: its engine, if it lives, takes it for its own and runs the job; else it is taken over |
//! | a run that was deleted | the job is queued again; who runs it goes on until another has claimed it, or until its end is refused |
//! | a run that was changed by hand | whatever it says stands: an engine that is not named stops, an end is an end |
//! | conflicts made on purpose | [`run::resolve`] names the leaf that counts, and the keeper removes the others |
//! | a spec or a cancel that was deleted | nothing: who heard of it goes on, who lists later does not see it |
//! | a cancel that cannot be read | a cancel |
//! | a start fence that cannot be read | a fence: it is there, and nobody passes it |
//! | a ready that cannot be read | nobody is ready |
//! | a go that cannot be read | a go that refuses: nobody begins |
//! | a beat that cannot be read | no sign of life |
//! | an order to leave that cannot be read, or that names another engine or another start | none: the engine stays |
//! | a lease of a duty that cannot be read | somebody's, as long as it changes |
//! | ages of a rotation that cannot be read | time is counted anew: databases are kept longer |
//! | a checkpoint that cannot be read | none: everything is listed |
//! | a database of the same name and another identity | every claim in the old one is void, and the new one is listed |

pub mod id;
pub mod region;
pub mod cluster;
pub mod topology;
pub mod roles;
pub mod join;
pub mod accounts;
pub mod spec;
pub mod sealing;
pub mod run;
pub mod feed;
mod early;
pub mod recent;
pub mod contest;
pub mod herd;
pub mod writing;
pub mod start;
pub mod claim;
pub mod meeting;
pub mod output;
pub mod follow;
pub mod watch;
pub mod keeper;
pub mod gather;
pub mod duty;
pub mod rotation;
pub mod engine;
pub mod drain;
pub mod plugin;
pub mod design;
pub mod setup;
pub mod read;
pub mod timing;
pub mod clock;
pub mod guards;

pub use id::{DocumentId, Incarnation, JobId, Position};
pub use run::{Claim, End, Run};
pub use spec::Spec;

/// The version of blitz that wrote a document; every document carries it as `blitz`.
pub const BUILD: &str = env!("CARGO_PKG_VERSION");
