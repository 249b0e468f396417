//! Stories of EC2 and S3 on a server that answers as AWS, and on the same with faults that it does not have.
//!
//! `.ci/moto` installs the server and prints the `BLITZ_TEST_MOTO` that these stories need; without it they say that they
//! are skipped.

mod answers;
mod command;
mod ec2;
mod faults;
mod fleets;
mod moto;
mod outages;
mod publishing;
mod rounds;
mod s3;
mod stacks;
