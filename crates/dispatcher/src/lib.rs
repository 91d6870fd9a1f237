//! The shell: owns the brain and obeys its commands.
