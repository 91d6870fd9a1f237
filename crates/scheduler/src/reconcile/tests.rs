//! Contradictions and how they are set right (facts §8.4, invariants 1 and 6).
