//! The production brain in the lab's world, in virtual time: whole lives, and one test for each lesson that needs both.

mod departures;
mod faults;
mod limits;
mod plan_cost;
mod queue;
mod restarts;
mod rules;
mod speed;
mod spot;
mod stage;
mod storms;
mod wakes;
