//! Whole traces over ways that are made up: what is printed, what is sent, and how long it takes.

mod way;
mod output;
mod pace;
mod refused;
