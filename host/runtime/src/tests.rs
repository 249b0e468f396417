//! Guests that behave badly, and a few that do not: raw components, written as text.

mod component;
mod load;
mod run;
